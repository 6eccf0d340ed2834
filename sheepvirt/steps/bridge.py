"""The Open vSwitch bridge. libvirt never looks whether it is there: a network on it is "active"."""

from __future__ import annotations

from collections.abc import Sequence

from sheepvirt.errors import BootstrapError
from sheepvirt.host_model import Change, Facts
from sheepvirt.services import commands
from sheepvirt.steps.base import Hands, Step, Wanted

NAME = "bridge"
LOG = "/var/log/openvswitch/ovs-vswitchd.log"


def check(wanted: Wanted, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The bridge is in Open vSwitch's database, on the right datapath, and the kernel sees it."""
    host = wanted.host
    state = facts.bridges.get(host.bridge)
    if state is None:
        return [Change(NAME, f"{host.bridge} added to Open vSwitch ({host.datapath} datapath)")]
    changes = []
    if state.datapath != host.datapath:
        what = f"{host.bridge} moved from the {state.datapath} to the {host.datapath} datapath"
        changes.append(Change(NAME, what))
    if not state.device:
        changes.append(Change(NAME, f"{host.bridge} set up anew: it has no network interface"))
    return changes


def apply(wanted: Wanted, facts: Facts, hands: Hands) -> None:
    """Add or mend the bridge. Raises BootstrapError where Open vSwitch cannot set it up."""
    name, datapath = wanted.host.bridge, wanted.host.datapath
    vsctl = ("ovs-vsctl", "--timeout=30")
    state = facts.bridges.get(name)
    if state is not None and not state.device and state.datapath == datapath:
        for argv in commands(facts.init, "restart", "openvswitch"):
            hands.run(*argv)
    hands.run(
        *vsctl, "--may-exist", "add-br", name,
        "--", "set", "bridge", name, f"datapath_type={datapath}",
    )  # fmt: skip
    # ovs-vsctl ends well where the switch itself cannot make the bridge.
    if hands.run("test", "-e", f"/sys/class/net/{name}", check=False).code:
        said = hands.run("tail", "-n", "4", LOG, check=False).stdout.strip()
        hint = "see ovs-vswitchd's log on the host"
        if datapath == "system" and not facts.kernel_datapath:
            hint = 'set `datapath = "netdev"` in the inventory where the kernel has no openvswitch'
        raise BootstrapError(
            f"{wanted.host.name}: Open vSwitch cannot set up {name} on the {datapath} datapath:\n"
            f"{said}",
            hint=hint,
        )


STEP = Step(NAME, check, apply)
