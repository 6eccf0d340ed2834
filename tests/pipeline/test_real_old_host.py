"""The how-to's own parts: upstream's libvirt 1.0.3 and sheepdog on a host with SysV init.

libvirt's tarball comes from upstream, or from the file that $SHEEPVIRT_TEST_LIBVIRT names. One that
is not the pinned one is built as unpinned, and everything says so. One host is bootstrapped for all
tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.config import catalog, inventory
from sheepvirt.sources import store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.model.hosts import Host

pytestmark = [pytest.mark.engine, pytest.mark.real_sheepdog]
GIVEN = os.environ.get("SHEEPVIRT_TEST_LIBVIRT", "")


def rurutu() -> Host:
    return inventory.load_host(SETTINGS, "rurutu")


def on_host(script: str) -> str:
    return shell(rurutu(), script)


@pytest.fixture(scope="module", autouse=True)
def built() -> Iterator[str]:
    """A repo of this world's own, where libvirt's source is in reach; what its build has said."""
    package = catalog.load_package(SETTINGS, "libvirt", "1.0.3")
    found = store.availability_of_all(SETTINGS, package.sources)
    if not GIVEN and not found.ok:
        pytest.skip(f"libvirt 1.0.3 cannot be built here: {found.why}")
    given = ("--source", f"libvirt={GIVEN}") if GIVEN else ()
    words = ("--package", "libvirt=1.0.3", "--package", "qemu", "--package", "sheepdog=real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHEEPVIRT_DIST", str(SETTINGS.dist.with_name("real-1.0.3")))
        yield invoke("build-rpms", "--target", "rehearsal", *words, *given)


@pytest.fixture(scope="module", autouse=True)
def bootstrapped(built: str) -> Iterator[str]:
    """Rurutu is there, as the inventory wants it; what its first bootstrap has said."""
    rehearsal.remove(RUN, rurutu())
    yield invoke("bootstrap", "rurutu")
    rehearsal.remove(RUN, rurutu())


def test_the_rpms_of_the_how_to_are_built(built: str) -> None:
    assert "sheepdog: the real one" in built
    assert ("UNPINNED: libvirt 1.0.3" in built) == bool(GIVEN)


def test_a_host_is_bootstrapped_as_in_2013(bootstrapped: str) -> None:
    assert "SysV init, rc and sshd are real" in bootstrapped
    assert on_host("virsh --version") == "1.0.3"
    assert on_host("readlink /proc/$(cat /var/run/sheep.pid)/exe") == "/usr/sbin/sheep"
    assert "rurutu: no change" in invoke("bootstrap", "rurutu")


def test_its_networks_are_listed_as_in_the_how_to() -> None:
    rows = on_host("LC_ALL=ja_JP.UTF-8 virsh net-list")
    assert rows.splitlines()[0].split() == ["名前", "状態", "自動起動", "永続"]
    for name in ("default", "ovsbr0"):
        row = next(line for line in rows.splitlines() if line.split()[:1] == [name])
        assert row.split()[1:] == ["動作中", "はい", "(yes)", "はい", "(yes)"]


def test_a_guest_may_be_migrated() -> None:
    """libvirt 1.0.3 refuses a guest whose disk has another cache mode than none."""
    assert "cache='none'" in on_host("virsh dumpxml papeete | grep '<driver'")


def test_it_works_and_outlives_a_reboot() -> None:
    assert "none failed" in invoke("verify", "rurutu")
