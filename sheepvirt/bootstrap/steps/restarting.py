"""Restart a network of libvirt: whom that would cut off, and what it waits for.

While a network with a bridge of libvirt's own is off, that bridge is gone. Its guests lose their
ports, and get others only when they are started again. Ports of an Open vSwitch bridge stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.facts.attached import LASTING, Attached
from sheepvirt.bootstrap.steps import marking
from sheepvirt.bootstrap.steps.definition import difference
from sheepvirt.bootstrap.steps.three_way import canonical
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.libvirt import Definition
    from sheepvirt.bootstrap.steps.base import DesiredState
    from sheepvirt.bootstrap.steps.three_way import Comparison
    from sheepvirt.model.hosts import Host


@dataclass(frozen=True, kw_only=True)
class Todo:
    """What a network needs; the options are what it waits for, "" if for nothing."""

    found: Comparison
    defining_waits: str
    outdated: bool  # it is active, and runs from another definition or will
    cut_off: Mapping[str, Attached]  # guests that a restart would cut off
    restart_waits: str

    @property
    def defined(self) -> bool:
        """It is defined in this run."""
        return bool(self.found.diff) and not self.defining_waits

    @property
    def restarted(self) -> bool:
        """It is restarted in this run."""
        return self.outdated and not self.restart_waits


def todo(wanted: DesiredState, one: marking.Wanted, state: Definition | None, facts: Facts) -> Todo:
    """Return what the network needs. Raises BootstrapError: a guest could not be started again."""
    found = marking.compared(wanted, one, state, facts)
    waits = marking.waits(wanted, one.name, found) if found.diff else ""
    outdated = state is not None and state.active
    outdated = outdated and bool(found.diff or runs_from_the_former(one, state, facts))
    guests = cut_off(one.name, state, facts) if outdated else {}
    waits = waits or (wanted.consent.waits_for_restart() if guests else "")
    if not waits:
        refuse_transient(wanted.host, one.name, guests)
    return Todo(
        found=found,
        defining_waits=marking.waits(wanted, one.name, found) if found.diff else "",
        outdated=outdated,
        cut_off=guests,
        restart_waits=waits,
    )


def runs_from_the_former(one: marking.Wanted, state: Definition | None, facts: Facts) -> str:
    """Return how a network differs that was left running when it was defined; "" if it does not.

    What somebody has changed in a running network alone is not compared.
    """
    mark = marking.standing(one, state, facts).mark
    if state is None or mark is None or not mark.live or not state.live_xml:
        return ""
    if canonical(state.live_xml) != canonical(mark.live):
        return ""  # it was started since
    return difference(state.live_xml, state.xml)


def cut_off(name: str, state: Definition | None, facts: Facts) -> dict[str, Attached]:
    """Return the running guests that lose their connection while the network is off."""
    if state is None or not state.active:
        return {}
    root = ElementTree.fromstring(state.live_xml or state.xml)
    forward, bridge = root.find("forward"), root.find("bridge")
    if forward is not None and forward.get("mode", "nat") in LASTING:
        return {}
    own = bridge.get("name", "") if bridge is not None else ""
    return {
        guest: found
        for guest, found in facts.attached.items()
        if name in found.networks or own in found.bridges
    }


def changes(step: str, wanted: DesiredState, name: str, needed: Todo, diff: str) -> list[Change]:
    """Return the restart, where it is a change of its own: it stops guests, or was left over."""
    if not needed.outdated or (needed.found.diff and not needed.cut_off):
        return []
    guests = told(wanted.host, needed.cut_off)
    what = f"{name} restarted: it runs from another definition"
    if guests and needed.restart_waits:
        what += f"; it counts from its next start, which cuts off {guests}"
    elif guests:
        what += f"; {guests} shut down before, and started again after it"
    return [
        Change(
            step=step,
            what=what,
            diff="" if needed.found.diff else diff,
            waits_for=needed.restart_waits,
        )
    ]


def told(host: Host, guests: Iterable[str]) -> str:
    """Return the names of guests, and which are not of the inventory."""
    own = {guest.name for guest in host.guests}
    return ", ".join(f"{g}{'' if g in own else ' (not of this inventory)'}" for g in guests)


def refuse_transient(host: Host, name: str, guests: Mapping[str, Attached]) -> None:
    """Refuse to shut guests down that nobody could start again. Raises BootstrapError."""
    lost = [guest for guest, found in guests.items() if not found.persistent]
    if lost:
        raise BootstrapError(
            f"{host.name}: the network {name} cannot be restarted: {', '.join(lost)} would be cut "
            "off, and cannot be started again, because libvirt has no stored definition of it. "
            "Nothing of it was changed",
            hint=f"shut it down there yourself, or store its definition: `virsh dumpxml {lost[0]} "
            ">FILE` and `virsh define FILE`",
        )
