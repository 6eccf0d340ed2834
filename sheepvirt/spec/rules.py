"""The rules of an intent. Each makes the smallest change that makes it true.

A rule that is true already returns the text unchanged. A rule that does not fit raises
RuleMismatchError with its name, the line and what was found there. No rule fails silently. The rule
of the switch is in ``switch.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from sheepvirt.spec.draft import Draft
from sheepvirt.spec.lines import Line, Spec
from sheepvirt.spec.refusals import refuse, refuse_dead
from sheepvirt.spec.shell import numbered_commands

if TYPE_CHECKING:
    from sheepvirt.spec.model import ArgumentRule, DependencyRule, SubpackageRule

Read = Callable[[Draft], Spec]  # reads a text for the target
Edited = tuple[Draft, str]  # the text after a rule, and a sentence about its change
SeenClaim = tuple[str, str, bool]  # a claim, what was found, and whether the claim is true

_CONFIGURES = re.compile(r"%\{?(?:configure|meson)\b|(?:^|[\s/])(?:configure|meson)\s")


def dependency(draft: Draft, rule: DependencyRule, guard: str, read: Read) -> Edited:
    """Add the tag if it is missing, in a new ``%if`` with ``guard``, or without ``%if`` if empty.

    It goes after the most similar tag.
    """
    spec = read(draft)
    title = f"{rule.tag}: {rule.name}"
    there = [line for line in spec.lines if line.tag and asks_for(spec.expand(line.text), rule)]
    live = next((line for line in there if line.live), None)
    if live:
        return draft, f"{title}: there already (line {live.origin.number})"
    if there:
        raise refuse_dead(title, there[0])
    sections = _sections(spec, rule)
    for section in sections:
        for anchor in _anchors(spec, rule, section):
            inner = [b for b in anchor.branches if spec.lines[b.opening - 1].section == section]
            first = spec.lines[inner[0].opening - 1] if inner else anchor
            after = spec.endings[inner[0].opening] if inner else anchor.number
            if not first.live or spec.lines[after - 1].section != section:
                continue  # inactive on this target, or the condition spans another section
            margin = _indent(first)
            added = [f"{_indent(anchor)}{title}"]
            if guard:
                added = [f"{margin}%if {guard}", *added, f"{margin}%endif"]
            place = spec.lines[after - 1].origin.number
            return draft.inserted(after, added), f"{title}: added after line {place}"
    why = f"there is no other {rule.tag} to put it after"
    raise refuse(title, _last_of(spec, sections), why)


def argument(draft: Draft, rule: ArgumentRule, read: Read) -> Edited:
    """Add the option to the configure command if it has neither option."""
    spec = read(draft)
    title = "configure argument"
    build = build_lines(spec)
    at, word = saying(rule, [spec.expand(line.text) for line in build])
    if word in rule.on:
        return draft, f"{title}: {word} already"
    if word:
        raise refuse(title, build[at], f"it says {word}")
    _require_told(spec, build, title)
    anchor = next((ln for macro in rule.anchors for ln in build if _uses(ln, macro)), None)
    if not anchor:
        why = f"no command in %build has %{{?{rule.anchors[0]}}}"
        raise refuse(title, _configuring(spec, build), why)
    after = anchor.number
    if not _continues(anchor):  # the command's last line: go before it
        after -= 1
        if not after or not _continues(spec.lines[after - 1]):
            raise refuse(title, anchor, "this command has no further lines to add one to")
    new = draft.inserted(after, [f"{_indent(anchor)}{rule.add} \\"])
    now = read(new)
    if saying(rule, [now.expand(line.text) for line in build_lines(now)])[1] not in rule.on:
        why = "a line added here would not reach the command: a comment ends it before"
        raise refuse(title, anchor, why)
    return new, f"{title}: {rule.add} added after line {spec.lines[after - 1].origin.number}"


def subpackage(draft: Draft, rule: SubpackageRule, read: Read) -> Edited:
    """Check that the sub-package, if the spec has it, is built on the target and has the file.

    This rule changes nothing: a new sub-package would need upstream's summary and description.
    """
    spec = read(draft)
    title = f"sub-package {rule.name}"
    of = {
        word: [line for line in spec.lines if line.section.split()[:2] == [word, rule.name]]
        for word in ("package", "files")
    }
    head = next((line for line in of["package"] if line.live), None)
    if not of["package"]:
        return draft, f"{title}: not in this spec, the storage driver has the backend"
    if not head:
        raise refuse_dead(title, of["package"][0])
    listed = [ln for ln in of["files"] if spec.expand(ln.text).strip().endswith(rule.file)]
    line = next((line for line in listed if line.live), None)
    if line:
        return draft, f"{title}: has {rule.file} (line {line.origin.number})"
    if listed:
        raise refuse_dead(title, listed[0])
    raise refuse(title, head, f"no %files {rule.name} has {rule.file}")


def argument_seen(rule: ArgumentRule, build: Iterable[str]) -> SeenClaim:
    """Check the first command with such an option; its last option counts.

    The first command, because later specs also configure a MinGW build, without the feature, after
    the main one.
    """
    claim = f"configure is told {' or '.join(rule.on)}"
    _, word = saying(rule, list(build))
    return claim, word, word in rule.on


def saying(rule: ArgumentRule, build: Sequence[str]) -> tuple[int, str]:
    """Return the line's index and the option that takes effect in a script; (0, "") for none."""
    for command in numbered_commands(build):
        said = [(i, w) for i, text in command for w in text.split() if w in rule.on + rule.off]
        # A command that starts with an option is the rest of one that a comment ended.
        if said and not next(w for _, text in command for w in text.split()).startswith("-"):
            return said[-1]
    return 0, ""


