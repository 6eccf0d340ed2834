"""A host that others use as well: a look that is not whole, a full disk, two runs at once.

Everything is made for real on a rehearsal host that is asked as a real machine. What must not be
lost is looked at afterwards: the guests run on, with the boot that they had, and nothing is defined
a second time.
"""

from __future__ import annotations

import resource
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest
from commands import finish, invoke, read_until, shell, start
from world import RUN, SETTINGS

from sheepvirt.bootstrap import host_lock, rehearsal
from sheepvirt.bootstrap.steps import repository
from sheepvirt.bootstrap.steps.base import REPOMD
from sheepvirt.config import inventory
from sheepvirt.core.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
NAME, VDI, FILE = "takaroa", "takapoto", "apataki"
IMAGE = f"/var/lib/libvirt/images/{FILE}.img"
NOTHING = f"{NAME}: no change"
STORE = "/var/lib/pocketsheep"
# A guest that is still booting does not react to its power button.
AGAIN = ("--reimage", VDI, "--allow-guest-poweroff")
SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"


def takaroa() -> Host:
    return inventory.load_host(SETTINGS, NAME)


def on_host(script: str) -> str:
    return shell(takaroa(), script)


def in_container(script: str) -> str:
    """Run a line of shell without SSH, which what is tried may have broken."""
    container = RUN.engine.find(rehearsal.container_name(takaroa()))
    assert container
    return container.run(["sh", "-c", script], check=True).stdout


@pytest.fixture(scope="module", autouse=True)
def host(published: str) -> Iterator[None]:
    rehearsal.remove(RUN, takaroa())
    invoke("bootstrap", NAME)
    assert NOTHING in invoke("bootstrap", NAME)
    yield
    rehearsal.remove(RUN, takaroa())


def processes() -> dict[str, str]:
    """Return each guest's QEMU, by process: another one is another start."""
    said = in_container(f"cd /run/libvirt/qemu; head -n 1 {VDI}.pid {FILE}.pid")
    words = said.split()  # ==> takapoto.pid <== 123 ...
    return {words[1]: words[3], words[5]: words[7]}


@pytest.fixture
def guests_run_on() -> Iterator[None]:
    """The guests are the same processes before and after the test."""
    before = processes()
    yield
    assert processes() == before


@pytest.mark.usefixtures("guests_run_on")
def test_a_hung_libvirtd_is_a_refusal_and_nothing_looks_absent() -> None:
    in_container("kill -STOP $(pidof libvirtd)")
    try:
        for options in ((), ("--plan",)):
            said = invoke("bootstrap", NAME, *options, code=9)
            assert "libvirtd hangs: it does not answer in time" in said
            assert "defined" not in said
    finally:
        in_container("kill -CONT $(pidof libvirtd)")
    assert NOTHING in invoke("bootstrap", NAME)


@pytest.mark.usefixtures("guests_run_on")
def test_a_stopped_libvirtd_is_started_and_nothing_is_defined_again() -> None:
    on_host(f"systemctl stop {SOCKETS} libvirtd.service")
    plan = invoke("bootstrap", NAME, "--plan", code=20)
    assert "services: libvirtd started" in plan
    for step in ("network", "pool", "disk", "domain", "port"):
        assert f"{step}: libvirtd is stopped: what it has is not known" in plan
    assert "defined" not in plan
    said = invoke("bootstrap", NAME)
    assert "services: libvirtd started" in said
    assert "network: libvirtd is stopped" in said
    assert "it was looked at when its turn came" in said
    assert "defined" not in said
    on_host(f"systemctl stop libvirtd.service; systemctl start {SOCKETS} libvirtd.service")


@pytest.mark.usefixtures("guests_run_on")
def test_a_switch_whose_database_hangs_is_a_refusal() -> None:
    in_container("kill -STOP $(pidof ovsdb-server)")
    try:
        said = invoke("bootstrap", NAME, "--plan", code=9)
        assert "openvswitch hangs" in said
        assert "ovsbr0 added" not in said
    finally:
        in_container("kill -CONT $(pidof ovsdb-server)")
    assert NOTHING in invoke("bootstrap", NAME)


