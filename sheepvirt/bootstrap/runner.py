"""Bring a host to its desired state: gather facts, change what differs, gather facts again.

Facts are gathered once, and again after every step that changed something. They prove that the step
reached its state, and the next step uses them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import (
    desired,
    host_lock,
    ownership,
    readiness,
    refusals,
    rehearsal,
    space,
)
from sheepvirt.bootstrap import planned as planning
from sheepvirt.bootstrap.consent import NOTHING, Consent
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.gather import gather
from sheepvirt.bootstrap.kept import Keeper
from sheepvirt.bootstrap.steps import (
    STEPS,
    disk,
    ifcfg,
    kvm,
    network,
)
from sheepvirt.bootstrap.steps.base import (
    DesiredState,
    Step,
    StepContext,
)
from sheepvirt.core import locks
from sheepvirt.core.errors import BootstrapError, RemoteCommandError
from sheepvirt.core.waiting import wait_until
from sheepvirt.model import standin
from sheepvirt.model.enums import Init
from sheepvirt.model.hosts import Change, Host
from sheepvirt.sources import local

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.fact import FactQuery
    from sheepvirt.run import Run
    from sheepvirt.ssh.client import Connection


SECONDS = 10.0  # for a service to answer after it was started


def bootstrap(
    run: Run,
    host: Host,
    *,
    plan: bool,
    given: Consent = NOTHING,
    done: list[Change] | None = None,
) -> list[Change]:
    """Change what differs on ``host`` and return the changes; with ``plan`` change nothing.

    A run returns the changes in the words and the order of its plan. ``given`` is what the user
    agrees to. A change that waits for more has its option in ``waits_for`` and is not done.
    ``done`` gets each step's changes once they are done, also if an error ends the run.

    Raises BootstrapError (a step did not reach its state), SshError and its kinds, EngineError,
    ConfigError (no repo is published), LockedError.
    """
    wanted = desired.desired_state(run, host, given)
    host = wanted.host
    local.admit(host, wanted.records, run.progress)
    if plan:
        return make_plan(run, wanted)
    done = [] if done is None else done
    with locks.lock(run.settings, f"host-{host.name}", run.progress, clock=run.clock):
        first = _container(run, host)
        planned = differences(wanted, _unseen(host)) if first == [_created(host)] else None
        if host.rehearsal:
            rehearsal.ensure(run, host)
        done += first
        connection = run.connect(host)
        with host_lock.held(run, connection, f"bootstrap {host.name}"):
            return [*first, *converge(run, wanted, connection, planned=planned, done=done)]


def make_plan(run: Run, wanted: DesiredState) -> list[Change]:
    """Return what a bootstrap would change; build, create, start and write nothing."""
    host = wanted.host
    first = _container(run, host)
    if first == [_created(host)]:
        return [*first, *differences(wanted, _unseen(host))]
    if first:
        return first
    connection = run.connect(host)
    with run.progress.stage(f"{host.name}: look") as stage:
        busy = readiness.busy(connection, clock=run.clock)
        facts = gather(connection, desired.fact_query(wanted))
        stage.note = facts.os
    changes = differences(wanted, facts)
    if busy:
        run.progress.say(f"{host.name}: this plan may be outdated soon: {busy}")
    _say_notes(run, wanted, facts)
    return changes


def _container(run: Run, host: Host) -> list[Change]:
    """Return what a rehearsal host's container needs before anything can look at the host."""
    if not host.rehearsal:
        return []
    if not rehearsal.exists(run.engine, host):
        return [_created(host)]
    if not rehearsal.running(run.engine, host):
        return [Change(step="host", what=f"{host.name} started (it is stopped), then checked")]
    return []


def _created(host: Host) -> Change:
    return Change(step="host", what=f"{host.name} created, a rehearsal host")


def _unseen(host: Host) -> Facts:
    """Return what is known of a rehearsal host before it exists: its image has this."""
    if host.init != Init.SYSV:
        return Facts(init=Init.SYSTEMD)
    interfaces = frozenset({host.uplink} if host.uplink else ())
    return Facts(
        init=Init.SYSV, network_scripts=True, interfaces=interfaces, hashes={ifcfg.IFUP: ""}
    )


