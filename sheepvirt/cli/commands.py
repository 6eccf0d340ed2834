"""The commands, as ``invoke NAME`` in a checkout and as ``sheepvirt NAME`` where it is installed.

Thin: each task reads its arguments and calls ``sheepvirt``. Errors of the tree end here. (The three
``python -m`` commands have an end of their own: core/output.py.) What only builds need is imported
by their commands: it takes as long as a look at a host.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Collection, Context, Exit, Program, task

from sheepvirt import pipeline
from sheepvirt.bootstrap import rehearsal
from sheepvirt.cli import json_output, report
from sheepvirt.cli.host_commands import (
    JSON,
    bootstrap,
    destroy,
    kept,
    restore,
    trust,
    unlock,
    verify,
    why,
)
from sheepvirt.cli.inventory_commands import inventory_command
from sheepvirt.cli.session import Session, command
from sheepvirt.config import catalog, inventory
from sheepvirt.core import paths, processes
from sheepvirt.core.errors import PreflightError
from sheepvirt.engine import machine

if TYPE_CHECKING:
    from sheepvirt.run import Run


@task
@command
def engine(session: Session) -> None:
    """Install and start the Docker Engine if it is not running (needs root)."""
    run = session.start()
    machine.ensure(run.settings, run.progress, run.clock)


@task(
    help={"target": "check only this target; without it, every target", "json": JSON},
    positional=[],
)
@command
def doctor(session: Session, target: str = "", json: bool = False) -> None:
    """Check what each target needs of this machine and its network; print fixes."""
    from sheepvirt.builds import preflight

    run = session.start()
    able = []
    session.fields["targets"] = rows = []
    for name in [target] if target else catalog.target_names(run.settings):
        one = inventory.load_target(run.settings, name)
        found = preflight.examine(run, one)
        report.findings(run.progress, one, found)
        rows.append(json_output.doctor(one, found))
        able += [name] if all(finding.ok for finding in found) else []
    if not able:
        raise Exit(code=PreflightError.exit_code)


@task(
    help={
        "target": "what to build for; without it, the best target that can be built here",
        "from_bundle": "use images and sources of this file from `invoke bundle`, without network",
        "package": "build only this package (and what it needs); may be repeated; libvirt=1.0.3 "
        "is a version; sheepdog=real or sheepdog=stand-in selects its provider",
        "source": "NAME=FILE: use FILE as the package's source; if its hash is not the pinned "
        "one, the RPMs say so and are only for rehearsal hosts; may be repeated",
        "explain": "print the order and the reason of each build; build nothing",
    },
    iterable=["package", "source"],
    positional=[],
)
@command
def build_rpms(
    session: Session,
    package: list[str],
    source: list[str],
    target: str = "",
    explain: bool = False,
    from_bundle: str = "",
) -> None:
    """Patch the spec, prove it, build the RPMs in a container, publish the repo in dist/TARGET."""
    from sheepvirt.builds import execute, repo
    from sheepvirt.bundle import importer

    run = session.start()
    if from_bundle:
        imported = importer.use(run, Path(from_bundle), target)
        chosen, bundle_sources = imported.target, imported.bundle_sources
        pipeline.say_unproven(chosen, run.progress)
        why = f"target {chosen.name}: {imported.bundle_sources.name} is for it ({chosen.summary})"
        package = package or list(imported.selectors)
    else:
        chosen, why = pipeline.choose_target(run, target)
        bundle_sources = None
    if explain:
        planned = execute.explain(run.settings, chosen, package, source, bundle_sources)
        report.plan(run.progress, planned)
        return
    records = execute.build_rpms(run, chosen, package, source, bundle_sources)
    report.builds(run.progress, chosen, repo.home(run.settings, chosen.name), records)
    run.progress.write_timings(run.settings.timings)
    run.progress.say(why)


@task(
    positional=["target"],
    help={
        "target": "what to build for, such as el6",
        "package": "only what this package needs; as in build-rpms",
        "output": "the file to write; without it, dist/sheepvirt-TARGET.tar",
    },
    iterable=["package"],
)
@command
def bundle(session: Session, target: str, package: list[str], output: str = "") -> None:
    """Write images, sources, repos, keys and a lock to one file, for builds without a network."""
    from sheepvirt.bundle import writer

    run = session.start()
    chosen, _ = pipeline.choose_target(run, target)
    path = Path(output) if output else writer.default_path(run.settings, chosen)
    writer.make(run, chosen, package, path)


def _everything(run: Run, host: str, from_bundle: Path | None = None) -> None:
    from sheepvirt.builds import repo

    done = pipeline.everything(run, host, report, from_bundle)
    report.builds(
        run.progress, done.target, repo.home(run.settings, done.target.name), done.records
    )
    report.changes(run.progress, done.host, done.changes, plan=False)
    report.verified(run.progress, done.host, done.outcome)
    report.summary(run.progress, done.target, done.host, done.records, done.outcome)


@task(
    name="all",
    help={
        "host": "a name of host/inventory.toml",
        "from_bundle": "use images and sources of this file from `invoke bundle`, without network",
    },
)
@command
def everything(session: Session, host: str = "tahiti", from_bundle: str = "") -> None:
    """Do the whole job, as `make` does: RPMs, repo, host, guest, verification, summary."""
    session.name = "all"
    _everything(session.start(), host, Path(from_bundle) if from_bundle else None)


@task(help={"host": "a name of host/inventory.toml"})
@command
def nightly(session: Session, host: str = "tahiti") -> None:
    """Do the whole job on a new rehearsal host; the artifacts are in dist/."""
    run = session.start()
    wanted = inventory.load_host(run.settings, host)
    if wanted.rehearsal:
        rehearsal.remove(run, wanted)
    _everything(run, host)


def _in_checkout(*argv: str) -> None:
    """Run a program of this Python's environment in the checkout."""
    if not paths.IN_CHECKOUT:
        raise Exit("error: the tests are in the checkout alone; run this command there", code=2)
    print("  $", *argv, flush=True)
    program = Path(sys.executable).with_name(argv[0])
    # Without Python's cache each worker rewrites the tests' assertions, and each command that a
    # test starts compiles sheepvirt: a fifth of the time.
    code = processes.run_on_terminal(
        [str(program), *argv[1:]], paths.ROOT, without="PYTHONDONTWRITEBYTECODE".__eq__
    )
    if code:
        raise Exit(code=code)


@task
def check(_context: Context) -> None:
    """Run the fast part of the tests: format, lint, imports, strict types, unit tests."""
    _in_checkout("ruff", "format", "--check", ".")
    _in_checkout("ruff", "check", ".")
    _in_checkout("lint-imports")
    _in_checkout("mypy")
    # One more than there are processors: some tests wait.
    workers = ("-n", str(len(os.sched_getaffinity(0)) + 1), "--dist", "worksteal")
    _in_checkout("pytest", "-q", *workers, "tests/unit", "tests/pocketsheep")


@task(pre=[check])
def test(_context: Context) -> None:
    """Run all tests, also the end-to-end tests (needs the engine)."""
    _in_checkout("pytest", "-q", "--durations=10", "tests/pipeline")


namespace = Collection(
    doctor,
    engine,
    build_rpms,
    bundle,
    bootstrap,
    kept,
    restore,
    trust,
    verify,
    everything,
    why,
    nightly,
    destroy,
    unlock,
    inventory_command,
    check,
    test,
)


def main() -> None:
    """Run ``sheepvirt NAME``: the commands of ``invoke``, without a tasks.py in the folder."""
    Program(paths.version(), namespace, name="sheepvirt", binary="sheepvirt").run()
