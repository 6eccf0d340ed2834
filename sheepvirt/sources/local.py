"""Local sources: ``--source NAME=FILE``.

A file with a pinned hash is that source. Any other file is unpinned: its content is not known. So
everything built from it says so (in %dist, too, and so on every host) and is only for rehearsal
hosts.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core.errors import BootstrapError, ConfigError
from sheepvirt.core.tables import pick
from sheepvirt.model.builds import BuildRecord, Evidence, Package, Source
from sheepvirt.model.enums import Gate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.core.progress import Progress
    from sheepvirt.model.hosts import Host


def parse(options: Sequence[str], packages: Mapping[str, Package]) -> dict[str, Path]:
    """Parse ``--source`` options; return the file for each package.

    Raises UnknownNameError, ConfigError: not NAME=FILE, no such file, or a package without sources.
    """
    found: dict[str, Path] = {}
    for option in options:
        name, equals, file = option.partition("=")
        path = Path(file).expanduser().resolve()
        if not equals or not file:
            raise ConfigError(f"--source {option}: names no file", hint="write --source NAME=FILE")
        package = packages[pick("package", name, packages)]
        if not package.sources:
            takers = ", ".join(n for n, p in packages.items() if p.sources)
            raise ConfigError(
                f"--source {option}: {name} has no source: all its files are in this checkout",
                hint=f"packages with a source: {takers}",
            )
        if not path.is_file() or not os.access(path, os.R_OK):
            raise ConfigError(
                f"--source {option}: there is no readable file {path}",
                hint="correct the path; it is relative to the current folder",
            )
        if found.setdefault(name, path) != path:
            raise ConfigError(f"--source: two files for {name}", hint="remove one of them")
    return found


def use(package: Package, path: Path, digest: str) -> Package:
    """Return the package with the file as its source; ``digest`` is the file's sha256. Pure.

    Raises ConfigError: the package has several sources, and the file matches none of them.
    """
    index = _which(package, path, digest)
    pinned = package.sources[index]
    source = replace(pinned, local_file=path)
    unpinned = package.unpinned
    if pinned.sha256 != digest:
        what = f"git commit {pinned.pin}" if pinned.git else f"sha256 {pinned.pin}"
        unpinned = f"{pinned.file} is {path}, sha256 {digest}; pinned is {what}"
        source = Source(file=pinned.file, sha256=digest, local_file=path)
    sources = (*package.sources[:index], source, *package.sources[index + 1 :])
    return replace(package, sources=sources, unpinned=unpinned)


def recall(package: Package, record: BuildRecord) -> Package:
    """Return the package with the sources of ``record``'s build; one may be unpinned."""
    pins = {file: one.pin for file, one in record.inputs.sources.items() if one.unpinned}
    sources = tuple(
        Source(file=s.file, sha256=pins[s.file]) if s.file in pins else s for s in package.sources
    )
    return replace(package, sources=sources, unpinned=record.unpinned)


def _which(package: Package, path: Path, digest: str) -> int:
    """Return the index of the source that the file replaces: by hash, by name, or the only one."""
    sources = package.sources
    for index, source in enumerate(sources):
        if source.sha256 == digest:
            return index
    named = [index for index, source in enumerate(sources) if source.file == path.name]
    if named or len(sources) == 1:
        return (named or [0])[0]
    raise ConfigError(
        f"--source {package.name}={path}: {package.name} has {len(sources)} sources",
        hint=f"rename the file to one of: {', '.join(s.file for s in sources)}",
    )


def evidence(package: Package, version: str) -> list[Evidence]:
    """Return the evidence about an unpinned source; ``version`` is from its spec."""
    if not package.unpinned:
        return []
    return [
        Evidence(
            gate=Gate.SOURCE,
            package=package.name,
            feature="unpinned",
            claim="UNPINNED source",
            observed=package.unpinned,
            ok=True,
        ),
        Evidence(
            gate=Gate.SOURCE,
            package=package.name,
            feature="unpinned",
            claim=f"it is version {package.version}",
            observed=f"its spec says {version or 'nothing'}",
            ok=version == package.version,
        ),
    ]


def sentences(records: Sequence[BuildRecord]) -> list[str]:
    """Return a line about each published package that was built from an unpinned source."""
    return [
        f"UNPINNED: {r.package} {r.version}: {r.unpinned}; only for rehearsal hosts; "
        f"`invoke build-rpms` without --source replaces it by the pinned one"
        for r in records
        if r.unpinned
    ]


def admit(host: Host, records: Sequence[BuildRecord], progress: Progress) -> None:
    """Report the unpinned packages for ``host``. Raises BootstrapError: it is a real machine.

    A rehearsal host may have them: a source can be tried before its hash is known.
    """
    unpinned = [r for r in records if r.unpinned]
    for line in sentences(unpinned):
        progress.say(f"{host.name}: {line}")
    if unpinned and not host.rehearsal:
        names = ", ".join(f"{r.package} {r.version}" for r in unpinned)
        raise BootstrapError(
            f"{host.name} is a real machine, and the repo of {host.target} has {names} from a "
            "source that is not pinned",
            hint=f"run `invoke build-rpms --target {host.target}` to build the pinned one, or pin "
            "this source's sha256 in specs/ if you trust it",
        )
