"""Patch an RPM spec by intent: an intent says what must be true, not which lines to replace.

``patch`` makes every rule of an intent true on a target or says which rule does not fit. ``prove``
checks rpm's expansion of the result.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from sheepvirt.core.errors import RuleMismatchError
from sheepvirt.core.tables import read_toml
from sheepvirt.model.builds import Evidence
from sheepvirt.model.enums import Gate
from sheepvirt.spec import rules
from sheepvirt.spec.draft import Draft, unified_diff
from sheepvirt.spec.lines import Spec, build_section, by_section, has_tags, shown
from sheepvirt.spec.model import (
    ArgumentRule,
    DependencyRule,
    Dropped,
    Intent,
    Patched,
    SubpackageRule,
    SwitchRule,
)
from sheepvirt.spec.reader import read
from sheepvirt.spec.switch import switch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sheepvirt.spec.rules import Read, SeenClaim

BYTE_ORDER_MARK = "\ufeff"


def load_intent(path: Path) -> Intent:
    """Read an intent. Raises ConfigError for unknown keys (with the nearest known one)."""
    table = read_toml(path)
    serves = table.get("serves", str)
    dropped = table.table("dropped", required=True)
    on = table.table("switch", required=True)
    argument = table.table("argument", required=True)
    rows = table.array("dependencies")
    package = table.table("subpackage", required=True)
    intent = Intent(
        name=path.stem,
        serves=serves,
        dropped=Dropped(dropped.get("since", str), dropped.get("says", str)),
        switch=SwitchRule(on.get("macro", str), on.get("unless", str)),
        argument=ArgumentRule(
            on=argument.strings("on", ...),
            off=argument.strings("off", ...),
            add=argument.get("add", str),
            anchors=argument.strings("beside", ...),
        ),
        dependencies=tuple(
            DependencyRule(
                tag=row.get("tag", str),
                name=row.get("name", str),
                packages=row.strings("packages", ...),
                anchors=row.strings("beside"),
            )
            for row in rows
        ),
        subpackage=SubpackageRule(package.get("name", str), package.get("file", str)),
    )
    for part in (table, dropped, on, argument, package, *rows):
        part.done()
    return intent


def patch(
    spec: str | Draft, intent: Intent, macros: Mapping[str, str], *, name: str = "libvirt.spec"
) -> Patched:
    """Make ``intent`` true for a spec on the target with ``macros``.

    All other lines stay identical, to the byte. Patching the result again changes nothing. Raises
    RuleMismatchError with the rule, and with the line of the user's text (which a draft knows, even
    after earlier changes) and what was found there.
    """
    start, mark = _without_mark(spec)
    as_read = functools.cache(lambda draft: read(draft, macros))
    try:
        result, actions = _apply(start, intent, macros, as_read)
        again, _ = _apply(result, intent, macros, as_read)
    except RuleMismatchError as error:
        hint = _dropped(start.text, intent) or error.hint or _versions(start.text, intent)
        raise RuleMismatchError(f"{name}: {error.message}", hint=hint) from None
    if again.text != result.text:
        pairs = zip(result.pieces, again.pieces, result.origins, strict=False)
        differ = (origin.number for old, new, origin in pairs if old != new)
        at = next(differ, result.origins[-1].number)
        raise RuleMismatchError(
            f"{name}: {intent.name} does not hold after it was applied: a rule would change the "
            f"result again at line {at}: {shown(_line_of(result, at))}",
            hint="check whether that part is commented out; the changes were: "
            f"{'; '.join(actions)}",
        )
    old, text = mark + start.text, mark + result.text
    return Patched(
        text=text,
        diff=unified_diff(old, text, name),
        actions=actions,
        already=text == old,
        warnings=_warnings(as_read(result), bool(mark), name),
        draft=result,
    )


def _without_mark(spec: str | Draft) -> tuple[Draft, str]:
    """Split off a byte order mark at the start; return the draft and the mark."""
    text = spec if isinstance(spec, str) else spec.text
    if text.startswith(BYTE_ORDER_MARK):
        return Draft.of(text[len(BYTE_ORDER_MARK) :]), BYTE_ORDER_MARK
    return (Draft.of(spec) if isinstance(spec, str) else spec), ""


def _line_of(draft: Draft, number: int) -> str:
    return next(origin.text for origin in draft.origins if origin.number == number)


def _warnings(spec: Spec, marked: bool, name: str) -> tuple[str, ...]:
    """Return warnings about a spec, apart from its changes."""
    found = []
    if marked:
        found.append(
            f"{name} starts with a byte order mark, which is kept: rpm refuses such a spec"
        )
    if "" in spec.unreadable:
        line = spec.lines[spec.unreadable[""][0] - 1].origin
        found.append(
            f"{name}: line {line.number} may define macros that only rpm can evaluate: "
            f"{shown(line.text, 80)}"
        )
    return tuple(found)


def _version(text: str) -> str:
    said = re.search(r"^Version:[ \t]*([^\s@%]+)", text, re.MULTILINE | re.IGNORECASE)
    return said[1] if said else ""


def _dropped(text: str, intent: Intent) -> str:
    """Return a hint that upstream dropped the feature, if the spec's version is not older."""
    version = _version(text)
    numbers = [re.match(r"\d+(?:\.\d+)*", word) for word in (version, intent.dropped.since)]
    ours, since = ([int(part) for part in n[0].split(".")] if n else [] for n in numbers)
    if not ours or ours < since:
        return ""
    return (
        f"{intent.dropped.says}; this spec's version is {shown(version, 40)}: use a release of "
        f"{intent.serves}"
    )


