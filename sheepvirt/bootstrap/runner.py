"""Bring a host to its desired state: gather facts, change what differs, gather facts again.

Facts are gathered once, and again after every step that changed something. They prove that the step
reached its state, and the next step uses them.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import (
    consent,
    host_files,
    host_lock,
    ownership,
    refusals,
    rehearsal,
    schemas,
    space,
)
from sheepvirt.bootstrap import planned as planning
from sheepvirt.bootstrap.consent import Consent
from sheepvirt.bootstrap.facts.fact import FactQuery
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.gather import gather
from sheepvirt.bootstrap.kept import Keeper
from sheepvirt.bootstrap.refusals import DATAPATH_MODULE
from sheepvirt.bootstrap.steps import (
    STEPS,
    disk,
    disk_file,
    disk_vdi,
    guard,
    ifcfg,
    kvm,
    marking,
    network,
    repository,
    undo,
    units,
)
from sheepvirt.bootstrap.steps.base import (
    DesiredState,
    Step,
    StepContext,
    disk_path,
    vdi_note,
)
from sheepvirt.bootstrap.steps.reboot import settle
from sheepvirt.builds import repo
from sheepvirt.config import catalog, inventory
from sheepvirt.core import files, locks
from sheepvirt.core.errors import BootstrapError, ConfigError, RemoteCommandError
from sheepvirt.core.waiting import wait_until
from sheepvirt.images import guest
from sheepvirt.model import standin
from sheepvirt.model.enums import Init, ObjectKind
from sheepvirt.model.hosts import Change, Host
from sheepvirt.sources import local

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord
    from sheepvirt.model.hosts import Guest
    from sheepvirt.run import Run
    from sheepvirt.ssh.client import Connection


NOTHING = Consent()
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
    wanted = desired_state(run, host, given)
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


def desired_state(run: Run, host: Host, given: Consent = NOTHING) -> DesiredState:
    """Return the desired state of ``host``.

    Raises ConfigError (no repo is published, or a rehearsal host cannot have the init that its RPMs
    or its inventory require), EngineError.
    """
    settings = run.settings
    folder = repo.home(
        settings, host.target
    ).resolve()  # one repo, even if another is published now
    records = repo.read_manifest(folder)
    host = _with_init(settings, host, records)
    _refuse_another_init(run, host)
    try:
        repomd = (folder / "repodata" / "repomd.xml").read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{folder} has no repodata", hint=f"run `invoke build-rpms --target {host.target}`"
        ) from error
    digests = _repo_files(folder, records)
    return DesiredState(
        host=host,
        dependencies=inventory.load_dependencies(settings),
        repo=folder,
        repomd=hashlib.sha256(repomd).hexdigest(),
        repo_files=digests,
        repo_size=sum((folder / file).stat().st_size for file in digests),
        records=records,
        images={g.name: guest.image_name(settings, g) for g in host.guests},
        consent=consent.on(host, given),
        image_sizes={g.name: disk.size_of(p) for g in host.guests if (p := _image(settings, g))},
        schemas=schemas.load(settings.cache / "schemas", folder, records),
        host_files=host_files.load(settings.host),
        stand_ins=standin.words(catalog.load_package(settings, r.package) for r in records),
        rejected_rpms=_rejected_rpms(settings, records),
        module_packages=_module_packages(settings, host.target),
    )


def _rejected_rpms(settings: Settings, records: Sequence[BuildRecord]) -> dict[str, str]:
    """Map the RPMs of providers that were not chosen to the package in their place."""
    packages = [catalog.load_package(settings, name) for name in catalog.package_names(settings)]
    published = {record.package for record in records}
    found: dict[str, str] = {}
    for stand_in in (p for p in packages if p.stands_in_for):
        real = next(p for p in packages if p.name == stand_in.stands_in_for)
        for chosen, other in ((real, stand_in), (stand_in, real)):
            if chosen.name in published:
                found |= dict.fromkeys(other.installed_subpackages, chosen.name)
    return found


def _module_packages(settings: Settings, target: str) -> dict[str, str]:
    """Map each kernel module that hosts of ``target`` need to its package."""
    packages = [catalog.load_package(settings, name) for name in catalog.package_names(settings)]
    return {p.kernel_module: p.name for p in packages if p.kernel_module and target in p.targets}


def _with_init(settings: Settings, host: Host, records: Sequence[BuildRecord]) -> Host:
    """Return a rehearsal host with the init that its RPMs have services for.

    Raises ConfigError: the inventory names another one.
    """
    if not host.rehearsal:
        return host
    for record in records:
        init = catalog.load_package(settings, record.package, record.version).init
        if init and host.init not in {None, init}:
            raise ConfigError(
                f"{record.package} {record.version} has init scripts, and the inventory sets "
                f"init = {str(host.init)!r} for the rehearsal host {host.name}",
                hint=f'set `init = "{init}"` for it in {settings.inventory}',
            )
        if init:
            return replace(host, init=init)
    return replace(host, init=host.init or Init.SYSTEMD)


def _refuse_another_init(run: Run, host: Host) -> None:
    """Raise ConfigError if the rehearsal host exists and has another init."""
    there = rehearsal.made_with(run.engine, host) if host.rehearsal else None
    if there not in {None, host.init}:
        raise ConfigError(
            f"{host.name} was made with {there}; the published RPMs or "
            f"{run.settings.inventory} now require {host.init}",
            hint=f"run `invoke destroy {host.name}`; the next bootstrap makes a new one",
        )


def _image(settings: Settings, one: Guest) -> Path | None:
    """Return the image of a guest if it is there; a plan makes none."""
    path = guest.image_path(settings, one)
    return path if path.is_file() else None


def _repo_files(folder: Path, records: Sequence[BuildRecord]) -> dict[str, str]:
    """Map the files that a host gets to their sha256: RPMs from the manifest, repodata from disk.

    Raises ConfigError: a file of the published repo is missing.
    """
    published = [rpm for record in records for rpm in record.rpms]
    found = {r.file: r.sha256 for r in published if not r.nevra.endswith((".src", ".nosrc"))}
    missing = [file for file in found if not (folder / file).is_file()]
    if missing:
        raise ConfigError(
            f"{folder} has no {missing[0]}, which its manifest names",
            hint="run `invoke build-rpms`: it publishes a whole repo",
        )
    repodata = sorted(path for path in (folder / "repodata").iterdir() if path.is_file())
    return found | {str(path.relative_to(folder)): files.sha256(path) for path in repodata}


def fact_query(wanted: DesiredState) -> FactQuery:
    """Return the query for all facts that the steps need."""
    host = wanted.host
    rests = (disk_file.beside(disk_path(g)) for g in host.guests)
    return FactQuery(
        names=wanted.dependencies.packages,
        modules=tuple(dict.fromkeys((*wanted.module_packages, DATAPATH_MODULE))),
        services=(*wanted.dependencies.services, units.AUTOSTART),
        networks=(network.DEFAULT, host.network),
        pools=(host.pool,),
        domains=tuple(g.name for g in host.guests),
        disks=tuple(disk_path(g) for g in host.guests),
        trees=(repository.FOLDER,),
        folders=space.FOLDERS,
        files=(*repository.FILES, *units.FILES, ifcfg.IFUP, *rests),
        texts=(
            kvm.NOTE,
            undo.SCRIPT,
            guard.BOOT,
            guard.LIVE,
            network.NEW,
            *(note(g) for g in host.guests for note in (vdi_note, disk_vdi.copying_note)),
            repository.REPO_FILE,
            *units.FILES,
            marking.sent_file(ObjectKind.NETWORK, host.network),
            marking.sent_file(ObjectKind.POOL, host.pool),
            *(marking.sent_file(ObjectKind.DOMAIN, g.name) for g in host.guests),
        ),
    )


def make_plan(run: Run, wanted: DesiredState) -> list[Change]:
    """Return what a bootstrap would change; build, create, start and write nothing."""
    host = wanted.host
    first = _container(run, host)
    if first == [_created(host)]:
        return [*first, *differences(wanted, _unseen(host))]
    if first:
        return first
    with run.progress.stage(f"{host.name}: look") as stage:
        facts = gather(run.connect(host), fact_query(wanted))
        stage.note = facts.os
    changes = differences(wanted, facts)
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
    return changes


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
    asked = fact_query(wanted)
    with run.progress.stage(f"{name}: look") as stage:
        settle(connection, clock=run.clock)
        facts = _look(run, connection, asked)
        stage.note = facts.os
    planned = differences(wanted, facts) if planned is None else planned
    done = [] if done is None else done
    before = len(done)
    keeper = Keeper()
    for step in STEPS if planned else ():
        ownership.require(wanted, facts)  # libvirt may have been started only now
        changes = _check(step, wanted, facts, ())
        if any(not change.waits_for for change in changes):
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
    for note in (*disk.notes(wanted, facts), *network.notes(facts)):
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
