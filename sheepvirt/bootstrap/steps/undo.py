"""What a negative control broke on purpose: undone where the control was cut off.

``prove`` writes the script before it breaks what no other step would see; it does nothing where
nothing is broken. So whatever ends a control, the next bootstrap mends the host.
"""

from __future__ import annotations

from collections.abc import Sequence

from sheepvirt.bootstrap.steps.base import STATE, DesiredState, Step, StepContext
from sheepvirt.model.hosts import Change, Facts

NAME = "undo"
SCRIPT = f"{STATE}/undo.sh"


def check(_wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """No control of ``verify --prove`` has left a script."""
    if SCRIPT not in facts.texts:
        return []
    return [Change(NAME, "what a control of `verify --prove` broke is put back")]


def apply(_wanted: DesiredState, _facts: Facts, context: StepContext) -> None:
    """Run the script; it stays until all of it has worked."""
    context.run("sh", "-e", SCRIPT)
    context.run("rm", SCRIPT)


STEP = Step(NAME, check, apply)
