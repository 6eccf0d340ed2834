"""Each step's check is pure: facts in, changes out. Applying is asserted by what was run."""

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest
from finished import (
    DOMAIN,
    HOST,
    HOST_FILES,
    KEPT,
    LIVE,
    NETWORK,
    NOTED,
    RECORD,
    RPM,
    UNDONE,
    UP,
    WANTED,
    changes,
    context,
    done,
)

from sheepvirt.bootstrap import refusals
from sheepvirt.bootstrap.facts.bridges import BridgeState
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.interfaces import Device
from sheepvirt.bootstrap.facts.libvirt import Definition
from sheepvirt.bootstrap.facts.sysv import Script
from sheepvirt.bootstrap.steps import (
    STEPS,
    bridge,
    dependencies,
    ifcfg,
    own,
    packages,
    port,
    reboot,
    undo,
    units,
)
from sheepvirt.bootstrap.steps import domain as domains
from sheepvirt.bootstrap.steps import network as networks
from sheepvirt.bootstrap.steps import services as service_step
from sheepvirt.bootstrap.steps.definition import interfaces
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Datapath, Init
from tests.here import with_bridge

if TYPE_CHECKING:
    from sheepvirt.model.hosts import Change


def test_nothing_is_left_to_do_on_a_finished_host() -> None:
    for step in STEPS:
        assert changes(step, done()) == [], step.name


def test_everything_is_to_do_on_an_absent_host() -> None:
    earlier: list[Change] = []
    for step in STEPS:
        found = step.check(WANTED, Facts(), earlier)
        assert found or step in {port.STEP, ifcfg.STEP, ifcfg.SEEN_STEP, undo.STEP, own.STEP}, (
            step.name
        )
        earlier.extend(found)
    assert [c.step for c in earlier if c.step == "reboot"] == ["reboot"]


def test_dependencies_go_in_by_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(done(), provided=frozenset())
    assert changes(dependencies.STEP, facts) == ["2 packages by dnf, in one transaction: dbus, nc"]
    worker, planned = context(
        monkeypatch, ("reboot-wanted", 0, ""), ("dnf -y install dbus nc", 0, "")
    )
    dependencies.apply(WANTED, facts, worker)
    assert planned.plan == []
    assert planned.sent[0] == b"b/2\n"  # noted before anything changes


KMOD = factories.published_rpm(
    name="kmod-o",
    nevra="kmod-o-1-1.el6.x86_64",
    file="o-kmod/k.rpm",
    sha256="d" * 64,
    header_sha1="cc",
)
MADE = factories.record(
    package="o-kmod",
    version="1",
    rpms=(KMOD,),
    installed_subpackages=("kmod-o",),
    kernel_module="o",
)
OLD = replace(done(), kernel="2.6.32-279.el6.x86_64")
NEW = replace(OLD, kernel="2.6.32-754.el6.x86_64", modules={"o": ("kernel/net/o/o.ko",)})
BRIDGED = replace(WANTED, module_packages={"o": "o-kmod"}, records=(RECORD, MADE))


def test_a_kernel_that_brings_the_module_needs_no_rpm_of_it() -> None:
    assert changes(packages.STEP, NEW, BRIDGED) == []
    assert changes(packages.STEP, NEW, replace(BRIDGED, records=(RECORD,))) == []
    (change,) = changes(packages.STEP, OLD, BRIDGED)
    assert change.startswith("kmod-o by dnf")
    foreign = replace(OLD, modules={"o": ("extra/o/o.ko",)})  # of an RPM that is not ours
    assert changes(packages.STEP, foreign, replace(BRIDGED, records=(RECORD,))) == []


def test_an_rpm_of_the_module_that_is_there_is_kept_the_repos() -> None:
    there = replace(
        NEW,
        packages={**NEW.packages, "kmod-o": "kmod-o-0-1"},
        headers={**NEW.headers, "kmod-o": "x"},
    )
    (change,) = changes(packages.STEP, there, BRIDGED)
    assert change.startswith("kmod-o-1-1.el6.x86_64 by dnf, in place of another version")


