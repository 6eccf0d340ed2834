"""Carry a build plan out: build what changed, keep the rest, publish the repo of a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sheepvirt import config, images, paths, plan, repo, rpms
from sheepvirt.engine import Engine
from sheepvirt.locks import lock
from sheepvirt.model import BuildRecord, PlannedBuild, Target
from sheepvirt.progress import Progress
from sheepvirt.rpmbuild import Job, owner
from sheepvirt.tables import pick


def make_plan(
    target: Target, names: Sequence[str], image: str, published: Mapping[str, BuildRecord]
) -> list[PlannedBuild]:
    """Return what is to be done for ``names`` (empty: every package of ``target``), in order.

    Reads package folders and intents; runs nothing. Raises UnknownNameError, ConfigError.
    """
    known = config.package_names()
    for name in names:
        pick("package", name, known)
    packages = {n: config.load_package(n) for n in known}
    keys: dict[str, str] = {}
    planned: list[PlannedBuild] = []
    for package in plan.order(packages, names or plan.buildable(packages, target), target):
        folders = (package.folder, paths.PATCHES / package.name)
        files = {p: rpms.sha256(p) for folder in folders for p in _files(folder)}
        inputs = plan.inputs(package, target, image, files, keys)
        row = plan.decide(package, inputs, published.get(package.name))
        keys[package.name] = row.key
        planned.append(row)
    return planned


def explain(target: Target, names: Sequence[str]) -> list[PlannedBuild]:
    """Return what ``build_rpms`` would do now, in order. Needs no engine. Raises ConfigError."""
    image = images.tag_of(target, "builder")
    return make_plan(target, names, image, repo.published(target))


def _files(folder: Path) -> list[Path]:
    """Return all files below ``folder``, less what tools leave there (caches, compiled Python)."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(p == "__pycache__" or p[0] == "." for p in path.relative_to(folder).parts)
    ]


def build_rpms(target: Target, names: Sequence[str], progress: Progress) -> list[BuildRecord]:
    """Build what has changed of ``names`` (empty: everything) and publish the repo of ``target``.

    Returns the records of all published packages. Raises SourceError, SpecError, EngineError,
    BuildError, ContractError; the published repo is then what it was.
    """
    with lock(f"target-{target.name}", progress):
        engine = Engine()
        engine.reap(owner(target))
        image = images.ensure(engine, target, "builder", progress)
        published = repo.published(target)
        planned = make_plan(target, names, image, published)
        for row in planned:
            progress.say(f"  {row.package.name} {row.package.version}: {row.reason}")
        # A package that is no longer in specs/ leaves the repo with the next build of everything.
        kept = {r.package.name for r in planned if not r.build} | (
            published.keys() - {r.package.name for r in planned} if names else set()
        )
        if kept == published.keys() and not any(row.build for row in planned):
            return list(published.values())
        records = {name: published[name] for name in published if name in kept}
        with repo.staging(target) as stage:
            for record in records.values():
                repo.keep(target, record, stage)
            for row in planned:
                if row.build:
                    job = Job(engine, target, image, stage, progress)
                    records[row.package.name] = job.build(row, records)
            with progress.stage("repo: createrepo_c") as part:
                repo.index(engine, image, stage, part)
                repo.publish(target, stage, list(records.values()))
                part.note = str(repo.home(target))
        return list(records.values())
