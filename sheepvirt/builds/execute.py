"""Execute a build plan: build what changed, keep the rest, publish the repo of a target."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sheepvirt.builds import contract, plan, preflight, repo
from sheepvirt.builds.buildroot import owner
from sheepvirt.builds.rpmbuild import Job
from sheepvirt.config import catalog, versions
from sheepvirt.core.errors import ConfigError, SourceUnreachableError
from sheepvirt.core.files import sha256
from sheepvirt.core.locks import lock
from sheepvirt.images import recipes
from sheepvirt.model.builds import (
    BuildPlan,
    BuildRecord,
    BundleSources,
    Choice,
    Package,
    PlannedBuild,
    Request,
    Target,
)
from sheepvirt.model.enums import Provider
from sheepvirt.rpm import compat_rules
from sheepvirt.sources import local, store

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from sheepvirt.core.progress import Progress
    from sheepvirt.core.settings import Settings
    from sheepvirt.run import Run


def make_plan(
    settings: Settings,
    target: Target,
    selectors: Sequence[str],
    image: str,
    published: Mapping[str, BuildRecord],
    *,
    files: Sequence[str] = (),
    bundle_sources: BundleSources | None = None,
    named: Collection[str] = (),
) -> BuildPlan:
    """Plan a run for ``selectors`` (see ``plan.request``; no name: every package).

    ``files`` are sources from ``--source`` (see ``local.parse``). ``named`` are the packages of the
    published repo, intact or not: they show which provider an earlier run chose. Reads package
    folders and intents. In a first run, checks whether the source of a package with a stand-in is
    available (in the bundle, if there is one). Changes nothing. Raises UnknownNameError,
    ConfigError, SourceUnreachableError.
    """
    asked, packages = _asked(settings, selectors, target)
    by_hand = local.parse(files, packages)
    for name, path in by_hand.items():
        packages[name] = local.use(packages[name], path, sha256(path))
    choices, wanted = _choices(
        settings, packages, asked, target, bundle_sources=bundle_sources, named=named
    )
    providers = {c.package: c.provider for c in choices}
    keys: dict[str, str] = {}
    builds: list[PlannedBuild] = []
    for package in plan.order(packages, wanted, target, providers):
        own = {p: sha256(p) for p in versions.files(package)}
        needs = [providers.get(name, name) for name in package.build_packages]
        inputs = plan.inputs(package, target, image, own, {name: keys[name] for name in needs})
        row = plan.decide(package, inputs, published.get(package.name), needs)
        keys[package.name] = row.key
        builds.append(row)
    for name in by_hand.keys() - {row.package.name for row in builds}:
        raise ConfigError(
            f"--source {name}=… has no effect: {name} is not built",
            hint=f"remove it, or add `--package {name}`",
        )
    left_out = () if asked.names else plan.left_out(packages, target)
    return BuildPlan(
        choices=tuple(choices), builds=tuple(builds), everything=not asked.names, left_out=left_out
    )


def _asked(
    settings: Settings, selectors: Sequence[str], target: Target
) -> tuple[Request, dict[str, Package]]:
    """Return what ``selectors`` request, and every package in its requested version."""
    names = catalog.package_names(settings)
    default = plan.chosen_versions(names, {}, target)
    found = (catalog.load_package(settings, n, default.get(n, "")) for n in names)
    packages = {package.name: package.for_target(target.name) for package in found}
    asked = plan.request(selectors, packages, plan.stand_ins(packages, target), target)
    for name, version in asked.versions.items():
        packages[name] = catalog.load_package(settings, name, version).for_target(target.name)
    return asked, packages


def _choices(
    settings: Settings,
    packages: Mapping[str, Package],
    asked: Request,
    target: Target,
    *,
    bundle_sources: BundleSources | None,
    named: Collection[str],
) -> tuple[list[Choice], list[str]]:
    """Choose a provider for each package with a stand-in; return the choices and build names."""
    known = plan.stand_ins(packages, target)
    forced = asked.providers
    wanted = list(asked.names) or plan.buildable(packages, target)
    undecided = plan.asked_about(packages, wanted, known)
    for name in forced.keys() & known.keys() - set(undecided):
        raise ConfigError(
            f"{name}={forced[name]} has no effect: {', '.join(wanted)} need no {name}",
            hint=f"remove it, or add `--package {name}`",
        )
    choices = []
    for name in undecided:
        force = forced.get(name)
        kept = None if force else plan.keep(name, known[name], named)
        if (
            kept
            and bundle_sources
            and not all(bundle_sources.has(s) for s in packages[kept.provider].sources)
        ):
            kept = None  # the bundle was made with the other provider
        if kept:
            choices.append(kept)
            continue
        availability = None
        if force != Provider.STAND_IN:
            availability = store.availability_of_all(
                settings, packages[name].sources, bundle_sources
            )
        choices.append(plan.choose(name, known[name], force, availability))
    return choices, wanted


def explain(
    settings: Settings,
    target: Target,
    selectors: Sequence[str],
    files: Sequence[str] = (),
    bundle_sources: BundleSources | None = None,
) -> BuildPlan:
    """Return what ``build_rpms`` would do now, in order. Needs no engine. Raises as make_plan."""
    return make_plan(
        settings,
        target,
        selectors,
        recipes.tag_of(settings, target, "builder"),
        repo.published(settings, target.name),
        files=files,
        bundle_sources=bundle_sources,
        named=repo.named(settings, target.name),
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
        published = repo.published(settings, target.name)
        named = repo.named(settings, target.name)
        planned = make_plan(
            settings,
            target,
            selectors,
            image,
            published,
            files=files,
            bundle_sources=bundle_sources,
            named=named,
        )
        if bundle_sources:
            needed = [s for row in planned.builds if row.build for s in row.package.sources]
            store.require(needed, bundle_sources)
        _say_plan(planned, progress)
        kept = _kept(settings, planned, published)
        if kept == published.keys() and not any(row.build for row in planned.builds):
            return list(published.values())
        records = {name: published[name] for name in published if name in kept}
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
        repo.index(run.engine, target, image, stage, part)
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


def _kept(settings: Settings, planned: BuildPlan, published: Mapping[str, BuildRecord]) -> set[str]:
    """Return the published packages to keep: those that need no build or were not requested.

    The provider that a choice rejected is dropped, and so is a package that left specs/: it may be
    a former provider.
    """
    kept = {row.package.name for row in planned.builds if not row.build}
    if not planned.everything:
        kept |= published.keys() - {row.package.name for row in planned.builds}
    return kept & set(catalog.package_names(settings)) - {
        choice.rejected for choice in planned.choices
    }
