"""Execute a build plan: build what changed, keep the rest, publish the repo of a target."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sheepvirt.builds import contract, lookup, plan, preflight, repo
from sheepvirt.builds.buildroot import owner
from sheepvirt.builds.rpmbuild import Job
from sheepvirt.core.errors import SourceUnreachableError
from sheepvirt.core.locks import lock
from sheepvirt.images import recipes
from sheepvirt.model.enums import Provider
from sheepvirt.rpm import compat_rules
from sheepvirt.sources import store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sheepvirt.core.progress import Progress
    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord, BundleSources, Target
    from sheepvirt.model.plans import BuildPlan, PlannedBuild
    from sheepvirt.run import Run


def explain(
    settings: Settings,
    target: Target,
    selectors: Sequence[str],
    files: Sequence[str] = (),
    bundle_sources: BundleSources | None = None,
) -> BuildPlan:
    """Return what ``build_rpms`` would do now, in order. Needs no engine.

    Raises UnknownNameError, ConfigError, SourceUnreachableError.
    """
    image = recipes.tag_of(settings, target, "builder")
    return plan.make_plan(
        lookup.for_run(
            settings, target, selectors, image, local_files=files, bundle_sources=bundle_sources
        )
    )


def build_rpms(
    run: Run,
    target: Target,
    selectors: Sequence[str],
    files: Sequence[str] = (),
    bundle_sources: BundleSources | None = None,
) -> list[BuildRecord]:
    """Build the changed packages of ``selectors`` (empty: all) and publish the repo of ``target``.

    ``files`` are sources from ``--source``. With ``bundle_sources`` the network is off: other
    sources come from that bundle, and the image must exist. Returns the records of all published
    packages. Raises SourceError, SpecError, EngineError, BuildError, ContractError,
    PreflightError; the published repo is then unchanged.
    """
    settings, progress = run.settings, run.progress
    preflight.require(target, preflight.examine(run, target))
    with lock(settings, f"target-{target.name}", progress, clock=run.clock):
        run.engine.reap(owner(settings, target))
        image = recipes.tag_of(settings, target, "builder")
        if not bundle_sources:
            image = recipes.ensure(run, target, "builder")
        values = lookup.for_run(
            settings, target, selectors, image, local_files=files, bundle_sources=bundle_sources
        )
        planned, published = plan.make_plan(values), values.published
        if bundle_sources:
            needed = [s for row in planned.builds if row.build for s in row.package.sources]
            store.require(needed, bundle_sources)
        _say_plan(planned, progress)
        if planned.kept == published.keys() and not any(row.build for row in planned.builds):
            return list(published.values())
        records = {name: published[name] for name in published if name in planned.kept}
        with repo.staging(settings, target.name) as stage:
            for record in records.values():
                repo.keep(settings, target.name, record, stage)
            for row in planned.builds:
                if row.build:
                    job = Job(run, target, image, stage, bundle_sources=bundle_sources)
                    with _stand_in_offered(planned, row):
                        records[row.package.name] = job.build(row, records)
            _publish(run, target, image, stage, list(records.values()))
        return list(records.values())


def _say_plan(planned: BuildPlan, progress: Progress) -> None:
    for sentence in (*(choice.sentence for choice in planned.choices), *planned.left_out):
        progress.say(f"  {sentence}")
    for row in planned.builds:
        progress.say(f"  {row.package.name} {row.package.version}: {row.reason}")
        if row.package.unpinned:
            progress.say(f"  UNPINNED: {row.package.unpinned}")


def _publish(
    run: Run, target: Target, image: str, stage: Path, records: Sequence[BuildRecord]
) -> None:
    """Index the repo in ``stage``, check that the target's tools can read it, and publish it."""
    with run.progress.stage(f"repo: {target.createrepo[0]}") as part:
        repo.index(run.engine, target, image, stage, part, owner=owner(run.settings, target))
        usable = compat_rules.repo_evidence(target, stage)
        contract.require(usable, where=f"[ceilings] of {target.name}'s target.toml")
        repo.publish(run.settings, target.name, stage, records)
        part.note = str(repo.home(run.settings, target.name))


@contextmanager
def _stand_in_offered(planned: BuildPlan, row: PlannedBuild) -> Iterator[None]:
    """Add the stand-in, if the package has one, to the hint of an unreachable source."""
    try:
        yield
    except SourceUnreachableError as error:
        name = row.package.name
        if any(choice.provider == name and not choice.stand_in for choice in planned.choices):
            error.hint += f"; or build on its stand-in: `--package {name}={Provider.STAND_IN}`"
        raise
