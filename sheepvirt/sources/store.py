"""Fetch, verify and cache sources. The sha256 (or git commit) identifies a source.

Locations are tried in order: the cache, each URL, Debian's source package (with the distribution's
client in a container, so the image's mirror settings apply). A run from a bundle uses only the
bundle's sources, and no network.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core import web
from sheepvirt.core.errors import SheepvirtError, SourceHashError, SourceUnreachableError, WebError
from sheepvirt.core.files import sha256
from sheepvirt.model.builds import Availability, BundleSources, DebianSource, Source
from sheepvirt.sources import git

if TYPE_CHECKING:
    from sheepvirt.core.progress import Stage
    from sheepvirt.core.settings import Settings

# Fetches Debian's file to a folder; returns its path.
DebianFetcher = Callable[[DebianSource, Path], Path]
# Fetches a file to a folder; returns its path.
Get = Callable[[Path], Path]


def cached(settings: Settings, source: Source) -> Path | None:
    """Return the cached file of ``source`` if its hash is right, else None."""
    path = _home(settings, source)
    if path.is_file() and sha256(path) == source.sha256:
        return path
    return None


def availability(
    settings: Settings, source: Source, bundle_sources: BundleSources | None = None
) -> Availability:
    """Tell whether ``source`` is available now: it is cached, or one of its locations answers.

    With ``bundle_sources`` it must be in that bundle.
    """
    if source.local_file:
        return Availability(True, f"{source.local_file} was given with --source")
    if bundle_sources:
        there = bundle_sources.has(source)
        return Availability(
            there, f"its source is {'' if there else 'not '}in {bundle_sources.name}"
        )
    if source.git:
        return git.availability(settings, source.git)
    if cached(settings, source):
        return Availability(True, "its source is in the cache")
    refused = "it has no URL"
    for url in source.urls:
        try:
            web.ask(url, seconds=git.ASK)
            return Availability(True, f"{url} answers")
        except WebError as error:
            refused = f"{url} does not answer ({error.message})"
    return Availability(False, refused)


def availability_of_all(
    settings: Settings, sources: Sequence[Source], bundle_sources: BundleSources | None = None
) -> Availability:
    """Tell whether all of a package's sources are available; the first missing one says why."""
    found = [availability(settings, source, bundle_sources) for source in sources]
    missing = next((one for one in found if not one.ok), None)
    return missing or next(iter(found), Availability(True, "all its files are in this checkout"))


def fetch(
    settings: Settings,
    source: Source,
    stage: Stage,
    *,
    debian: DebianFetcher | None = None,
    bundle_sources: BundleSources | None = None,
) -> Path:
    """Return a file with the content of ``source``, from the cache or the first location with it.

    With ``bundle_sources`` it must be in that bundle, and no location is tried; a file from
    ``--source`` need not be.

    Raises SourceHashError (a location has other content: both hashes are named, the file is not
    kept), SourceUnreachableError (no location answered: each is named with its reason). A git
    source is fetched by git and raises as ``git.tarball``.
    """
    if bundle_sources and source.local_file:  # a local file needs no network
        source, bundle_sources = replace(source, urls=(), debian=None), None
    if bundle_sources:
        require([source], bundle_sources)
    if source.git:
        return git.tarball(settings, source.git, source.file, stage, fetch=not bundle_sources)
    found = cached(settings, source)
    if found:
        stage.line(
            f"{source.file}: {f'from {bundle_sources.name}' if bundle_sources else 'in the cache'}"
        )
        return found
    if bundle_sources:
        raise SourceUnreachableError(
            f"{source.file} is no longer in the cache, and the network is off",
            hint="run the command again: the bundle has it",
        )
    home = _home(settings, source)
    home.parent.mkdir(parents=True, exist_ok=True)
    refused: list[str] = []
    wrong: list[str] = []
    for place, get in _places(source, debian):
        stage.line(f"{source.file}: from {place}")
        with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
            try:
                got = get(Path(scratch))
            except SheepvirtError as error:
                refused.append(f"{place}: {error.message}")
                continue
            digest = sha256(got)
            if digest == source.sha256:
                got.replace(home)
                return home
            wrong.append(f"{place}: sha256 is {digest}")
    tried = "\n    ".join([*wrong, *refused]) or "it has no URL"
    if wrong:
        raise SourceHashError(
            f"{source.file} is not the pinned file.\n"
            f"    wanted: sha256 {source.sha256}\n    {tried}",
            hint="compare it with upstream's before you change the pin; the file was not kept",
        )
    raise SourceUnreachableError(
        f"no location has {source.file}:\n    {tried}",
        hint="repair the network, or give a local file: `build-rpms --source NAME=FILE`, or copy "
        f"it to {home}; its hash is checked",
    )


def require(sources: Iterable[Source], bundle_sources: BundleSources) -> None:
    """Raise SourceUnreachableError with all ``sources`` that the bundle lacks."""
    missing = [
        source for source in sources if not source.local_file and not bundle_sources.has(source)
    ]
    if missing:
        names = "\n    ".join(
            f"{s.file} ({'commit' if s.git else 'sha256'} {s.pin})" for s in missing
        )
        raise SourceUnreachableError(
            f"the network is off, and {bundle_sources.name} lacks what this build needs:\n"
            f"    {names}",
            hint="make the bundle again from this checkout, on a machine that can fetch them "
            "(`invoke bundle TARGET`, with the same --package options)",
        )


def put(settings: Settings, source: Source, content: Iterable[bytes]) -> None:
    """Put a source's content into the cache. Raises SourceHashError: the hash is wrong."""
    if cached(settings, source):
        return
    home = _home(settings, source)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        temporary = Path(scratch) / "file"
        with temporary.open("wb") as out:
            out.writelines(content)
        found = sha256(temporary)
        if found != source.sha256:
            raise SourceHashError(
                f"{source.file}: wanted sha256 {source.sha256}, it is {found}",
                hint="the file was not kept",
            )
        temporary.replace(home)


def _home(settings: Settings, source: Source) -> Path:
    return settings.sources / source.sha256 / source.file


def _places(source: Source, debian: DebianFetcher | None) -> Iterator[tuple[str, Get]]:
    if source.local_file:
        yield f"{source.local_file} (from --source)", functools.partial(_copied, source.local_file)
    for url in source.urls:
        yield url, functools.partial(_download, url, source.file)
    if source.debian and debian:
        name = f"Debian's source package {source.debian.package}"
        yield name, functools.partial(debian, source.debian)


def _copied(path: Path, folder: Path) -> Path:
    try:
        return Path(shutil.copyfile(path, folder / path.name))
    except OSError as error:
        raise SourceUnreachableError(str(error.strerror)) from error


def _download(url: str, name: str, folder: Path) -> Path:
    return web.download(url, folder / name)
