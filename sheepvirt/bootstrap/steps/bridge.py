"""The Open vSwitch bridge. libvirt calls a network "active" even if its bridge does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.marks import Mark
from sheepvirt.bootstrap.service_commands import commands
from sheepvirt.bootstrap.steps import guard, ifcfg, marking
from sheepvirt.bootstrap.steps.base import (
    DATAPATH_MODULE,
    OPENVSWITCH,
    DesiredState,
    Step,
    StepContext,
)
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Datapath, ObjectKind, Origin
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.bridges import BridgeState
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.model.hosts import Host

NAME = "bridge"
LOG = "/var/log/openvswitch/ovs-vswitchd.log"


def check(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """The bridge is in Open vSwitch's database, has its datapath and a network interface.

    Its uplink is plugged in, if the host's network files say so and are in force. Raises
    BootstrapError: it would take something away that is not sheepvirt's.
    """
    host = wanted.host
    state = facts.bridges.get(host.bridge)
    changes = []
    if guard.LIVE in facts.texts:
        changes.append(Change(step=NAME, what="guard of the switch disarmed: the host was reached"))
    if _unplugged(wanted, facts) and not any(change.step == ifcfg.NAME for change in earlier):
        changes.append(
            Change(step=NAME, what=f"{host.uplink} brought up as the uplink of {host.bridge}")
        )
    if state is None:
        _refuse_kernel_bridge(wanted, facts)
        what = f"{host.bridge} added to Open vSwitch ({host.datapath} datapath)"
        return [*changes, Change(step=NAME, what=what)]
    moves, waits = state.datapath != host.datapath, _moving_waits(wanted, facts)
    if moves:
        if not waits:
            _refuse_other_datapath(wanted, facts, state)
        what = f"{host.bridge} moved from the {state.datapath} to the {host.datapath} datapath"
        changes.append(Change(step=NAME, what=what, waits_for=waits))
    if not state.device:
        if not moves:
            _refuse_restart(wanted, facts, state)
        what = f"{host.bridge} set up again: it has no network interface"
        changes.append(Change(step=NAME, what=what, waits_for=waits))
    return changes


def _refuse_restart(wanted: DesiredState, facts: Facts, state: BridgeState) -> None:
    """Refuse to restart Open vSwitch on a real machine where more than an empty bridge is on it."""
    host = wanted.host
    uses = [f"the bridge {name}" for name in sorted(set(facts.bridges) - {host.bridge})]
    uses += [f"the port {name}" for name in state.ports]
    if host.real and uses:
        raise BootstrapError(
            f"{host.name}: {host.bridge} has no network interface. A restart of Open vSwitch may "
            f"set it up, and would interrupt {', '.join(uses)}. Nothing of it was changed",
            hint="restart openvswitch there when that suits, then run this again",
        )


def _refuse_kernel_bridge(wanted: DesiredState, facts: Facts) -> None:
    host, device = wanted.host, facts.devices.get(wanted.host.bridge)
    if device and device.kernel_bridge:
        raise BootstrapError(
            f"{host.name} has a bridge of the kernel that is called {host.bridge}; Open vSwitch "
            "needs the name for its own. Nothing of it was changed",
            hint=f"name another bridge for {host.name} in the inventory",
        )


def _refuse_other_datapath(wanted: DesiredState, facts: Facts, state: BridgeState) -> None:
    """Refuse to move a bridge to another datapath where others use it: that recreates it."""
    host, device = wanted.host, facts.devices.get(wanted.host.bridge)
    if not host.real:
        return
    uses = [f"the address {address}" for address in (device.addresses if device else ())]
    foreign = sorted(set(state.ports) - {host.uplink} - _own_ports(wanted, facts))
    uses += [f"the port {name}" for name in foreign]
    if uses:
        raise BootstrapError(
            f"{host.name}: {host.bridge} is on the {state.datapath} datapath and has "
            f"{', '.join(uses)}. On the {host.datapath} datapath it would be recreated, and lose "
            "them for a time or for good. Nothing of it was changed",
            hint=f'set `datapath = "{state.datapath}"` for {host.name} in the inventory',
        )


def _own_ports(wanted: DesiredState, facts: Facts) -> set[str]:
    """Return the ports of the inventory's running guests."""
    live = (facts.domains[g.name].live_xml for g in wanted.host.guests if g.name in facts.domains)
    return {
        target.get("dev", "")
        for xml in live
        if xml
        for target in ElementTree.fromstring(xml).iterfind("devices/interface/target")
    }


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Add or repair the bridge. Raises BootstrapError: Open vSwitch cannot set it up.

    What could cut the host off is watched from the host itself, and goes back if it does.
    """
    host = wanted.host
    state = facts.bridges.get(host.bridge)
    datapath = host.datapath
    waits = bool(_moving_waits(wanted, facts))
    if state is not None and waits:
        datapath = Datapath(state.datapath)
    if guard.LIVE in facts.texts:
        guard.let_live_go(context)
    if state is not None and waits and not state.device and not _unplugged(wanted, facts):
        return  # what it may lack because of its datapath waits, too
    there = state is not None and state.datapath == datapath
    if datapath == Datapath.SYSTEM and not there and not facts.kernel_datapath:
        _load_module(host, context)
    if state is not None:
        context.keep((ObjectKind.BRIDGE, host.bridge))
    if _unplugged(wanted, facts) or (state is not None and not there):
        with guard.watched(wanted, facts, context):
            _set_up(wanted, facts, context, datapath)
    else:
        _set_up(wanted, facts, context, datapath)
    if state is None:
        mark = Mark(kind=ObjectKind.BRIDGE, name=host.bridge, origin=Origin.DEFINED)
        marking.note(context, [mark])


def _load_module(host: Host, context: StepContext) -> None:
    """Load the kernel's datapath before the bridge is touched. Raises BootstrapError."""
    result = context.run("modprobe", DATAPATH_MODULE, check=False)
    there = ("test", "-d", f"/sys/module/{DATAPATH_MODULE}")
    if result.code and context.run(*there, check=False).code:
        raise BootstrapError(
            f"{host.name}: its kernel does not load the module {DATAPATH_MODULE}, which the "
            f"system datapath of {host.bridge} needs: {result.stderr.strip()}. The bridge was not "
            "touched",
            hint='set `datapath = "netdev"` in the inventory, or make `modprobe '
            f"{DATAPATH_MODULE}` work there",
        )


