"""The rules of an intent: each looks, and where something is missing makes the least change.

A rule returns what it looked at, unchanged, where all is as wanted; a rule that does not fit raises
RuleMismatchError with its name, the line and what was found there. It never does nothing silently.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from sheepvirt.errors import RuleMismatchError
from sheepvirt.spec.lines import Line, Spec, commands, shown
from sheepvirt.spec.model import ArgumentRule, DependencyRule, SubpackageRule, SwitchRule

Read = Callable[[str], Spec]  # a text as it stands on the target
Outcome = tuple[str, str]  # the text after a rule, and a sentence about what the rule did
Seen = tuple[str, str, bool]  # a claim, what was found of it, and whether it is true

# Asked about by nearly every condition. A spec may set them itself; they are no features of it.
_DISTRIBUTION = {"fedora", "rhel", "centos", "suse_version", "dist"}


def switch(text: str, rule: SwitchRule, macros: Mapping[str, str], read: Read) -> Outcome:
    """Turn the definition that is in force on the target on, in the spec's own words."""
    spec = read(text)
    title = f"switch {rule.macro}"
    line = _in_force(spec, rule, title)
    if spec.is_true(rule.macro):
        return text, f"{title}: on already (line {line.number})"
    if rule.unless in macros:
        why = f"the target itself defines {rule.unless}"
        raise _refuse(title, line, why, f"take {rule.unless} out of the target's macros")
    if not line.definition or line.definition[0] != rule.macro or line.text.rstrip()[-1] == "\\":
        raise _refuse(title, line, "this is no plain %define to be edited")
    _refuse_if_it_follows(spec, line, title, not_own={*macros, rule.macro, rule.unless})
    old = line.definition[1]
    start = len(line.text.rstrip()) - len(old)
    for body in dict.fromkeys([*_siblings(spec, line), f"0%{{!?{rule.unless}:1}}"]):
        lines = [other.text for other in spec.lines]
        lines[line.number - 1] = line.text[:start] + body + line.text[start + len(old) :]
        now = read("".join(lines))
        if now.is_true(rule.macro):
            return "".join(lines), f"{title}: line {line.number}: {old} is now {body}"
    for number in now.defined_at.get(rule.unless, ()):
        raise _refuse(title, spec.lines[number - 1], f"this keeps {rule.macro} off")
    raise _refuse(title, line, "it stays off whatever is written here")


def dependency(text: str, rule: DependencyRule, macro: str, read: Read) -> Outcome:
    """Add the tag where it is missing, in an ``%if %{macro}`` of its own after its nearest kin."""
    spec = read(text)
    title = f"{rule.tag}: {rule.name}"
    there = [line for line in spec.lines if line.tag and asks_for(spec.expand(line.text), rule)]
    live = next((line for line in there if line.live), None)
    if live:
        return text, f"{title}: there already (line {live.number})"
    if there:
        raise _refuse_dead(title, there[0])
    for section in (f"package {name}" if name else "" for name in rule.packages):
        for anchor in _anchors(spec, rule, section):
            inner = [b for b in anchor.branches if spec.lines[b.opening - 1].section == section]
            first = spec.lines[inner[0].opening - 1] if inner else anchor
            after = spec.endings[inner[0].opening] if inner else anchor.number
            if not first.live or spec.lines[after - 1].section != section:
                continue  # not on this target; or the condition goes on into another section
            margin = _indent(first)
            added = [f"{margin}%if %{{{macro}}}", f"{_indent(anchor)}{title}", f"{margin}%endif"]
            return _insert(spec, after, added), f"{title}: added after line {after}"
    line = next((line for line in spec.lines if line.tag), next(iter(spec.lines), None))
    raise _refuse(title, line, f"there is no other {rule.tag} to put it after")


def argument(text: str, rule: ArgumentRule, read: Read) -> Outcome:
    """Let the configure command say it where it says nothing."""
    spec = read(text)
    title = "configure argument"
    build = [ln for ln in spec.lines if ln.live and ln.section == "build" and ln.role == "text"]
    expanded = [spec.expand(line.text) for line in build]
    _, seen, on = argument_seen(rule, expanded)
    if on:
        return text, f"{title}: {seen} already"
    if seen:
        said = next(ln for ln, now in zip(build, expanded, strict=True) if seen in now.split())
        raise _refuse(title, said, f"it comes to {seen}")
    anchor = next((ln for macro in rule.beside for ln in build if _uses(ln, macro)), None)
    if not anchor:
        line = next(iter(build), next(iter(spec.lines), None))
        raise _refuse(title, line, f"no command in %build has %{{?{rule.beside[0]}}}")
    after = anchor.number
    if not _continues(anchor):  # the command's last line: go before it
        after -= 1
        if not after or not _continues(spec.lines[after - 1]):
            raise _refuse(title, anchor, "this command has no further lines to add one to")
    added = f"{_indent(anchor)}{rule.add} \\"
    return _insert(spec, after, [added]), f"{title}: {rule.add} added after line {after}"


