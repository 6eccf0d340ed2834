"""Units of a spec's text: what is a condition, where a piece of macro language ends, and what in
one only rpm can carry out. Pure, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

DEFINING = ("%define", "%global")
# What a line has to hold for a reader of specs to act on it, wherever it stands.
ACTING = ("define", "global", "lua", "load", "include", "bcond")
_ACTS = re.compile(r"%\{?(?:define|global|undefine|lua|load|include|expand|bcond)|%\(")
OPENING = {"if", "ifarch", "ifnarch", "ifos", "ifnos"}
NEXT = {"elif", "elifarch", "elifos", "else"}
# What only rpm can carry out, and may define macros: Lua, the shell, other files.
_CODE = re.compile(r"%\{lua:|%\(")
_FILE = re.compile(r"^\s*%include\s|%\{load:", re.MULTILINE)
_LUA_CALL = re.compile(r"rpm\.(?:define|undefine|load|expand|execute)\b")
_LITERAL = re.compile(
    r"""rpm\.(?:un)?define\s*\(?\s*["'[]+\s*(\w+)[\s("']|%+\{?(?:define|global)\s+(\w+)"""
)


def directive(text: str) -> tuple[str, str]:
    """Split ``%if expr`` into word and rest; ("", "") where the line is no condition."""
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
    """Whether a line of a changelog may matter: it is a directive, a header, or it defines."""
    if "%" not in line:
        return False
    return line.lstrip()[0] == "%" or _ACTS.search(line.replace("%%", "")) is not None


def goes_on(line: str) -> bool:
    """Whether a line may belong together with the next one."""
    return line.rstrip().endswith("\\") or _Braces().still_open(line)


def unit_end(raw: Sequence[str], start: int) -> int:
    """Return where the line at ``start`` ends, with its continuation if it is macro language.

    A shell command that goes on over lines is not one: conditions may stand between its lines.
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
    """Counts what a definition has opened and not yet closed, line by line as rpm does."""

    def __init__(self) -> None:
        self.depth = {"{": 0, "(": 0, "[": 0}

    def still_open(self, text: str) -> bool:
        """Take one more line; return whether ``%{``, ``%(`` or ``%[`` is open after it."""
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

    "" stands for those that the text does not name.
    """
    code = _CODE.split(text, maxsplit=1)[1:]
    literal = {first or second for part in code for first, second in _LITERAL.findall(part)}
    called = [part for part in code if len(_LUA_CALL.findall(part)) > len(literal)]
    return literal | {""} if called or _FILE.search(text) else literal
