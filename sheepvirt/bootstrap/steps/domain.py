"""The guests' domains: defined from the template, running, autostarted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.facts.sheepdog import ADDRESS, PORT
from sheepvirt.bootstrap.steps import kvm, marking
from sheepvirt.bootstrap.steps.base import LIBVIRTD, DesiredState, Step, StepContext, disk_path
from sheepvirt.bootstrap.steps.definition import Interface, identity, interfaces, lifecycle
from sheepvirt.bootstrap.steps.power import stop
from sheepvirt.bootstrap.steps.three_way import Comparison, canonical
from sheepvirt.model.enums import ObjectKind
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.libvirt import Definition
    from sheepvirt.model.guests import Guest

NAME = "domain"
SAFE_OVER_A_NETWORK = (5, 1, 0)


@dataclass(frozen=True, kw_only=True)
class Todo:
    """What a guest's domain needs; the options are what it waits for, "" if for nothing."""

    found: Comparison
    defining_waits: str
    restart: str  # how it runs from another definition; "" if it does not
    restart_waits: str

    @property
    def diff(self) -> str:
        """The diff of a new definition; "" for none."""
        return self.found.diff

    @property
    def defined(self) -> bool:
        """It is defined in this run."""
        return bool(self.diff) and not self.defining_waits

    @property
    def restarted(self) -> bool:
        """It is restarted in this run."""
        return bool(self.restart) and not self.restart_waits


def wanted_domain(wanted: DesiredState, guest: Guest, facts: Facts) -> marking.Wanted:
    """Return the domain of ``guest`` as it is wanted, with its current identity."""
    state = facts.domains.get(guest.name)
    known = kvm.verdict(facts)
    values = {
        "guest": guest,
        "type": known.type if known else _type(state),
        "bridge": wanted.host.bridge,
        "file": disk_path(guest),
        "address": ADDRESS,
        "port": PORT,
        "cache": _cache(wanted),
    }
    xml = state.xml if state else ""
    chosen = {**identity(xml), "interfaces": wanted_interfaces(guest, interfaces(xml))}
    unchosen = {**identity(""), "interfaces": wanted_interfaces(guest, ())}
    return marking.Wanted(
        kind=ObjectKind.DOMAIN,
        name=guest.name,
        xml=wanted.xml("domain", f"guest {guest.name}", **values, **chosen),
        sent=canonical(wanted.text("domain", **values, **unchosen)),
    )


def wanted_interfaces(guest: Guest, chosen: Sequence[Interface]) -> list[Interface]:
    """Return the guest's interfaces as they are wanted, with what libvirt chose for them. Pure.

    One with a MAC of the inventory's is known by that; the others by their order.
    """
    said = {nic.mac for nic in guest.nics if nic.mac}
    known = {one.mac: one for one in chosen}
    others = iter([one for one in chosen if one.mac not in said])
    found = []
    for nic in guest.nics:
        one = known.get(nic.mac) if nic.mac else next(others, None)
        one = one or Interface(mac=nic.mac)
        vlan = str(nic.vlan) if nic.vlan else ""
        found.append(Interface(mac=one.mac, interfaceid=one.interfaceid, vlan=vlan))
    return found


def _cache(wanted: DesiredState) -> str:
    """Return the cache mode that migration of a guest on sheepdog needs; "" for the default.

    Before 5.1.0 (commit 86caae395) libvirt migrates a guest only if each of its disks has cache
    "none" or is in RBD. Later versions treat every network disk as safe.
    """
    version = next((r.version for r in wanted.records if r.package == "libvirt"), "")
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    return "none" if numbers and numbers < SAFE_OVER_A_NETWORK else ""


def todo(wanted: DesiredState, one: marking.Wanted, facts: Facts) -> Todo:
    """Return what the domain needs.

    A guest is not restarted into a definition that is not the wanted one.
    """
    state = facts.domains.get(one.name)
    found = marking.compared(wanted, one, state, facts)
    waits = marking.waits(wanted, one.name, found) if found.diff else ""
    return Todo(
        found=found,
        defining_waits=waits,
        restart=marking.restart(wanted, one, state, facts),
        restart_waits=waits or wanted.consent.waits_for_restart(),
    )


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Every guest has its definition, runs from it, and is autostarted."""
    changes = []
    for guest in wanted.host.guests:
        state = facts.domains.get(guest.name)
        one = wanted_domain(wanted, guest, facts)
        needed = todo(wanted, one, facts)
        if needed.diff:
            known = kvm.verdict(facts)
            why = f"as {known.type}: {known.why}" if known else ""
            what = marking.said(one, state, needed.found)
            waits_for = needed.defining_waits
            changes.append(
                Change(step=NAME, what=what, note=why, diff=needed.diff, waits_for=waits_for)
            )
        if needed.restart:
            what = f"{guest.name} restarted: it runs from another definition"
            shown = "" if needed.diff else needed.restart
            waits_for = needed.restart_waits
            changes.append(Change(step=NAME, what=what, diff=shown, waits_for=waits_for))
        changes += lifecycle(NAME, guest.name, state, redefined=needed.defined)
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Define, restart, start and autostart what differs."""
    for guest in wanted.host.guests:
        state = facts.domains.get(guest.name)
        one = wanted_domain(wanted, guest, facts)
        needed = todo(wanted, one, facts)
        there = marking.standing(one, state, facts)
        mark = there.mark if there.noted else None
        if needed.defined or (state and not state.persistent and not needed.diff):
            mark = marking.define(one, state, facts, context)
            marking.note(context, [mark])
        elif state and not state.persistent:
            marking.define_as_it_runs(ObjectKind.DOMAIN, guest.name, state.xml, context)
        if needed.restarted:
            stop(wanted, guest.name, context)
        if needed.restarted or state is None or not state.active:
            context.virsh("start", guest.name)
            if mark and not needed.defining_waits:  # else it starts from somebody's definition
                marking.note(context, [marking.started(mark, context)])
        if state is None or not state.autostart:
            context.virsh("autostart", guest.name)


def _type(state: Definition | None) -> str:
    """Return the type for a plan, which must not try KVM: the guest's current type, else qemu."""
    return ElementTree.fromstring(state.xml).get("type", "qemu") if state else "qemu"


STEP = Step(name=NAME, check=check, apply=apply, asks=(LIBVIRTD,))
