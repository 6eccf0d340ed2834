"""libvirt's storage pool of the sheepdog cluster: defined, active, autostarted.

``units`` makes it active after a reboot and after a restart of libvirtd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.sheepdog import ADDRESS, PORT
from sheepvirt.bootstrap.steps.base import STATE, DesiredState, Step, StepContext
from sheepvirt.bootstrap.steps.definition import difference, identity, lifecycle
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.libvirt import Definition

NAME = "pool"


def xml(wanted: DesiredState, state: Definition | None) -> str:
    """Return the definition of the host's pool, with its current identity."""
    return wanted.xml(
        "pool", f"pool {wanted.host.pool}",
        pool=wanted.host.pool, address=ADDRESS, port=PORT,
        uuid=identity(state.xml if state else "")["uuid"],
    )  # fmt: skip


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The pool has its definition, is active and is autostarted."""
    name = wanted.host.pool
    state = facts.pools.get(name)
    diff = difference(state.xml if state else "", xml(wanted, state))
    changes = []
    if diff:
        again = ", and restarted" if state and state.active else ""
        changes.append(Change(step=NAME, what=f"{name} defined{again}", diff=diff))
    return changes + lifecycle(NAME, name, state, redefined=bool(diff))


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Define, start and autostart the pool. Guests use their VDIs without it."""
    name = wanted.host.pool
    state = facts.pools.get(name)
    active = state is not None and state.active
    text = xml(wanted, state)
    differs = bool(difference(state.xml if state else "", text))
    if differs or (state and not state.persistent):
        path = f"{STATE}/pool-{name}.xml"
        context.connection.write(path, text.encode())
        if active and differs:
            context.virsh("pool-destroy", name)
            active = False
        context.virsh("pool-define", path)
    if not active:
        # After a restart of libvirtd, autostart.sh may be faster. Facts are gathered again anyway.
        context.virsh("pool-start", name, check=False)
    if state is None or not state.autostart:
        context.virsh("pool-autostart", name)


STEP = Step(name=NAME, check=check, apply=apply)
