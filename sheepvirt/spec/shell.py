"""Split a shell script into commands: join continued lines, remove comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BEFORE_COMMENT = " \t;&|()"


def commands(lines: Iterable[str]) -> list[str]:
    """Join lines that end in a backslash with the next line, as the shell does.

    A comment extends to the end of its line, including a backslash there, so it ends the command.
    """
    return [" ".join(text for _, text in command) for command in numbered_commands(list(lines))]


def numbered_commands(lines: Sequence[str]) -> list[list[tuple[int, str]]]:
    """Return each command as its lines: index and text, without comments and backslashes."""
    found: list[list[tuple[int, str]]] = []
    continued, quote = False, ""
    for index, line in enumerate(lines):
        text = line.rstrip()
        code, quote = _code(text, quote if continued else "")
        body = code.removesuffix("\\")
        if continued:
            found[-1].append((index, body))
        else:
            found.append([(index, body)])
        continued = code == text and body != code
    return found


def _code(text: str, quote: str) -> tuple[str, str]:
    """Return a line without its comment, and the quote that is still open."""
    if not any(char in text for char in "#'\""):
        return text, quote
    escaped = False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and (not index or text[index - 1] in _BEFORE_COMMENT):
            return text[:index], ""
    return text, quote
