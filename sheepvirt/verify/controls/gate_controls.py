"""Negative controls of the build gates: a stock spec, a build root without the CLI.

The gate for each must stop it. (Controls of built artifacts are in claim_controls.py.) They run on
published packages whose spec is patched by an intent, with the real engine and the real rpm.
Nothing of them is published or kept.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.builds import buildlog, repo, staging
from sheepvirt.builds.buildroot import owner
from sheepvirt.builds.rpmbuild import Job
from sheepvirt.config import catalog
from sheepvirt.core import locks
from sheepvirt.core.errors import CompileError, ConfigError, ContractError
from sheepvirt.images import recipes
from sheepvirt.model.enums import Gate
from sheepvirt.rpm import rpms
from sheepvirt.sources import local
from sheepvirt.verify.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sheepvirt.core.progress import Stage
    from sheepvirt.model.builds import BuildRecord, Package, Rpm, Target
    from sheepvirt.run import Run

# Replaces the compilation: a build that gets there was not stopped by its configuration.
NO_COMPILATION = ("--define", "meson_build exit 97", "--define", "_smp_mflags --no-compilation")
UNMET = "build: rpmbuild misses what the spec requires: sheepdog"
UNFOUND = "build: configure finds neither collie nor dog"
# Messages of rpm, meson and configure, and their names here.
COMPLAINTS = (
    ("sheepdog is needed by", UNMET),
    ("Program 'collie dog' not found", UNFOUND),
    ("Program(s) ['collie', 'dog'] not found", UNFOUND),
    ("We need collie", UNFOUND),  # libvirt 1.0.3's configure
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A published package to test a gate with, and where to build it."""

    package: Package
    record: BuildRecord
    files: tuple[Path, ...]  # its sources
    build_root_rpms: tuple[Rpm, ...]  # RPMs of the same repo for its build root
    published: Path  # its folder in the repo
    job: Job


@dataclass(frozen=True, kw_only=True)
class GateControl:
    """One fault, and the claims (or the named complaints) that must fail because of it."""

    name: str
    expected: Callable[[Case], frozenset[str]]
    run: Callable[[Case, Path], None]  # must raise ContractError or CompileError


def stock_spec(case: Case, scratch: Path) -> None:
    """Give the spec gate upstream's unpatched spec, as rpm expands it."""
    path = scratch / case.package.spec_file
    text = staging.stock_spec(case.package, case.files)
    path.write_bytes(text.encode(errors=staging.BYTES))
    with case.job.build_root(case.package, case.files, path, case.build_root_rpms) as container:
        case.job.prove(container, case.package, scratch)


def no_rpm(case: Case, scratch: Path) -> None:
    """Build the patched spec in a build root that lacks the RPM with sheepdog's CLI."""
    with case.job.build_root(case.package, case.files, _spec(case), ()) as container:
        case.job.compile(container, _short(case.package), scratch)


def no_cli(case: Case, scratch: Path) -> None:
    """Build the patched spec, up to configure, with that RPM installed and its programs removed."""
    programs = [f for rpm in case.build_root_rpms for f in rpm.files if f.startswith("/usr/bin/")]
    with case.job.build_root(
        case.package, case.files, _spec(case), case.build_root_rpms
    ) as container:
        container.run(["rm", "-f", *programs], check=True)
        case.job.compile(container, _short(case.package), scratch)


def _spec(case: Case) -> Path:
    return case.published / case.package.spec_file


def _short(package: Package) -> Package:
    return replace(package, rpmbuild_args=(*package.rpmbuild_args, *NO_COMPILATION))


def _of_gate(gate: Gate, *claims: str) -> Callable[[Case], frozenset[str]]:
    """Return a function that returns the gate's claims about the published build.

    Only claims whose text contains one of ``claims`` are returned.
    """

    def expected(case: Case) -> frozenset[str]:
        seen = [e for e in case.record.evidence if e.gate == gate]
        return frozenset(
            f"{e.gate}: {e.claim}" for e in seen if any(word in e.claim for word in claims)
        )

    return expected


CONTROLS = (
    GateControl(
        name="stock spec",
        expected=_of_gate(
            Gate.SPEC, "configure is told", "BuildRequires", "Requires", "is applied"
        ),
        run=stock_spec,
    ),
    GateControl(
        name="build root without sheepdog's RPM",
        expected=lambda _case: frozenset({UNMET}),
        run=no_rpm,
    ),
    GateControl(
        name="build root without the CLI", expected=lambda _case: frozenset({UNFOUND}), run=no_cli
    ),
)


def try_each(run: Run, target: Target) -> list[Outcome]:
    """Run every gate control on the packages published for ``target``.

    Raises ConfigError, EngineError, SourceError, LockedError.
    """
    settings = run.settings
    with locks.lock(settings, f"target-{target.name}", run.progress, clock=run.clock):
        run.engine.reap(owner(settings, target))
        folder = repo.home(settings, target.name).resolve()
        records = {r.package: r for r in repo.read_manifest(folder)}
        loaded = [
            local.recall(catalog.load_package(settings, r.package, r.version), r)
            for r in records.values()
        ]
        packages = [p for p in loaded if staging.intents(p)]
        if not packages:
            raise ConfigError(
                f"no package with a patched spec is published for {target.name}",
                hint=f"run `invoke build-rpms --target {target.name}` first",
            )
        found = []
        with tempfile.TemporaryDirectory() as scratch:
            image = recipes.ensure(run, target, "builder")
            job = Job(run, target, image, Path(scratch), keep_failed=False)
            for package in packages:
                case = _case(run, package, records, folder, job)
                found += [_outcome(run, c, case, Path(scratch)) for c in CONTROLS]
    return found


def _case(
    run: Run, package: Package, records: dict[str, BuildRecord], folder: Path, job: Job
) -> Case:
    record = records[package.name]
    with run.progress.stage(f"{package.name}: sources") as stage:
        files = tuple(job.fetch(source, stage) for source in package.sources)
    return Case(
        package=package,
        record=record,
        files=files,
        build_root_rpms=tuple(
            rpms.read(folder / r.file)
            for name in record.inputs.packages
            for r in records[name].rpms
            if not r.is_source
        ),
        published=folder / package.name,
        job=job,
    )


def _outcome(run: Run, control: GateControl, case: Case, scratch: Path) -> Outcome:
    started = run.clock.monotonic()
    with (
        run.progress.stage(f"control: {case.package.name}: {control.name}") as stage,
        tempfile.TemporaryDirectory(dir=scratch) as out,
    ):
        seen = _said(control, case, Path(out), stage)
        stage.note = f"stopped at {', '.join(sorted(seen))}" if seen else "nothing stopped it"
    return Outcome(
        control=f"{case.package.name}: {control.name}",
        expected=control.expected(case),
        seen=seen,
        restored="nothing was changed",
        seconds=run.clock.monotonic() - started,
    )


def _said(control: GateControl, case: Case, out: Path, stage: Stage) -> frozenset[str]:
    """Return the failed claims, or the named complaint of rpm or configure."""
    try:
        control.run(case, out)
    except ContractError as error:
        stage.line(error.message)
        return frozenset(error.claims)
    except CompileError as error:
        stage.line(error.message)
        said = buildlog.first_error((out / "build.log").read_text(errors="replace"))
        return frozenset({_named(said)})
    return frozenset()


def _named(said: str) -> str:
    names: Sequence[str] = [name for words, name in COMPLAINTS if words in said]
    return names[0] if names else f"build: {said.splitlines()[0]}"