def test_a_host_that_nobody_gives_the_module_is_refused_before_anything_is_changed() -> None:
    bare = replace(BRIDGED, records=(RECORD,))
    for fine in (NEW, replace(OLD, modules={"o": ("extra/o/o.ko",)}), Facts()):
        refusals.require(bare, fine)
    refusals.require(BRIDGED, OLD)
    with pytest.raises(BootstrapError, match=r"279\.el6\.x86_64 has no o module") as caught:
        refusals.require(bare, OLD)
    assert 'kversion = "2.6.32-279.el6.x86_64"' in caught.value.hint
    assert "--package o-kmod" in caught.value.hint


YUM = replace(done(), provided=frozenset(), installer="yum")
LISTED = "Available Packages\ndbus.x86_64   1:1.2.24-8.el6   base\nnc.x86_64   1.84-22.el6   base\n"


def test_yum_3_is_asked_first_whether_it_knows_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned = context(
        monkeypatch,
        ("yum -q list dbus nc", 0, LISTED),
        ("reboot-wanted", 0, ""),
        ("yum -y install dbus nc", 0, "Complete!\n"),
    )
    dependencies.apply(WANTED, YUM, worker)
    assert planned.plan == []


def test_a_name_that_yum_does_not_know_is_refused_before_the_rest_goes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, _, _ = LISTED.partition("nc.")
    worker, planned = context(monkeypatch, ("yum -q list dbus nc", 0, known))
    with pytest.raises(BootstrapError, match="yum knows no package nc") as caught:
        dependencies.apply(WANTED, YUM, worker)
    assert "yum repolist" in caught.value.hint
    assert planned.plan == []


@pytest.mark.parametrize(
    "said",
    ["No package nc available.", "Error: Package: a-1 (sheepvirt)", "Transaction Check Error:"],
)
def test_what_yum_ends_well_with_is_no_success(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    worker, _ = context(
        monkeypatch,
        ("list", 0, LISTED),
        ("reboot-wanted", 0, ""),
        ("install", 0, f"Loaded plugins: fastestmirror\n{said}\nComplete!\n"),
    )
    with pytest.raises(BootstrapError, match="yum ended with 0, and printed"):
        dependencies.apply(WANTED, YUM, worker)


def test_a_failed_scriptlet_is_said_though_rpm_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "warning: %post(x-1.noarch) scriptlet failed, exit status 127\n"
    worker, _ = context(monkeypatch, ("reboot-wanted", 0, ""), ("dnf -y install", 0, said))
    dependencies.apply(WANTED, replace(done(), provided=frozenset()), worker)
    out = worker.progress.console.file
    assert isinstance(out, io.StringIO)
    assert "tahiti: warning: %post(x-1.noarch) scriptlet failed" in out.getvalue()
    assert "(`dnf reinstall x-1.noarch` there runs it again)" in out.getvalue()


def test_a_host_without_dnf_or_yum_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, _ = context(monkeypatch)
    with pytest.raises(BootstrapError, match="neither dnf nor yum"):
        dependencies.apply(WANTED, replace(done(), provided=frozenset(), installer=""), worker)


def test_a_source_rpm_is_nothing_to_install() -> None:
    assert WANTED.rpms == {"libvirt": RPM}


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (replace(done(), packages={}), "with what they require"),
        (replace(done(), packages={"libvirt": "libvirt-6.0-1.x86_64"}), "another version"),
        (replace(done(), headers={"libvirt": "zz"}), "another build"),
    ],
)
def test_rpms_that_differ(facts: Facts, what: str) -> None:
    assert what in changes(packages.STEP, facts)[0]


