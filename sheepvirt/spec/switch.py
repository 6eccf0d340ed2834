"""The switch rule of an intent: the spec's macro that turns the feature on is true.

Specs have it as a ``%define``, as a ``%bcond``, or not at all. Then the configure command may have
the option itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.spec.draft import Draft
from sheepvirt.spec.lines import Line, Spec
from sheepvirt.spec.refusals import refuse, refuse_dead
from sheepvirt.spec.rules import build_lines, saying

if TYPE_CHECKING:
    from sheepvirt.spec.model import ArgumentRule, SwitchRule

Read = Callable[[Draft], Spec]  # reads a text for the target

# Nearly every condition uses them. A spec may set them itself; they are not its features.
DISTRIBUTION = {
    *("fedora", "rhel", "centos", "centos_ver", "redhat", "suse_version", "dist"),
    *("almalinux", "rocky", "amzn"),
    *(f"el{number}" for number in range(5, 11)),
    *(f"fc{number}" for number in range(15, 50)),
}
_BCOND = re.compile(r"(\s*%\{?)(bcond(?:_with|_without)?)(\s+)(\w+)(\s+\S[^\r\n]*)?")


@dataclass(frozen=True, kw_only=True)
class Switched:
    """A draft with the switch on."""

    draft: Draft
    action: str  # a sentence about the rule's change
    guard: str  # the expression of an %if for it; empty if the spec has no switch


def switch(
    draft: Draft, rule: SwitchRule, by_hand: ArgumentRule, macros: Mapping[str, str], read: Read
) -> Switched:
    """Turn on the definition that is active on the target, in the spec's style.

    ``by_hand`` has the configure option for a spec without a switch.
    """
    spec = read(draft)
    title = f"switch {rule.macro}"
    for name in {rule.macro, rule.unless} | spec.asks_about(f"%{{{rule.macro}}}"):
        if name in spec.unreadable:
            number, why = spec.unreadable[name]
            raise refuse(title, spec.lines[number - 1], why)
    line = _in_force(spec, rule, title)
    if line is None:
        said = _said_by_hand(spec, by_hand)
        if said is None:
            raise _nothing_defines(spec, rule, title)
        option = f"line {said[0].origin.number} says {said[1]} itself"
        return Switched(draft=draft, action=f"{title}: not in this spec, {option}", guard="")
    bcond = _bcond(line, rule)
    guard = f"%{{with {_name(rule)}}}" if bcond else f"%{{{rule.macro}}}"
    if spec.is_true(rule.macro):
        return Switched(
            draft=draft, action=f"{title}: on already (line {line.origin.number})", guard=guard
        )
    if rule.unless in macros:
        why = f"the target itself defines {rule.unless}"
        raise refuse(title, line, why, f"remove {rule.unless} from the target's macros")
    _refuse_if_it_follows(spec, line, title, not_own={*macros, rule.macro, rule.unless})
    changes = _of_bcond(line, bcond) if bcond else _of_define(spec, line, rule, title)
    for text, action in changes:
        new = draft.replaced(line.number - 1, text)
        now = read(new)
        if now.is_true(rule.macro):
            return Switched(
                draft=new, action=f"{title}: line {line.origin.number}: {action}", guard=guard
            )
    for number in now.defined_at.get(rule.unless, ()):
        raise refuse(title, spec.lines[number - 1], f"this keeps {rule.macro} off")
    raise refuse(title, line, "it stays off whatever this line says")


def _name(rule: SwitchRule) -> str:
    """Return the feature's name in a %bcond."""
    return rule.macro.removeprefix("with_")


def _bcond(line: Line, rule: SwitchRule) -> re.Match[str] | None:
    """Return the parts of the feature's %bcond line, or None."""
    found = _BCOND.match(line.text) if line.role == "text" else None
    return found if found and found[4] == _name(rule) else None


