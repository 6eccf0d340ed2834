"""Bundles: all that a build needs from outside the checkout, in one file, for a closed network.

``make`` writes one where the network is. ``use`` takes one in where there is none: nothing of it is
loaded or cached before all of it was checked, and nothing that it lacks is looked for elsewhere.
"""

from __future__ import annotations

import gzip
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sheepvirt import archive, build, config, git, images, locks, paths, preflight, rpms, sources
from sheepvirt.archive import Archive
from sheepvirt.bundle_lock import (
    REPOS,
    REQUIREMENTS,
    ImageRow,
    Lock,
    Member,
    PackageRow,
    SourceRow,
    member_name,
)
from sheepvirt.container import Container
from sheepvirt.engine import Engine
from sheepvirt.errors import BundleError
from sheepvirt.model import BuildPlan, Shelf, Source, Target
from sheepvirt.progress import Progress, Stage
from sheepvirt.rpmbuild import Job, owner
from sheepvirt.signals import terminate_as_exception

BUILDER = "builder"
FAST = 3  # of gzip: 5 % larger than 6, in half the time
# Where apt, yum and dnf keep what they install from and by which keys they believe it.
REPO_FILES = (
    "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/trusted.gpg",
    "/etc/apt/trusted.gpg.d", "/usr/share/keyrings", "/etc/yum.conf", "/etc/yum.repos.d",
    "/etc/dnf/dnf.conf", "/etc/pki/rpm-gpg",
)  # fmt: skip
NEVRA = r"%{NAME}-%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}.%{ARCH}\n"
INSTALLED = {
    "rpm": ["rpm", "-qa", "--qf", NEVRA],
    "dpkg": ["dpkg-query", "-W", "-f", "${Package}_${Version}_${Architecture}\\n"],
}


@dataclass(frozen=True)
class Offline:
    """What a run with the network off has: its target, its sources, and what to build of them."""

    target: Target
    shelf: Shelf
    words: tuple[str, ...]


class _Packer:
    """Gathers the members of a bundle in a folder of its own."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.members: list[Member] = []
        self.files: list[Path] = []

    def add(self, name: str, file: Path) -> str:
        """Take ``file`` in as member ``name``; return the name."""
        self.members.append(Member(name, file.stat().st_size, rpms.sha256(file)))
        self.files.append(file)
        return name

    def new(self) -> Path:
        """Return a path for the next file."""
        return self.scratch / f"{len(self.files)}"


def default_path(target: Target) -> Path:
    """Return where the bundle of ``target`` is written when nobody says."""
    return paths.dist() / f"sheepvirt-{target.name}.tar"


def make(target: Target, words: Sequence[str], path: Path, progress: Progress) -> Path:
    """Write what ``build_rpms`` needs for ``words`` (see ``plan.request``) to ``path``.

    Images and sources are made and fetched where they are not here yet. Raises PreflightError,
    SourceError, EngineError, ConfigError, BundleError; a bundle that was there is then as it was.
    """
    started = time.monotonic()
    preflight.require(target, preflight.examine(target))
    with locks.lock(f"target-{target.name}", progress):
        engine = Engine()
        engine.reap(owner(target))
        kinds = images.kinds(target)
        tags = {kind: images.ensure(engine, target, kind, progress) for kind in kinds}
        planned = build.make_plan(target, words, tags[BUILDER], {})
        for choice in planned.choices:
            progress.say(f"  {choice.sentence}")
        _make_folder(path)
        with (
            terminate_as_exception(),
            tempfile.TemporaryDirectory(dir=path.parent, prefix=".bundle-") as scratch,
        ):
            packer = _Packer(Path(scratch))
            job = Job(engine, target, tags[BUILDER], packer.scratch, progress)
            lock = Lock(
                target=target.name,
                version=_version(),
                revision=git.revision(paths.ROOT),
                made=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
                words=tuple(words),
                sources=tuple(_pack_sources(planned, job, packer, progress)),
                packages=tuple(
                    PackageRow(row.package.name, row.package.version, row.key)
                    for row in planned.builds
                ),
                installed=_pack_repos(engine, target, tags[BUILDER], packer, progress),
                images=tuple(_pack_image(engine, k, tags[k], packer, progress) for k in kinds),
                members=tuple(packer.members),
            )
            with progress.stage("write the bundle") as stage:
                seal = archive.write(path, lock, packer.files)
                stage.note = _size(path)
    progress.say(
        f"bundle: {path}: {len(lock.images)} images, {len(lock.sources)} sources, {_size(path)}, "
        f"in {time.monotonic() - started:.0f} s"
    )
    progress.say(f"  lock: sha256 {seal}: what --from-bundle must say where you carry it")
    return path


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(f"{path.parent}: {error.strerror}", hint="name another file") from error
    if path.is_dir():
        raise BundleError(f"{path} is a folder", hint="name the file to write")


def _pack_sources(
    planned: BuildPlan, job: Job, packer: _Packer, progress: Progress
) -> Iterable[SourceRow]:
    seen: set[str] = set()
    with progress.stage("bundle the sources") as stage:
        for row in planned.builds:
            for source in row.package.sources:
                if source.pin in seen:
                    continue
                seen.add(source.pin)
                name = f"{source.file}.pack" if source.git else source.file
                file = job.fetch(source, stage)
                if source.git:
                    file = packer.new()
                    git.pack(source.git, file)
                member = packer.add(member_name("sources", source.pin[:12], name), file)
                yield SourceRow(row.package.name, source.file, source.pin, bool(source.git), member)
        stage.note = f"{len(seen)} sources"


def _pack_repos(
    engine: Engine, target: Target, image: str, packer: _Packer, progress: Progress
) -> dict[str, tuple[str, ...]]:
    """Add the builder's repo files and keys; return the names of what is installed in it."""
    with (
        progress.stage("bundle repos, keys and requirements") as stage,
        engine.container(image, owner=owner(target), network="none") as container,
    ):
        found = container.run(["find", *REPO_FILES, "-type", "f"]).stdout.split("\n")
        for name in sorted(filter(None, found)):
            folder = packer.new()
            folder.mkdir()
            packer.add(member_name(REPOS, name), container.get(name, folder))
            stage.line(name)
        packer.add(REQUIREMENTS, paths.ROOT / REQUIREMENTS)
        installed = {tool: _names(container, argv) for tool, argv in INSTALLED.items()}
        stage.note = ", ".join(f"{len(names)} by {tool}" for tool, names in installed.items())
    return installed