@pytest.mark.usefixtures("guests_run_on")
def test_broken_xml_of_libvirt_is_an_error_that_names_the_object() -> None:
    """A virsh in front of the real one, as a host's own wrapper may be."""
    wrapper = f"""#!/bin/sh
said=$(/usr/bin/virsh "$@"; code=$?; echo .; exit $code)
code=$?
printf '%s' "${{said%.}}" | sed 's#<name>{FILE}</name>#<name>{FILE}#'
exit $code
"""
    RUN.connect(takaroa()).write("/usr/local/bin/virsh", wrapper.encode(), mode=0o755)
    try:
        said = invoke("bootstrap", NAME, code=9)
    finally:
        in_container("rm /usr/local/bin/virsh")
    assert f"takaroa: libvirt's XML of domain {FILE} cannot be read" in said
    assert "Traceback" not in said
    assert NOTHING in invoke("bootstrap", NAME)


NOISE = r"""
printf '\033]0;pwned\007\033[2Jmotd of \342\200\256today '; date +%N
echo 'State: running'
trap 'echo good bye' EXIT
"""


@pytest.mark.usefixtures("guests_run_on")
def test_a_login_shell_that_prints_changes_nothing() -> None:
    in_container("cp -p /root/.bashrc /root/.bashrc.was")
    RUN.connect(takaroa()).write("/root/.bashrc", NOISE.encode())
    try:
        assert "good" not in on_host("true")
        assert NOTHING in invoke("bootstrap", NAME)
        on_host("virsh -q net-autostart --disable ovsbr0")
        said = invoke("bootstrap", NAME)
    finally:
        in_container("mv /root/.bashrc.was /root/.bashrc")
    assert "network: ovsbr0 autostarted" in said
    assert "motd" not in said
    logs = sorted(SETTINGS.logs.glob("*-bootstrap.log"))
    for text in (said, logs[-1].read_text(encoding="utf-8")):
        assert not set("\x1b\x07\u202e") & set(text)


@pytest.mark.usefixtures("guests_run_on")
def test_400_mb_of_output_are_an_error_and_need_no_memory() -> None:
    in_container("cp -p /root/.bashrc /root/.bashrc.was")
    noise = b"head -c 400000000 /dev/zero | tr '\\0' x; echo\n"
    RUN.connect(takaroa()).write("/root/.bashrc", noise)
    try:
        said = invoke("bootstrap", NAME, code=8)
    finally:
        in_container("mv /root/.bashrc.was /root/.bashrc")
    assert "MiB more than the 32 MiB that are kept" in said
    # Of all the commands that these tests have started, the largest.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 400_000
    assert NOTHING in invoke("bootstrap", NAME)


@pytest.mark.usefixtures("guests_run_on")
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "metadata"])
def test_the_copy_of_the_repo_is_checked_by_every_byte_and_repaired(harm: str) -> None:
    """A flipped bit leaves size and time as they are."""
    folder = repository.FOLDER
    rpm = on_host(f"cd {folder}; ls */libvirt-client*.rpm | head -n 1")
    if harm == "metadata":
        rpm = on_host(f"cd {folder}; ls repodata/*primary.xml.gz")
    on_host(
        f"cd {folder}; cp -p {rpm} /root/kept; case {harm} in "
        f"remove) rm {rpm} ;; truncate) truncate -s -1 {rpm} ;; "
        f"*) printf X | dd of={rpm} bs=1 seek=200 conv=notrunc 2>/dev/null ;; esac; "
        f"[ {harm} = remove ] || touch -r /root/kept {rpm}"
    )
    word = "is missing" if harm == "remove" else "is altered"
    assert f"repo: {folder} copied again: {rpm} {word}" in invoke(
        "bootstrap", NAME, "--plan", code=20
    )
    invoke("bootstrap", NAME)
    on_host(f"cmp /root/kept {folder}/{rpm}")
    assert NOTHING in invoke("bootstrap", NAME)


@pytest.mark.usefixtures("guests_run_on")
def test_without_space_for_the_repo_nothing_is_done() -> None:
    state = "/var/lib/sheepvirt"
    on_host(
        f"cp -a {state} {state}.was && mount -t tmpfs -o size=34m none {state} && "
        f"cp -a {state}.was/. {state} && echo x >>{REPOMD}"
    )
    try:
        before = on_host(f"cd {state}; find . -type f ! -name lock.guard | sort | xargs sha256sum")
        said = invoke("bootstrap", NAME, code=9)
        assert f"the filesystem {state} has" in said
        assert "MiB are needed: the copy of the repo" in said
        after = on_host(f"cd {state}; find . -type f ! -name lock.guard | sort | xargs sha256sum")
        assert after == before
    finally:
        on_host(f"umount {state}; rm -rf {state}.was")
    assert NOTHING in invoke("bootstrap", NAME)