def build_lines(spec: Spec) -> list[Line]:
    """Return the lines of %build that rpm reads."""
    return [ln for ln in spec.lines if ln.live and ln.section == "build" and ln.role == "text"]


def asks_for(line: str, rule: DependencyRule) -> bool:
    """Tell whether a tag line has the dependency: ``Requires(post): a >= 1, b`` has a and b."""
    tag, colon, value = line.partition(":")
    if not colon or tag.strip().partition("(")[0].lower() != rule.tag.lower():
        return False
    return rule.name in re.split(r"[\s,]+", re.sub(r"[<>=]+\s*\S+", " ", value.strip()))


def _sections(spec: Spec, rule: DependencyRule) -> list[str]:
    """Return the sections to which the tag may be added, best first.

    The main package is only for specs without the others: else an installation of only the
    sub-package would lack the dependency.
    """
    known = {line.section for line in spec.lines}
    named = [f"package {name}" for name in rule.packages if name]
    there = [section for section in named if section in known]
    return there or ([""] if "" in rule.packages else named)


def _last_of(spec: Spec, sections: Sequence[str]) -> Line | None:
    """Return the line after which a tag in the first of ``sections`` would be added."""
    for section in sections:
        lines = [line for line in spec.lines if line.section == section and line.role == "text"]
        tags = [line for line in lines if line.tag and line.live]
        if tags or lines:
            return (tags or lines)[-1]
    return next(iter(spec.lines), None)


def _require_told(spec: Spec, build: Sequence[Line], title: str) -> None:
    """Refuse a configure command with macros that only rpm can evaluate: they may have options."""
    if not spec.unreadable:
        return
    for command in numbered_commands([line.text for line in build]):
        lines = [build[index] for index, _ in command]
        if not any(_CONFIGURES.search(line.text) for line in lines):
            continue
        for line in lines:
            for name in spec.asks_about(line.text) & spec.unreadable.keys():
                number, why = spec.unreadable[name]
                place = spec.lines[number - 1].origin.number
                raise refuse(title, line, f"it uses {name} of line {place}: {why}")


def _configuring(spec: Spec, build: Sequence[Line]) -> Line | None:
    """Return the line of the configure command, else the line at its place."""
    configure_lines = (ln for ln in build if _CONFIGURES.search(ln.text) and not _is_comment(ln))
    return next(configure_lines, None) or next(iter(build), None) or next(iter(spec.lines), None)


def _anchors(spec: Spec, rule: DependencyRule, section: str) -> list[Line]:
    """Return the section's lines with the same tag, the rule's anchors first."""
    same = [
        line
        for line in spec.lines
        if line.section == section and line.tag and line.tag[0] == rule.tag.lower()
    ]
    kin = [
        line
        for macro in rule.anchors
        for line in same
        if any(
            name in branch.text
            for branch in line.branches
            for name in (f"{{{macro}}}", f"{{with {macro.removeprefix('with_')}}}")
        )
    ]
    return [*kin, *reversed(same)]


def _indent(line: Line) -> str:
    return line.text[: len(line.text) - len(line.text.lstrip())]


def _uses(line: Line, macro: str) -> bool:
    return f"%{{?{macro}}}" in line.text and not _is_comment(line)


def _is_comment(line: Line) -> bool:
    return line.text.lstrip().startswith("#")


def _continues(line: Line) -> bool:
    return line.text.rstrip().endswith("\\")
