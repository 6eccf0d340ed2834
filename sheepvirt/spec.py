"""Patching an RPM spec by intent: what must be true of it, not which lines to replace.

    python -m sheepvirt.spec --target NAME FILE    the patched spec, on standard output

Each rule of an intent looks first, then makes the least change that makes it true, then looks
again. A spec that it does not fit is refused with rule, line and what was found there. ``prove``
judges rpm's own expansion of the result.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sheepvirt import config, paths
from sheepvirt.errors import RuleMismatchError, SheepvirtError, SpecError
from sheepvirt.model import (
    ArgumentRule,
    DependencyRule,
    Evidence,
    Intent,
    Patched,
    SubpackageRule,
    SwitchRule,
)
from sheepvirt.spec_lines import Line, Spec, commands, has_tags, read, section_at, split_lines

Macros = Mapping[str, str]
Outcome = tuple[str, str]  # the text after a rule, and a sentence about what the rule did
Seen = tuple[str, str, bool]  # a claim, what was found of it, and whether it is true


def load_intent(path: Path) -> Intent:
    """Read an intent. Raises ConfigError for unknown keys (with the nearest known one)."""
    table = config.read_toml(path)
    switch = table.table("switch", required=True)
    argument = table.table("argument", required=True)
    package = table.table("subpackage", required=True)
    rows = table.array("dependencies")
    intent = Intent(
        name=path.stem,
        serves=table.get("serves", str),
        switch=SwitchRule(switch.get("macro", str), switch.get("unless", str)),
        argument=ArgumentRule(
            on=argument.strings("on", ...),
            off=argument.strings("off", ...),
            add=argument.get("add", str),
            beside=argument.strings("beside", ...),
        ),
        dependencies=tuple(
            DependencyRule(
                tag=row.get("tag", str),
                name=row.get("name", str),
                packages=row.strings("packages", ...),
                beside=row.strings("beside"),
            )
            for row in rows
        ),
        subpackage=SubpackageRule(package.get("name", str), package.get("file", str)),
    )
    for part in (table, switch, argument, package, *rows):
        part.done()
    return intent


def patch(text: str, intent: Intent, macros: Macros, *, name: str = "libvirt.spec") -> Patched:
    """Make ``intent`` true of a spec on the target that ``macros`` describe.

    Lines that no rule needs changed stay as they are, to the byte. Patching the result again
    changes nothing. Raises RuleMismatchError naming rule, line and what was found there.
    """
    actions = []
    try:
        result, action = _switch(text, intent.switch, macros)
        actions.append(action)
        for rule in intent.dependencies:
            result, action = _dependency(result, rule, intent.switch.macro, macros)
            actions.append(action)
        result, action = _argument(result, intent.argument, macros)
        actions.append(action)
    except RuleMismatchError as error:
        hint = error.hint or f"was it edited by hand? {intent.name} serves {intent.serves}"
        raise RuleMismatchError(f"{name}: {error.message}", hint=hint) from None
    return Patched(result, _diff(text, result, name), tuple(actions), already=result == text)


def prove(intent: Intent, expanded: str, *, package: str, feature: str) -> tuple[Evidence, ...]:
    """Judge what ``rpmspec -P`` printed: the evidence of gate "spec", one for each rule."""
    sections: dict[str, list[str]] = {}
    section = ""
    for line in split_lines(expanded):
        section = section_at(line, section)
        sections.setdefault(section, []).append(line)
    found = [_argument_seen(intent.argument, sections.get("build", []))]
    for rule in intent.dependencies:
        asking = [
            f"{line.strip()} ({f'%{section}' if section else 'main package'})"
            for section, lines in sections.items()
            for line in lines
            if has_tags(section) and _asks_for(line, rule)
        ]
        found.append((f"{rule.tag}: {rule.name}", "; ".join(asking), bool(asking)))
    found += _subpackage_seen(intent.subpackage, sections)
    return tuple(
        Evidence("spec", package, feature, claim, seen or "not in the expanded spec", ok)
        for claim, seen, ok in found
    )


def _refuse(rule: str, line: Line | None, why: str, hint: str = "") -> RuleMismatchError:
    """Name rule, line and what was found there; without a hint, ``patch`` says what is served."""
    number, found = (line.number, line.text.strip()) if line else (1, "an empty file")
    return RuleMismatchError(f"rule '{rule}': line {number}: {why}; found: {found}", hint=hint)


def _refuse_dead(rule: str, line: Line) -> RuleMismatchError:
    off = next(branch for branch in line.branches if not branch.holds)
    return _refuse(rule, line, f"not in force on this target, line {off.line} says {off.text}")


def _indent(line: Line) -> str:
    return line.text[: len(line.text) - len(line.text.lstrip())]


def _insert(spec: Spec, after: int, added: Sequence[str]) -> str:
    """Return the text with ``added`` after line number ``after``, in that line's line ending."""
    lines = [line.text for line in spec.lines]
    ending = "\r\n" if lines[after - 1].endswith("\r\n") else "\n"
    if not lines[after - 1].endswith("\n"):  # the spec's last line, which has no line ending
        return "".join(lines) + ending + ending.join(added)
    return "".join([*lines[:after], *(line + ending for line in added), *lines[after:]])


