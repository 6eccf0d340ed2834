"""The whole job as a user runs it: commands in, exit codes, files and words out.

One host is bootstrapped for all tests; each leaves it as it found it. What needs a host that is not
there yet makes one of its own.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import finish, invoke, read_until, shell, start
from world import RUN, SETTINGS

from sheepvirt.bootstrap import desired, rehearsal
from sheepvirt.bootstrap.steps import undo
from sheepvirt.config import inventory
from sheepvirt.ssh.client import write_config
from sheepvirt.verify.controls import control_runner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine


def moorea() -> Host:
    return inventory.load_host(SETTINGS, "moorea")


def tetiaroa() -> Host:
    return inventory.load_host(SETTINGS, "tetiaroa")


@pytest.fixture(scope="module")
def bootstrapped(published: str) -> Iterator[None]:
    """Moorea is there, as the inventory wants it."""
    rehearsal.remove(RUN, moorea())
    invoke("bootstrap", "moorea")
    yield
    rehearsal.remove(RUN, moorea())


@pytest.fixture
def damaged(bootstrapped: None) -> Iterator[None]:
    """The test may damage moorea; the next one finds it repaired."""
    yield
    if "no change" not in invoke("bootstrap", "moorea"):
        assert "no change" in invoke("bootstrap", "moorea")


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What a verification of moorea has said, and its reports: before and after the reboot."""

    out: str
    reports: list[str]


@pytest.fixture(scope="module")
def verified(bootstrapped: None) -> Verified:
    out = invoke("verify", "moorea")
    found = sorted((SETTINGS.dist / "verify" / "moorea").glob("*.xml"))
    return Verified(out=out, reports=[path.read_text(encoding="utf-8") for path in found])


@pytest.fixture
def absent(published: str) -> Iterator[None]:
    """Tetiaroa is not there."""
    rehearsal.remove(RUN, tetiaroa())
    yield
    rehearsal.remove(RUN, tetiaroa())


def on_host(*argv: str) -> str:
    """Run a command on moorea, over the same SSH that the bootstrap uses."""
    return RUN.connect(moorea()).run(list(argv)).stdout


def inside(*argv: str) -> str:
    """Run a command on moorea without SSH, as on a machine's own console."""
    container = RUN.engine.find(rehearsal.container_name(moorea()))
    assert container is not None
    return container.run(list(argv), check=True).stdout


def test_build_publishes_a_repo_with_its_evidence(published: str) -> None:
    repo = SETTINGS.dist / "rehearsal"
    assert (repo / "repodata" / "repomd.xml").is_file()
    names = [p.name for p in repo.rglob("libvirt-*.rpm")]
    assert len(names) > 20
    assert all(".rehearsal." in name for name in names)
    assert "libvirt-daemon-driver-storage-sheepdog-7.0.0" in " ".join(names)
    assert "stand-in" in published


@pytest.mark.usefixtures("published")
def test_build_again_rebuilds_nothing() -> None:
    manifest = SETTINGS.dist / "rehearsal" / "manifest.json"
    before = manifest.read_bytes()
    out = invoke("build-rpms", "--target", "rehearsal")
    assert "sheepdog: the stand-in pocketsheep: the published repo has it" in out
    assert manifest.read_bytes() == before


@pytest.mark.usefixtures("absent")
def test_plan_of_an_absent_host_touches_nothing() -> None:
    out = invoke("bootstrap", "tetiaroa", "--plan", code=20)
    assert "would" in out
    assert not rehearsal.exists(RUN.engine, tetiaroa())


@pytest.mark.usefixtures("absent")
def test_a_bootstrap_that_is_killed_is_finished_by_the_next() -> None:
    process = start("bootstrap", "tetiaroa")
    read_until(process, "… tetiaroa: packages")
    time.sleep(0.5)  # into the transaction
    process.kill()
    process.communicate(timeout=60)
    assert "reboot" in invoke("bootstrap", "tetiaroa")
    assert shell(tetiaroa(), "virsh domstate papeete") == "running"
    assert "no change" in invoke("bootstrap", "tetiaroa")


