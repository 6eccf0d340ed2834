"""Take a bundle in, where there is no network: all that builds need from outside the checkout.

Nothing of it is loaded or cached before all of it was checked, and nothing that it lacks is looked
for elsewhere. writer.py writes one.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.bundle import archive
from sheepvirt.bundle.lockfile import REQUIREMENTS, ImageRow, SourceRow
from sheepvirt.config import inventory
from sheepvirt.core import locks, paths
from sheepvirt.core.errors import BundleError
from sheepvirt.engine.engine import Engine
from sheepvirt.images import recipes
from sheepvirt.model.builds import Shelf, Source, Target
from sheepvirt.rpm import rpms
from sheepvirt.sources import git, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.bundle.archive import Archive
    from sheepvirt.core.progress import Progress, Stage

BUILDER = "builder"


@dataclass(frozen=True)
class Offline:
    """What a run with the network off has: its target, its sources, and what to build of them."""

    target: Target
    shelf: Shelf
    words: tuple[str, ...]


def use(path: Path, target: str, progress: Progress) -> Offline:
    """Check the bundle ``path``, then take its images and sources in; return what is had by that.

    ``target`` is what it must be for; "": whatever it is for. Raises BundleError: it is cut short
    or changed (nothing was taken in), not for this target, or its builder is not of this checkout's
    recipe; EngineError.
    """
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
            hint=f"leave --target out, or make one: `invoke bundle {target}`",
        )
    chosen = inventory.load_target(lock.target)
    _compare(bundle, chosen, progress)
    with locks.lock(f"target-{chosen.name}", progress):
        engine = Engine()
        for row in lock.images:
            if row.tag == recipes.tag_of(chosen, row.kind):
                _load(engine, bundle, row, progress)
        with disk_errors("its sources cannot be kept"), progress.stage("take sources in") as stage:
            for source in lock.sources:
                _unpack(bundle, source, stage)
            stage.note = f"{len(lock.sources)} sources"
    shelf = Shelf(path.name, frozenset((s.pin, s.file) for s in lock.sources))
    return Offline(chosen, shelf, lock.words)


def _compare(bundle: Archive, target: Target, progress: Progress) -> None:
    """Say where bundle and checkout differ. Raises BundleError where it cannot build for it."""
    lock = bundle.lock
    here = git.own_revision()
    made_at, used_at = (r[:12] or "an unknown revision" for r in (lock.revision, here))
    tags = {row.kind: row.tag for row in lock.images}
    remedy = (
        f"use the checkout that it was made from ({made_at}) with the same rootfs in "
        f"sheepvirt.toml, or make a bundle from this one ({used_at}): `invoke bundle {target.name}`"
    )
    if {row.kind for row in lock.images} - set(recipes.kinds(target)):
        progress.say(
            "  it has images that this checkout knows nothing of; they stay where they are"
        )
    for kind in recipes.kinds(target):
        wanted = recipes.tag_of(target, kind)
        if tags.get(kind) == wanted:
            continue
        what = f"its {kind} image is {tags[kind]}" if kind in tags else f"it has no {kind} image"
        if kind == BUILDER:
            raise BundleError(
                f"{bundle.path} does not fit this checkout: {what}, the recipe here is {wanted}",
                hint=remedy,
            )
        progress.say(f"  it serves builds alone: {what}, the recipe here is {wanted}")
    if lock.revision != here:
        progress.say(
            f"  it was made at {made_at}, this checkout is at {used_at}: whose specs count"
        )
    pinned = next((m.sha256 for m in lock.members if m.name == REQUIREMENTS), "")
    if pinned != rpms.sha256(paths.LOCK):
        progress.say(f"  its {REQUIREMENTS} is not that of this checkout")


def _load(engine: Engine, bundle: Archive, row: ImageRow, progress: Progress) -> None:
    """Take an image in under its tag, unless the very same is there."""
    there = engine.image_id(row.tag)
    if there and engine.layers(there) == row.layers:
        return
    with progress.stage(f"load the {row.kind} image") as stage:
        ident = engine.load(bundle.content(row.member))
        if engine.layers(ident) != row.layers:
            raise BundleError(
                f"{bundle.path}: {row.member} is not the image of its lock: its layers differ",
                hint="make the bundle again",
            )
        engine.tag(ident, row.tag)
        stage.note = row.tag
    if there:
        progress.say(f"  {row.tag} was another image here, which has no tag any more: {there}")


def _unpack(bundle: Archive, row: SourceRow, stage: Stage) -> None:
    stage.line(f"{row.file} ({row.pin})")
    if not row.git:
        store.put(Source(row.file, row.pin), bundle.content(row.member))
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pack"
        with file.open("wb") as out:
            out.writelines(bundle.content(row.member))
        git.unpack(row.pin, file)


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn what the disk refuses into a BundleError that starts with ``what``."""
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{what}: {error.strerror or error}", hint="is the disk full, or read-only?"
        ) from error


def size_of(path: Path) -> str:
    """Return the size of a file in words."""
    return f"{path.stat().st_size / 1e6:.1f} MB"
