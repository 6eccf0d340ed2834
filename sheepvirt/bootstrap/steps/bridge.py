"""The Open vSwitch bridge. libvirt never looks whether it is there: a network on it is "active"."""

from __future__ import annotations

from collections.abc import Sequence

from sheepvirt.bootstrap.services import commands
from sheepvirt.bootstrap.steps import ifcfg
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.hosts import Change, Facts

NAME = "bridge"
LOG = "/var/log/openvswitch/ovs-vswitchd.log"


def check(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """The bridge is in Open vSwitch's database, on the right datapath, and the kernel sees it.

    Its uplink is plugged in, where network files are in force that say so.
    """
    host = wanted.host
    state = facts.bridges.get(host.bridge)
    changes = []
    if _unplugged(wanted, facts) and not any(change.step == ifcfg.NAME for change in earlier):
        changes.append(Change(NAME, f"{host.uplink} brought up as the uplink of {host.bridge}"))
    if state is None:
        what = f"{host.bridge} added to Open vSwitch ({host.datapath} datapath)"
        return [Change(NAME, what), *changes]
    if state.datapath != host.datapath:
        what = f"{host.bridge} moved from the {state.datapath} to the {host.datapath} datapath"
        changes.append(Change(NAME, what))
    if not state.device:
        changes.append(Change(NAME, f"{host.bridge} set up anew: it has no network interface"))
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Add or mend the bridge. Raises BootstrapError where Open vSwitch cannot set it up."""
    name, datapath = wanted.host.bridge, wanted.host.datapath
    vsctl = ("ovs-vsctl", "--timeout=30")
    state = facts.bridges.get(name)
    if state is not None and not state.device and state.datapath == datapath:
        for argv in commands(facts.init, "restart", "openvswitch"):
            context.run(*argv)
    if _unplugged(wanted, facts):
        if state is None:  # a DHCP client of the former bridge may be left
            context.run("ifdown", name, check=False)
        context.run("ifup", wanted.host.uplink)
    context.run(
        *vsctl, "--may-exist", "add-br", name,
        "--", "set", "bridge", name, f"datapath_type={datapath}",
    )  # fmt: skip
    # ovs-vsctl ends well where the switch itself cannot make the bridge.
    if context.run("test", "-e", f"/sys/class/net/{name}", check=False).code:
        said = context.run("tail", "-n", "4", LOG, check=False).stdout.strip()
        hint = "see ovs-vswitchd's log on the host"
        if datapath == "system" and not facts.kernel_datapath:
            hint = 'set `datapath = "netdev"` in the inventory where the kernel has no openvswitch'
        raise BootstrapError(
            f"{wanted.host.name}: Open vSwitch cannot set up {name} on the {datapath} datapath:\n"
            f"{said}",
            hint=hint,
        )


def _unplugged(wanted: DesiredState, facts: Facts) -> bool:
    """Tell whether the uplink is off the bridge; before the reboot it has to be."""
    host = wanted.host
    state = facts.bridges.get(host.bridge)
    in_force = facts.network_scripts and facts.boot != facts.reboot_wanted
    ports = state.ports if state else ()
    return bool(host.uplink and in_force and facts.boot and host.uplink not in ports)


STEP = Step(NAME, check, apply)
