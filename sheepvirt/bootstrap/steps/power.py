"""Tell whether a guest runs; stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.core.waiting import wait_until

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import StepContext
    from sheepvirt.model.hosts import Guest

STOP_SECONDS = 10.0
OFF = "shut off"  # virsh domstate


def stands(facts: Facts, guest: Guest) -> bool:
    """Tell whether ``guest`` runs."""
    state = facts.domains.get(guest.name)
    return state is not None and state.active


def stop(name: str, context: StepContext) -> None:
    """Stop a running guest: by its power button, then by force if it does not react."""
    context.virsh("shutdown", name, check=False)

    def ask() -> str:
        return context.virsh("domstate", name).stdout.strip()

    state = wait_until(ask, OFF.__eq__, clock=context.work.clock, seconds=STOP_SECONDS, every=0.5)
    if state != OFF:
        context.virsh("destroy", name)