def test_a_rebuilt_rpm_and_a_new_one_share_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(RPM, name="new", nevra="new-1-1.noarch")
    record = replace(RECORD, rpms=(RPM, other), installed_subpackages=("libvirt", "new"))
    wanted = replace(WANTED, records=(record,))
    worker, planned = context(
        monkeypatch,
        ("reboot-wanted", 0, ""),
        ("/var/lib/sheepvirt/transaction", 0, ""),
        ("dnf -y shell /var/lib/sheepvirt/transaction", 0, ""),
    )
    packages.apply(wanted, replace(done(), headers={"libvirt": "zz"}), worker)
    assert planned.sent[1].decode() == f"install new\nreinstall {RPM.nevra}\nrun\n"


def test_what_only_another_version_had_goes_in_the_same_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = "libvirt-8.0.0-1.rehearsal.src.rpm"
    facts = replace(
        done(),
        packages={"libvirt": "libvirt-8.0.0-1.rehearsal.x86_64", "libvirt-libs": "x", "glib": "y"},
        source_rpms={
            "libvirt": source,
            "libvirt-libs": source,
            "glib": "libvirt-glib-8.0.0-1.src.rpm",
        },
    )
    assert changes(packages.STEP, facts) == [
        f"{RPM.nevra} by dnf, in place of another version; {packages.LIBVIRTD_RESTARTS}",
        "libvirt-libs removed by dnf: from another version, and not in this repo",
    ]
    same = {"libvirt": "libvirt-7.0.0-1.rehearsal.src.rpm"}
    assert not changes(packages.STEP, replace(done(), source_rpms=same))
    worker, planned = context(
        monkeypatch,
        ("reboot-wanted", 0, ""),
        ("/var/lib/sheepvirt/transaction", 0, ""),
        ("dnf -y shell /var/lib/sheepvirt/transaction", 0, ""),
    )
    packages.apply(WANTED, facts, worker)
    assert planned.sent[1].decode() == f"remove libvirt-libs\ninstall {RPM.nevra}\nrun\n"


def test_a_reboot_is_due_until_it_has_happened() -> None:
    assert changes(reboot.STEP, replace(done(), reboot_wanted="b/2"))
    assert not changes(reboot.STEP, replace(done(), reboot_wanted="b/1"))
    assert not changes(reboot.STEP, replace(done(), reboot_wanted=""))
    assert not changes(reboot.STEP, Facts())