def _versions(text: str, intent: Intent) -> str:
    version = _version(text)
    said = f"this spec's version is {shown(version, 40)}" if version else "this spec has no version"
    return f"{intent.name} serves {intent.serves}; {said}, or it was edited"


def _apply(
    draft: Draft, intent: Intent, macros: Mapping[str, str], as_read: Read
) -> tuple[Draft, tuple[str, ...]]:
    switched = switch(draft, intent.switch, intent.argument, macros, as_read)
    draft, actions = switched.draft, [switched.action]
    for rule in intent.dependencies:
        draft, action = rules.dependency(draft, rule, switched.guard, as_read)
        actions.append(action)
    draft, argued = rules.argument(draft, intent.argument, as_read)
    draft, found = rules.subpackage(draft, intent.subpackage, as_read)
    return draft, (*actions, argued, found)


def prove(intent: Intent, expanded: str, *, package: str, feature: str) -> tuple[Evidence, ...]:
    """Check the output of ``rpmspec -P``; return the evidence of gate "spec", for each rule."""
    sections = by_section(expanded)
    found = [rules.argument_seen(intent.argument, build_section(sections))]
    found += [_dependency_seen(rule, sections) for rule in intent.dependencies]
    found += _subpackage_seen(intent.subpackage, sections)
    return tuple(
        Evidence(
            gate=Gate.SPEC,
            package=package,
            feature=feature,
            claim=claim,
            observed=seen or "not in the expanded spec",
            ok=ok,
        )
        for claim, seen, ok in found
    )


def _dependency_seen(rule: DependencyRule, sections: Mapping[str, list[str]]) -> SeenClaim:
    asking = [
        f"{line.strip()} ({f'%{section}' if section else 'main package'})"
        for section, lines in sections.items()
        for line in lines
        if has_tags(section) and rules.asks_for(line, rule)
    ]
    return f"{rule.tag}: {rule.name}", "; ".join(asking), bool(asking)


def _subpackage_seen(rule: SubpackageRule, sections: Mapping[str, list[str]]) -> list[SeenClaim]:
    """Check the sub-package's file list, if the spec has the sub-package."""
    if f"package {rule.name}" not in sections:
        return []
    files = sections.get(f"files {rule.name}", [])
    seen = next((line.strip() for line in files if line.strip().endswith(rule.file)), "")
    return [(f"%files {rule.name} has {rule.file}", seen, bool(seen))]
