"""The inputs of a build: what its key is a hash of, and how a manifest writes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNPINNED = " (unpinned)"  # the end of the name of something that nothing pins
# Names in a manifest; any other name is that of a file.
RECIPE, BUILDER_IMAGE = "recipe", "builder image"
MACRO, SOURCE, PACKAGE = "macro ", "source ", "package "


@dataclass(frozen=True)
class SourceInput:
    """The content of a source: its sha256 or its commit id."""

    pin: str
    unpinned: bool = False  # the user's own file, which is not the pinned one


@dataclass(frozen=True, kw_only=True)
class BuildInputs:
    """Everything that a build depends on. Equal inputs give the same RPMs."""

    recipe: str = ""  # of sheepvirt's code (plan.RECIPE); empty: the manifest does not say
    builder_image: str = ""  # its tag; the same
    macros: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, SourceInput] = field(default_factory=dict)  # by file name
    files: Mapping[str, str] = field(default_factory=dict)  # <folder>/<file> to sha256
    packages: Mapping[str, str] = field(default_factory=dict)  # needed package to its build key

    def rows(self) -> dict[str, str]:
        """Return the inputs as a manifest has them: name of each to its hash or value."""
        rows = {RECIPE: self.recipe, BUILDER_IMAGE: self.builder_image}
        rows = {name: value for name, value in rows.items() if value}
        rows |= {f"{MACRO}{name}": value for name, value in self.macros.items()}
        rows |= {source_name(file, one): one.pin for file, one in self.sources.items()}
        rows |= self.files
        return rows | {f"{PACKAGE}{name}": key for name, key in self.packages.items()}

    @property
    def key(self) -> str:
        """The build key: a hash of every input and its name."""
        text = "".join(f"{name}\0{value}\0" for name, value in sorted(self.rows().items()))
        return hashlib.sha256(text.encode()).hexdigest()

    def changed(self, former: BuildInputs) -> list[str]:
        """Return the names of the inputs that differ from ``former``, sorted."""
        rows, before = self.rows(), former.rows()
        return [n for n in sorted(rows.keys() | before.keys()) if rows.get(n) != before.get(n)]


def source_name(file: str, source: SourceInput) -> str:
    """Return the name of a source, as a manifest and `invoke why` have it."""
    return f"{SOURCE}{file}{UNPINNED if source.unpinned else ''}"


def from_rows(rows: Mapping[str, str]) -> BuildInputs:
    """Return the inputs that a manifest has; see ``BuildInputs.rows``."""
    macros: dict[str, str] = {}
    sources: dict[str, SourceInput] = {}
    files: dict[str, str] = {}
    packages: dict[str, str] = {}
    for name, value in rows.items():
        if name in {RECIPE, BUILDER_IMAGE}:
            continue
        if name.startswith(MACRO):
            macros[name.removeprefix(MACRO)] = value
        elif name.startswith(SOURCE):
            file = name.removeprefix(SOURCE)
            source = SourceInput(value, unpinned=file.endswith(UNPINNED))
            sources[file.removesuffix(UNPINNED)] = source
        elif name.startswith(PACKAGE):
            packages[name.removeprefix(PACKAGE)] = value
        else:
            files[name] = value
    return BuildInputs(
        recipe=rows.get(RECIPE, ""),
        builder_image=rows.get(BUILDER_IMAGE, ""),
        macros=macros,
        sources=sources,
        files=files,
        packages=packages,
    )
