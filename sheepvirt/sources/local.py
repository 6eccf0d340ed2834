"""Sources given by hand: ``--source NAME=FILE``.

A file that has a pinned hash is that source, wherever it lay. Any other is unpinned: nobody vouches
for it, so that whatever is made of it says so (in %dist as well, and so on every host), and is for
rehearsals alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sheepvirt.core.errors import BootstrapError, ConfigError
from sheepvirt.core.progress import Progress
from sheepvirt.core.tables import pick
from sheepvirt.model.builds import BuildRecord, Evidence, Package, Source
from sheepvirt.model.hosts import Host

UNPINNED = " (unpinned)"


def parse(words: Sequence[str], packages: Mapping[str, Package]) -> dict[str, Path]:
    """Return the file that ``--source`` words give for each package.

    Raises UnknownNameError, ConfigError: no NAME=FILE, no such file, no source that it could be.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, equals, file = word.partition("=")
        path = Path(file).expanduser().resolve()
        if not equals or not file:
            raise ConfigError(f"--source {word}: names no file", hint="write --source NAME=FILE")
        package = packages[pick("package", name, packages)]
        if not package.sources:
            takers = ", ".join(n for n, p in packages.items() if p.sources)
            raise ConfigError(
                f"--source {word}: {name} is made of files of ours and takes no source",
                hint=f"those that take one: {takers}",
            )
        if not path.is_file() or not os.access(path, os.R_OK):
            raise ConfigError(
                f"--source {word}: there is no file {path} that can be read",
                hint="is the path right? it is taken from the folder that you are in",
            )
        if found.setdefault(name, path) != path:
            raise ConfigError(f"--source: two files for {name}", hint="take one out")
    return found


def use(package: Package, path: Path, digest: str) -> Package:
    """Return the package with the file as its source; ``digest`` is the file's sha256. Pure.

    Raises ConfigError: the package has several sources, and the file could be any of them.
    """
    index = _which(package, path, digest)
    pinned = package.sources[index]
    source = replace(pinned, given=path)
    unpinned = package.unpinned
    if pinned.sha256 != digest:
        what = f"git commit {pinned.pin}" if pinned.git else f"sha256 {pinned.pin}"
        unpinned = f"{pinned.file} is {path}, sha256 {digest}; pinned is {what}"
        source = Source(pinned.file, digest, given=path)
    sources = (*package.sources[:index], source, *package.sources[index + 1 :])
    return replace(package, sources=sources, unpinned=unpinned)


def recall(package: Package, record: BuildRecord) -> Package:
    """Return the package with the sources that ``record`` was built of: one may be unpinned."""
    pins = {name: pin for name, pin in record.inputs.items() if name.endswith(UNPINNED)}
    sources = tuple(
        Source(s.file, pin) if (pin := pins.get(f"source {s.file}{UNPINNED}")) else s
        for s in package.sources
    )
    return replace(package, sources=sources, unpinned=record.unpinned)


def _which(package: Package, path: Path, digest: str) -> int:
    """Return the index of the source that the file is: by its hash, by its name, the only one."""
    sources = package.sources
    for index, source in enumerate(sources):
        if source.sha256 == digest:
            return index
    named = [index for index, source in enumerate(sources) if source.file == path.name]
    if named or len(sources) == 1:
        return (named or [0])[0]
    raise ConfigError(
        f"--source {package.name}={path}: {package.name} has {len(sources)} sources",
        hint=f"call the file as the one that it is: {', '.join(s.file for s in sources)}",
    )


def evidence(package: Package, version: str) -> list[Evidence]:
    """Return what there is to say of an unpinned source; ``version`` is what its spec says."""
    if not package.unpinned:
        return []
    return [
        Evidence("source", package.name, "unpinned", "UNPINNED source", package.unpinned, ok=True),
        Evidence(
            "source", package.name, "unpinned", f"it is version {package.version}",
            f"its spec says {version or 'nothing'}", ok=version == package.version,
        ),
    ]  # fmt: skip


def sentences(records: Sequence[BuildRecord]) -> list[str]:
    """Return a line about each published package that was made of an unpinned source."""
    return [
        f"UNPINNED: {r.package} {r.version}: {r.unpinned}; for rehearsals alone: a run of "
        f"build-rpms without --source builds the pinned one in its place"
        for r in records
        if r.unpinned
    ]


def admit(host: Host, records: Sequence[BuildRecord], progress: Progress) -> None:
    """Say what is unpinned of what ``host`` is to get. Raises BootstrapError: it is a real machine.

    A rehearsal host may have it, or nothing could be tried before its hash is known.
    """
    unpinned = [r for r in records if r.unpinned]
    for line in sentences(unpinned):
        progress.say(f"{host.name}: {line}")
    if unpinned and not host.rehearsal:
        names = ", ".join(f"{r.package} {r.version}" for r in unpinned)
        raise BootstrapError(
            f"{host.name} is a real machine, and the repo of {host.target} has {names} from a "
            "source that is not pinned",
            hint=f"`invoke build-rpms --target {host.target}` builds the pinned one; or pin this "
            "source's sha256 in specs/, once you trust it",
        )
