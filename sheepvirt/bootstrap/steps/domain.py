"""The guests' domains: defined from the template, running, autostarted."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.facts.sheepdog import ADDRESS, PORT
from sheepvirt.bootstrap.steps import kvm
from sheepvirt.bootstrap.steps.base import STATE, DesiredState, Step, StepContext, disk_path
from sheepvirt.bootstrap.steps.definition import difference, identity, lifecycle
from sheepvirt.bootstrap.steps.power import stop
from sheepvirt.model.hosts import Change, Guest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.libvirt import Definition

NAME = "domain"
SAFE_OVER_A_NETWORK = (5, 1, 0)


def xml(wanted: DesiredState, guest: Guest, facts: Facts) -> str:
    """Return the definition of ``guest``, with the identity that libvirt gave it earlier."""
    state = facts.domains.get(guest.name)
    known = kvm.verdict(facts)
    return wanted.xml(
        "domain", f"guest {guest.name}",
        guest=guest, type=known.type if known else _type(state),
        bridge=wanted.host.bridge, file=disk_path(guest), address=ADDRESS, port=PORT,
        cache=_cache(wanted), **identity(state.xml if state else ""),
    )  # fmt: skip


def _cache(wanted: DesiredState) -> str:
    """Return the cache mode that migration of a guest on sheepdog needs; "" for the default.

    Before 5.1.0 (commit 86caae395) libvirt migrates a guest only if each of its disks has cache
    "none" or is in RBD. Later versions treat every network disk as safe.
    """
    version = next((r.version for r in wanted.records if r.package == "libvirt"), "")
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    return "none" if numbers and numbers < SAFE_OVER_A_NETWORK else ""


def differences(wanted: DesiredState, guest: Guest, facts: Facts) -> tuple[str, bool]:
    """Return the diff of the definition, and whether the guest runs from another definition."""
    state = facts.domains.get(guest.name)
    text = xml(wanted, guest, facts)
    diff = difference(state.xml if state else "", text)
    stale = state is not None and state.active and bool(difference(state.live_xml, text, live=True))
    return diff, stale


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Every guest has its definition, runs from it, and is autostarted."""
    changes = []
    for guest in wanted.host.guests:
        state = facts.domains.get(guest.name)
        diff, stale = differences(wanted, guest, facts)
        if diff:
            known = kvm.verdict(facts)
            why = f" as {known.type}: {known.why}" if known else ""
            changes.append(Change(step=NAME, what=f"{guest.name} defined{why}", diff=diff))
        if stale:
            changes.append(
                Change(
                    step=NAME,
                    what=f"{guest.name} restarted: it runs from another definition",
                    waits_for=wanted.consent.waits_for_restart(),
                )
            )
        changes += lifecycle(NAME, guest.name, state, redefined=bool(diff))
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Define, restart, start and autostart what differs."""
    for guest in wanted.host.guests:
        state = facts.domains.get(guest.name)
        diff, stale = differences(wanted, guest, facts)
        if diff or (state and not state.persistent):
            path = f"{STATE}/domain-{guest.name}.xml"
            context.connection.write(path, xml(wanted, guest, facts).encode())
            context.virsh("define", path)
        restart = stale and not wanted.consent.waits_for_restart()
        if restart:
            stop(wanted, guest.name, context)
        if restart or state is None or not state.active:
            context.virsh("start", guest.name)
        if state is None or not state.autostart:
            context.virsh("autostart", guest.name)


def _type(state: Definition | None) -> str:
    """Return the type for a plan, which must not try KVM: the guest's current type, else qemu."""
    return ElementTree.fromstring(state.xml).get("type", "qemu") if state else "qemu"


STEP = Step(name=NAME, check=check, apply=apply)
