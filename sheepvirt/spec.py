"""Patching an RPM spec by intent: what must be true of it, not which lines to replace.

    python -m sheepvirt.spec --target NAME FILE    the patched spec, on standard output

``patch`` makes every rule of an intent true on a target, or says which rule does not fit; ``prove``
judges rpm's own expansion of the result.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import functools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sheepvirt import config, paths, spec_rules
from sheepvirt.errors import RuleMismatchError, SheepvirtError, SpecError
from sheepvirt.model import Evidence
from sheepvirt.spec_lines import by_section, has_tags, shown, split_lines
from sheepvirt.spec_model import (
    ArgumentRule,
    DependencyRule,
    Intent,
    Patched,
    SubpackageRule,
    SwitchRule,
)
from sheepvirt.spec_reader import read
from sheepvirt.spec_rules import Read, Seen
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
    text, switched = spec_rules.switch(text, intent.switch, macros, as_read)
    actions = [switched]
    for rule in intent.dependencies:
        text, action = spec_rules.dependency(text, rule, intent.switch.macro, as_read)
        actions.append(action)
    text, told = spec_rules.argument(text, intent.argument, as_read)
    text, found = spec_rules.subpackage(text, intent.subpackage, as_read)
    return text, (*actions, told, found)


def _diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(split_lines(old), split_lines(new), f"a/{name}", f"b/{name}")
    no_end = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + no_end for line in lines)


def prove(intent: Intent, expanded: str, *, package: str, feature: str) -> tuple[Evidence, ...]:
    """Judge what ``rpmspec -P`` printed: the evidence of gate "spec", one for each rule."""
    sections = by_section(expanded)
    found = [spec_rules.argument_seen(intent.argument, sections.get("build", []))]
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
        if has_tags(section) and spec_rules.asks_for(line, rule)
    ]
    return f"{rule.tag}: {rule.name}", "; ".join(asking), bool(asking)


def _subpackage_seen(rule: SubpackageRule, sections: Mapping[str, list[str]]) -> list[Seen]:
    """Judge the sub-package's file list; nothing to judge where the spec has no sub-package."""
    if f"package {rule.name}" not in sections:
        return []
    files = sections.get(f"files {rule.name}", [])
    seen = next((line.strip() for line in files if line.strip().endswith(rule.file)), "")
    return [(f"%files {rule.name} has {rule.file}", seen, bool(seen))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the patched spec; return 0, 1 where a rule does not fit, 2 for a wrong name or file."""
    parser = argparse.ArgumentParser(
        prog="python -m sheepvirt.spec",
        description="Print a libvirt spec with sheepdog on; standard error tells what was done.",
        epilog="exit status: 0 done or already enabled, 1 a rule does not fit, 2 wrong name, file",
    )
    parser.add_argument("--target", required=True, help="a folder of containers/")
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="libvirt.spec or libvirt.spec.in; - is standard input",
    )
    given = parser.parse_args(arguments)
    name = "standard input" if given.file == Path("-") else given.file.name
    at = name
    try:
        target = config.load_target(given.target)
        intent = load_intent(paths.PATCHES / "libvirt" / "enable-sheepdog.toml")
        at = name if given.file == Path("-") else str(given.file)
        text = _read_bytes(given.file).decode("utf-8", "surrogateescape")
        macros = {"_target_cpu": target.arch, **target.macros}
        patched = patch(text, intent, macros, name=name)
        at = "standard output"
        _print(patched.text.encode("utf-8", "surrogateescape"))
    except SheepvirtError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, SpecError) else error.exit_code
    except OSError as error:
        print(f"error: {at}: {error.strerror}", file=sys.stderr)
        return 2
    for action in patched.actions:
        print(action, file=sys.stderr)
    if patched.already:
        print(f"{name}: already enabled", file=sys.stderr)
    return 0


def _read_bytes(file: Path) -> bytes:
    """Return all of a file, as bytes: changelogs of old specs are not all UTF-8."""
    if file != Path("-"):
        return file.read_bytes()
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdin.buffer.read()


def _print(content: bytes) -> None:
    """Write to standard output. Raises OSError, also where it was closed beforehand."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError:
        # Python tries once more as it ends, and would then complain in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


if __name__ == "__main__":
    sys.exit(main())
