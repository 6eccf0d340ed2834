"""Versions of a package: data in the package's folder.

    specs/<package>/package.toml    what its versions share, and the default version
    specs/<package>/<version>.toml  settings of one version; override package.toml, key by key
    specs/<package>/<version>/      files for one version; files in the parent folder are for all
    patches/<package>/*.toml        intents, for all versions
    patches/<package>/<version>/    patches for one version; those in the parent folder are for all

A package with one version may have everything in package.toml. A version starts with a digit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sheepvirt.core.errors import ConfigError, UnknownNameError, suggest
from sheepvirt.core.tables import Table, read_data

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.model.builds import Package

SHARED = "package.toml"


def known(folder: Path) -> tuple[str, ...]:
    """Return the versions that have a file in a package's folder, oldest first."""
    return tuple(sorted((p.stem for p in folder.glob("[0-9]*.toml")), key=_order))


def _order(version: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"\W", version)]


def table(folder: Path, version: str) -> tuple[str, Table]:
    """Return a version ("" is the default) and its table: its file over package.toml.

    Raises ConfigError, UnknownNameError (with the nearest known version).
    """
    shared = read_data(folder / SHARED)
    have = known(folder)
    default = Table(shared, str(folder / SHARED)).get("version", str)
    wanted = version or default
    if wanted not in (have or (default,)):
        what = f"there is no version {wanted!r} of {folder.name!r}"
        if not version:
            what = f"{folder / SHARED}: 'version' is {wanted!r}, and there is no {wanted}.toml"
        raise UnknownNameError(what, hint=suggest(wanted, have or (default,)))
    if not have:
        return wanted, Table(shared, str(folder / SHARED))
    own = read_data(folder / f"{wanted}.toml")
    if "version" in own:
        raise ConfigError(
            f"{folder / wanted}.toml: 'version' repeats the file's name",
            hint=f"remove it; the default version is set in {SHARED}",
        )
    data = {**overlaid(shared, own), "version": wanted}
    return wanted, Table(data, f"{folder / wanted}.toml (over {SHARED})")


def overlaid(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return ``below`` overridden by ``above``: tables key by key, other values as a whole."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            result[key] = overlaid(under, value)
        else:
            result[key] = value
    return result


def own_file(folder: Path, version: str, name: str) -> Path:
    """Return the path of a package's file: in the version's folder, or next to package.toml."""
    path = folder / version / name
    return path if path.exists() else folder / name


def patches(package: Package) -> list[Path]:
    """Return the patches for a package's sources, in the order of application."""
    folder = package.patches
    return [*sorted(folder.glob("*.patch")), *sorted((folder / package.version).glob("*.patch"))]


def files(package: Package) -> list[Path]:
    """Return all files of a package, except those of its other versions.

    Caches and compiled Python are left out.
    """
    others = {v for v in package.versions if v != package.version}
    others |= {f"{v}.toml" for v in others}
    found: list[Path] = []
    for folder in (package.folder, package.patches):
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            left = parts[0] in others or any(p == "__pycache__" or p[0] == "." for p in parts)
            if path.is_file() and not left:
                found.append(path)
    return found