def test_of_two_bootstraps_from_two_places_one_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_host(f"echo x >>{REPOMD}")
    shutil.copytree(SETTINGS.state, tmp_path / "state", symlinks=True)
    first = start("bootstrap", NAME)
    read_until(first, f"{NAME}: look")
    first.send_signal(signal.SIGSTOP)  # with the lock, however fast this machine is
    monkeypatch.setenv("SHEEPVIRT_STATE", str(tmp_path / "state"))
    second = start("bootstrap", NAME)
    waited = read_until(second, "waiting: ")
    first.send_signal(signal.SIGCONT)
    assert "RPMs copied to" in finish(first)
    assert NOTHING in finish(second)
    assert f"{NAME} is locked by " in waited
    assert f": bootstrap {NAME} (if that run is gone: `invoke unlock {NAME}`)" in waited
    assert on_host(f"ls {host_lock.LOCK} 2>/dev/null || echo none") == "none"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_lock_or_a_stale_one(number: signal.Signals) -> None:
    on_host(f"echo x >>{REPOMD}")
    run = start("bootstrap", NAME)
    assert run.stdout
    for line in run.stdout:
        if f"{NAME}: look" in line:
            break
    run.send_signal(number)
    run.communicate(timeout=60)
    left = on_host(f"ls {host_lock.LOCK} 2>/dev/null || echo none")
    assert left == ("none" if number != signal.SIGKILL else host_lock.LOCK)
    said = invoke("bootstrap", NAME)
    assert ("is taken over: that process has ended" in said) is (number == signal.SIGKILL)


def test_the_lock_of_another_machine_is_respected_by_all_but_a_plan() -> None:
    text = "token t\nwho ana@elsewhere\nsince 2026-11-28\ncommand bootstrap takaroa\n"
    boot = "$(cat /proc/sys/kernel/random/boot_id) $(sed 's/^.*) //' /proc/1/stat | cut -d' ' -f20)"
    on_host(f'printf "{text}machine x\nboot %s\n" "{boot}" >{host_lock.LOCK}')
    connection = RUN.connect(takaroa())
    with (
        pytest.raises(LockedError, match="locked by ana@elsewhere"),
        host_lock.held(RUN, connection, "a test", seconds=1),
    ):
        pass
    assert NOTHING in invoke("bootstrap", NAME, "--plan")
    assert "the lock of ana@elsewhere" in invoke("unlock", NAME)
    assert f"{NAME}: no lock" in invoke("unlock", NAME)


def test_the_lock_survives_the_reboot_of_its_run() -> None:
    note = "/var/lib/sheepvirt/reboot-wanted"
    start_time = "sed 's/^.*) //' /proc/1/stat | cut -d' ' -f20"
    on_host(f"echo $(cat /proc/sys/kernel/random/boot_id)/$({start_time}) >{note}")
    run = start("bootstrap", NAME, "--allow-reboot")
    seen = set()
    while run.poll() is None:
        time.sleep(1)
        try:
            seen.add(
                in_container(f"cat {host_lock.LOCK} 2>/dev/null | grep -c ^boot; true").strip()
            )
        except Exception:  # it is down
            continue
    assert run.returncode == 0, run.communicate()[0]
    assert "2" in seen, "the lock was there after the reboot, and knew of it"
    assert on_host(f"ls {host_lock.LOCK} 2>/dev/null || echo none") == "none"
    invoke("bootstrap", NAME)


def test_default_stays_deleted_and_is_not_started_where_its_addresses_are_in_use() -> None:
    on_host("virsh -q net-destroy default")
    on_host("ip addr add 192.168.122.7/24 dev eth0")
    said = invoke("bootstrap", NAME)
    assert "192.168.122.0/24 is in use by eth0" in said
    assert NOTHING in said
    on_host("ip addr del 192.168.122.7/24 dev eth0; virsh -q net-undefine default")
    assert NOTHING in invoke("bootstrap", NAME)
    assert "default" not in on_host("virsh -q net-list --all --name")


def age(guest: str) -> None:
    """Let the disk of a guest be from another image, as after a change of its console line."""
    note = f"{IMAGE}.from" if guest == FILE else f"/var/lib/sheepvirt/vdi-{guest}.from"
    on_host(f"echo old.img 0123 >{note}")