def _set_up(wanted: DesiredState, facts: Facts, context: StepContext, datapath: Datapath) -> None:
    name = wanted.host.bridge
    vsctl = ("ovs-vsctl", "--timeout=30")
    state = facts.bridges.get(name)
    # A bridge whose move waits for consent waits with it: it may have no interface because of that.
    there = state is not None and state.datapath == wanted.host.datapath
    if there and state and not state.device:
        for argv in commands(facts.init, "restart", "openvswitch"):
            context.run(*argv)
    if _unplugged(wanted, facts):
        if state is None:  # a DHCP client of the former bridge may still run
            context.run("ifdown", name, check=False)
        context.run("ifup", wanted.host.uplink)
    context.run(
        *vsctl,
        "--may-exist",
        "add-br",
        name,
        "--",
        "set",
        "bridge",
        name,
        f"datapath_type={datapath}",
    )
    # ovs-vsctl succeeds even if the switch cannot make the bridge.
    if context.run("test", "-e", f"/sys/class/net/{name}", check=False).code:
        said = context.run("tail", "-n", "4", LOG, check=False).stdout.strip()
        if state is None:  # it was not there: nothing is left behind
            context.run(*vsctl, "--if-exists", "del-br", name, check=False)
        raise BootstrapError(
            f"{wanted.host.name}: Open vSwitch cannot set up {name} on the {datapath} datapath:\n"
            f"{said}",
            hint=f"read {LOG} on the host",
        )


def _moving_waits(wanted: DesiredState, facts: Facts) -> str:
    """Return the option that a move to another datapath waits for: the bridge was adopted."""
    name = wanted.host.bridge
    state, mark = facts.bridges.get(name), facts.marks.get((ObjectKind.BRIDGE, name))
    if state is None or state.datapath == wanted.host.datapath:
        return ""
    adopted = name in wanted.consent.adopted or (mark and mark.origin == Origin.ADOPTED)
    return wanted.consent.waits_for_replacement(name) if adopted else ""


def _unplugged(wanted: DesiredState, facts: Facts) -> bool:
    """Tell whether the uplink is missing on the bridge; before the reboot it is not expected."""
    host = wanted.host
    state = facts.bridges.get(host.bridge)
    in_force = facts.network_scripts and facts.boot != facts.reboot_wanted
    ports = state.ports if state else ()
    return bool(host.uplink and in_force and facts.boot and host.uplink not in ports)


STEP = Step(name=NAME, check=check, apply=apply, asks=(OPENVSWITCH,))
