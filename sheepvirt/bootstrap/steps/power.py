"""Tell whether a guest runs; stop it; stop it for a while."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.consent import GUEST_POWEROFF
from sheepvirt.bootstrap.steps.base import STATE
from sheepvirt.core.errors import BootstrapError, SshError
from sheepvirt.core.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sheepvirt.bootstrap.consent import Consent
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import DesiredState, StepContext
    from sheepvirt.model.guests import Guest
    from sheepvirt.model.hosts import Host

OFF = "shut off"  # virsh domstate
# The guests that a run has shut down for a while, one a line: the next run starts what is left.
STOPPED = f"{STATE}/guests-stopped"


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


@dataclass
class Halt:
    """A guest that is off for a change of its disk."""

    restart: bool = True  # if the change fails: its disk is as before, so it may be started


@contextmanager
def halted(
    wanted: DesiredState, facts: Facts, guest: Guest, context: StepContext
) -> Iterator[Halt]:
    """Shut a running guest down for the block, and start it again: also if the block fails.

    It is not left to a later step, which the run may not reach. A guest whose definition is gone
    with its end is started by the domain step. Raises BootstrapError: it does not shut down.
    """
    halt = Halt()
    if not stands(facts, guest):
        yield halt
        return
    stop(wanted, guest.name, context)
    try:
        yield halt
    except BaseException:
        name = guest.name
        try:
            if halt.restart:
                context.virsh("start", name)
                context.progress.say(f"  {name} runs again, on its former disk")
            else:
                context.progress.say(f"  {name} is off: its disk is not whole")
        except SshError as error:
            context.progress.say(
                f"  {name} was shut down and could not be started again ({error.message}); "
                "the next bootstrap starts it"
            )
        raise
    if facts.domains[guest.name].persistent:
        _start_on_new_disk(guest, context)


def _start_on_new_disk(guest: Guest, context: StepContext) -> None:
    try:
        context.virsh("start", guest.name)
    except SshError:
        context.progress.say(
            f"  {guest.name} is off: its disk is whole, and it cannot be started now; the next "
            "bootstrap starts it"
        )
        raise


@contextmanager
def off_meanwhile(
    host: Host,
    given: Consent,
    names: Sequence[str],
    context: StepContext,
    *,
    off: Sequence[str] = (),
) -> Iterator[None]:
    """Shut running guests down for the block, and start them again, whatever ends it.

    ``off`` are down already, and are started with them. Where it fails or is killed, a note of all
    stays: one may go down late, or not start. Raises BootstrapError: one does not shut down.
    """
    both = [*names, *off]
    if not both:
        yield
        return
    context.connection.write(STOPPED, "".join(f"{name}\n" for name in both).encode())
    try:
        for name in names:
            stop_guest(host, given, name, context)
        yield
    except BaseException:
        try:
            _start(both, context)
        except SshError as error:
            context.progress.say(
                f"  it is not known whether {', '.join(both)} run again ({error.message}); the "
                "next bootstrap starts them"
            )
        raise
    start_stopped(both, context)


def left_off(host: Host, facts: Facts) -> list[str]:
    """Return the foreign guests that an interrupted run has shut down for a while, and are off.

    Those of the inventory are started by their step.
    """
    own = {guest.name for guest in host.guests}
    noted = filter(None, facts.texts.get(STOPPED, "").splitlines())
    return [name for name in noted if name not in facts.running and name not in own]


def start_stopped(names: Sequence[str], context: StepContext) -> None:
    """Start guests that were shut down for a while, and remove the note. Raises SshError."""
    _start(names, context)
    context.run("rm", "-f", STOPPED)


def _start(names: Sequence[str], context: StepContext) -> None:
    for name in names:
        if context.virsh("domstate", name, check=False).stdout.strip() != OFF:
            continue  # it runs; or it is gone: there is nothing to start
        if context.virsh("start", name, check=False).code:
            context.progress.say(f"  {name} was shut down and does not start again")
