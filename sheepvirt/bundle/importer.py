"""Import a bundle on a machine without a network; writer.py writes one.

The whole bundle is verified before anything of it is loaded or cached. What it lacks is not
searched anywhere else.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.bundle import archive
from sheepvirt.bundle.lockfile import FORMAT, REQUIREMENTS, ImageRow, SourceRow
from sheepvirt.config import inventory
from sheepvirt.core import locks, paths
from sheepvirt.core.errors import BundleError
from sheepvirt.core.files import sha256
from sheepvirt.images import recipes
from sheepvirt.model.builds import BundleSources, Source, Target
from sheepvirt.sources import git, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.bundle.archive import Archive
    from sheepvirt.core.progress import Stage
    from sheepvirt.core.settings import Settings
    from sheepvirt.run import Run

BUILDER = "builder"


@dataclass(frozen=True, kw_only=True)
class ImportedBundle:
    """A verified bundle: its target, its sources, and the --package selectors for it."""

    target: Target
    bundle_sources: BundleSources
    selectors: tuple[str, ...]


def use(run: Run, path: Path, target: str) -> ImportedBundle:
    """Verify the bundle ``path``, then import its images and sources; return them.

    It must be for ``target``, unless that is "". Raises BundleError (it is truncated or changed,
    and nothing was imported; or it is for another target; or its builder image has another recipe
    than this checkout's), EngineError.
    """
    progress = run.progress
    with progress.stage(f"check {path.name}") as stage:
        bundle = archive.read(path)
        stage.note = f"{len(bundle.lock.members)} members, {size_of(path)}"
    lock = bundle.lock
    progress.say(
        f"  bundle for {lock.target}, made {lock.made} by sheepvirt {lock.version} at "
        f"{lock.revision[:12] or 'an unknown revision'}; lock: sha256 {bundle.lock_sha256}"
    )
    if target not in {"", lock.target}:
        raise BundleError(
            f"{path} is for target {lock.target!r}, not for {target!r}",
            hint=f"remove --target, or make another bundle: `invoke bundle {target}`",
        )
    chosen = inventory.load_target(run.settings, lock.target)
    _compare(run, bundle, chosen)
    with locks.lock(run.settings, f"target-{chosen.name}", progress, clock=run.clock):
        for row in lock.images:
            if row.tag == recipes.tag_of(run.settings, chosen, row.kind):
                _load(run, bundle, row)
        with (
            disk_errors("its sources cannot be kept"),
            progress.stage("import the sources") as stage,
        ):
            for source in lock.sources:
                _unpack(run.settings, bundle, source, stage)
            stage.note = f"{len(lock.sources)} sources"
    bundle_sources = BundleSources(
        name=path.name, holds=frozenset((s.pin, s.file) for s in lock.sources)
    )
    return ImportedBundle(target=chosen, bundle_sources=bundle_sources, selectors=lock.selectors)


def _compare(run: Run, bundle: Archive, target: Target) -> None:
    """Report how bundle and checkout differ. Raises BundleError: its builder does not fit."""
    lock, progress = bundle.lock, run.progress
    here = git.own_revision()
    made_at, used_at = (r[:12] or "an unknown revision" for r in (lock.revision, here))
    tags = {row.kind: row.tag for row in lock.images}
    remedy = (
        f"use the checkout that it was made from ({made_at}) with the same rootfs in "
        f"sheepvirt.toml, or make a bundle here ({used_at}): `invoke bundle {target.name}`"
    )
    if {row.kind for row in lock.images} - set(recipes.kinds(target)):
        progress.say("  it has images that this checkout does not know; they are not loaded")
    for kind in recipes.kinds(target):
        wanted = recipes.tag_of(run.settings, target, kind)
        if tags.get(kind) == wanted:
            continue
        what = f"its {kind} image is {tags[kind]}" if kind in tags else f"it has no {kind} image"
        if kind == BUILDER and target.repos and lock.format < FORMAT:
            raise BundleError(
                f"{bundle.path} was made by an older sheepvirt, which hashed the recipes of images "
                f"of {target.name} in another way: {what}, the recipe here is {wanted}",
                hint=remedy,
            )
        if kind == BUILDER:
            raise BundleError(
                f"{bundle.path} does not fit this checkout: {what}, the recipe here is {wanted}",
                hint=remedy,
            )
        progress.say(f"  it serves only builds: {what}, the recipe here is {wanted}")
    if lock.revision != here:
        progress.say(
            f"  it was made at {made_at}; the specs of this checkout, at {used_at}, are used"
        )
    pinned = next((m.sha256 for m in lock.members if m.name == REQUIREMENTS), "")
    if pinned != sha256(paths.LOCK):
        progress.say(f"  its {REQUIREMENTS} differs from this checkout's")


def _load(run: Run, bundle: Archive, row: ImageRow) -> None:
    """Load an image under its tag, unless the same image has it already."""
    engine = run.engine
    there = engine.image_id(row.tag)
    if there and engine.layers(there) == row.layers:
        return
    with run.progress.stage(f"load the {row.kind} image") as stage:
        ident = engine.load(bundle.content(row.member))
        if engine.layers(ident) != row.layers:
            raise BundleError(
                f"{bundle.path}: {row.member} is not the image in its lock: its layers differ",
                hint="make the bundle again",
            )
        engine.tag(ident, row.tag)
        stage.note = row.tag
    if there:
        run.progress.say(f"  {row.tag} was another image here, which has lost its tag: {there}")


def _unpack(settings: Settings, bundle: Archive, row: SourceRow, stage: Stage) -> None:
    stage.line(f"{row.file} ({row.pin})")
    if not row.git:
        store.put(settings, Source(file=row.file, sha256=row.pin), bundle.content(row.member))
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pack"
        with file.open("wb") as out:
            out.writelines(bundle.content(row.member))
        git.unpack(settings, row.pin, file)


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn errors of the disk into a BundleError that starts with ``what``."""
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{what}: {error.strerror or error}",
            hint="check that the disk is not full or read-only",
        ) from error


def size_of(path: Path) -> str:
    """Return the size of a file as text."""
    return f"{path.stat().st_size / 1e6:.1f} MB"
