"""What is broken on purpose, and what must fail then."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import factories
import pytest

from sheepvirt.core import paths
from sheepvirt.model.builds import Feature
from sheepvirt.model.enums import Disk, Init
from sheepvirt.model.hosts import Host
from sheepvirt.verify.controls import host_controls, rpm_controls
from sheepvirt.verify.model import Control, ControlContext, Outcome, plain
from tests.here import with_bridge, with_disk

SO = "/usr/lib64/libvirt/storage-backend/libvirt_storage_backend_sheepdog.so"
GUEST = factories.guest()
HOST = factories.host(guests=(GUEST,))
FEATURES = (("libvirt", Feature(name="sheepdog", rpm_file=SO, host_line="Sheepdog")),)
RPMS = tuple(
    factories.published_rpm(
        name=n, nevra=f"{n}-7.0.0-1.el8.x86_64", file="f", sha256="s", header_sha1="h"
    )
    for n in ("libvirt", "libvirt-client")
)
RECORDS = (
    factories.record(package="qemu", version="5.2.0", installed_subpackages=("qemu-kvm",)),
    factories.record(rpms=RPMS, installed_subpackages=("libvirt",)),
)
NETWORK = "<network><name>ovsbr0</name><uuid>u</uuid><bridge name='ovsbr0'/></network>"
POOL = "<pool type='sheepdog'><source><host name='127.0.0.1' port='7000'/></source></pool>"


def table(host: Host = HOST) -> dict[str, Control]:
    context = ControlContext(
        host=host,
        records=RECORDS,
        features=FEATURES,
        network_xml=NETWORK,
        pool_xml=POOL,
        removable="lzop",
    )
    return {c.name: c for c in host_controls.on_host(context)}


def test_services_are_broken_in_the_words_of_the_hosts_init() -> None:
    sysv = table(replace(HOST, init=Init.SYSV))
    assert sysv["sheepdog stopped"].breaks[0].argv == ("service", "sheepdog", "stop")
    disabled = sysv["sheepdog not started at boot"].breaks[0].argv
    assert disabled == ("chkconfig", "--level", "2345", "sheepdog", "off")
    assert not any("systemctl" in c.argv for x in sysv.values() for c in (*x.breaks, *x.undo))
    assert set(sysv) - set(table()) == {"libvirtd first at boot"}


def test_an_uplink_is_unplugged_where_there_is_one() -> None:
    uplink = table(with_bridge(HOST, uplink="up0"))
    assert set(uplink) - set(table()) == {"up0 unplugged", "ovsbr0 without its address"}


def known_checks() -> set[str]:
    """The names of all checks there are, as verify makes them from the files of verify/checks."""
    return {
        f"{path.stem.removeprefix('test_')}: {name.replace('_', ' ')}"
        for path in paths.CHECKS.glob("test_*.py")
        for name in re.findall(r"(?m)^def test_(\w+)", path.read_text(encoding="utf-8"))
    }


def test_every_check_that_must_fail_is_there() -> None:
    """A check that was renamed would be expected in vain."""
    el = replace(with_bridge(HOST, uplink="up0"), init=Init.SYSV)
    both = [*table().values(), *table(el).values()]
    expected = {title.partition(" [")[0] for c in both for title in c.fails}
    assert expected <= known_checks()


def test_every_check_can_be_seen_to_fail() -> None:
    """Or it says why not; no excuse is left over from a check that is gone or tried."""
    el = replace(with_bridge(HOST, uplink="up0"), init=Init.SYSV)
    both = [*table().values(), *table(el).values()]
    tried = {title.partition(" [")[0] for c in both for title in c.fails}
    assert known_checks() - tried == set(host_controls.UNTRIED)
    assert all(host_controls.UNTRIED.values())


def test_what_the_project_asks_for_is_tried() -> None:
    names = " | ".join(table())
    for words in (
        "sheepdog stopped",
        "bridge deleted",
        "obsbr0",
        "backend_sheepdog.so removed",
        "autostart of the pool",
        "autostart of the network",
        "autostart of papeete",
        "data of",
    ):
        assert words in names


def test_each_breaks_something_and_expects_something() -> None:
    for control in table().values():
        assert control.breaks
        assert control.fails
        assert all(command.argv for command in (*control.breaks, *control.undo))


def test_a_guest_on_a_file_does_not_miss_sheepdog() -> None:
    on_file = table(replace(HOST, guests=(with_disk(GUEST, kind=Disk.FILE),)))
    assert "data of papeete lost" not in on_file
    assert not any("papeete" in title for title in on_file["sheepdog stopped"].fails)
    assert not any("volume" in title for c in on_file.values() for title in c.fails)
    assert "guests: guest is running [papeete]" in on_file["papeete destroyed"].fails


def test_all_guests_lose_what_all_share() -> None:
    two = replace(HOST, guests=(GUEST, replace(GUEST, name="moorea")))
    fails = table(two)["sheepdog stopped"].fails
    assert {
        f"sheepdog: volume is in the pool [{n} on sheepdog]" for n in ("papeete", "moorea")
    } <= (fails)


def test_the_misspelt_network_keeps_its_identity() -> None:
    define = table()["network names obsbr0, which does not exist"].breaks[0]
    wrong = ElementTree.fromstring(define.stdin)
    bridge = wrong.find("bridge")
    assert bridge is not None
    assert (wrong.findtext("uuid"), bridge.get("name")) == ("u", "obsbr0")


def test_a_removed_file_is_put_back_and_only_where_it_is_away(tmp_path: Path) -> None:
    """The undo's own script, with tee in the restart's place."""
    undo = table()["libvirt: libvirt_storage_backend_sheepdog.so removed"].undo[0]
    assert undo.argv[:2] == ("sh", "-c")
    assert undo.argv[4:] == (SO, rpm_controls.ASIDE, "systemctl", "restart", "libvirtd")
    here, log = tmp_path / "backend.so", tmp_path / "log"
    argv = [*undo.argv[:4], str(here), rpm_controls.ASIDE, "tee", str(log)]
    for _ in range(2):
        (tmp_path / f"backend.so{rpm_controls.ASIDE}").write_text("the file")
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        assert here.read_text() == "the file"
        assert log.exists()  # the restart, when it is back
        log.unlink()
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        assert not log.exists()


def test_a_client_without_the_feature_is_one_in_all_else(tmp_path: Path) -> None:
    virsh = tmp_path / "virsh"
    virsh.write_text(
        '#!/bin/sh\n[ "$1" = -V ] && echo " Storage: Dir Sheepdog Scsi" || echo "$# $2"\n'
    )
    virsh.chmod(0o755)
    blind = ["sh", "-c", rpm_controls.BLIND, "sh", str(virsh), rpm_controls.ASIDE, "Sheepdog"]
    subprocess.run(blind, check=True)

    def said(*argv: str) -> str:
        return subprocess.run([virsh, *argv], check=True, capture_output=True, text=True).stdout

    assert said("-V") == " Storage: Dir Scsi\n"
    assert said("desc", "two words") == "2 two words\n"


def test_what_is_undone_takes_no_input() -> None:
    """It is run from a script."""
    assert not [c for control in table().values() for c in control.undo if c.stdin]


def test_each_kind_of_guest_is_broken_once() -> None:
    kinds = (
        GUEST,
        replace(GUEST, name="moorea"),
        replace(with_disk(GUEST, kind=Disk.FILE), name="raiatea"),
    )
    names = table(replace(HOST, guests=kinds))
    assert "papeete destroyed" in names
    assert "moorea destroyed" not in names
    assert "raiatea destroyed" in names


@pytest.mark.parametrize(
    ("expected", "seen", "ok"),
    [
        ({"a"}, {"a"}, True),
        ({"a"}, set(), False),
        ({"a"}, {"a", "b"}, False),
        (set(), set(), False),
    ],
)
def test_exactly_what_was_expected_must_fail(expected: set[str], seen: set[str], ok: bool) -> None:
    assert (
        Outcome(
            control="c", expected=frozenset(expected), seen=frozenset(seen), restored="", seconds=0
        ).ok
        is ok
    )


def test_a_stand_in_has_the_same_checks() -> None:
    assert plain("s: pool is active [sheepdog (stand-in)]") == "s: pool is active [sheepdog]"