def _switch(text: str, rule: SwitchRule, macros: Macros) -> Outcome:
    """Turn the definition that is in force on the target on, in the spec's own words."""
    spec = read(text, macros)
    title = f"switch {rule.macro}"
    line = _in_force(spec, rule, title)
    if spec.is_true(rule.macro):
        return text, f"{title}: on already (line {line.number})"
    if rule.unless in macros:
        why = f"the target itself defines {rule.unless}"
        raise _refuse(title, line, why, f"take {rule.unless} out of the target's macros")
    if not line.definition or line.definition[0] != rule.macro or line.text.rstrip()[-1] == "\\":
        raise _refuse(title, line, "this is no plain %define to be edited")
    _refuse_dependency(spec, line, rule, title, macros)
    old = line.definition[1]
    start = len(line.text.rstrip()) - len(old)
    for body in dict.fromkeys([*_siblings(spec, line), f"0%{{!?{rule.unless}:1}}"]):
        lines = [other.text for other in spec.lines]
        lines[line.number - 1] = line.text[:start] + body + line.text[start + len(old) :]
        if read("".join(lines), macros).is_true(rule.macro):
            return "".join(lines), f"{title}: line {line.number}: {old} is now {body}"
    raise _refuse(title, line, "it stays off whatever is written here")


def _in_force(spec: Spec, rule: SwitchRule, title: str) -> Line:
    """Return the line whose definition of the switch is in force at the spec's end."""
    numbers = spec.defined_at.get(rule.macro)
    if numbers:
        return spec.lines[numbers[-1] - 1]
    defined = {line.definition[0]: line for line in spec.lines if line.definition}
    if rule.macro in defined:
        raise _refuse_dead(title, defined[rule.macro])
    near = difflib.get_close_matches(rule.macro, defined, n=1, cutoff=0.7)
    line = defined[near[0]] if near else next(iter(spec.lines), None)
    raise _refuse(title, line, f"nothing defines {rule.macro}")


def _siblings(spec: Spec, line: Line) -> list[str]:
    """Return how the other branches of the same condition define the same macro."""
    return [
        other.definition[1]
        for other in spec.lines
        if other.definition
        and line.definition
        and other.definition[0] == line.definition[0]
        and other.branches
        and line.branches
        and other.branches[-1].opening == line.branches[-1].opening
        and other is not line
    ]


def _refuse_dependency(
    spec: Spec, line: Line, rule: SwitchRule, title: str, macros: Macros
) -> None:
    """Leave alone a zero that follows from another switch of the spec: no daemon, no backend."""
    own = {other.definition[0] for other in spec.lines if other.definition}
    own = (own | set(spec.defined_at)) - set(macros) - {rule.macro}
    for branch in line.branches:
        for macro in sorted(spec.asks_about(branch.asked) & own):
            why = f"off because of {macro}, line {branch.line} says {branch.text}"
            raise _refuse(title, line, why, f"set {macro} as upstream does")
    for macro in sorted(spec.asks_about(line.definition[1] if line.definition else "") & own):
        if not spec.is_true(macro):
            raise _refuse(title, line, f"off because {macro} is", f"set {macro} as upstream does")


def _dependency(text: str, rule: DependencyRule, macro: str, macros: Macros) -> Outcome:
    """Add the tag where it is missing, in a condition of its own after its nearest kin."""
    spec = read(text, macros)
    title = f"{rule.tag}: {rule.name}"
    there = [line for line in spec.lines if line.tag and _asks_for(spec.expand(line.text), rule)]
    live = next((line for line in there if line.live), None)
    if live:
        return text, f"{title}: there already (line {live.number})"
    if there:
        raise _refuse_dead(title, there[0])
    for section in (f"package {name}".rstrip() if name else "" for name in rule.packages):
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