def _of_bcond(line: Line, found: re.Match[str]) -> list[tuple[str, str]]:
    """Return the change that turns a %bcond on, with a sentence."""
    rest = line.text[found.end() :]
    if found[2] == "bcond":
        on = f"{found[1]}bcond{found[3]}{found[4]} 1"
        return [(on + rest, f"its default{found[5] or ''} is now 1")]
    on = f"{found[1]}bcond_without{found[3]}{found[4]}{found[5] or ''}"
    return [(on + rest, f"%{found[2]} is now %bcond_without")]


def _of_define(spec: Spec, line: Line, rule: SwitchRule, title: str) -> list[tuple[str, str]]:
    """Return the changes that may turn a definition on, best first, each with a sentence."""
    after = spec.lines[line.number] if line.number < len(spec.lines) else None
    goes_on = line.text.rstrip().endswith("\\") or (after and after.role == "continuation")
    if not line.definition or line.definition[0] != rule.macro or goes_on:
        raise refuse(title, line, "this is not a plain %define")
    old = line.definition[1]
    if old.count("{") != old.count("}"):
        raise refuse(title, line, "this is not a plain %define")
    start = len(line.text.rstrip()) - len(old)
    return [
        (line.text[:start] + body + line.text[start + len(old) :], f"{old} is now {body}")
        for body in dict.fromkeys([*_siblings(spec, line), f"0%{{!?{rule.unless}:1}}"])
    ]


def _in_force(spec: Spec, rule: SwitchRule, title: str) -> Line | None:
    """Return the line that sets the switch at the spec's end, or None."""
    ours = [
        line
        for line in spec.lines
        if (line.definition and line.definition[0] == rule.macro) or _bcond(line, rule)
    ]
    unsure = next((line for line in ours if line.unsure), None)
    if unsure:
        raise refuse_dead(title, unsure)
    numbers = spec.defined_at.get(rule.macro)
    if numbers:
        return spec.lines[numbers[-1] - 1]
    live = [line for line in ours if line.live]
    if live:
        return live[-1]  # a %bcond in state off defines nothing
    if ours:
        raise refuse_dead(title, ours[0])
    return None


def _said_by_hand(spec: Spec, rule: ArgumentRule) -> tuple[Line, str] | None:
    """Return the line that has the configure option without a switch, and the option."""
    lines = build_lines(spec)
    at, word = saying(rule, [spec.expand(line.text) for line in lines])
    return (lines[at], word) if word in rule.on else None


def _nothing_defines(spec: Spec, rule: SwitchRule, title: str) -> Exception:
    names = {line.definition[0]: line for line in spec.lines if line.definition}
    near = difflib.get_close_matches(rule.macro, names, n=1, cutoff=0.7)
    line = names[near[0]] if near else next(iter(spec.lines), None)
    return refuse(title, line, f"nothing defines {rule.macro}")


def _siblings(spec: Spec, line: Line) -> list[str]:
    """Return the definitions of the same macro in other branches of the same condition."""
    name = line.definition[0] if line.definition else ""
    return [
        other.definition[1]
        for other in spec.lines
        if other is not line
        and other.definition
        and other.definition[0] == name
        and [b.opening for b in other.branches] == [b.opening for b in line.branches]
        and line.branches
    ]


def _refuse_if_it_follows(spec: Spec, line: Line, title: str, not_own: set[str]) -> None:
    """Refuse if another feature of the spec switches it off: without a daemon, no backend."""
    defined = {other.definition[0] for other in spec.lines if other.definition}
    own = (defined | set(spec.defined_at)) - not_own - DISTRIBUTION
    for branch in line.branches:
        asked = spec.asks_about(branch.asked) & own
        for macro in sorted(asked, key=lambda name: (name not in branch.asked, name)):
            why = f"off because of {macro}, line {branch.origin.number}: {branch.text}"
            raise refuse(title, line, why, f"set {macro} as upstream does")
    body = line.definition[1] if line.definition else ""
    for macro in sorted(spec.asks_about(body) & own):
        if not spec.is_true(macro):
            raise refuse(title, line, f"off because {macro} is", f"set {macro} as upstream does")
