"""The rules of an intent: each looks, and where something is missing makes the least change.

A rule returns what it looked at, unchanged, where all is as wanted; a rule that does not fit raises
RuleMismatchError with its name, the line and what was found there. It never does nothing silently.
The rule of the switch is in ``switch.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from sheepvirt.spec.draft import Draft
from sheepvirt.spec.lines import Line, Spec
from sheepvirt.spec.model import ArgumentRule, DependencyRule, SubpackageRule
from sheepvirt.spec.refusals import refuse, refuse_dead
from sheepvirt.spec.shell import numbered_commands

Read = Callable[[Draft], Spec]  # a text as it stands on the target
Outcome = tuple[Draft, str]  # the text after a rule, and a sentence about what the rule did
Seen = tuple[str, str, bool]  # a claim, what was found of it, and whether it is true

_CONFIGURES = re.compile(r"%\{?(?:configure|meson)\b|(?:^|[\s/])(?:configure|meson)\s")


def dependency(draft: Draft, rule: DependencyRule, guard: str, read: Read) -> Outcome:
    """Add the tag where it is missing, in an ``%if`` of its own that asks for ``guard``.

    It goes after its nearest kin. Without a guard the tag stands alone.
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
                continue  # not on this target; or the condition goes on into another section
            margin = _indent(first)
            added = [f"{_indent(anchor)}{title}"]
            if guard:
                added = [f"{margin}%if {guard}", *added, f"{margin}%endif"]
            place = spec.lines[after - 1].origin.number
            return draft.inserted(after, added), f"{title}: added after line {place}"
    why = f"there is no other {rule.tag} to put it after"
    raise refuse(title, _last_of(spec, sections), why)


def argument(draft: Draft, rule: ArgumentRule, read: Read) -> Outcome:
    """Let the configure command say it where it says nothing."""
    spec = read(draft)
    title = "configure argument"
    build = build_lines(spec)
    at, word = saying(rule, [spec.expand(line.text) for line in build])
    if word in rule.on:
        return draft, f"{title}: {word} already"
    if word:
        raise refuse(title, build[at], f"it comes to {word}")
    _require_told(spec, build, title)
    anchor = next((ln for macro in rule.beside for ln in build if _uses(ln, macro)), None)
    if not anchor:
        why = f"no command in %build has %{{?{rule.beside[0]}}}"
        raise refuse(title, _configuring(spec, build), why)
    after = anchor.number
    if not _continues(anchor):  # the command's last line: go before it
        after -= 1
        if not after or not _continues(spec.lines[after - 1]):
            raise refuse(title, anchor, "this command has no further lines to add one to")
    new = draft.inserted(after, [f"{_indent(anchor)}{rule.add} \\"])
    now = read(new)
    if saying(rule, [now.expand(line.text) for line in build_lines(now)])[1] not in rule.on:
        why = "what is added here does not get to the command: a comment ends it before"
        raise refuse(title, anchor, why)
    return new, f"{title}: {rule.add} added after line {spec.lines[after - 1].origin.number}"


def subpackage(draft: Draft, rule: SubpackageRule, read: Read) -> Outcome:
    """Look at the sub-package, where the spec knows it: built on the target, the file in its list.

    Nothing is changed here: what is missing needs a summary and a description, which are not ours.
    """
    spec = read(draft)
    title = f"sub-package {rule.name}"
    of = {
        word: [line for line in spec.lines if line.section.split()[:2] == [word, rule.name]]
        for word in ("package", "files")
    }
    head = next((line for line in of["package"] if line.live), None)
    if not of["package"]:
        return draft, f"{title}: not in this spec, the storage driver has it all"
    if not head:
        raise refuse_dead(title, of["package"][0])
    listed = [ln for ln in of["files"] if spec.expand(ln.text).strip().endswith(rule.file)]
    line = next((line for line in listed if line.live), None)
    if line:
        return draft, f"{title}: has {rule.file} (line {line.origin.number})"
    if listed:
        raise refuse_dead(title, listed[0])
    raise refuse(title, head, f"no %files {rule.name} has {rule.file}")


def argument_seen(rule: ArgumentRule, build: Iterable[str]) -> Seen:
    """Judge the first command that says something; of contrary options its last one counts.

    The first, because later specs configure a MinGW build, where the feature is off, after ours.
    """
    claim = f"configure is told {' or '.join(rule.on)}"
    _, word = saying(rule, list(build))
    return claim, word, word in rule.on


def saying(rule: ArgumentRule, build: Sequence[str]) -> tuple[int, str]:
    """Return the option that counts in a script, and the index of its line; (0, "") for none."""
    for command in numbered_commands(build):
        said = [(i, w) for i, text in command for w in text.split() if w in rule.on + rule.off]
        # What starts with an option is the rest of a command that a comment ended.
        if said and not next(w for _, text in command for w in text.split()).startswith("-"):
            return said[-1]
    return 0, ""


def build_lines(spec: Spec) -> list[Line]:
    """Return the lines of %build that rpm reads."""
    return [ln for ln in spec.lines if ln.live and ln.section == "build" and ln.role == "text"]


def asks_for(line: str, rule: DependencyRule) -> bool:
    """Whether a tag line names the dependency: ``Requires(post): a >= 1, b`` names a and b."""
    tag, colon, value = line.partition(":")
    if not colon or tag.strip().partition("(")[0].lower() != rule.tag.lower():
        return False
    return rule.name in re.split(r"[\s,]+", re.sub(r"[<>=]+\s*\S+", " ", value.strip()))


def _sections(spec: Spec, rule: DependencyRule) -> list[str]:
    """Return the sections that the tag may go to, best first.

    The main package is for specs that have no other: whoever installs only the sub-package would
    not get what it needs.
    """
    known = {line.section for line in spec.lines}
    named = [f"package {name}" for name in rule.packages if name]
    there = [section for section in named if section in known]
    return there or ([""] if "" in rule.packages else named)


def _last_of(spec: Spec, sections: Sequence[str]) -> Line | None:
    """Return the line after which a tag of the first of ``sections`` would stand."""
    for section in sections:
        lines = [line for line in spec.lines if line.section == section and line.role == "text"]
        tags = [line for line in lines if line.tag and line.live]
        if tags or lines:
            return (tags or lines)[-1]
    return next(iter(spec.lines), None)


def _require_told(spec: Spec, build: Sequence[Line], title: str) -> None:
    """Refuse a configure command whose words only rpm can tell: they may say it already."""
    if not spec.untold:
        return
    for command in numbered_commands([line.text for line in build]):
        lines = [build[index] for index, _ in command]
        if not any(_CONFIGURES.search(line.text) for line in lines):
            continue
        for line in lines:
            for name in spec.asks_about(line.text) & spec.untold.keys():
                number, why = spec.untold[name]
                place = spec.lines[number - 1].origin.number
                raise refuse(title, line, f"it uses {name} of line {place}: {why}")


def _configuring(spec: Spec, build: Sequence[Line]) -> Line | None:
    """Return the line of the configure command, else what stands where it would be."""
    told = (ln for ln in build if _CONFIGURES.search(ln.text) and not _is_comment(ln))
    return next(told, None) or next(iter(build), None) or next(iter(spec.lines), None)


def _anchors(spec: Spec, rule: DependencyRule, section: str) -> list[Line]:
    """Return the section's lines of the same tag, those beside which the new one belongs first."""
    same = [
        line
        for line in spec.lines
        if line.section == section and line.tag and line.tag[0] == rule.tag.lower()
    ]
    kin = [
        line
        for macro in rule.beside
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
