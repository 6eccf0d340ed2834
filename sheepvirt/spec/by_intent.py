"""Patching an RPM spec by intent: what must be true of it, not which lines to replace.

``patch`` makes every rule of an intent true on a target, or says which rule does not fit; ``prove``
judges rpm's own expansion of the result.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from pathlib import Path

from sheepvirt.errors import RuleMismatchError
from sheepvirt.model import Evidence
from sheepvirt.spec import rules
from sheepvirt.spec.lines import by_section, has_tags, shown, split_lines
from sheepvirt.spec.model import (
    ArgumentRule,
    DependencyRule,
    Intent,
    Patched,
    SubpackageRule,
    SwitchRule,
)
from sheepvirt.spec.reader import read
from sheepvirt.spec.rules import Read, Seen
from sheepvirt.tables import read_toml


def load_intent(path: Path) -> Intent:
    """Read an intent. Raises ConfigError for unknown keys (with the nearest known one)."""
    table = read_toml(path)
    serves = table.get("serves", str)
    switch = table.table("switch", required=True)
    argument = table.table("argument", required=True)
    rows = table.array("dependencies")
    package = table.table("subpackage", required=True)
    intent = Intent(
        name=path.stem,
        serves=serves,
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


def patch(
    text: str, intent: Intent, macros: Mapping[str, str], *, name: str = "libvirt.spec"
) -> Patched:
    """Make ``intent`` true of a spec on the target that ``macros`` describe.

    Lines that no rule needs changed stay as they are, to the byte. Patching the result again
    changes nothing. Raises RuleMismatchError naming rule, line and what was found there.
    """
    as_read = functools.cache(lambda now: read(now, macros))
    try:
        result, actions = _apply(text, intent, macros, as_read)
        again, _ = _apply(result, intent, macros, as_read)
    except RuleMismatchError as error:
        hint = error.hint or _versions(text, intent)
        raise RuleMismatchError(f"{name}: {error.message}", hint=hint) from None
    if again != result:
        pairs = zip(split_lines(result), split_lines(again), strict=False)
        differ = ((n, p[0]) for n, p in enumerate(pairs, 1) if p[0] != p[1])
        at, line = next(differ, (len(split_lines(result)), "its end"))
        raise RuleMismatchError(
            f"{name}: {intent.name} does not hold after it was applied: a rule would change the "
            f"result again at its line {at}: {shown(line)}",
            hint=f"is that part commented out? What was done: {'; '.join(actions)}",
        )
    return Patched(result, _diff(text, result, name), actions, already=result == text)


def _versions(text: str, intent: Intent) -> str:
    said = re.search(r"^Version:[ \t]*([^\s@%]+)", text, re.MULTILINE | re.IGNORECASE)
    version = f"this spec's version is {shown(said[1], 40)}" if said else "which version is this?"
    return f"{intent.name} serves {intent.serves}; {version} (or was it edited by hand?)"


def _apply(
    text: str, intent: Intent, macros: Mapping[str, str], as_read: Read
) -> tuple[str, tuple[str, ...]]:
    text, switched = rules.switch(text, intent.switch, macros, as_read)
    actions = [switched]
    for rule in intent.dependencies:
        text, action = rules.dependency(text, rule, intent.switch.macro, as_read)
        actions.append(action)
    text, told = rules.argument(text, intent.argument, as_read)
    text, found = rules.subpackage(text, intent.subpackage, as_read)
    return text, (*actions, told, found)


def _diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(split_lines(old), split_lines(new), f"a/{name}", f"b/{name}")
    no_end = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + no_end for line in lines)


def prove(intent: Intent, expanded: str, *, package: str, feature: str) -> tuple[Evidence, ...]:
    """Judge what ``rpmspec -P`` printed: the evidence of gate "spec", one for each rule."""
    sections = by_section(expanded)
    found = [rules.argument_seen(intent.argument, sections.get("build", []))]
    found += [_dependency_seen(rule, sections) for rule in intent.dependencies]
    found += _subpackage_seen(intent.subpackage, sections)
    return tuple(
        Evidence("spec", package, feature, claim, seen or "not in the expanded spec", ok)
        for claim, seen, ok in found
    )


def _dependency_seen(rule: DependencyRule, sections: Mapping[str, list[str]]) -> Seen:
    asking = [
        f"{line.strip()} ({f'%{section}' if section else 'main package'})"
        for section, lines in sections.items()
        for line in lines
        if has_tags(section) and rules.asks_for(line, rule)
    ]
    return f"{rule.tag}: {rule.name}", "; ".join(asking), bool(asking)


def _subpackage_seen(rule: SubpackageRule, sections: Mapping[str, list[str]]) -> list[Seen]:
    """Judge the sub-package's file list; nothing to judge where the spec has no sub-package."""
    if f"package {rule.name}" not in sections:
        return []
    files = sections.get(f"files {rule.name}", [])
    seen = next((line.strip() for line in files if line.strip().endswith(rule.file)), "")
    return [(f"%files {rule.name} has {rule.file}", seen, bool(seen))]
