"""Write a bundle on a machine with a network; importer.py imports it on the other side."""

from __future__ import annotations

import gzip
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.builds import lookup, plan, preflight
from sheepvirt.builds.buildroot import owner
from sheepvirt.builds.rpmbuild import Job
from sheepvirt.bundle import archive
from sheepvirt.bundle.importer import BUILDER, disk_errors, size_of
from sheepvirt.bundle.lockfile import (
    REPOS,
    REQUIREMENTS,
    ImageRow,
    Lock,
    Member,
    PackageRow,
    SourceRow,
    member_name,
)
from sheepvirt.core import locks, paths
from sheepvirt.core.errors import BundleError
from sheepvirt.core.files import sha256
from sheepvirt.core.signals import terminate_as_exception
from sheepvirt.images import recipes
from sheepvirt.sources import git

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sheepvirt.core.settings import Settings
    from sheepvirt.engine.container import Container
    from sheepvirt.model.builds import Target
    from sheepvirt.model.plans import BuildPlan
    from sheepvirt.run import Run

FAST = 3  # of gzip: 5 % larger than 6, in half the time
# The repo files and keys of apt, yum and dnf.
REPO_FILES = (
    "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/trusted.gpg",
    "/etc/apt/trusted.gpg.d", "/usr/share/keyrings", "/etc/yum.conf", "/etc/yum.repos.d",
    "/etc/dnf/dnf.conf", "/etc/pki/rpm-gpg",
)  # fmt: skip  # a table
NEVRA = r"%{NAME}-%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}.%{ARCH}\n"
INSTALLED = {
    "rpm": ["rpm", "-qa", "--qf", NEVRA],
    "dpkg": ["dpkg-query", "-W", "-f", "${Package}_${Version}_${Architecture}\\n"],
}