@pytest.mark.usefixtures("bootstrapped")
def test_a_second_bootstrap_finds_nothing_to_change() -> None:
    assert "no change" in invoke("bootstrap", "moorea")
    assert "no change" in invoke("bootstrap", "moorea", "--plan")


@pytest.mark.usefixtures("bootstrapped")
def test_values_of_the_inventory_were_never_run_by_a_shell() -> None:
    title = moorea().guests[0].title
    assert on_host("virsh", "desc", "--title", "papeete").strip() == title
    assert on_host("sh", "-c", "test -e /tmp/pwned || echo safe").strip() == "safe"
    assert not Path("/tmp/pwned").exists()


def test_verify_passes_before_and_after_a_reboot(verified: Verified) -> None:
    assert "reboot" in verified.out
    assert len(verified.reports) == 2
    assert all('failures="0"' in report for report in verified.reports)


def test_the_guest_lives_on_sheepdog_and_its_data_outlives_it(verified: Verified) -> None:
    xml = on_host("virsh", "dumpxml", "papeete")
    assert "protocol='sheepdog' name='papeete'" in xml
    case = verified.reports[1].partition("test_data_outlives_the_reboot")[2]
    case = case.partition("<testcase")[0]
    assert case
    assert "<skipped" not in case


@pytest.mark.usefixtures("bootstrapped")
def test_why_goes_back_from_the_host_to_the_tarball() -> None:
    out = invoke("why", "moorea", "libvirt")
    assert "/usr/sbin/libvirtd of libvirt-daemon-7.0.0" in out
    assert "ca3833844d08c22867f1d1a46edc36bda7d6fe1a4f267e7d77100b79fc9ddd89" in out
    assert "stand-in" in out
    assert "BROKEN" not in out


@pytest.mark.usefixtures("damaged")
def test_a_broken_host_fails_verification_and_bootstrap_repairs_only_that() -> None:
    on_host("ovs-vsctl", "del-br", "ovsbr0")
    on_host("virsh", "net-autostart", "ovsbr0", "--disable")
    out = invoke("verify", "moorea", "--no-reboot", code=10)
    assert "bridge" in out
    out = invoke("bootstrap", "moorea")
    assert "ovsbr0" in out
    assert "dnf" not in out
    assert "no change" in invoke("bootstrap", "moorea")
    invoke("verify", "moorea", "--no-reboot")


@pytest.mark.usefixtures("damaged")
def test_edited_configuration_is_told_and_no_damage() -> None:
    public, closed = "/etc/sysconfig/libvirtd", "/etc/libvirt/qemu.conf"  # its folder is root's
    for path, line in ((public, "# edited"), (closed, 'vnc_password = "sesame"')):
        on_host("sh", "-c", 'cp -p "$1" "$1.kept" && echo "$2" >> "$1"', "sh", path, line)
    try:
        out = invoke("verify", "moorea", "--no-reboot", "--verbose")
    finally:
        for path in (public, closed):
            on_host("mv", f"{path}.kept", path)
    assert f"{public} (size, content, time)" in out
    assert "+# edited" in out
    assert f"{closed} (size, content, time); no diff: not everyone may read it" in out
    reports = (SETTINGS.dist / "verify" / "moorea").glob("*.xml")
    assert not any("sesame" in text for text in (out, *(r.read_text() for r in reports)))


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("what", ["virsh without", "backend_sheepdog.so removed", "data of"])
def test_a_control_that_was_cut_off_is_undone_by_the_next_bootstrap(what: str) -> None:
    trial = control_runner.Trial(RUN, desired.desired_state(RUN, moorea()))
    control = next(c for c in trial.controls() if what in c.name)
    RUN.connect(moorea()).write(undo.SCRIPT, control_runner.undo_script(control))
    for command in control.breaks:  # and nobody comes back to repair it
        on_host(*command.argv)
    assert "undo: what a control" in invoke("bootstrap", "moorea", "--plan", code=20)
    assert "undo: what a control" in invoke("bootstrap", "moorea")
    assert "no change" in invoke("bootstrap", "moorea")
    invoke("verify", "moorea", "--no-reboot")


