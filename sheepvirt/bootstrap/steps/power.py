"""Tell whether a guest runs; stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.consent import GUEST_POWEROFF
from sheepvirt.core.errors import BootstrapError
from sheepvirt.core.waiting import wait_until

if TYPE_CHECKING:
    from sheepvirt.bootstrap.consent import Consent
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import DesiredState, StepContext
    from sheepvirt.model.hosts import Guest, Host

OFF = "shut off"  # virsh domstate


def stands(facts: Facts, guest: Guest) -> bool:
    """Tell whether ``guest`` runs."""
    state = facts.domains.get(guest.name)
    return state is not None and state.active


def stop(wanted: DesiredState, name: str, context: StepContext) -> None:
    """Shut a running guest down: see stop_guest."""
    stop_guest(wanted.host, wanted.consent, name, context)


def stop_guest(host: Host, given: Consent, name: str, context: StepContext) -> None:
    """Shut a running guest down by its power button, and wait.

    A guest that does not react in time is destroyed only if that is agreed. Raises BootstrapError.
    """
    context.virsh("shutdown", name, check=False)

    def ask() -> str:
        return context.virsh("domstate", name).stdout.strip()

    seconds = float(host.guest_shutdown_seconds)
    if wait_until(ask, OFF.__eq__, clock=context.work.clock, seconds=seconds, every=0.5) == OFF:
        return
    if not given.may_power_off():
        raise BootstrapError(
            f"{host.name}: guest {name} did not shut down within {seconds:.0f} s, and still runs",
            hint="shut it down yourself and run this again; or give it more time "
            f"(guest_shutdown_seconds in the inventory); or let it be destroyed: {GUEST_POWEROFF}",
        )
    context.virsh("destroy", name)
