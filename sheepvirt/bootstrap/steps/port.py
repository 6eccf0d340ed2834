"""The running guests' ports on the bridge.

libvirt plugs a port in only when its guest starts. A bridge that was deleted and added again has
lost the ports of running guests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps.base import LIBVIRTD, OPENVSWITCH, DesiredState, Step, StepContext
from sheepvirt.bootstrap.steps.definition import Interface, identity, interfaces
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "port"


def unplugged(wanted: DesiredState, facts: Facts) -> Iterator[tuple[str, Interface]]:
    """Yield guest and interface of each running guest whose port is missing. Pure."""
    bridge = facts.bridges.get(wanted.host.bridge)
    ports = bridge.ports if bridge else ()  # a plan: an earlier step adds the bridge, without ports
    for guest in wanted.host.guests:
        state = facts.domains.get(guest.name)
        for one in interfaces(state.live_xml) if state else ():
            if one.device and one.device not in ports:
                yield guest.name, one


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The port of every running guest is on the bridge."""
    name = wanted.host.bridge
    return [
        Change(step=NAME, what=f"{one.device} of {guest} plugged into {name}")
        for guest, one in unplugged(wanted, facts)
    ]


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Plug the ports in as libvirt does (virNetDevOpenvswitchAddPort); guests keep running."""
    for guest, one in unplugged(wanted, facts):
        uuid = identity(facts.domains[guest].live_xml)["uuid"]
        tag = [f"tag={one.vlan}"] if one.vlan else []
        context.run(
            "ovs-vsctl",
            "--timeout=30",
            "--",
            "--if-exists",
            "del-port",
            one.device,
            "--",
            "add-port",
            wanted.host.bridge,
            one.device,
            *tag,
            "--",
            "set",
            "Interface",
            one.device,
            f'external-ids:attached-mac="{one.mac}"',
            f'external-ids:iface-id="{one.interfaceid}"',
            f'external-ids:vm-id="{uuid}"',
            "external-ids:iface-status=active",
        )


STEP = Step(name=NAME, check=check, apply=apply, asks=(LIBVIRTD, OPENVSWITCH))
