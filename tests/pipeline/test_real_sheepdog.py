"""The whole job with upstream's own sheepdog, where its source can be fetched.

RPMs are built and a host is bootstrapped for all tests; each leaves it as it found it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.builds import repo
from sheepvirt.config import inventory
from sheepvirt.core import settings
from sheepvirt.images import recipes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.model.hosts import Host

pytestmark = [pytest.mark.engine, pytest.mark.real_sheepdog]
OWN = replace(SETTINGS, dist=SETTINGS.dist.with_name("real"))
# Installed, installed once more, upgraded to itself, erased: each scriptlet of the RPM runs.
SCRIPTLETS = """
set -e
rpm -U /rpms/sheepdog-[0-9]*.x86_64.rpm
ls /etc/rc3.d/S21sheepdog /usr/bin/collie
rpm -U --replacepkgs /rpms/sheepdog-[0-9]*.x86_64.rpm
rpm -e sheepdog
! ls /etc/rc?.d/*sheepdog /usr/bin/collie /etc/init.d/sheepdog 2>/dev/null
"""
# A node whose cluster does not answer: the start fails in the end, and leaves no sheep behind.
WAITING = """
set -e
rpm -U /rpms/sheepdog-[0-9]*.x86_64.rpm
echo 'SHEEP_OPTS="--cluster zookeeper:127.0.0.1:2181 --bindaddr 127.0.0.1 /var/lib/sheepdog"' \\
  >/etc/sysconfig/sheepdog
! SHEEPDOG_SECONDS=3 /etc/init.d/sheepdog start
sleep 1
! ls -l /proc/[0-9]*/exe 2>/dev/null | grep ' /usr/sbin/sheep$'
"""
# The field of /var/lib/sheepdog/config that has the version of the store's layout.
VERSION_AT = 30


def huahine() -> Host:
    return inventory.load_host(SETTINGS, "huahine")


def on_host(script: str) -> str:
    return shell(huahine(), script)


@pytest.fixture(scope="module", autouse=True)
def built() -> Iterator[str]:
    """A repo of this world's own; what its build has said."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHEEPVIRT_DIST", str(OWN.dist))
        yield invoke("build-rpms", "--target", "rehearsal", "--package", "sheepdog=real")


@pytest.fixture(scope="module")
def bootstrapped(built: str) -> Iterator[str]:
    """Huahine is there, as the inventory wants it; what its first bootstrap has said."""
    rehearsal.remove(RUN, huahine())
    yield invoke("bootstrap", "huahine")
    rehearsal.remove(RUN, huahine())


@pytest.fixture
def damaged(bootstrapped: str) -> Iterator[None]:
    """The test may damage huahine; the next one finds it repaired."""
    yield
    if "no change" not in invoke("bootstrap", "huahine"):
        assert "no change" in invoke("bootstrap", "huahine")


def test_the_rpms_are_built_on_the_real_sheepdog(built: str) -> None:
    assert "sheepdog: the real one: asked for" in built
    records = repo.published(OWN, "rehearsal")
    assert "pocketsheep" not in records
    assert not records["sheepdog"].stand_in
    seen = {(e.feature, e.claim) for e in records["sheepdog"].evidence if e.ok}
    for feature in ("corosync", "zookeeper", "sheepfs"):
        assert (feature, "configured in") in seen


