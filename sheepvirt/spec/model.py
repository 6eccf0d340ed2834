"""Frozen dataclasses for patching a spec by intent. Imports only ``draft``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sheepvirt.spec.draft import Draft


@dataclass(frozen=True)
class SwitchRule:
    """Rule: this macro of the spec is true on the target."""

    macro: str  # with_storage_sheepdog
    unless: str  # the macro that `rpmbuild --without` defines: a user may still switch it off


@dataclass(frozen=True, kw_only=True)
class ArgumentRule:
    """Rule: the spec's configure command has the option, and does not autodetect the feature."""

    on: tuple[str, ...]  # any of these is enough
    off: tuple[str, ...]
    add: str  # the line to add if the spec has neither
    anchors: tuple[str, ...]  # macros; it is added after the argument of the first one that exists


@dataclass(frozen=True, kw_only=True)
class DependencyRule:
    """Rule: a tag of the spec names this dependency, once."""

    tag: str  # BuildRequires | Requires
    name: str
    # Sub-packages to add it to, best first. "" is the main package, for a spec without the others.
    packages: tuple[str, ...]
    anchors: tuple[str, ...]  # conditions after which it is added, best first


@dataclass(frozen=True)
class SubpackageRule:
    """Rule: if the spec has this sub-package, it is built and has the file."""

    name: str
    file: str


@dataclass(frozen=True)
class Dropped:
    """The first release without the feature."""

    since: str
    says: str  # the hint for such a release


@dataclass(frozen=True, kw_only=True)
class Intent:
    """``patches/<package>/<name>.toml``: what must be true for a spec of any age."""

    name: str
    serves: str  # the releases that it supports
    dropped: Dropped
    switch: SwitchRule
    argument: ArgumentRule
    dependencies: tuple[DependencyRule, ...]
    subpackage: SubpackageRule


@dataclass(frozen=True, kw_only=True)
class Patched:
    """A spec after ``by_intent.patch``."""

    text: str
    diff: str  # unified; empty if nothing had to change
    actions: tuple[str, ...]  # one sentence for each rule
    already: bool  # everything was true before
    warnings: tuple[str, ...] = ()
    # The same text with the user's lines; without a byte order mark.
    draft: Draft | None = field(default=None, compare=False, repr=False)
