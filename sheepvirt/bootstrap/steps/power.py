"""Tell whether a guest runs; stop it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sheepvirt.bootstrap.steps.base import StepContext
    from sheepvirt.model.hosts import Facts, Guest

STOP_SECONDS = 10.0


def stands(facts: Facts, guest: Guest) -> bool:
    """Tell whether ``guest`` runs."""
    state = facts.domains.get(guest.name)
    return state is not None and state.active


def stop(name: str, context: StepContext) -> None:
    """Stop a running guest: by its power button, then by force if it does not react."""
    context.virsh("shutdown", name, check=False)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if context.virsh("domstate", name).stdout.strip() == "shut off":
            return
        time.sleep(0.5)
    context.virsh("destroy", name)