def test_a_network_that_goes_away_rebuilds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "gitconfig"
    nowhere.write_text('[url "/nowhere/"]\ninsteadOf = https://github.com/\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(nowhere))
    manifest = repo.home(OWN, "rehearsal") / repo.MANIFEST
    before = manifest.read_bytes()
    out = invoke("build-rpms", "--target", "rehearsal")
    assert "sheepdog: the real one: the published repo has it" in out
    assert manifest.read_bytes() == before


@pytest.mark.parametrize("script", [SCRIPTLETS, WAITING], ids=["scriptlets", "waiting"])
def test_its_scripts_end_well(script: str) -> None:
    image = recipes.ensure(RUN, inventory.load_target(SETTINGS, "rehearsal"), "builder")
    rpms = (repo.home(OWN, "rehearsal") / "sheepdog").resolve()
    with RUN.engine.container(image, mounts={rpms: ("/rpms", "ro")}, network="none") as root:
        root.run(["sh", "-c", script], check=True)


def test_a_bare_host_is_bootstrapped_and_stays_as_it_is(bootstrapped: str) -> None:
    assert "stand-in" not in bootstrapped.replace("are stand-ins", "")
    assert on_host("cat /proc/$(cat /var/run/sheep.pid)/comm") == "sheep"
    assert "huahine: no change" in invoke("bootstrap", "huahine")


@pytest.mark.usefixtures("bootstrapped")
def test_it_listens_on_this_host_alone() -> None:
    table = on_host("grep -h ':1B58 [0-9A-F:]* 0A ' /proc/net/tcp /proc/net/tcp6 | cut -c1-22")
    assert [line.split()[1] for line in table.splitlines()] == ["0100007F:1B58"]


@pytest.mark.usefixtures("bootstrapped")
def test_its_data_outlives_a_reboot() -> None:
    assert "none failed" in invoke("verify", "huahine")


@pytest.mark.usefixtures("damaged")
def test_every_control_makes_exactly_its_checks_fail() -> None:
    out = invoke("verify", "huahine", "--prove")
    assert "exactly that" in out
    assert "DID NOT FAIL" not in out
    assert "no change" in invoke("bootstrap", "huahine")


@pytest.mark.usefixtures("damaged")
def test_an_edited_options_file_outlives_a_new_install() -> None:
    on_host("echo '# mine' >>/etc/sysconfig/sheepdog")
    try:
        on_host("dnf -y reinstall sheepdog")
        assert on_host("tail -n 1 /etc/sysconfig/sheepdog") == "# mine"
        assert on_host("systemctl is-active sheepdog") == "active"
    finally:
        on_host("sed -i '/^# mine$/d' /etc/sysconfig/sheepdog")


@pytest.mark.usefixtures("damaged")
def test_what_was_erased_comes_back() -> None:
    on_host("virsh destroy papeete; rpm -e --nodeps sheepdog")
    assert on_host("systemctl is-active sheepdog || :") in {"inactive", "unknown"}
    assert on_host("ls /usr/bin/collie 2>&1 || :").endswith("No such file or directory")
    invoke("bootstrap", "huahine")
    assert on_host("virsh domstate papeete").strip() == "running"
    assert "no change" in invoke("bootstrap", "huahine")


@pytest.mark.usefixtures("damaged")
def test_a_port_that_is_taken_is_named_before_anything_is_done() -> None:
    on_host("virsh destroy papeete; systemctl stop sheepdog")
    on_host("setsid nc -lk 127.0.0.1 7000 </dev/null >/dev/null 2>&1 & echo $! >/root/nc")
    try:
        for plan in ([], ["--plan"]):
            out = invoke("bootstrap", "huahine", *plan, code=9)
            assert "port 7000 is taken by nc" in out
            assert "Nothing was changed" in out
    finally:
        on_host("kill $(cat /root/nc)")
    invoke("bootstrap", "huahine")
    assert on_host("virsh domstate papeete").strip() == "running"


@pytest.mark.usefixtures("damaged")
def test_a_store_of_an_older_sheepdog_is_left_alone_and_said_so() -> None:
    config_file = "/var/lib/sheepdog/config"
    on_host("virsh destroy papeete; systemctl stop sheepdog")
    on_host(f"cp -a {config_file} /root/config")
    on_host(f"printf '\\004\\000' | dd of={config_file} bs=1 seek={VERSION_AT} conv=notrunc")
    try:
        out = invoke("bootstrap", "huahine", code=9)
        assert "not compatible with the existing data layout" in out
        assert "dog vdi read" in out
    finally:
        on_host(f"cp -a /root/config {config_file}")
    invoke("bootstrap", "huahine")
    assert on_host("virsh domstate papeete").strip() == "running"
    assert "none failed" in invoke("verify", "huahine", "--no-reboot")


@pytest.mark.usefixtures("bootstrapped")
def test_a_host_of_the_other_provider_is_refused(
    published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEEPVIRT_DIST", str(SETTINGS.dist))
    for plan in ([], ["--plan"]):
        out = invoke("bootstrap", "huahine", *plan, code=9)
        assert "the published repo has pocketsheep in its place" in out
        assert "invoke destroy huahine" in out
    assert settings.from_environment(os.environ).dist == SETTINGS.dist