def _asks_for(line: str, rule: DependencyRule) -> bool:
    """Whether a tag line names the dependency: ``Requires(post): a >= 1, b`` names a and b."""
    tag, colon, value = line.partition(":")
    if not colon or tag.strip().partition("(")[0].lower() != rule.tag.lower():
        return False
    return rule.name in re.split(r"[\s,]+", re.sub(r"[<>=]+\s*\S+", " ", value.strip()))


def _argument(text: str, rule: ArgumentRule, macros: Macros) -> Outcome:
    """Let the configure command say it where it says nothing."""
    spec = read(text, macros)
    title = f"argument {rule.on[-1]}"
    build = [ln for ln in spec.lines if ln.live and ln.section == "build" and ln.role == "text"]
    _, seen, on = _argument_seen(rule, [spec.expand(line.text) for line in build])
    if on:
        return text, f"{title}: {seen} is there already"
    beside = (
        line
        for macro in rule.beside
        for line in build
        if f"%{{?{macro}}}" in line.text and not line.text.lstrip().startswith("#")
    )
    anchor = next(beside, None)
    if seen or not anchor:
        said = next((line for line in build if seen and seen in line.text), None)
        line = said or next(iter(build), next(iter(spec.lines), None))
        why = f"it says {seen}" if seen else f"no command has %{{?{rule.beside[0]}}}"
        raise _refuse(title, line, why)
    after = anchor.number
    if not anchor.text.rstrip().endswith("\\"):  # the command's last line: go before it
        after -= 1
        if not after or not spec.lines[after - 1].text.rstrip().endswith("\\"):
            raise _refuse(title, anchor, "the command has no lines to add one to")
    added = f"{_indent(anchor)}{rule.add} \\"
    return _insert(spec, after, [added]), f"{title}: added after line {after}"


def _argument_seen(rule: ArgumentRule, build: Iterable[str]) -> Seen:
    """Judge the first command that says something; of contrary options its last one counts."""
    claim = f"configure is told {' or '.join(rule.on)}"
    for command in commands(build):
        said = [word for word in command.split() if word in rule.on + rule.off]
        if said and not command.lstrip().startswith("#"):
            return claim, said[-1], said[-1] in rule.on
    return claim, "", False


def _subpackage_seen(rule: SubpackageRule, sections: Mapping[str, list[str]]) -> list[Seen]:
    """Judge the sub-package's file list; nothing to judge where the spec has no sub-package."""
    if f"package {rule.name}" not in sections:
        return []
    files = sections.get(f"files {rule.name}", [])
    seen = next((line.strip() for line in files if line.strip().endswith(rule.file)), "")
    return [(f"%files {rule.name} has {rule.file}", seen, bool(seen))]


def _diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(split_lines(old), split_lines(new), f"a/{name}", f"b/{name}")
    no_end = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + no_end for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the patched spec; return 0, 1 where a rule does not fit, 2 for a wrong name or file."""
    parser = argparse.ArgumentParser(
        prog="python -m sheepvirt.spec", description="Print a libvirt spec with sheepdog on."
    )
    parser.add_argument("--target", required=True, help="a folder of containers/")
    parser.add_argument("file", type=Path, metavar="FILE", help="libvirt.spec or libvirt.spec.in")
    given = parser.parse_args(arguments)
    try:
        target = config.load_target(given.target)
        intent = load_intent(paths.PATCHES / "libvirt" / "enable-sheepdog.toml")
        # Changelogs of old specs are not all UTF-8: bytes go through as they came.
        text = given.file.read_bytes().decode("utf-8", "surrogateescape")
        macros = {"_target_cpu": target.arch, **target.macros}
        patched = patch(text, intent, macros, name=given.file.name)
    except SheepvirtError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, SpecError) else error.exit_code
    except OSError as error:
        print(f"error: {given.file}: {error.strerror}", file=sys.stderr)
        return 2
    sys.stdout.buffer.write(patched.text.encode("utf-8", "surrogateescape"))
    for action in patched.actions:
        print(action, file=sys.stderr)
    if patched.already:
        print(f"{given.file.name}: already enabled", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
