"""The reboot after packages changed, and the proof that it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap import host_lock
from sheepvirt.bootstrap.facts.system import BOOT_IDENTITY, boot_identity
from sheepvirt.bootstrap.readiness import REBOOTING, SECONDS, settle
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.bootstrap.steps.power import stop
from sheepvirt.core.clock import SYSTEM, Clock
from sheepvirt.core.errors import BootstrapError, HostUnreachableError, RemoteCommandError
from sheepvirt.core.waiting import wait_until
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.core.processes import OnLine
    from sheepvirt.ssh.client import Connection

NAME = "reboot"
WHY = "because packages or network files changed; proven by the boot's identity"
LATER = "due: what changed counts from the next reboot"


def check(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """The host has booted since packages or its network files changed.

    The note about a change survives a run that was interrupted before the reboot.
    """
    planned = any(change.reboots for change in earlier)
    if not planned and not (facts.boot and facts.reboot_wanted == facts.boot):
        return []
    waits_for = wanted.consent.waits_for_reboot()
    what = LATER if waits_for else WHY
    guests = "; ".join(stopped(wanted, facts))
    return [
        Change(
            step=NAME, what=f"{what}; it stops {guests}" if guests else what, waits_for=waits_for
        )
    ]


def stopped(wanted: DesiredState, facts: Facts) -> list[str]:
    """Return the running guests, own and others, and whether they come back after a reboot."""
    own = {guest.name for guest in wanted.host.guests}
    # A reboot of a real machine waits for libvirtd; this is for its plan.
    rows = ["what runs (libvirtd is stopped: that is not known)"] if facts.libvirt.silent else []
    for name, autostart in sorted(facts.running.items()):
        later = "comes back by itself" if autostart or name in own else "does NOT come back"
        rows.append(f"{name} ({'' if name in own else 'not of this inventory, '}{later})")
    return rows


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Shut the guests of a real machine down, reboot it and wait.

    On a rehearsal host the reboot is a power cut to its guests: their data must survive that.
    """
    if wanted.host.real:
        # The lock must survive the reboot. If that cannot be noted, no guest is stopped.
        context.run("sh", "-c", host_lock.REBOOTS)
        for name in facts.running:
            stop(wanted, name, context)
    context.stage.note = reboot(context.connection, context.line, clock=context.work.clock)


def identity(connection: Connection) -> str:
    """Return an identity of the boot, which changes with every boot. Raises SshError."""
    return boot_identity(connection.run(["sh", "-s"], stdin=BOOT_IDENTITY.encode()).stdout)


def reboot(
    connection: Connection, on_line: OnLine, seconds: float = SECONDS, *, clock: Clock = SYSTEM
) -> str:
    """Reboot the host, wait until it is up, and return a line with the proof.

    The proof is another boot identity; that SSH answers again proves nothing. Raises
    BootstrapError: the host is not up within ``seconds``.
    """
    before, deadline = identity(connection), clock.monotonic() + seconds
    # Detached and a second later, so that this command itself succeeds.
    later = "(sleep 1; shutdown -r now || reboot) </dev/null >/dev/null 2>&1 &"
    noted = f"touch {REBOOTING} && {{ {host_lock.REBOOTS}; }} || exit 1"
    connection.run(["sh", "-c", f"{noted}; {later}"])
    on_line(f"boot {before}: reboot requested")
    after = _wait_for_another(connection, before, seconds, clock)
    connection.rebooted()
    on_line(f"boot {after}: up again")
    settle(connection, deadline - clock.monotonic(), clock=clock)
    connection.run(["sh", "-s"], stdin=host_lock.REBOOTED.encode())
    return f"boot {_short(before)} became {_short(after)}"


def _wait_for_another(connection: Connection, before: str, seconds: float, clock: Clock) -> str:
    """Return the identity of the next boot. Raises BootstrapError: there is none in time."""

    def ask() -> str:
        connection.close()  # the shared connection may hang on a machine that is gone
        try:
            return identity(connection)
        except (HostUnreachableError, RemoteCommandError):
            return ""

    def rebooted(boot: str) -> bool:
        return boot not in {before, ""}

    seen = wait_until(ask, rebooted, clock=clock, seconds=seconds, every=0.3)
    if rebooted(seen):
        return seen
    name = connection.host.name
    raise BootstrapError(
        f"{name} answers, but it has not rebooted: its boot is still {before}"
        if seen
        else f"{name} did not come back after its reboot",
        hint="look at its console, then run this again",
    )


def _short(boot: str) -> str:
    head, _, start = boot.partition("/")
    return f"{head[:8]}/{start}"


STEP = Step(name=NAME, check=check, apply=apply)
