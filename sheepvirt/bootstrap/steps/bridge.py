"""The Open vSwitch bridge. libvirt calls a network "active" even if its bridge does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.marks import Mark
from sheepvirt.bootstrap.service_commands import commands
from sheepvirt.bootstrap.steps import ifcfg, marking
from sheepvirt.bootstrap.steps.base import OPENVSWITCH, DesiredState, Step, StepContext
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Datapath, ObjectKind, Origin
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "bridge"
LOG = "/var/log/openvswitch/ovs-vswitchd.log"


def check(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """The bridge is in Open vSwitch's database, has its datapath and a network interface.

    Its uplink is plugged in, if the host's network files say so and are in force.
    """
    host = wanted.host
    state = facts.bridges.get(host.bridge)
    changes = []
    if _unplugged(wanted, facts) and not any(change.step == ifcfg.NAME for change in earlier):
        changes.append(
            Change(step=NAME, what=f"{host.uplink} brought up as the uplink of {host.bridge}")
        )
    if state is None:
        what = f"{host.bridge} added to Open vSwitch ({host.datapath} datapath)"
        return [Change(step=NAME, what=what), *changes]
    if state.datapath != host.datapath:
        what = f"{host.bridge} moved from the {state.datapath} to the {host.datapath} datapath"
        changes.append(Change(step=NAME, what=what, waits_for=_moving_waits(wanted, facts)))
    if not state.device:
        changes.append(
            Change(step=NAME, what=f"{host.bridge} set up again: it has no network interface")
        )
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Add or repair the bridge. Raises BootstrapError: Open vSwitch cannot set it up."""
    name, datapath = wanted.host.bridge, wanted.host.datapath
    vsctl = ("ovs-vsctl", "--timeout=30")
    state = facts.bridges.get(name)
    if state is not None and _moving_waits(wanted, facts):
        datapath = Datapath(state.datapath)
    if state is not None:
        context.keep((ObjectKind.BRIDGE, name))
    if state is not None and not state.device and state.datapath == datapath:
        for argv in commands(facts.init, "restart", "openvswitch"):
            context.run(*argv)
    if _unplugged(wanted, facts):
        if state is None:  # a DHCP client of the former bridge may still run
            context.run("ifdown", name, check=False)
        context.run("ifup", wanted.host.uplink)
    context.run(
        *vsctl, "--may-exist", "add-br", name,
        "--", "set", "bridge", name, f"datapath_type={datapath}",
    )  # fmt: skip
    # ovs-vsctl succeeds even if the switch cannot make the bridge.
    if context.run("test", "-e", f"/sys/class/net/{name}", check=False).code:
        said = context.run("tail", "-n", "4", LOG, check=False).stdout.strip()
        hint = f"read {LOG} on the host"
        if datapath == Datapath.SYSTEM and not facts.kernel_datapath:
            hint = 'set `datapath = "netdev"` in the inventory: its kernel has no openvswitch'
        raise BootstrapError(
            f"{wanted.host.name}: Open vSwitch cannot set up {name} on the {datapath} datapath:\n"
            f"{said}",
            hint=hint,
        )
    if state is None:
        mark = Mark(kind=ObjectKind.BRIDGE, name=name, origin=Origin.DEFINED)
        marking.note(context, [mark])


def _moving_waits(wanted: DesiredState, facts: Facts) -> str:
    """Return the option that another datapath waits for: the bridge was adopted."""
    name = wanted.host.bridge
    mark = facts.marks.get((ObjectKind.BRIDGE, name))
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
