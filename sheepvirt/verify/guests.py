"""Guests around the reboot of a verification: who would not come back; stop them, wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.consent import Consent
from sheepvirt.bootstrap.steps import power
from sheepvirt.bootstrap.steps.base import StepContext
from sheepvirt.core.errors import BootstrapError, VerifyError
from sheepvirt.core.waiting import wait_until
from sheepvirt.model.enums import Stop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.core.progress import Stage
    from sheepvirt.model.hosts import Host
    from sheepvirt.run import Run
    from sheepvirt.ssh.client import Connection

NOTHING = Consent()  # no guest that does not shut down is destroyed
GUEST_SECONDS = 180.0  # guests start with libvirtd; a busy host is slow


def running(connection: Connection, *options: str) -> list[str]:
    """Return the names of the running guests, own and others. Raises VerifyError."""
    argv = ["timeout", "20", "virsh", "-q", "list", "--name", *options]
    done = connection.run(argv, check=False)
    if done.code:
        raise VerifyError(
            f"{connection.host.name}: libvirt does not say which guests run: {done.stderr.strip()}",
            hint="read libvirtd's log on the host, then verify again",
        )
    return done.stdout.split()


def require_autostart(run: Run, host: Host) -> None:
    """Refuse a reboot that a running guest would not come back from. Raises VerifyError."""
    connection = run.connect(host)
    lost = sorted(set(running(connection)) - set(running(connection, "--autostart")))
    if lost:
        raise VerifyError(
            f"{host.name}: after a reboot these running guests would not come back by themselves: "
            f"{', '.join(lost)}. Nothing was done",
            hint=f"`virsh autostart {lost[0]}` on the host, or shut them down yourself first",
        )


def others(run: Run, host: Host) -> list[str]:
    """Return the running guests of a real machine that are not in the inventory."""
    own = {guest.name for guest in host.guests}
    return [n for n in running(run.connect(host)) if n not in own] if host.real else []


def stop(run: Run, host: Host, how: Stop, others: Sequence[str], stage: Stage) -> str:
    """Stop the guests before a reboot; return what was done. Raises VerifyError.

    The inventory's guests are stopped as ``how`` says; the ``others`` are shut down.
    """
    connection = run.connect(host)
    own = [guest.name for guest in host.guests]
    if how == Stop.POWER_CUT:
        _destroy(connection, own)
    context = StepContext(run, connection, stage)
    for name in others if how == Stop.POWER_CUT else [*own, *others]:
        try:
            power.stop_guest(host, NOTHING, name, context)
        except BootstrapError as error:
            hint = (
                "shut it down yourself and run this again, or give it more time "
                "(guest_shutdown_seconds in the inventory)"
            )
            raise VerifyError(error.message, hint=hint) from error
    said = [f"{', '.join(own)} {how}"] if own else []
    return "; ".join([*said, *([f"{', '.join(others)} shut down"] if others else [])])


def _destroy(connection: Connection, names: list[str]) -> None:
    for name in names:
        argv = ["timeout", "60", "virsh", "destroy", "--domain", name]
        done = connection.run(argv, check=False)
        if done.code:
            raise VerifyError(
                f"{connection.host.name}: guest {name} could not be destroyed: "
                f"{done.stderr.strip()}",
                hint="read libvirtd's log on the host, then verify again",
            )


def wait(
    run: Run, host: Host, others: Sequence[str], stage: Stage, seconds: float = GUEST_SECONDS
) -> str:
    """Wait at most ``seconds`` until every guest of ``host`` runs; return their states.

    Nothing starts them. One of the inventory's that does not run is no error here: the checks
    report it. Raises VerifyError: one of the ``others`` ran before the reboot and does not now.
    """
    connection = run.connect(host)
    names = [*(g.name for g in host.guests), *others]

    def ask() -> dict[str, str]:
        states = {name: _state(connection, name) for name in names}
        stage.line(_listed(states))
        return states

    def all_run(states: Mapping[str, str]) -> bool:
        return set(states.values()) <= {"running"}

    seen = wait_until(ask, all_run, clock=run.clock, seconds=seconds, every=1.0)
    lost = {name: state for name, state in seen.items() if name in others and state != "running"}
    if lost:
        raise VerifyError(
            f"{host.name}: guests that are not in the inventory ran before the reboot and do not "
            f"run now: {_listed(lost)}",
            hint=f"`virsh start {next(iter(lost))}` on the host says why, or starts it",
        )
    return _listed(seen)


def _listed(states: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {state}" for name, state in states.items())


def _state(connection: Connection, guest: str) -> str:
    argv = ["timeout", "20", "virsh", "domstate", "--domain", guest]
    return connection.run(argv, check=False).stdout.strip() or "not there"