def fill_store(leave_mib: int) -> None:
    """Put sheepdog's store on a small disk with as much free."""
    on_host(f"""
        set -e
        virsh -q destroy {VDI} || :
        systemctl stop sheepdog
        mv {STORE} {STORE}.was; mkdir {STORE}
        size=$(du -sm {STORE}.was | cut -f1)
        mount -t tmpfs -o size=$((size + {leave_mib}))m,mode=0700 store {STORE}
        cp -a {STORE}.was/. {STORE}
        systemctl start sheepdog; sleep 1; virsh -q start {VDI}
        """)


def empty_store() -> None:
    on_host(f"""
        virsh -q destroy {VDI}; systemctl stop sheepdog
        rm -rf {STORE}.was/*; cp -a {STORE}/. {STORE}.was; umount {STORE}; rmdir {STORE}
        mv {STORE}.was {STORE}; systemctl start sheepdog; sleep 1; virsh -q start {VDI}
        """)


def test_without_space_in_the_cluster_the_guest_runs_on() -> None:
    fill_store(8)
    try:
        before = processes()
        age(VDI)
        for options in (("--plan",), ()):
            said = invoke("bootstrap", NAME, "--reimage", VDI, *options, code=9)
            assert "sheepdog's cluster has" in said
            assert f"a copy of the former disk of {VDI}" in said
        assert processes() == before
    finally:
        empty_store()


@pytest.mark.parametrize("what", ["convert", "compare", "write"])
def test_a_vdi_that_cannot_be_made_again_leaves_the_guest_with_its_disk(what: str) -> None:
    """A program in front of the real one fails, once, where it is in the middle."""
    age(VDI)
    program = "dog" if what == "write" else "qemu-img"
    real = on_host(f"command -v {program}")
    wrapper = f"""#!/bin/sh
case "$*" in *{what}*) [ -e /root/failed ] || {{ : >/root/failed; echo 'no space left' >&2
  [ {what} = write ] || {real} "$@"; head -c 9000000 | {real} "$@"; exit 1; }} ;; esac
exec {real} "$@"
"""
    on_host("rm -f /root/failed")
    in_container(f"mkdir -p /usr/local/bin; test {real} != /usr/local/bin/{program}")
    RUN.connect(takaroa()).write(f"/usr/local/bin/{program}", wrapper.encode(), mode=0o755)
    try:
        said = invoke("bootstrap", NAME, *AGAIN, code=9)
    finally:
        in_container(f"rm /usr/local/bin/{program}")
    assert f"{VDI} runs again, on its former disk" in said
    assert ("is back" in said) is (what == "write")
    assert on_host(f"virsh -q domstate {VDI}") == "running"
    assert on_host("dog vdi list -r | cut -d' ' -f2") == VDI, "no copy is left"
    assert NOTHING in invoke("bootstrap", NAME)


def test_a_disk_is_made_again_on_request_and_the_former_one_kept() -> None:
    age(VDI)
    age(FILE)
    plan = invoke("bootstrap", NAME, "--reimage", VDI, "--reimage", FILE, "--plan", code=20)
    assert f"the former disk is kept as VDI {VDI}.kept-TIME" in plan
    assert f"the former disk is kept as {IMAGE}.kept-TIME" in plan
    said = invoke("bootstrap", NAME, *AGAIN, "--reimage", FILE)
    assert f"the former disk of {VDI} is kept as VDI {VDI}.kept-" in said
    assert f"the former disk of {FILE} is kept as {IMAGE}.kept-" in said
    assert on_host(f"dog vdi list -r | grep -c '^= {VDI}.kept-'") == "1"
    assert NOTHING in invoke("bootstrap", NAME)


def test_a_run_that_is_cut_off_while_it_fills_is_completed_by_the_next() -> None:
    age(VDI)
    run = start("bootstrap", NAME, *AGAIN)
    end = time.monotonic() + 120
    while not in_container(f"grep filling /var/lib/sheepvirt/vdi-{VDI}.from; true"):
        assert time.monotonic() < end
        time.sleep(0.05)
    run.kill()
    run.communicate()
    said = invoke("bootstrap", NAME)
    assert "a run was interrupted" in said
    assert f"domain: {VDI} started" in said
    assert NOTHING in invoke("bootstrap", NAME)