class _Packer:
    """Gathers the members of a bundle in a scratch folder."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.members: list[Member] = []
        self.files: list[Path] = []

    def add(self, name: str, file: Path) -> str:
        """Add ``file`` as member ``name``; return the name."""
        self.members.append(Member(name=name, size=file.stat().st_size, sha256=sha256(file)))
        self.files.append(file)
        return name

    def new(self) -> Path:
        """Return a path for the next file."""
        return self.scratch / f"{len(self.files)}"


def default_path(settings: Settings, target: Target) -> Path:
    """Return the default path of the bundle of ``target``."""
    return settings.dist / f"sheepvirt-{target.name}.tar"


def make(run: Run, target: Target, selectors: Sequence[str], path: Path) -> Path:
    """Write a bundle with everything that ``build_rpms`` needs for ``selectors`` to ``path``.

    Missing images are made and missing sources fetched; ``providers.request`` parses ``selectors``.
    Raises PreflightError, SourceError, EngineError, ConfigError, BundleError; a former bundle is
    then unchanged.
    """
    settings, progress = run.settings, run.progress
    started = run.clock.monotonic()
    preflight.require(target, preflight.examine(run, target))
    with locks.lock(settings, f"target-{target.name}", progress, clock=run.clock):
        run.engine.reap(owner(settings, target))
        kinds = recipes.kinds(target)
        tags = {kind: recipes.ensure(run, target, kind) for kind in kinds}
        planned = plan.make_plan(lookup.look_up(settings, target, selectors, tags[BUILDER]))
        for choice in planned.choices:
            progress.say(f"  {choice.sentence}")
        with (
            terminate_as_exception(),
            disk_errors(f"{path} cannot be written"),
            _scratch(path) as scratch,
        ):
            packer = _Packer(Path(scratch))
            job = Job(run, target, tags[BUILDER], packer.scratch)
            lock = Lock(
                target=target.name,
                version=paths.version(),
                revision=git.own_revision(),
                made=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(run.clock.now())),
                selectors=tuple(selectors),
                sources=tuple(_pack_sources(run, planned, job, packer)),
                packages=tuple(
                    PackageRow(name=row.package.name, version=row.package.version, key=row.key)
                    for row in planned.builds
                ),
                installed=_pack_repos(run, target, tags[BUILDER], packer),
                images=tuple(_pack_image(run, k, tags[k], packer) for k in kinds),
                members=tuple(packer.members),
            )
            with progress.stage("write the bundle") as stage:
                seal = archive.write(path, lock, packer.files)
                stage.note = size_of(path)
    progress.say(
        f"bundle: {path}: {len(lock.images)} images, {len(lock.sources)} sources, {size_of(path)}, "
        f"in {run.clock.monotonic() - started:.0f} s"
    )
    progress.say(f"  lock: sha256 {seal} (compare: `build-rpms --from-bundle` prints it, too)")
    return path


@contextmanager
def _scratch(path: Path) -> Iterator[str]:
    """Yield a temporary folder next to ``path``."""
    if path.is_dir():
        raise BundleError(f"{path} is a folder", hint="name the file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".bundle-") as folder:
        yield folder


def _pack_sources(run: Run, planned: BuildPlan, job: Job, packer: _Packer) -> Iterable[SourceRow]:
    seen: set[str] = set()
    with run.progress.stage("bundle the sources") as stage:
        for row in planned.builds:
            for source in row.package.sources:
                if source.pin in seen:
                    continue
                seen.add(source.pin)
                name = f"{source.file}.pack" if source.git else source.file
                file = job.fetch(source, stage)
                if source.git:
                    file = packer.new()
                    git.pack(run.settings, source.git, file)
                member = packer.add(member_name("sources", source.pin[:12], name), file)
                yield SourceRow(
                    package=row.package.name,
                    file=source.file,
                    pin=source.pin,
                    git=bool(source.git),
                    member=member,
                )
        stage.note = f"{len(seen)} sources"


def _pack_repos(
    run: Run, target: Target, image: str, packer: _Packer
) -> dict[str, tuple[str, ...]]:
    """Add the builder's repo files and keys; return the names of its installed packages."""
    with (
        run.progress.stage("bundle repos, keys and requirements") as stage,
        run.engine.container(image, owner=owner(run.settings, target), network="none") as container,
    ):
        found = container.run(["find", *REPO_FILES, "-type", "f"]).stdout.splitlines()
        if not found:  # the exit code is useless: no image has all of them
            raise BundleError(
                f"no repo file was found in {image}",
                hint="use an image that has apt, yum or dnf, and find",
            )
        for name in sorted(found):
            folder = packer.new()
            folder.mkdir()
            packer.add(member_name(REPOS, name), container.get(name, folder))
            stage.line(name)
        packer.add(REQUIREMENTS, paths.LOCK)
        installed = {tool: _names(container, argv) for tool, argv in INSTALLED.items()}
        stage.note = ", ".join(f"{len(names)} by {tool}" for tool, names in installed.items())
    return installed


def _names(container: Container, argv: Sequence[str]) -> tuple[str, ...]:
    if container.run(["sh", "-c", f"command -v {argv[0]}"]).code:
        return ()  # no such tool in this image
    return tuple(sorted(container.run(argv, check=True).stdout.split()))


def _pack_image(run: Run, kind: str, tag: str, packer: _Packer) -> ImageRow:
    engine = run.engine
    ident = engine.image_id(tag)
    if ident is None:
        raise BundleError(f"image {tag} is gone", hint="run the command again")
    with run.progress.stage(f"bundle the {kind} image") as stage:
        file = packer.new()
        with (
            file.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", compresslevel=FAST, fileobj=raw, mtime=0) as out,
        ):
            out.writelines(engine.save(ident))
        member = packer.add(member_name("images", f"{kind}.tar.gz"), file)
        stage.note = size_of(file)
    return ImageRow(kind=kind, tag=tag, id=ident, layers=engine.layers(ident), member=member)
