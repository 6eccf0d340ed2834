"""libvirt's storage pool of the sheepdog cluster: defined, active, autostarted.

``units`` makes it active after a reboot and after a restart of libvirtd.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.facts.sheepdog import ADDRESS, PORT
from sheepvirt.bootstrap.steps import marking, packages
from sheepvirt.bootstrap.steps.base import LIBVIRTD, DesiredState, Step, StepContext
from sheepvirt.bootstrap.steps.definition import identity
from sheepvirt.bootstrap.steps.three_way import canonical
from sheepvirt.model.enums import ObjectKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.model.hosts import Change

NAME = "pool"
TYPE = "sheepdog"


def wanted_pool(wanted: DesiredState, facts: Facts) -> marking.Wanted:
    """Return the host's pool as it is wanted, with its current identity."""
    name = wanted.host.pool
    state = facts.pools.get(name)
    uuid = identity(state.xml if state else "")["uuid"]
    values = {"pool": name, "address": ADDRESS, "port": PORT}
    return marking.Wanted(
        kind=ObjectKind.POOL,
        name=name,
        xml=wanted.xml("pool", f"pool {name}", **values, uuid=uuid),
        sent=canonical(wanted.text("pool", **values, uuid="")),
    )


def type_of(xml: str) -> str:
    """Return the type in a pool's definition. Raises ElementTree.ParseError."""
    return ElementTree.fromstring(xml).get("type", "") if xml else TYPE


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The pool has its definition, is active and is autostarted."""
    state = facts.pools.get(wanted.host.pool)
    if state is not None and packages.restarts_libvirtd(wanted, facts):
        state = replace(state, active=False)  # as it is once that has happened
    return marking.changes(NAME, wanted, wanted_pool(wanted, facts), state, facts)


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Define, start and autostart the pool. Guests use their VDIs without it."""
    one = wanted_pool(wanted, facts)
    name = one.name
    state = facts.pools.get(name)
    active = state is not None and state.active
    found = marking.compared(wanted, one, state, facts)
    waiting = bool(marking.waits(wanted, name, found))
    differs = bool(found.diff) and not waiting
    if differs or (state and not state.persistent and not waiting):
        first = ("pool-destroy", name) if active and differs else ()
        marking.note(context, [marking.define(one, state, facts, context, *first)])
        active = active and not differs
    elif state and not state.persistent:
        marking.define_as_it_runs(ObjectKind.POOL, name, state.xml, context)
    if not active:
        # After a restart of libvirtd, autostart.sh may be faster. Facts are gathered again anyway.
        context.virsh("pool-start", name, check=False)
    if state is None or not state.autostart:
        context.virsh("pool-autostart", name)


STEP = Step(name=NAME, check=check, apply=apply, asks=(LIBVIRTD,))
