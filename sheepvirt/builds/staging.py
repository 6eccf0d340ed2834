"""Prepare the inputs of a build: the patched spec, and the package's own files as sources."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sheepvirt.config import versions
from sheepvirt.core.errors import SourceError, SpecError
from sheepvirt.spec import adjust, by_intent, own_patches
from sheepvirt.spec.draft import Draft
from sheepvirt.spec.model import Intent, Patched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.model.builds import Package

BYTES = "surrogateescape"  # a spec may have names in its changelog that are not UTF-8
EPOCH = 1767225600  # 2026-01-01 UTC: the date of files without one, such as a checkout's


def made_sources(package: Package, files: Sequence[Path], folder: Path) -> list[Path]:
    """Write the sources that are not fetched to ``folder``; return their paths.

    They are files of the package's folder and files of its tarball. ``files`` are the fetched
    sources. Raises SourceError.
    """
    made = [pack(package, folder)] if package.files else []
    made += [
        Path(shutil.copyfile(_own(package, added.file), folder / added.file))
        for added in (package.adjust.files if package.adjust else ())
    ]
    return made + (unpack(package, files[0], folder) if package.unpack else [])


def pack(package: Package, folder: Path) -> Path:
    """Pack the files in a package's folder like an upstream tarball.

    Returns ``<folder>/<name>-<version>.tar``, whose top folder is ``<name>-<version>/``, as
    ``%setup`` expects. Compiled Python is left out.
    """
    top = f"{package.name}-{package.version}"
    path = folder / f"{top}.tar"
    with tarfile.open(path, "w") as archive:
        for name in package.files:
            archive.add(_own(package, name), f"{top}/{name}", filter=_packed)
    return path


def _packed(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if Path(info.name).name == "__pycache__":
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644  # independent of the umask
    info.mtime = EPOCH
    return info


def epoch(files: Sequence[Path]) -> int:
    """Return the date for RPMs of these sources, in seconds since 1970.

    It is the date of the first entry in the first tarball (from git: the commit's), else EPOCH.
    """
    for path in files:
        try:
            with tarfile.open(path) as archive:
                first = archive.next()
        except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError):
            continue
        if first and first.mtime > 0:
            return int(first.mtime)
    return EPOCH


def patched_spec(package: Package, files: Sequence[Path], macros: Mapping[str, str]) -> Patched:
    """Return the package's spec with its adjustments, patches and intents applied.

    ``files`` are its sources. Raises SourceError, SpecError, RuleMismatchError, ConfigError.
    """
    original = stock_spec(package, files)
    draft = Draft.of(original)  # keeps the original line numbers for messages
    done: list[Patched] = []
    name = package.spec_file
    if package.adjust:
        done.append(adjust.apply(original, package.adjust, macros, name=name))
        draft = done[-1].draft or draft
    if package.spec_from == "tarball":
        patches = [path.name for path in versions.patches(package)]
        done.append(own_patches.apply(draft, patches, macros, name=name))
        draft = done[-1].draft or draft
    for intent in intents(package).values():
        done.append(by_intent.patch(draft, intent, macros, name=name))
        draft = done[-1].draft or draft
    text = done[-1].text if done else original
    diff = "".join(one.diff for one in done)
    actions = tuple(action for one in done for action in one.actions)
    warnings = tuple(warning for one in done for warning in one.warnings)
    return Patched(
        text=text, diff=diff, actions=actions, already=text == original, warnings=warnings
    )


def stock_spec(package: Package, files: Sequence[Path]) -> str:
    """Return the package's unchanged spec."""
    if package.spec_from == "tarball":
        return _spec_of_tarball(package, files[0])
    return _own(package, package.spec).read_text(encoding="utf-8", errors=BYTES)


def _own(package: Package, name: str) -> Path:
    return versions.own_file(package.folder, package.version, name)


def intents(package: Package) -> dict[str, Intent]:
    """Return the intents of a package, by feature; sheepvirt's own specs need none."""
    return {
        f.name: by_intent.load_intent(package.patches / f"{f.intent}.toml")
        for f in package.features
        if f.intent
    }


def _spec_of_tarball(package: Package, tarball: Path) -> str:
    """Return upstream's spec: the file at its path below the tarball's top folder."""
    found = _members(tarball, [package.spec])
    if package.spec not in found:
        raise SpecError(
            f"{tarball.name} has no {package.spec} below its top folder",
            hint=f"correct `spec` in {package.folder / 'package.toml'}, or put a spec next to it "
            "and set spec_from = 'here'",
        )
    return found[package.spec].decode(errors=BYTES)


def unpack(package: Package, tarball: Path, folder: Path) -> list[Path]:
    """Extract the tarball's files that the spec names as further sources to ``folder``.

    Raises SourceError: one is missing.
    """
    found = _members(tarball, package.unpack)
    missing = [name for name in package.unpack if name not in found]
    if missing:
        raise SourceError(
            f"{tarball.name} has no {', '.join(missing)} below its top folder",
            hint=f"correct `unpack` in {package.folder.name}'s package.toml",
        )
    paths_ = [folder / PurePosixPath(name).name for name in package.unpack]
    for path, name in zip(paths_, package.unpack, strict=True):
        path.write_bytes(found[name])
    return paths_


def _members(tarball: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    """Return files of a tarball by their path below its top folder. Raises SourceError."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball) as archive:
            for member in archive:
                name = member.name.removeprefix("./").partition("/")[2]
                handle = archive.extractfile(member) if name in wanted else None
                if handle is not None:
                    found[name] = handle.read()
                    if len(found) == len(wanted):
                        break
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(
            f"{tarball.name} cannot be read: {error}", hint="is the pinned file a tar archive?"
        ) from error
    return found
