"""Refusals of rules: each names the rule, the user's own line and what is found there."""

from __future__ import annotations

from sheepvirt.core.errors import RuleMismatchError
from sheepvirt.spec.lines import Line, shown


def refuse(rule: str, line: Line | None, why: str, hint: str = "") -> RuleMismatchError:
    """Name rule, line and what was found there; without a hint, ``by_intent.patch`` gives one."""
    number, found = (line.origin.number, shown(line.origin.text)) if line else (1, "an empty file")
    return RuleMismatchError(f"rule '{rule}': line {number}: {why}; found: {found}", hint=hint)


def refuse_dead(rule: str, line: Line) -> RuleMismatchError:
    """Say which condition keeps a line from being read on this target."""
    off = next((branch for branch in line.branches if not branch.holds), None)
    if off is None:
        return refuse(rule, line, "this cannot be read")
    how = "does not hold on this target" if off.holds is False else "cannot be told from here"
    why = f"it depends on line {off.origin.number}, {off.text}, which {how}"
    return refuse(rule, line, why)
