"""Errors of rules: each names the rule, the user's line and what was found there."""

from __future__ import annotations

from sheepvirt.core.errors import RuleMismatchError
from sheepvirt.spec.lines import Line, shown


def refuse(rule: str, line: Line | None, why: str, hint: str = "") -> RuleMismatchError:
    """Return an error with rule, line and what was found; ``by_intent.patch`` adds a hint."""
    number, found = (line.origin.number, shown(line.origin.text)) if line else (1, "an empty file")
    return RuleMismatchError(f"rule '{rule}': line {number}: {why}; found: {found}", hint=hint)


def refuse_dead(rule: str, line: Line) -> RuleMismatchError:
    """Return an error with the condition that keeps a line inactive on this target."""
    off = next((branch for branch in line.branches if not branch.holds), None)
    if off is None:
        return refuse(rule, line, "this cannot be read")
    how = "does not hold on this target" if off.holds is False else "cannot be evaluated here"
    why = f"it depends on line {off.origin.number}, {off.text}, which {how}"
    return refuse(rule, line, why)
