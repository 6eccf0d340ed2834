"""Mark what is on the host already: what is as sheepvirt makes it, and what is adopted.

It is done before anything else is changed. `ownership.require` has refused everything that is
somebody else's and not adopted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap import ownership
from sheepvirt.bootstrap.steps import marking, units
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.model.enums import Init
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.marks import Mark
    from sheepvirt.bootstrap.ownership import Unmarked

NAME = "ownership"


def check(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """Everything of a wanted name is marked as sheepvirt's."""
    if any(change.step == NAME for change in earlier):
        return []  # a plan has said it
    found = _unmarked(wanted, facts)
    changes = []
    ours = ", ".join(f"{one.kind} {one.name}" for one in found if one.ours)
    if ours:
        what = f"marked as sheepvirt's, for it is as sheepvirt makes it: {ours}"
        changes.append(Change(step=NAME, what=what))
    changes += [
        Change(step=NAME, what=f"{one.title} adopted as it is") for one in found if not one.ours
    ]
    for mark, drift in _accepted(wanted, facts):
        what = f"{mark.kind} {mark.name}: what somebody else changed is accepted as it is"
        changes.append(Change(step=NAME, what=what, diff=drift))
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Write the notes."""
    found = _unmarked(wanted, facts)
    for path, content in ownership.disk_notes(wanted, found).items():
        context.connection.write(path, content.encode())
    ours = [one.name for one in found if one.ours and one.name.startswith(units.SYSTEM)]
    if ours and facts.init != Init.SYSV:
        context.run(*units.RELOAD)  # the run that wrote it was interrupted, maybe before this
    accepted = [mark for mark, _ in _accepted(wanted, facts)]
    marking.note(context, [*(one.mark for one in found if one.mark), *accepted])


def _unmarked(wanted: DesiredState, facts: Facts) -> list[Unmarked]:
    """Return what to mark. Disks are adopted by name only, also on a rehearsal host."""
    return [
        one
        for one in ownership.unmarked(wanted, facts)
        if one.mark or one.name in wanted.consent.adopted
    ]


def _accepted(wanted: DesiredState, facts: Facts) -> list[tuple[Mark, str]]:
    """Return the marks of adopted objects that were sheepvirt's, and have changed since."""
    found = (
        marking.accepted(one, state, facts)
        for one, state in ownership.libvirt_objects(wanted, facts)
        if one.name in wanted.consent.adopted
    )
    return [one for one in found if one]


STEP = Step(name=NAME, check=check, apply=apply)
