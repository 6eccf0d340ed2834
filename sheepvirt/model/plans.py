"""Frozen dataclasses of plans: what was asked for, what a plan is made from, what it decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from sheepvirt.model.builds import (
        Availability,
        BuildRecord,
        BundleSources,
        Package,
        Target,
    )
    from sheepvirt.model.enums import Provider
    from sheepvirt.model.inputs import BuildInputs


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The provider of a package: the real one or its stand-in. A repo never has both."""

    package: str
    provider: str  # the package that is built
    rejected: str  # the package that is not
    why: str

    @property
    def stand_in(self) -> bool:
        """Whether the stand-in was chosen."""
        return self.provider != self.package

    @property
    def sentence(self) -> str:
        """The provider and the reason, in one line."""
        which = f"the stand-in {self.provider}" if self.stand_in else "the real one"
        return f"{self.package}: {which}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the ``--package`` selectors request."""

    names: tuple[str, ...]  # packages to build; empty: all
    providers: Mapping[str, Provider]  # package to its forced provider
    versions: Mapping[str, str]  # package to version


@dataclass(frozen=True, kw_only=True)
class PlanValues:
    """All that a plan is made from. lookup.py looks it up, plan.py decides from it."""

    target: Target
    request: Request
    packages: Mapping[str, Package]  # all, each in its requested version, with its local source
    file_hashes: Mapping[str, Mapping[Path, str]]  # package to the sha256 of each of its files
    builder_image: str  # its tag
    published: Mapping[str, BuildRecord] = field(default_factory=dict)  # those that are intact
    # Names in the published repo, intact or not: they show which provider an earlier run chose.
    published_names: Collection[str] = ()
    bundle_sources: BundleSources | None = None  # the only ones, if there are any
    # Package to the availability of its sources, for those of plan.sources_to_ask.
    availability: Mapping[str, Availability] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlannedBuild:
    """The plan's decision for one package, and its reason."""

    package: Package
    key: str
    inputs: BuildInputs
    build: bool
    reason: str
    build_packages: tuple[str, ...] = ()  # needed for it: the chosen provider of each


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """What a run will do, in order."""

    choices: tuple[Choice, ...]
    builds: tuple[PlannedBuild, ...]
    kept: frozenset[str] = frozenset()  # published packages that stay in the repo as they are
    left_out: tuple[str, ...] = ()  # a sentence for each package that is built only if named
