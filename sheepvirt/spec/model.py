"""Frozen dataclasses of patching a spec by intent. Imports ``draft`` alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from sheepvirt.spec.draft import Draft


@dataclass(frozen=True)
class SwitchRule:
    """This macro of the spec is true on the target."""

    macro: str  # with_storage_sheepdog
    unless: str  # what `rpmbuild --without` defines: a builder may still say no


@dataclass(frozen=True)
class ArgumentRule:
    """The configure command of the spec says so itself, instead of leaving it to what it finds."""

    on: tuple[str, ...]  # any of these is enough
    off: tuple[str, ...]
    add: str  # what to add where the spec says neither
    beside: tuple[str, ...]  # macros whose argument it is put after; the first that is there


@dataclass(frozen=True)
class DependencyRule:
    """A spec tag names this dependency, once."""

    tag: str  # BuildRequires | Requires
    name: str
    # Sub-packages to add it to, best first. "" is the main package: where there is no other.
    packages: tuple[str, ...]
    beside: tuple[str, ...]  # conditions that it is put after, best first


@dataclass(frozen=True)
class SubpackageRule:
    """Where the spec knows this sub-package, it is built and carries the file."""

    name: str
    file: str


@dataclass(frozen=True)
class Dropped:
    """From which release on upstream has the feature no more."""

    since: str
    says: str  # a sentence for whoever brings such a release


@dataclass(frozen=True)
class Intent:
    """``patches/<package>/<name>.toml``: what must be true of a spec, whatever its age."""

    name: str
    serves: str  # which releases it was written for
    dropped: Dropped
    switch: SwitchRule
    argument: ArgumentRule
    dependencies: tuple[DependencyRule, ...]
    subpackage: SubpackageRule


@dataclass(frozen=True)
class Patched:
    """A spec after ``by_intent.patch``."""

    text: str
    diff: str  # unified; empty where nothing had to change
    actions: tuple[str, ...]  # one sentence for each rule
    already: bool  # everything was true before
    warnings: tuple[str, ...] = ()
    # The same text, which knows the user's own lines; without a byte order mark.
    draft: Draft | None = field(default=None, compare=False, repr=False)
