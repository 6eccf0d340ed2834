"""el's network files: exactly the how-to's, and never such that the host is cut off."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
from finished import HOST, WANTED, changes, done, hands

from sheepvirt.errors import BootstrapError
from sheepvirt.host_model import Change, Facts, Host
from sheepvirt.steps import STEPS, ifcfg, reboot
from sheepvirt.steps.base import Wanted

Golden = Callable[[str, str], None]
EL6 = replace(HOST, rehearsal=False, datapath="system", uplink="eth0")
BRIDGE, PORT = ifcfg.path("ovsbr0"), ifcfg.path("eth0")
FORMER = 'DEVICE="eth0"\nHWADDR=52:54:00:00:00:01\nBOOTPROTO="dhcp"\nONBOOT=yes\n'


def el6(former: str = FORMER, ifup: str = ifcfg.IFUP) -> Facts:
    """A host that has network scripts, Open vSwitch's among them."""
    return replace(
        done(),
        network_scripts=True,
        interfaces=frozenset({"lo", "eth0", "eth1", "ovsbr0"}),
        hashes={**done().hashes, ifup: "aa"},
        texts={**done().texts, PORT: former},
    )


def wanted(host: Host = EL6) -> Wanted:
    return replace(WANTED, host=host)


def test_the_files_are_the_how_tos(golden: Golden) -> None:
    found = ifcfg.files(EL6)
    assert list(found) == [BRIDGE, PORT]
    golden("ifcfg-ovsbr0", found[BRIDGE])  # byte for byte
    golden("ifcfg-eth0", found[PORT])


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (
            "ifcfg-ovsbr0-static",
            replace(EL6, bridge_address="192.0.2.7/23", gateway="192.0.2.1"),
        ),
        ("ifcfg-ovsbr0-alone", replace(EL6, uplink="")),
        ("ifcfg-ovsbr0-netdev", replace(EL6, datapath="netdev")),
    ],
)
def test_other_bridges(golden: Golden, name: str, host: Host) -> None:
    golden(name, ifcfg.files(host)[BRIDGE])


def test_a_shell_reads_the_files_as_el_does() -> None:
    text = ifcfg.files(replace(EL6, datapath="netdev"))[BRIDGE]
    argv = ["dash", "-c", f'{text}\necho "$OVS_EXTRA|$DEVICE|$OVSDHCPINTERFACES"']
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert said == "set bridge ovsbr0 datapath_type=netdev|ovsbr0|eth0\n"


def test_they_are_written_beside_the_former_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = changes(ifcfg.STEP, el6(), wanted())
    assert found == [f"{p} written; it counts from the reboot on" for p in (BRIDGE, PORT)]
    worker, planned = hands(
        monkeypatch,
        ("/var/lib/sheepvirt/reboot-wanted", 0, ""),
        (f"{ifcfg.KEPT} {BRIDGE} {PORT}", 0, ""),
        (f"{BRIDGE} 644 .sheepvirt~", 0, ""),
        (f"{PORT} 644 .sheepvirt~", 0, ""),
    )
    ifcfg.apply(wanted(), el6(), worker)
    assert planned.plan == []  # nothing is brought up or down
    assert planned.sent[2].decode() == ifcfg.files(EL6)[BRIDGE]


def test_the_reboot_comes_after_them() -> None:
    names = [step.name for step in STEPS]
    assert names.index("packages") < names.index(ifcfg.NAME) < names.index("reboot")
    assert reboot.check(WANTED, done(), [Change(ifcfg.NAME, "written")])


def test_a_second_run_changes_nothing() -> None:
    hashes = {p: hashlib.sha256(t.encode()).hexdigest() for p, t in ifcfg.files(EL6).items()}
    facts = el6()
    facts = replace(facts, hashes={**facts.hashes, **hashes}, texts={})
    assert changes(ifcfg.STEP, facts, wanted()) == []


def test_what_was_there_is_really_kept(tmp_path: object) -> None:
    folder = str(tmp_path)
    with open(f"{folder}/ifcfg-eth0", "w", encoding="ascii") as handle:
        handle.write(FORMER)
    argv = ["dash", "-c", ifcfg.KEEP, "sh", f"{folder}/kept", f"{folder}/ifcfg-eth0", "/absent"]
    subprocess.run(argv, check=True)
    listed = subprocess.run(["ls", f"{folder}/kept"], capture_output=True, text=True).stdout
    (name,) = listed.split()
    assert name.startswith("ifcfg-eth0.2")
    with open(f"{folder}/kept/{name}", encoding="ascii") as handle:
        assert handle.read() == FORMER


@pytest.mark.parametrize(
    ("host", "facts", "says", "hint"),
    [
        (EL6, el6(ifup="/elsewhere"), "no /etc/sysconfig/network-scripts/ifup-ovs", "own RPM"),
        (replace(EL6, uplink="em1"), el6(), "no network interface em1", "it has: eth0, eth1"),
        (EL6, el6("MASTER=bond0\nSLAVE=yes\n"), "MASTER=bond0 SLAVE=yes", "another uplink"),
        (EL6, el6("BRIDGE=br0\n"), "part of something else", "free it there first"),
        (
            EL6,
            el6("IPADDR=192.0.2.7\nNETMASK=255.255.254.0\nGATEWAY=192.0.2.1\n"),
            "would change its address",
            '`bridge_address = "192.0.2.7/23"` in the inventory and `gateway = "192.0.2.1"`',
        ),
        (
            replace(EL6, bridge_address="192.0.2.8/24"),
            el6("IPADDR=192.0.2.7\nPREFIX=24\n"),
            "ovsbr0 would get 192.0.2.8",
            '"192.0.2.7/24"',
        ),
    ],
)
def test_what_would_cut_the_host_off_is_refused(
    host: Host, facts: Facts, says: str, hint: str
) -> None:
    with pytest.raises(BootstrapError) as caught:
        ifcfg.check(wanted(host), facts, ())
    assert says in caught.value.message
    assert hint in caught.value.hint


def test_the_same_static_address_moves_onto_the_bridge() -> None:
    host = replace(EL6, bridge_address="192.0.2.7/24")
    assert len(changes(ifcfg.STEP, el6('IPADDR="192.0.2.7"\nPREFIX=24\n'), wanted(host))) == 2


def test_a_host_without_such_files_has_its_bridge_in_the_database_alone() -> None:
    assert changes(ifcfg.STEP, done()) == []
    with pytest.raises(BootstrapError, match="the uplink eth0") as caught:
        ifcfg.check(wanted(), done(), ())
    assert "take the key out" in caught.value.hint


def test_in_a_plan_the_scripts_come_with_the_packages() -> None:
    assert ifcfg.check(wanted(), el6(ifup="/elsewhere"), [Change("packages", "openvswitch by yum")])


def test_broken_files_are_read_as_far_as_they_go() -> None:
    assert ifcfg.keys("# c\n A='b c'\nexport X=1\n=\nNO\nB=\n") == {"A": "b c", "B": ""}
