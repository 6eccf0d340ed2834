"""Find the first real error in a build log. Pure."""

from __future__ import annotations

import re

# Most specific first: errors of rpm, patch, meson, autoconf, compilers, linkers and make.
_FIRST = (
    re.compile(r"^error: Failed build dependencies:"),
    re.compile(r"^error: (?:Bad (?:source|file)|line \d+:|File not found|Installed \(but)"),
    re.compile(r"^\d+ out of \d+ hunks? FAILED|^patch: \*\*\*\* "),
    re.compile(r"^\S+:\d+(?::\d+)?: (?:fatal )?error: "),
    re.compile(r"^\S*meson\.build:\d+:\d+: ERROR: "),
    re.compile(r"^configure: error: "),
    re.compile(r": (?:fatal error|undefined reference|multiple definition)\b"),
    re.compile(r"^(?:collect2|ld|cc1|g?cc): (?:fatal )?error: "),
    re.compile(r"^(?:\S+: )?No space left on device|: No space left on device$"),
    re.compile(r"^FAILED: "),
    re.compile(r"^make(?:\[\d+\])?: \*\*\* .*Error \d+"),
    re.compile(r"^error: (?!Bad exit status)"),
    re.compile(r"^error: "),
)
WIDTH = 300


def first_error(log: str) -> str:
    """Return the first real error of a build log, with the lines that belong to it.

    Falls back to the last lines of the log if no line looks like an error.
    """
    # Under meson, compilers colour their output.
    lines = [re.sub(r"\x1b\[[0-9;]*[mK]", "", line)[:WIDTH] for line in log.splitlines()]
    for pattern in _FIRST:
        for number, line in enumerate(lines):
            if pattern.search(line):
                return "\n".join([line, *_following(lines[number + 1 : number + 6])])
    return "\n".join(lines[-5:])


def _following(lines: list[str]) -> list[str]:
    """Return the indented lines below an error: what is missing, the source line."""
    found: list[str] = []
    for line in lines:
        if not line.startswith((" ", "\t")):
            break
        found.append(line)
    return found
