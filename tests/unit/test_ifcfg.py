"""el's network files: exactly the how-to's, and never such that the host is cut off."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from finished import HOST, KEPT, NOTED, WANTED, changes, context, done

from sheepvirt.bootstrap.facts.bridges import BridgeState
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.interfaces import NetworkFile
from sheepvirt.bootstrap.steps import STEPS, bridge, guard, ifcfg, reboot
from sheepvirt.bootstrap.steps.base import DesiredState, StepContext
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Datapath, Init
from sheepvirt.model.hosts import Change, Host
from tests.here import SETTINGS, with_bridge

GUARD = SETTINGS.host / "files" / "network-guard.sh"
Golden = Callable[[str, str], None]
EL6 = replace(with_bridge(HOST, datapath=Datapath.SYSTEM, uplink="eth0"), rehearsal=False)
BRIDGE, PORT = ifcfg.path("ovsbr0"), ifcfg.path("eth0")
FORMER = 'DEVICE="eth0"\nHWADDR=52:54:00:00:00:01\nBOOTPROTO="dhcp"\nONBOOT=yes\n'


def el6(former: str = FORMER, ifup: str = ifcfg.IFUP, **others: str) -> Facts:
    """A host that has network scripts, Open vSwitch's among them; ``others`` are more files."""
    texts = {"ifcfg-eth0": former, **{n.replace("__", "-"): t for n, t in others.items()}}
    return replace(
        done(),
        network_scripts=True,
        interfaces=frozenset({"lo", "eth0", "eth1", "ovsbr0"}),
        hashes={**done().hashes, ifup: "aa"},
        network_files={name: NetworkFile(text=text) for name, text in texts.items()},
    )


def seen(facts: Facts, host: Host = EL6) -> Facts:
    """The same host with the files that sheepvirt writes."""
    ours = {
        p.rpartition("/")[2]: NetworkFile(text=t)
        for p, t in ifcfg.files(wanted(host), facts).items()
    }
    return replace(facts, network_files={**facts.network_files, **ours})


def wanted(host: Host = EL6) -> DesiredState:
    return replace(WANTED, host=host)


def test_the_files_are_the_how_tos(golden: Golden) -> None:
    found = ifcfg.files(wanted())
    assert list(found) == [BRIDGE, PORT]
    golden("ifcfg-ovsbr0", found[BRIDGE])  # byte for byte
    golden("ifcfg-eth0", found[PORT])


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (
            "ifcfg-ovsbr0-static",
            with_bridge(EL6, address="192.0.2.7/23", gateway="192.0.2.1"),
        ),
        ("ifcfg-ovsbr0-alone", with_bridge(EL6, uplink="")),
        ("ifcfg-ovsbr0-netdev", with_bridge(EL6, datapath=Datapath.NETDEV)),
    ],
)
def test_other_bridges(golden: Golden, name: str, host: Host) -> None:
    golden(name, ifcfg.files(wanted(host))[BRIDGE])


def test_a_shell_reads_the_files_as_el_does() -> None:
    text = ifcfg.files(wanted(with_bridge(EL6, datapath=Datapath.NETDEV)))[BRIDGE]
    argv = ["dash", "-c", f'{text}\necho "$OVS_EXTRA|$DEVICE|$OVSDHCPINTERFACES"']
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert said == "set bridge ovsbr0 datapath_type=netdev|ovsbr0|eth0\n"


