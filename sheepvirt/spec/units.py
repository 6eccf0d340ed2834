"""Units of a spec's text: find conditions, the ends of macros, and code that only rpm can run.

Pure, line by line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFINING = ("%define", "%global")
# A reader of specs must act on a line with one of these words.
ACTING = ("define", "global", "lua", "load", "include", "bcond")
_ACTS = re.compile(r"%\{?(?:define|global|undefine|lua|load|include|expand|bcond)|%\(")
OPENING = {"if", "ifarch", "ifnarch", "ifos", "ifnos"}
NEXT = {"elif", "elifarch", "elifos", "else"}
# Only rpm can run these, and they may define macros: Lua, the shell, other files.
_CODE = re.compile(r"%\{lua:|%\(")
_FILE = re.compile(r"^\s*%include\s|%\{load:", re.MULTILINE)
_LUA_CALL = re.compile(r"rpm\.(?:define|undefine|load|expand|execute)\b")
_LITERAL = re.compile(
    r"""rpm\.(?:un)?define\s*\(?\s*["'[]+\s*(\w+)[\s("']|%+\{?(?:define|global)\s+(\w+)"""
)


def directive(text: str) -> tuple[str, str]:
    """Split ``%if expr`` into word and rest; ("", "") if the line is not a condition."""
    text = text.strip()
    if not text.startswith("%"):
        return "", ""
    word = ""
    for char in text[1:]:
        if not (char.isalnum() or char == "_"):
            break
        word += char
    if word not in OPENING | NEXT | {"endif"}:
        return "", ""
    return word, text[1 + len(word) :].strip()


def may_act(line: str) -> bool:
    """Tell whether a changelog line may matter: a directive, a header, or a definition."""
    if "%" not in line:
        return False
    return line.lstrip()[0] == "%" or _ACTS.search(line.replace("%%", "")) is not None


def goes_on(line: str) -> bool:
    """Tell whether a line may continue on the next one."""
    return line.rstrip().endswith("\\") or _Braces().still_open(line)


def unit_end(raw: Sequence[str], start: int) -> int:
    """Return the end of the line at ``start``, with its continuation if it is a macro.

    A shell command over several lines is not one unit: conditions may be between its lines.
    """
    first = raw[start].lstrip()
    end = start + 1
    if not (first.startswith("%") or "%{" in first):
        return end
    condition, definition = bool(directive(first)[0]), first.startswith(DEFINING)
    if not (condition or definition or "%{" in first):
        return end
    braces = _Braces()
    while end < len(raw):
        inside = braces.still_open(raw[end - 1]) and not condition
        slashed = raw[end - 1].rstrip().endswith("\\") and (condition or definition)
        if not (inside or slashed):
            break
        end += 1
    return end


class _Braces:
    """Counts the open brackets of a definition, line by line as rpm does."""

    def __init__(self) -> None:
        self.depth = {"{": 0, "(": 0, "[": 0}

    def still_open(self, text: str) -> bool:
        """Add a line; tell whether ``%{``, ``%(`` or ``%[`` is open after it."""
        closing = {"}": "{", ")": "(", "]": "["}
        chars = iter(text)
        for char in chars:
            if char == "\\":
                next(chars, None)  # escaped
            elif char == "%":
                after = next(chars, "")
                if after in self.depth:
                    self.depth[after] += 1
            elif self.depth.get(char):
                self.depth[char] += 1
            elif self.depth.get(closing.get(char, "")):
                self.depth[closing[char]] -= 1
        return any(self.depth.values())


def foreign(text: str) -> set[str]:
    """Return the macros that Lua, the shell or another file may define in ``text``.

    "" stands for macros that the text does not name.
    """
    code = _CODE.split(text, maxsplit=1)[1:]
    literal = {first or second for part in code for first, second in _LITERAL.findall(part)}
    called = [part for part in code if len(_LUA_CALL.findall(part)) > len(literal)]
    return literal | {""} if called or _FILE.search(text) else literal