def test_ssh_that_answers_again_is_no_proof_of_a_reboot(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, _ = context(
        monkeypatch, ("sh -s", 0, "boot\n7\n"), ("sh -c", 0, ""), *[("sh -s", 0, "boot\n7\n")] * 3
    )
    monkeypatch.setattr(worker.connection, "close", lambda: None)
    with pytest.raises(BootstrapError, match="it has not rebooted: its boot is still boot/7"):
        reboot.reboot(worker.connection, worker.line, seconds=0.5, clock=worker.work.clock)


def test_another_boot_identity_is_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned = context(
        monkeypatch,
        ("sh -s", 0, "boot\n7\n"),
        ("shutdown -r now", 0, ""),
        ("sh -s", 0, "boot\n7\n"),
        ("sh -s", 0, "boot\n9\n"),
        ("sh -s", 0, "systemd is starting\n"),
        ("sh -s", 0, ""),
        ("sh -s", 0, ""),  # the lock knows the new boot
    )
    monkeypatch.setattr(worker.connection, "close", lambda: None)
    said = reboot.reboot(worker.connection, worker.line, clock=worker.work.clock)
    assert said == "boot boot/7 became boot/9"
    assert planned.plan == []


def test_a_bridge_is_looked_for_in_openvswitch_itself() -> None:
    facts = replace(done(), bridges={})
    assert changes(networks.STEP, facts) == []  # libvirt still smiles
    assert changes(bridge.STEP, facts) == ["ovsbr0 added to Open vSwitch (netdev datapath)"]
    system = BridgeState(datapath="system", ports=(), device=False)
    assert len(changes(bridge.STEP, replace(done(), bridges={"ovsbr0": system}))) == 2


def test_a_bridge_that_the_switch_cannot_make_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = replace(WANTED, host=with_bridge(HOST, datapath=Datapath.SYSTEM))
    worker, planned = context(
        monkeypatch,
        ("-- set bridge ovsbr0 datapath_type=system", 0, ""),
        ("test -e", 1, ""),
        ("tail", 0, "ERR|no such family"),
        ("--if-exists del-br ovsbr0", 0, ""),
    )
    with pytest.raises(BootstrapError, match="no such family"):
        bridge.apply(wanted, replace(done(), bridges={}, kernel_datapath=True), worker)
    assert planned.plan == []  # nothing is left behind


def test_a_datapath_that_the_kernel_lacks_is_found_before_the_bridge_is_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = replace(WANTED, host=with_bridge(HOST, datapath=Datapath.SYSTEM))
    with pytest.raises(BootstrapError, match="no openvswitch module") as caught:
        refusals.require(wanted, replace(done(), kernel="9.9"))
    assert 'datapath = "netdev"' in caught.value.hint
    for fine in ({"modules": {"openvswitch": ("kernel/o.ko",)}}, {"kernel_datapath": True}):
        refusals.require(wanted, replace(done(), kernel="9.9", **fine))
    worker, planned = context(monkeypatch, ("modprobe openvswitch", 1, ""), ("test -d", 1, ""))
    with pytest.raises(BootstrapError, match="The bridge was not touched"):
        bridge.apply(wanted, done(), worker)
    assert planned.plan == []


REAL = replace(
    WANTED, host=replace(with_bridge(HOST, datapath=Datapath.SYSTEM), treat_as_real=True)
)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (replace(done(), devices={"ovsbr0": Device(addresses=("192.0.2.7/24",))}), "192.0.2.7/24"),
        (
            replace(
                done(),
                bridges={"ovsbr0": BridgeState(datapath="netdev", ports=("eth1",), device=True)},
            ),
            "the port eth1",
        ),
    ],
)
def test_a_bridge_that_others_use_is_never_moved_to_another_datapath(
    facts: Facts, says: str
) -> None:
    with pytest.raises(BootstrapError, match="would be recreated") as caught:
        bridge.check(REAL, facts, ())
    assert says in caught.value.message
    assert 'datapath = "netdev"' in caught.value.hint


def test_openvswitch_is_not_restarted_under_other_bridges_and_ports() -> None:
    dead = BridgeState(datapath="system", ports=("vnet0",), device=False)
    other = BridgeState(datapath="netdev", ports=(), device=True)
    facts = replace(done(), bridges={"ovsbr0": dead, "br9": other})
    with pytest.raises(BootstrapError, match="interrupt the bridge br9, the port vnet0"):
        bridge.check(REAL, facts, ())
    alone = replace(facts, bridges={"ovsbr0": replace(dead, ports=())})
    again = "ovsbr0 set up again: it has no network interface"
    assert [c.what for c in bridge.check(REAL, alone, ())] == [again]
    rehearsal = replace(REAL, host=replace(REAL.host, treat_as_real=False))
    assert [c.what for c in bridge.check(rehearsal, facts, ())] == [again]


def test_a_bridge_of_the_kernel_is_left_alone() -> None:
    facts = replace(done(), bridges={}, devices={"ovsbr0": Device(kernel_bridge=True)})
    with pytest.raises(BootstrapError, match="a bridge of the kernel"):
        bridge.check(WANTED, facts, ())


def test_services_are_enabled_and_started_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(done(), services={"openvswitch": replace(UP, active=False)})
    found = changes(service_step.STEP, facts)
    assert found == ["openvswitch started", "libvirtd enabled and started"]
    worker, planned = context(
        monkeypatch,
        ("start openvswitch", 0, ""),
        ("enable libvirtd", 0, ""),
        ("start libvirtd", 0, ""),
    )
    service_step.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_a_host_with_neither_systemd_nor_chkconfig_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, _ = context(monkeypatch)
    with pytest.raises(BootstrapError, match="neither systemd nor chkconfig"):
        service_step.apply(WANTED, replace(done(), init=Init.OTHER, services={}), worker)