def test_they_are_written_and_the_former_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = changes(ifcfg.STEP, el6(), wanted())
    assert found == [f"{p} written; it takes effect with the reboot" for p in (BRIDGE, PORT)]
    worker, planned = context(
        monkeypatch,
        ("/var/lib/sheepvirt/reboot-wanted", 0, ""),
        (f"{guard.KEPT} {BRIDGE} {PORT}", 0, ""),
        (f"{guard.SCRIPT} 644", 0, ""),
        ("/etc/systemd/system/sheepvirt-network-guard.service 644", 0, ""),
        ("systemctl daemon-reload", 0, ""),
        ("systemctl enable sheepvirt-network-guard", 0, ""),
        (f"sh {guard.PENDING} b/2 {BRIDGE} {PORT}", 0, ""),
        (f'keep-switch "$@" || true sh {guard.PENDING} ovsbr0 eth0', 0, ""),
        (f"{BRIDGE} 644 .sheepvirt~", 0, ""),
        (f"{PORT} 644 .sheepvirt~", 0, ""),
    )
    ifcfg.apply(wanted(), el6(), worker)
    assert planned.plan == []  # nothing is brought up or down
    assert planned.sent[8].decode() == ifcfg.files(wanted(), el6())[BRIDGE]


def test_under_sysv_init_a_guard_keeps_a_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned = context(
        monkeypatch,
        ("/var/lib/sheepvirt/reboot-wanted", 0, ""),
        (f"{guard.KEPT} {BRIDGE} {PORT}", 0, ""),
        (f"{guard.SCRIPT} 644", 0, ""),
        ("/etc/init.d/sheepvirt-network-guard 755", 0, ""),
        ("chkconfig --add sheepvirt-network-guard", 0, ""),
        ("chkconfig --level 2345 sheepvirt-network-guard on", 0, ""),
        (f"sh {guard.PENDING} b/2 {BRIDGE} {PORT}", 0, ""),
        ("keep-switch", 0, ""),
        (f"{BRIDGE} 644", 0, ""),
        (f"{PORT} 644", 0, ""),
    )
    ifcfg.apply(wanted(), replace(el6(), init=Init.SYSV), worker)
    assert planned.plan == []


def closings(monkeypatch: pytest.MonkeyPatch, worker: StepContext) -> list[str]:
    """Note what a step does with its connection."""
    noted: list[str] = []
    monkeypatch.setattr(worker.connection, "close", lambda: noted.append("closed"))
    return noted


def test_the_guard_lets_go_when_the_host_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(seen(el6()), texts={guard.BOOT: "b/1"})
    assert len(changes(ifcfg.SEEN_STEP, facts, wanted())) == 1
    worker, planned = context(monkeypatch, (f"rm -rf {guard.PENDING}", 0, ""))
    closed = closings(monkeypatch, worker)
    ifcfg.apply_seen(wanted(), facts, worker)
    assert planned.plan == []
    assert closed == ["closed"]  # the former connection proves nothing
    assert changes(ifcfg.SEEN_STEP, seen(el6()), wanted()) == []
    waiting = replace(el6(), texts={guard.BOOT: "b/2"})  # written, and not yet rebooted
    assert changes(ifcfg.SEEN_STEP, waiting, wanted()) == []


def test_files_that_were_put_back_are_no_success() -> None:
    with pytest.raises(BootstrapError, match="has restored the former ones") as caught:
        ifcfg.check_seen(wanted(), el6(), ())
    assert "address (DHCP or static)" in caught.value.hint
    # In a plan they are still to be written.
    assert ifcfg.check_seen(wanted(), el6(), [Change(step=ifcfg.NAME, what="x written")]) == []


