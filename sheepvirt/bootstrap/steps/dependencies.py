"""Install the how-to's packages that libvirt's RPMs depend on, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps import installer
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "dependencies"


def missing(wanted: DesiredState, facts: Facts) -> tuple[str, ...]:
    """Return the names that no installed RPM provides."""
    return tuple(n for n in wanted.dependencies.packages if n not in facts.provided)


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Every dependency is provided by an installed RPM."""
    names = missing(wanted, facts)
    if not names:
        return []
    tool = facts.installer or "dnf"
    what = f"{len(names)} packages by {tool}, in one transaction: {', '.join(names)}"
    return [Change(step=NAME, what=what, reboots=not wanted.host.real)]


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Install the missing ones."""
    installer.transaction(facts, context, missing(wanted, facts), reboots=not wanted.host.real)


STEP = Step(name=NAME, check=check, apply=apply)
