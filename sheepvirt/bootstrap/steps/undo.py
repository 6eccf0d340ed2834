"""Undo what a negative control broke, after it was interrupted.

``prove`` writes a script before it breaks something that no other step checks. The script does
nothing if nothing is broken. So the next bootstrap always restores the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps.base import STATE, DesiredState, Step, StepContext
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "undo"
SCRIPT = f"{STATE}/undo.sh"


def check(_wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """No control of ``verify --prove`` has left a script."""
    if SCRIPT not in facts.texts:
        return []
    return [Change(step=NAME, what="what a control of `verify --prove` broke is restored")]


def apply(_wanted: DesiredState, _facts: Facts, context: StepContext) -> None:
    """Run the script; remove it only after success."""
    context.run("sh", "-e", SCRIPT)
    context.run("rm", SCRIPT)


STEP = Step(name=NAME, check=check, apply=apply)