class Guarded:
    """A host's folders, with the guard's script, and a shutdown and a switch that are noted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.scripts = folder, folder / "scripts"
        self.pending = folder / "kept" / "pending"
        (folder / "bin").mkdir()
        switch = f"echo $* >>{folder}/switched\ncase $2 in br-exists) exit 2 ;; esac\n"
        programs = {
            "sleep": "",
            "shutdown": f"echo $* >>{folder}/shut\n",
            "who": f"cat {folder}/who",
            "ovs-vsctl": switch,
            "ip": "",
        }
        for name, text in programs.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}")
            (folder / "bin" / name).chmod(0o755)
        (folder / "who").write_text("root tty1 2026-11-28 09:00\nroot :0 2026-11-28 09:00 (:0)\n")
        self.scripts.mkdir()
        self.port, self.bridge = self.scripts / "ifcfg-eth0", self.scripts / "ifcfg-ovsbr0"

    def run(self, *argv: str) -> None:
        env = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "SHEEPVIRT_KEPT": str(self.pending.parent),
            "SHEEPVIRT_SCRIPTS": str(self.scripts),
            "SHEEPVIRT_LOG": str(self.folder),
        }
        subprocess.run(["dash", *argv], env=env, check=True, timeout=60)

    def set_up(self) -> None:
        self.run("-c", guard.SET, "sh", str(self.pending), "b/1", str(self.bridge), str(self.port))

    def watch(self) -> None:
        self.run(str(GUARD), "watch")

    def keep_switch(self) -> None:
        self.run(str(GUARD), "keep-switch", str(self.pending), "ovsbr0", "eth0")


def test_the_guard_puts_back_what_was_there(tmp_path: Path) -> None:
    host = Guarded(tmp_path)
    host.port.write_text(FORMER)
    host.set_up()
    for file in (host.port, host.bridge):
        file.write_text("NEW=yes\n")
    host.set_up()  # a run that was cut off before its reboot does it again
    host.watch()
    assert host.port.read_text() == FORMER
    assert not host.bridge.exists()  # there was none
    assert (tmp_path / "shut").read_text() == "-r now\n"
    assert not host.pending.exists()
    host.watch()  # and only once
    assert (tmp_path / "shut").read_text() == "-r now\n"


def test_an_administrators_login_is_a_proof_as_well(tmp_path: Path) -> None:
    host = Guarded(tmp_path)
    host.set_up()
    host.port.write_text("NEW=yes\n")
    (tmp_path / "who").write_text("root pts/0 2026-11-28 09:00 (192.0.2.9)\n")
    host.watch()
    assert host.port.read_text() == "NEW=yes\n"
    assert not host.pending.exists()
    assert not (tmp_path / "shut").exists()


def test_the_uplink_is_no_port_any_more_where_it_was_none(tmp_path: Path) -> None:
    """Open vSwitch's database outlives the reboot that the guard asks for."""
    host = Guarded(tmp_path)
    host.set_up()
    (host.pending / "switch").write_text("bridge ovsbr0 no\nport eth0 \n")
    (tmp_path / "bin" / "ovs-vsctl").write_text(
        f"#!/bin/sh\necho $* >>{tmp_path}/switched\n"
        "case $2 in port-to-br) echo ovsbr0 ;; list-ports) echo vnet0 ;; esac\n"
    )
    host.watch()
    said = (tmp_path / "switched").read_text()
    assert "--if-exists del-port eth0" in said
    assert "del-br" not in said  # a guest is plugged into it


def test_the_guard_does_nothing_when_it_was_told_to_let_go(tmp_path: Path) -> None:
    host = Guarded(tmp_path)
    host.port.write_text("NEW=yes\n")
    host.watch()
    assert host.port.read_text() == "NEW=yes\n"
    assert not (tmp_path / "shut").exists()


def test_the_reboot_comes_after_them() -> None:
    names = [step.name for step in STEPS]
    assert names.index("packages") < names.index(ifcfg.NAME) < names.index("reboot")
    assert reboot.check(WANTED, done(), [Change(step=ifcfg.NAME, what="written", reboots=True)])


ARMED = (
    (guard.SCRIPT, 0, ""),
    ("sheepvirt-network-guard.service", 0, ""),
    ("daemon-reload", 0, ""),
    ("enable sheepvirt-network-guard", 0, ""),
    (f"sh {guard.SCRIPT} arm 120 ovsbr0 eth0", 0, ""),
)