@pytest.mark.usefixtures("damaged")
def test_every_control_makes_exactly_its_checks_fail() -> None:
    out = invoke("verify", "moorea", "--prove")
    assert "exactly that" in out
    assert "DID NOT FAIL" not in out
    assert "no change" in invoke("bootstrap", "moorea")


@pytest.mark.usefixtures("damaged")
def test_two_runs_at_once_do_not_meet() -> None:
    on_host("virsh", "net-autostart", "ovsbr0", "--disable")
    first = start("bootstrap", "moorea")
    read_until(first, "… moorea: look")
    first.send_signal(signal.SIGSTOP)  # with the lock, however fast this machine is
    second = start("bootstrap", "moorea")
    read_until(second, f"waiting: host-moorea is in use by process {first.pid}")
    first.send_signal(signal.SIGCONT)
    assert "ovsbr0 autostarted" in finish(first)
    assert "moorea: no change" in finish(second)


@pytest.mark.usefixtures("bootstrapped")
def test_the_host_speaks_japanese() -> None:
    assert "ja_JP.UTF-8" in inside("cat", "/etc/default/locale")
    config = str(write_config(SETTINGS, moorea()))
    said = subprocess.run(
        ["ssh", "-F", config, "moorea", "virsh net-list --all"], capture_output=True, text=True
    ).stdout
    assert "名前" in said
    assert "動作中" in said


@pytest.mark.usefixtures("damaged")
def test_a_changed_host_key_stops_everything() -> None:
    key = "/etc/ssh/ssh_host_ed25519_key"
    inside("cp", "-a", key, "/root/kept")
    inside("cp", "-a", f"{key}.pub", "/root/kept.pub")
    inside("sh", "-c", f"rm {key}; ssh-keygen -q -t ed25519 -N '' -f {key}; systemctl restart ssh")
    RUN.connect(moorea()).close()
    try:
        for command in ("bootstrap", "verify"):
            out = invoke(command, "moorea", code=8)
            assert "another host key than the pinned one" in out
            assert "known_hosts" in out
            assert "Traceback" not in out
    finally:
        inside("sh", "-c", f"mv /root/kept {key}; mv /root/kept.pub {key}.pub")
        inside("systemctl", "restart", "ssh")
    assert "no change" in invoke("bootstrap", "moorea")


@pytest.mark.usefixtures("damaged")
def test_a_host_without_sshd_is_named() -> None:
    inside("systemctl", "stop", "ssh.socket", "ssh.service")
    RUN.connect(moorea()).close()
    try:
        out = invoke("verify", "moorea", code=8)
        assert "moorea (root@127.0.0.1)" in out
        assert "start sshd there" in out
        assert "Traceback" not in out
    finally:
        inside("systemctl", "start", "ssh.service")


@pytest.mark.usefixtures("damaged")
def test_a_key_that_is_not_let_in_is_named() -> None:
    inside("mv", "/root/.ssh/authorized_keys", "/root/keys")
    RUN.connect(moorea()).close()
    try:
        out = invoke("bootstrap", "moorea", code=8)
        assert "refused sheepvirt's key" in out
        assert "ssh-ed25519 AAAA" in out
    finally:
        inside("mv", "/root/keys", "/root/.ssh/authorized_keys")


@pytest.mark.usefixtures("bootstrapped")
def test_timings_are_written() -> None:
    rows = json.loads(SETTINGS.timings.read_text())
    assert rows
    assert all(row["seconds"] >= 0 for row in rows)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("bootstrap", "morea"), "did you mean 'moorea'?"),
        (("verify", "morea"), "did you mean 'moorea'?"),
        (("build-rpms", "--target", "rehersal"), "did you mean 'rehearsal'?"),
        (("build-rpms", "--package", "libvrit"), "did you mean 'libvirt'?"),
    ],
)
def test_a_typo_gets_a_suggestion(args: tuple[str, ...], says: str) -> None:
    out = invoke(*args, code=2)
    assert says in out
    assert "Traceback" not in out