def _names(container: Container, argv: Sequence[str]) -> tuple[str, ...]:
    if container.run(["which", argv[0]]).code:
        return ()
    return tuple(sorted(container.run(argv, check=True).stdout.split()))


def _pack_image(
    engine: Engine, kind: str, tag: str, packer: _Packer, progress: Progress
) -> ImageRow:
    ident = engine.image_id(tag)
    if ident is None:
        raise BundleError(f"image {tag} went away", hint="run the command again")
    with progress.stage(f"bundle the {kind} image") as stage:
        file = packer.new()
        with (
            file.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", compresslevel=FAST, fileobj=raw, mtime=0) as out,
        ):
            out.writelines(engine.save(ident))
        member = packer.add(member_name("images", f"{kind}.tar.gz"), file)
        stage.note = _size(file)
    return ImageRow(kind, tag, ident, engine.layers(ident), member)


def use(path: Path, target: str, progress: Progress) -> Offline:
    """Check the bundle ``path``, then take its images and sources in; return what is had by that.

    ``target`` is what it must be for; "": whatever it is for. Raises BundleError: it is cut short
    or changed (nothing was taken in), not for this target, or its builder is not of this checkout's
    recipe; EngineError.
    """
    with progress.stage(f"check {path.name}") as stage:
        bundle = archive.read(path)
        stage.note = f"{len(bundle.lock.members)} members, {_size(path)}"
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
    chosen = config.load_target(lock.target)
    _compare(bundle, chosen, progress)
    with locks.lock(f"target-{chosen.name}", progress):
        engine = Engine()
        for row in lock.images:
            if row.tag == images.tag_of(chosen, row.kind):
                _load(engine, bundle, row, progress)
        with progress.stage("sources of the bundle") as stage:
            for source in lock.sources:
                _unpack(bundle, source, stage)
            stage.note = f"{len(lock.sources)} sources"
    shelf = Shelf(path.name, frozenset((s.pin, s.file) for s in lock.sources))
    return Offline(chosen, shelf, lock.words)


def _compare(bundle: Archive, target: Target, progress: Progress) -> None:
    """Say where bundle and checkout differ. Raises BundleError where it cannot build for it."""
    lock = bundle.lock
    here = git.revision(paths.ROOT)
    made_at, used_at = (r[:12] or "an unknown revision" for r in (lock.revision, here))
    tags = {row.kind: row.tag for row in lock.images}
    remedy = (
        f"use the checkout that it was made from ({made_at}) with the same rootfs in "
        f"sheepvirt.toml, or make a bundle from this one ({used_at}): `invoke bundle {target.name}`"
    )
    if {row.kind for row in lock.images} - set(images.kinds(target)):
        progress.say(
            "  it has images that this checkout knows nothing of; they stay where they are"
        )
    for kind in images.kinds(target):
        wanted = images.tag_of(target, kind)
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
    if pinned != rpms.sha256(paths.ROOT / REQUIREMENTS):
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
        sources.put(Source(row.file, row.pin), bundle.content(row.member))
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pack"
        with file.open("wb") as out:
            out.writelines(bundle.content(row.member))
        git.unpack(row.pin, file)


def _version() -> str:
    text = (paths.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