def test_an_uplink_that_is_off_the_bridge_is_brought_up(monkeypatch: pytest.MonkeyPatch) -> None:
    here = replace(
        seen(el6()),
        bridges={"ovsbr0": BridgeState(datapath="system", ports=("vnet1",), device=True)},
    )
    assert changes(bridge.STEP, here, wanted()) == ["eth0 brought up as the uplink of ovsbr0"]
    loaded = replace(here, kernel_datapath=True)
    added = (("add-br ovsbr0", 0, ""), ("test -e", 0, ""), ("disarm", 0, ""))
    worker, planned = context(monkeypatch, KEPT, *ARMED, ("ifup eth0", 0, ""), *added)
    closed = closings(monkeypatch, worker)
    bridge.apply(wanted(), loaded, worker)
    assert planned.plan == []
    assert closed == ["closed"]  # and only then disarmed
    gone = replace(here, bridges={})
    assert len(changes(bridge.STEP, gone, wanted())) == 2
    done = (("add-br ovsbr0", 0, ""), ("test -e", 0, ""), ("disarm", 0, ""), NOTED)
    worker, planned = context(
        monkeypatch, *ARMED, ("ifdown ovsbr0", 1, ""), ("ifup eth0", 0, ""), *done
    )
    closings(monkeypatch, worker)
    bridge.apply(wanted(), replace(gone, kernel_datapath=True), worker)
    assert planned.plan == []


def test_before_the_reboot_the_uplink_is_left_alone() -> None:
    """We come in over it, and its file does not count yet."""
    here = replace(el6(), bridges={"ovsbr0": BridgeState(datapath="system", ports=(), device=True)})
    assert changes(bridge.STEP, replace(here, reboot_wanted="b/2"), wanted()) == []
    assert (
        bridge.check(wanted(), here, [Change(step=ifcfg.NAME, what="written", reboots=True)]) == []
    )


def test_a_second_run_changes_nothing() -> None:
    assert changes(ifcfg.STEP, seen(el6()), wanted()) == []


def test_what_was_there_is_really_kept(tmp_path: Path) -> None:
    former, kept = tmp_path / "ifcfg-eth0", tmp_path / "kept"
    former.write_text(FORMER, encoding="ascii")
    argv = ["dash", "-c", ifcfg.KEEP, "sh", str(kept), str(former), "/absent"]
    subprocess.run(argv, check=True)
    (copy,) = kept.iterdir()
    assert copy.name.startswith("ifcfg-eth0.2")
    assert copy.read_text(encoding="ascii") == FORMER


@pytest.mark.parametrize(
    ("host", "facts", "says", "hint"),
    [
        (
            EL6,
            el6(ifup="/elsewhere"),
            "no /etc/sysconfig/network-scripts/ifup-ovs",
            "install the RPM `openvswitch`",
        ),
        (with_bridge(EL6, uplink="em1"), el6(), "no network interface em1", "it has: eth0, eth1"),
        (EL6, el6("MASTER=bond0\nSLAVE=Yes\n"), "MASTER=bond0 SLAVE=Yes", "another uplink"),
        (EL6, el6("BRIDGE=br0\n"), "part of something else", "remove those keys there"),
        (
            EL6,
            el6("IPADDR=192.0.2.7\nNETMASK=255.255.254.0\nGATEWAY=192.0.2.1\n"),
            "would change its address",
            '`bridge_address = "192.0.2.7/23"` in the inventory and `gateway = "192.0.2.1"`',
        ),
        (
            with_bridge(EL6, address="192.0.2.8/24"),
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
    host = with_bridge(EL6, address="192.0.2.7/24")
    assert len(changes(ifcfg.STEP, el6('IPADDR="192.0.2.7"\nPREFIX=24\n'), wanted(host))) == 2


def test_a_host_without_such_files_has_its_bridge_in_the_database_alone() -> None:
    assert changes(ifcfg.STEP, done()) == []
    with pytest.raises(BootstrapError, match="the uplink eth0") as caught:
        ifcfg.check(wanted(), done(), ())
    assert "remove `uplink`" in caught.value.hint


def test_in_a_plan_the_scripts_come_with_the_packages() -> None:
    assert ifcfg.check(
        wanted(), el6(ifup="/elsewhere"), [Change(step="packages", what="openvswitch by yum")]
    )