def subpackage(text: str, rule: SubpackageRule, read: Read) -> Outcome:
    """Look at the sub-package, where the spec knows it: built on the target, the file in its list.

    Nothing is changed here: what is missing needs a summary and a description, which are not ours.
    """
    spec = read(text)
    title = f"sub-package {rule.name}"
    of = {
        word: [line for line in spec.lines if line.section.split()[:2] == [word, rule.name]]
        for word in ("package", "files")
    }
    head = next((line for line in of["package"] if line.live), None)
    if not of["package"]:
        return text, f"{title}: not in this spec, the storage driver has it all"
    if not head:
        raise _refuse_dead(title, of["package"][0])
    listed = [ln for ln in of["files"] if spec.expand(ln.text).strip().endswith(rule.file)]
    line = next((line for line in listed if line.live), None)
    if line:
        return text, f"{title}: has {rule.file} (line {line.number})"
    if listed:
        raise _refuse_dead(title, listed[0])
    raise _refuse(title, head, f"no %files {rule.name} has {rule.file}")


def argument_seen(rule: ArgumentRule, build: Iterable[str]) -> Seen:
    """Judge the first command that says something; of contrary options its last one counts.

    The first, because later specs configure a MinGW build, where the feature is off, after ours.
    """
    claim = f"configure is told {' or '.join(rule.on)}"
    for command in commands(build):
        said = [word for word in command.split() if word in rule.on + rule.off]
        if said and not command.lstrip().startswith("#"):
            return claim, said[-1], said[-1] in rule.on
    return claim, "", False


def asks_for(line: str, rule: DependencyRule) -> bool:
    """Whether a tag line names the dependency: ``Requires(post): a >= 1, b`` names a and b."""
    tag, colon, value = line.partition(":")
    if not colon or tag.strip().partition("(")[0].lower() != rule.tag.lower():
        return False
    return rule.name in re.split(r"[\s,]+", re.sub(r"[<>=]+\s*\S+", " ", value.strip()))


def _refuse(rule: str, line: Line | None, why: str, hint: str = "") -> RuleMismatchError:
    """Name rule, line and what was found there; without a hint, ``by_intent.patch`` gives one."""
    number, found = (line.number, shown(line.text)) if line else (1, "an empty file")
    return RuleMismatchError(f"rule '{rule}': line {number}: {why}; found: {found}", hint=hint)


def _refuse_dead(rule: str, line: Line) -> RuleMismatchError:
    off = next((branch for branch in line.branches if not branch.holds), None)
    if off is None:
        return _refuse(rule, line, "this cannot be read")
    how = "does not hold on this target" if off.holds is False else "cannot be told from here"
    return _refuse(rule, line, f"it depends on line {off.line}, {off.text}, which {how}")


def _in_force(spec: Spec, rule: SwitchRule, title: str) -> Line:
    """Return the line whose definition of the switch is in force at the spec's end."""
    plain = [line for line in spec.lines if line.definition]
    ours = [line for line in plain if line.definition and line.definition[0] == rule.macro]
    unsure = next((line for line in ours if line.unsure), None)
    if unsure:
        raise _refuse_dead(title, unsure)
    numbers = spec.defined_at.get(rule.macro)
    if numbers:
        return spec.lines[numbers[-1] - 1]
    if ours:
        raise _refuse_dead(title, ours[0])
    names = {line.definition[0]: line for line in plain if line.definition}
    near = difflib.get_close_matches(rule.macro, names, n=1, cutoff=0.7)
    line = names[near[0]] if near else next(iter(spec.lines), None)
    raise _refuse(title, line, f"nothing defines {rule.macro}")


def _siblings(spec: Spec, line: Line) -> list[str]:
    """Return how the other branches of the same condition define the same macro."""
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
    """Leave alone a zero that follows from another feature of the spec: no daemon, no backend."""
    defined = {other.definition[0] for other in spec.lines if other.definition}
    own = (defined | set(spec.defined_at)) - not_own - _DISTRIBUTION
    for branch in line.branches:
        asked = spec.asks_about(branch.asked) & own
        for macro in sorted(asked, key=lambda name: (name not in branch.asked, name)):
            why = f"off because of {macro}, line {branch.line}: {branch.text}"
            raise _refuse(title, line, why, f"set {macro} as upstream does")
    body = line.definition[1] if line.definition else ""
    for macro in sorted(spec.asks_about(body) & own):
        if not spec.is_true(macro):
            raise _refuse(title, line, f"off because {macro} is", f"set {macro} as upstream does")


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
        if any(f"{{{macro}}}" in branch.text for branch in line.branches)
    ]
    return [*kin, *reversed(same)]


def _indent(line: Line) -> str:
    return line.text[: len(line.text) - len(line.text.lstrip())]


def _uses(line: Line, macro: str) -> bool:
    return f"%{{?{macro}}}" in line.text and not line.text.lstrip().startswith("#")


def _continues(line: Line) -> bool:
    return line.text.rstrip().endswith("\\")


def _insert(spec: Spec, after: int, added: Sequence[str]) -> str:
    """Return the text with ``added`` after line number ``after``, in that line's line ending."""
    lines = [line.text for line in spec.lines]
    ending = "\r\n" if lines[after - 1].endswith("\r\n") else "\n"
    if not lines[after - 1].endswith("\n"):  # the spec's last line, which has no line ending
        return "".join(lines) + ending + ending.join(added)
    return "".join([*lines[:after], *(line + ending for line in added), *lines[after:]])
