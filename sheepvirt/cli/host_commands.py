"""The commands about one host: bring it to its desired state, prove it, put back, trust, remove.

Thin, as commands.py, which collects them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import Exit, task

from sheepvirt import pipeline
from sheepvirt.bootstrap import consent, host_lock, ownership, rehearsal
from sheepvirt.bootstrap import restore as restoring
from sheepvirt.bootstrap import runner as bootstrapping
from sheepvirt.bootstrap.consent import Consent
from sheepvirt.cli import json_output, report, terminal
from sheepvirt.cli.session import Session, command
from sheepvirt.config import inventory
from sheepvirt.core.errors import ConfigError, VerifyError
from sheepvirt.core.tables import pick
from sheepvirt.ssh import trust as trusting
from sheepvirt.verify import trace as tracing
from sheepvirt.verify import verification as verifying

if TYPE_CHECKING:
    from sheepvirt.model.hosts import Change


# Options of several commands.
VERBOSE = "show diffs and each check, too; without it they are in the report only"


JSON = "print one JSON document on standard output (docs/json.md); progress to standard error"


# Exit codes of `bootstrap`, besides those of the errors (core/errors.py).
PLANNED = 20  # --plan: something would change


WAITING = 21  # done, and something waits for the user's consent


@task(
    positional=["host"],
    help={
        "host": "a name of host/inventory.toml",
        "plan": "print what would change; change nothing (exit code 20 if anything would)",
        "allow_reboot": "agree to a reboot of a real machine; its guests are shut down first",
        "allow_guest_restart": "agree to shut guests down and start them again, also for a restart "
        "of their network",
        "allow_guest_poweroff": "destroy a guest that does not shut down in time",
        "reimage": "GUEST: make its disk from its image again; may be repeated",
        "adopt": "NAME: take what has this name as it is, though sheepvirt did not make it, or "
        "somebody has changed it since; may be repeated",
        "replace": "NAME: define it as the inventory says, which undoes what somebody else "
        "changed there; may be repeated",
        "verbose": VERBOSE,
        "json": JSON,
    },
    iterable=["reimage", "adopt", "replace"],
)
@command
def bootstrap(
    session: Session,
    host: str,
    reimage: list[str],
    adopt: list[str],
    replace: list[str],
    plan: bool = False,
    allow_reboot: bool = False,
    allow_guest_restart: bool = False,
    allow_guest_poweroff: bool = False,
    verbose: bool = False,
    json: bool = False,
) -> None:
    """Bring HOST to its desired state over SSH; a second run changes nothing.

    On a real machine nothing is rebooted, stopped or made again without the option that says so.
    Exit code 21: something waits for such an option.
    """
    run = session.start()
    wanted = inventory.load_host(run.settings, host)
    pipeline.say_unproven(inventory.load_target(run.settings, wanted.target), run.progress)
    for name in reimage:
        pick("guest", name, [guest.name for guest in wanted.guests])
    for name in (*adopt, *replace):
        pick("object", name, ownership.names(wanted))
    given = Consent(
        reboot=allow_reboot,
        guest_restart=allow_guest_restart,
        guest_poweroff=allow_guest_poweroff,
        reimages=frozenset(reimage),
        adopted=frozenset(adopt),
        replaced=frozenset(replace),
    )
    done: list[Change] = []
    try:
        changes = bootstrapping.bootstrap(run, wanted, plan=plan, given=given, done=done)
    except BaseException:  # an interrupt, too
        report.stopped(run.progress, wanted, done)
        session.fields |= json_output.bootstrap(wanted, done, plan=plan, ended=False)
        raise
    report.changes(run.progress, wanted, changes, plan=plan)
    session.fields |= json_output.bootstrap(wanted, changes, plan=plan, ended=True)
    if not plan:
        run.progress.write_timings(run.settings.timings)
    if plan and changes:
        raise Exit(code=PLANNED)
    if any(change.waits_for for change in changes):
        raise Exit(code=WAITING)


@task(positional=["host"], help={"host": "a name of host/inventory.toml"})
@command
def kept(session: Session, host: str) -> None:
    """List what bootstraps of HOST have replaced and kept, by time, for `invoke restore`."""
    run = session.start()
    wanted = inventory.load_host(run.settings, host)
    report.kept(run.progress, wanted, restoring.times(run.connect(wanted)))


@task(
    positional=["host", "time"],
    help={
        "host": "a name of host/inventory.toml",
        "time": "when it was replaced; `invoke kept HOST` lists the times",
        "plan": "print what would be put back; change nothing (exit code 20 if anything would)",
        "allow_guest_restart": "agree to restart guests and networks, so that it counts now",
        "allow_guest_poweroff": "destroy a guest that does not shut down in time",
    },
)
@command
def restore(
    session: Session,
    host: str,
    time: str,
    plan: bool = False,
    allow_guest_restart: bool = False,
    allow_guest_poweroff: bool = False,
) -> None:
    """Put back what a bootstrap of HOST replaced at TIME. What is there until then is kept too."""
    run = session.start()
    wanted = inventory.load_host(run.settings, host)
    given = Consent(guest_restart=allow_guest_restart, guest_poweroff=allow_guest_poweroff)
    agreed = consent.on(wanted, given)
    planned = restoring.restore(run, wanted, time, agreed, plan=True)
    verb = "would be put back" if plan else "to put back"
    report.listed(run.progress, wanted, planned, verb, plan=True)
    if plan and planned:
        raise Exit(code=PLANNED)
    if not planned:
        run.progress.say(f"{host}: no change: it is as it was kept at {time}")
        return
    done = restoring.restore(run, wanted, time, agreed, plan=False)
    run.progress.say(f"{host}: put back as it was kept at {time}")
    if any(change.waits_for for change in done):
        raise Exit(code=WAITING)


@task(
    positional=["host"],
    help={
        "host": "a name of host/inventory.toml",
        "fingerprint": "SHA256:…, as the host's own console shows it: pin only a key that has it, "
        "and do not ask",
    },
)
@command
def trust(session: Session, host: str, fingerprint: str = "") -> None:
    """Show the host keys that HOST presents, and pin those that you confirm."""
    run = session.start()
    offer = trusting.look(run.settings, inventory.load_host(run.settings, host))
    keys = trusting.matching(offer, fingerprint) if fingerprint else offer.keys
    for line in offer.lines():
        run.progress.say(line)
    if not fingerprint and not terminal.confirmed("Are these the keys that its console shows?"):
        raise trusting.unconfirmed(offer)
    trusting.pin(run.settings, offer, keys)
    run.progress.say(f"pinned: {', '.join(key.line for key in keys)}")


@task(
    positional=["host"],
    help={
        "host": "a name of host/inventory.toml",
        "reboot": "shut the guests down, reboot HOST and verify again; on a rehearsal host the "
        "guests are destroyed, and this is the default",
        "no_reboot": "one pass, which changes nothing; the default on a real machine",
        "power_cut": "with --reboot: destroy the guests instead, as by a power cut",
        "consoles": "read the guests' consoles, which takes the output from whoever watches them; "
        "always done on a rehearsal host and with --reboot",
        "prove": "break one thing at a time on a rehearsal host: exactly its checks must fail",
        "verbose": VERBOSE,
        "json": JSON,
    },
)
@command
def verify(
    session: Session,
    host: str,
    reboot: bool = False,
    no_reboot: bool = False,
    power_cut: bool = False,
    consoles: bool = False,
    prove: bool = False,
    verbose: bool = False,
    json: bool = False,
) -> None:
    """Prove that HOST works, with testinfra. Writes JUnit XML.

    On a real machine this only reads, unless you ask for --reboot. A rehearsal host is rebooted.
    """
    run = session.start()
    wanted = inventory.load_host(run.settings, host)
    if prove:
        from sheepvirt.verify.controls import control_runner

        if json:
            raise ConfigError("--prove has no --json", hint="leave one of the two options out")
        control_runner.prove(run, wanted, report)
        return
    stop = verifying.stop_of(wanted, reboot=reboot, no_reboot=no_reboot, power_cut=power_cut)
    pipeline.say_unproven(inventory.load_target(run.settings, wanted.target), run.progress)
    shown = json_output.Shown()
    try:
        outcome = verifying.verify(run, wanted, stop=stop, consoles=consoles, display=shown)
    except BaseException:  # an interrupt, too
        session.fields |= json_output.verify(wanted, shown.passes, None)
        raise
    report.verified(run.progress, wanted, outcome)
    session.fields |= json_output.verify(wanted, shown.passes, outcome)


@task(
    positional=["host", "package"],
    help={
        "host": "a name of host/inventory.toml",
        "package": "a published package",
        "verbose": VERBOSE,
        "json": JSON,
    },
)
@command
def why(
    session: Session, host: str, package: str, verbose: bool = False, json: bool = False
) -> None:
    """Trace PACKAGE from the running HOST back to its RPMs, build, spec diff, sources and tests."""
    run = session.start()
    wanted = inventory.load_host(run.settings, host)
    links = tracing.trace(run, wanted, package)
    report.chain(run.progress, f"why {package} on {host}", links)
    session.fields |= json_output.why(wanted, package, links)
    broken = [link.what for link in links if not link.ok]
    if broken:
        raise VerifyError(
            f"the chain is broken at: {', '.join(broken)}",
            hint=f"run `invoke build-rpms`, `invoke bootstrap {host}` and `invoke verify {host}`",
        )


@task(positional=["host"], help={"host": "a name of host/inventory.toml"})
@command
def unlock(session: Session, host: str) -> None:
    """Remove the lock that a run left on HOST; refused while that run is alive on this machine."""
    run = session.start()
    held = host_lock.remove(run.connect(inventory.load_host(run.settings, host)))
    run.progress.say(f"{host}: the lock of {held} is removed" if held else f"{host}: no lock")


@task(positional=["host"], help={"host": "a rehearsal host of host/inventory.toml"})
@command
def destroy(session: Session, host: str) -> None:
    """Remove a rehearsal host: its container, key and pinned host key."""
    run = session.start()
    wanted = inventory.load_host(run.settings, host)
    if not wanted.rehearsal:
        raise Exit(f"error: {host} is a real machine; only rehearsal hosts are removed", code=2)
    rehearsal.remove(run, wanted)