def differences(wanted: DesiredState, facts: Facts) -> list[Change]:
    """Return what every step would change, from ``facts``. Pure. Raises BootstrapError."""
    refusals.require(wanted, facts)
    changes: list[Change] = []
    for step in STEPS:
        changes.extend(_labelled(wanted, _check(step, wanted, facts, changes)))
    if _done_now(changes):
        space.require_room(wanted, facts)
    return changes


def _done_now(changes: Sequence[Change]) -> bool:
    """Tell whether any of ``changes`` waits for nothing."""
    return any(not change.waits_for for change in changes)


def _check(
    step: Step, wanted: DesiredState, facts: Facts, earlier: Sequence[Change]
) -> list[Change]:
    """Return what ``step`` would change; one change that says so where that is not known."""
    unknown = refusals.unknown(step, facts)
    if unknown:
        return [Change(step=step.name, what=unknown)]
    return step.check(wanted, facts, earlier)


def _labelled(wanted: DesiredState, changes: Sequence[Change]) -> list[Change]:
    """Label the changes of stand-ins."""
    return [replace(c, what=standin.label(c.what, wanted.stand_ins)) for c in changes]


def converge(
    run: Run,
    wanted: DesiredState,
    connection: Connection,
    *,
    planned: Sequence[Change] | None = None,
    done: list[Change] | None = None,
) -> list[Change]:
    """Run the steps in order; return what was changed, as its plan says it. Raises as bootstrap.

    ``planned`` is the plan, if it is not what the first look at the host gives. ``done`` gets each
    step's changes once they are done.
    """
    name = wanted.host.name
    asked = desired.fact_query(wanted)
    with run.progress.stage(f"{name}: look") as stage:
        readiness.settle(connection, clock=run.clock)
        facts = _look(run, connection, asked)
        stage.note = facts.os
    refusals.require(wanted, facts)  # also where the plan was made before the host existed
    planned = differences(wanted, facts) if planned is None else planned
    done = [] if done is None else done
    before = len(done)
    keeper = Keeper()
    for step in STEPS if planned else ():
        ownership.require(wanted, facts)  # libvirt may have been started only now
        changes = _check(step, wanted, facts, ())
        if _done_now(changes):
            space.require_room(wanted, facts)  # it may have become full meanwhile
            with run.progress.stage(f"{name}: {step.name}") as stage:
                context = StepContext(run, connection, stage, keeper)
                _apply(step, wanted, facts, context)
                facts = _look(run, connection, asked)
                refusals.require_answers(wanted, facts)
                _prove(step, wanted, facts, context)
        done.extend(_labelled(wanted, changes))
    _say_notes(run, wanted, facts)
    return planning.told(planned, done[before:], [step.name for step in STEPS])


def _look(run: Run, connection: Connection, asked: FactQuery) -> Facts:
    """Gather facts; wait a moment for a service that was just started. Raises as gather."""
    return wait_until(
        lambda: gather(connection, asked),
        lambda facts: not refusals.may_answer_soon(facts),
        clock=run.clock,
        seconds=SECONDS,
        every=1.0,
    )


def _say_notes(run: Run, wanted: DesiredState, facts: Facts) -> None:
    for note in (*disk.notes(wanted, facts), *network.notes(facts), *space.notes(facts)):
        run.progress.say(f"{wanted.host.name}: {note}")
    known = kvm.verdict(facts)
    if known and wanted.host.guests:
        run.progress.say(f"{wanted.host.name}: guests run as type {known.type}: {known.why}")


def _apply(step: Step, wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    unknown = refusals.unknown(step, facts)
    if unknown:
        raise BootstrapError(
            f"{wanted.host.name}: step {step.name!r}: {unknown}",
            hint="let the inventory's services start it (host/dependencies.toml), or start it "
            "yourself, then run this again",
        )
    try:
        step.apply(wanted, facts, context)
    except RemoteCommandError as error:
        raise BootstrapError(
            f"{wanted.host.name}: step {step.name!r}: {error.message}",
            hint=f"fix what the lines say, then run `invoke bootstrap {wanted.host.name}` again",
        ) from error


def _prove(step: Step, wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    left = [change for change in _check(step, wanted, facts, ()) if not change.waits_for]
    if left:
        said = "\n".join([f"  still to do: {c.what}" for c in left] + list(context.tail))
        raise BootstrapError(
            f"{wanted.host.name}: step {step.name!r} ran and did not reach its state:\n{said}",
            hint="read the run's log in dist/logs; the last lines are the output of its commands",
        )