def sysv(**there: int) -> Facts:
    """A finished host with SysV init, whose scripts have these numbers."""
    places = units.wanted_files(HOST_FILES, Init.SYSV)
    names = ("openvswitch", "libvirtd", "sheepvirt-autostart")
    at = {"openvswitch": 9, "libvirtd": 97, "sheepvirt-autostart": 98, **there}
    levels = frozenset("2345")
    return replace(
        done(),
        init=Init.SYSV,
        runlevel="3",
        services=dict.fromkeys(names, UP),
        scripts={
            n: Script(name=n, levels=levels, start=number, stop=99 - number)
            for n, number in at.items()
        },
        links=at,
        hashes={
            **done().hashes,
            **{p: hashlib.sha256(c).hexdigest() for p, c in places.items()},
        },
    )


def test_sysv_services_are_added_with_their_runlevels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changes(service_step.STEP, sysv()) == []
    facts = replace(sysv(), services={"openvswitch": UP, "libvirtd": UP})
    assert changes(service_step.STEP, facts) == ["sheepvirt-autostart enabled and started"]
    worker, planned = context(
        monkeypatch,
        ("chkconfig --add sheepvirt-autostart", 0, ""),
        ("chkconfig --level 2345 sheepvirt-autostart on", 0, ""),
        ("service sheepvirt-autostart start", 0, ""),
    )
    service_step.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_our_init_script_is_written_executable(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(sysv(), hashes=done().hashes)
    assert changes(service_step.STEP, facts) == ["/etc/init.d/sheepvirt-autostart written"]
    worker, planned = context(monkeypatch, ("/etc/init.d/sheepvirt-autostart 755", 0, ""), NOTED)
    service_step.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_a_script_that_is_missing_is_named_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = replace(sysv(), services={"openvswitch": UP})  # libvirt's RPM brings none any more
    worker, planned = context(monkeypatch)
    with pytest.raises(BootstrapError, match="no init script for libvirtd") as caught:
        service_step.apply(WANTED, facts, worker)
    assert "invoke destroy tahiti" in caught.value.hint
    assert planned.sent == []


def test_a_wrong_boot_order_is_refused_before_the_reboot() -> None:
    with pytest.raises(BootstrapError, match="wrong order") as caught:
        service_step.check(WANTED, sysv(libvirtd=8), ())
    assert "/etc/init.d/libvirtd (chkconfig line 08 91" in caught.value.message
    assert "`# chkconfig: 2345 10 91` to /etc/chkconfig.d/libvirtd" in caught.value.hint
    names = [step.name for step in STEPS]
    assert names.index("services") < names.index("reboot")


def test_what_a_host_may_lack_is_not_asked_of_it() -> None:
    dependencies = replace(
        WANTED.dependencies,
        services=("openvswitch", "virtlogd", "libvirtd"),
        optional=frozenset({"virtlogd"}),
    )
    wanted = replace(WANTED, dependencies=dependencies)
    assert changes(service_step.STEP, done(), wanted) == []  # libvirt 1.0.3 has no virtlogd
    down = {**done().services, "virtlogd": replace(UP, active=False)}
    assert changes(service_step.STEP, replace(done(), services=down), wanted) == [
        "virtlogd started"
    ]
    # Nobody has looked at the host: it is in the plan.
    assert "virtlogd enabled and started" in changes(service_step.STEP, Facts(), wanted)


def test_a_sysv_host_is_not_asked_for_what_only_systemd_starts_well() -> None:
    """Upstream's script of virtlockd starts after libvirtd, and need not know its own daemon."""
    dependencies = replace(
        WANTED.dependencies,
        services=("openvswitch", "virtlockd", "libvirtd"),
        optional=frozenset({"virtlockd"}),
    )
    wanted = replace(WANTED, dependencies=dependencies)
    host = sysv(virtlockd=97)
    assert changes(service_step.STEP, host, wanted) == []
    dead = {**host.services, "virtlockd": replace(UP, active=False)}
    assert changes(service_step.STEP, replace(host, services=dead), wanted) == []


def test_a_wrong_network_is_defined_and_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Definition(
        xml=NETWORK.replace("bridge name='ovsbr0'", "bridge name='obsbr0'"),
        active=True,
        persistent=True,
        autostart=False,
    )
    facts = replace(done(), networks={**done().networks, "ovsbr0": wrong})
    found = changes(networks.STEP, facts)
    assert found == [f"ovsbr0 defined, and restarted{UNDONE}", "ovsbr0 autostarted"]
    worker, planned = context(
        monkeypatch,
        KEPT,
        ("network-ovsbr0.xml", 0, ""),
        ("net-define", 0, ""),
        ("net-dumpxml --inactive ovsbr0", 0, NETWORK),
        NOTED,
        ("net-destroy ovsbr0", 0, ""),
        ("net-start ovsbr0", 0, ""),
        ("net-autostart", 0, ""),
    )
    networks.apply(WANTED, facts, worker)
    assert planned.plan == []
    assert b"<uuid>" in planned.sent[1]  # its identity is kept


def test_a_guest_that_runs_by_an_old_definition_is_restarted() -> None:
    old = LIVE.replace("machine='pc-i440fx-5.2'", "machine='q35'")
    state = Definition(xml=DOMAIN, active=True, persistent=True, autostart=True, live_xml=old)
    found = changes(domains.STEP, replace(done(), domains={"papeete": state}))
    assert found == ["papeete restarted: it runs from another definition"]


def test_a_guest_that_is_off_is_only_started(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(
        done(),
        domains={"papeete": Definition(xml=DOMAIN, active=False, persistent=True, autostart=True)},
    )
    assert changes(domains.STEP, facts) == ["papeete started"]
    worker, planned = context(
        monkeypatch, ("start papeete", 0, ""), ("dumpxml papeete", 0, LIVE), NOTED
    )
    domains.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_a_running_guest_is_plugged_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = {"ovsbr0": BridgeState(datapath="netdev", ports=(), device=True)}
    facts = replace(done(), bridges=bare)
    device = LIVE.partition("<target dev='vnet")[2].partition("'")[0]
    assert changes(port.STEP, facts) == [f"vnet{device} of papeete plugged into ovsbr0"]
    worker, planned = context(monkeypatch, (f"add-port ovsbr0 vnet{device}", 0, ""))
    port.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_each_interface_of_a_guest_is_plugged_in_with_its_own_identity_and_tag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second one had the identity of the first."""
    first = LIVE[LIVE.index("<interface") : LIVE.index("</interface>") + len("</interface>")]
    (known,) = interfaces(LIVE)
    second = first.replace(known.mac, "52:54:00:00:00:02").replace(known.device, "vnet77")
    second = second.replace(known.interfaceid, "i-2")
    second = second.replace("<virtualport", "<vlan><tag id='10'/></vlan><virtualport")
    live = LIVE.replace(first, first + second)
    state = Definition(xml=DOMAIN, active=True, persistent=True, autostart=True, live_xml=live)
    bare = {"ovsbr0": BridgeState(datapath="netdev", ports=(), device=True)}
    facts = replace(done(), bridges=bare, domains={"papeete": state})
    worker, planned = context(
        monkeypatch,
        (
            f"add-port ovsbr0 {known.device} -- set Interface {known.device} "
            f'external-ids:attached-mac="{known.mac}" external-ids:iface-id="{known.interfaceid}"',
            0,
            "",
        ),
        (
            "add-port ovsbr0 vnet77 tag=10 -- set Interface vnet77 "
            'external-ids:attached-mac="52:54:00:00:00:02" external-ids:iface-id="i-2"',
            0,
            "",
        ),
    )
    port.apply(WANTED, facts, worker)
    assert planned.plan == []
