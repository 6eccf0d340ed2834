"""The running guests' ports on the bridge.

libvirt plugs a port in only when its guest starts. A bridge that was deleted and added again has
lost the ports of running guests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.steps.base import LIBVIRTD, OPENVSWITCH, DesiredState, Step, StepContext
from sheepvirt.bootstrap.steps.definition import identity
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "port"


def unplugged(wanted: DesiredState, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield guest and interface of each running guest whose port is missing. Pure."""
    bridge = facts.bridges.get(wanted.host.bridge)
    ports = bridge.ports if bridge else ()  # a plan: an earlier step adds the bridge, without ports
    for guest in wanted.host.guests:
        state = facts.domains.get(guest.name)
        if state is None or not state.live_xml:
            continue
        for target in ElementTree.fromstring(state.live_xml).iterfind("devices/interface/target"):
            device = target.get("dev", "")
            if device not in ports:
                yield guest.name, device


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The port of every running guest is on the bridge."""
    name = wanted.host.bridge
    return [
        Change(step=NAME, what=f"{device} of {guest} plugged into {name}")
        for guest, device in unplugged(wanted, facts)
    ]


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Plug the ports in as libvirt does (virNetDevOpenvswitchAddPort); guests keep running."""
    for guest, device in unplugged(wanted, facts):
        known = identity(facts.domains[guest].live_xml)
        context.run(
            "ovs-vsctl",
            "--timeout=30",
            "--",
            "--if-exists",
            "del-port",
            device,
            "--",
            "add-port",
            wanted.host.bridge,
            device,
            "--",
            "set",
            "Interface",
            device,
            f'external-ids:attached-mac="{known["mac"]}"',
            f'external-ids:iface-id="{known["interfaceid"]}"',
            f'external-ids:vm-id="{known["uuid"]}"',
            "external-ids:iface-status=active",
        )


STEP = Step(name=NAME, check=check, apply=apply, asks=(LIBVIRTD, OPENVSWITCH))
