"""Read files of /etc/sysconfig/network-scripts as the shell reads them, without running them. Pure.

The network scripts source these files, so a file is a shell program. What assigns plain values is
read here: quotes, escapes, comments, ``export``, several assignments on a line, continued lines,
and variables that the same file has assigned before. Anything else (a command, a substitution, a
variable of another file) is `Unreadable`: its meaning is known only to a shell that runs it.
Compared with dash and bash: tests/unit/test_ifcfg_files.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|\ufffd")
BLANK = " \t"
OPERATORS = "&|<>()"
SPECIAL = "@*#?-$!0123456789([{'\""  # what makes a `$` before it more than a `$`
# Shells give these a meaning, or refuse to assign them.
SHELLS_OWN = re.compile(
    r"UID|EUID|PPID|GROUPS|RANDOM|SRANDOM|SECONDS|EPOCH\w*|LINENO|OPT\w*|HIST\w*|DIRSTACK|"
    r"FUNC\w*|BASH\w*|SHELLOPTS|PIPESTATUS|COMP_\w*|COPROC|MAPFILE|REPLY|LANG|LC_\w*|_|IFS|"
    r"POSIXLY_CORRECT|TMOUT|PATH|ENV|HOME|PWD|OLDPWD|PS[0-9]"
)


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """Why the rest of a file was not read."""

    line: int
    what: str


@dataclass(frozen=True, kw_only=True)
class IfcfgFile:
    """The variables after a file was sourced; with ``unreadable`` only those before that line."""

    values: Mapping[str, str] = field(default_factory=dict)
    unreadable: Unreadable | None = None


def read(text: str) -> IfcfgFile:
    """Return the values that a shell has after ``. ./file``."""
    reader = _Reader(text)
    try:
        reader.run()
    except _StopError as stop:
        line = text.count("\n", 0, stop.at) + 1
        return IfcfgFile(
            values=reader.values, unreadable=Unreadable(line=line, what=str(stop.args[0]))
        )
    return IfcfgFile(values=reader.values)


def assignment(name: str, value: str) -> str:
    """Return a line that assigns ``value``; `read` and every shell read it back."""
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]*", value):
        return f"{name}={value}\n"
    quoted = re.sub(r'([\\"$`])', r"\\\1", value)
    return f'{name}="{quoted}"\n'


class _StopError(Exception):
    """The file cannot be read on from ``at``."""

    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.at = at


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.values: dict[str, str] = {}

    def run(self) -> None:
        found = CONTROL.search(self.text)
        if found:
            self.at = found.start()
            letter = found[0]
            self.stop(
                "a carriage return (was it written on Windows?)"
                if letter == "\r"
                else f"the character {letter!a}"
            )
        while self.at < len(self.text):
            self.command()

    def stop(self, what: str) -> NoReturn:
        raise _StopError(what, self.at)

    def peek(self) -> str:
        """Return the next character ("" at the end); remove continued lines before it."""
        while self.text.startswith("\\\n", self.at):
            self.at += 2
        return self.text[self.at : self.at + 1]

    def blanks(self) -> str:
        """Skip blanks and a comment; return the next character."""
        while (letter := self.peek()) and letter in BLANK:
            self.at += 1
        if letter == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end
            letter = self.text[self.at : self.at + 1]
        return letter

    def command(self) -> None:
        """Read the words up to the end of a line or a semicolon; assign."""
        exporting, words, exported = False, 0, dict[str, str]()
        while (letter := self.blanks()) and letter not in "\n;":
            start = self.at
            name = self.word_start()
            if name is None:
                word = self.plain_word()
                if words == 0 and word == "export":
                    exporting = True
                elif not exporting or not NAME.fullmatch(word):
                    self.at = start
                    self.stop(f"`{self.shown(start)}` is a command")
                elif SHELLS_OWN.fullmatch(word):
                    self.stop(f"{word} is a variable of the shell")
            elif SHELLS_OWN.fullmatch(name):
                self.stop(f"{name} is a variable of the shell")
            elif exporting:
                exported[name] = self.value(exporting=True)
            else:
                self.values[name] = self.value(exporting=False)
            words += 1
        self.values |= exported  # the shell expands all words of `export` before it assigns any
        if exporting and words == 1:
            self.stop("`export` alone is a command")
        if letter == ";" and (not words or self.text.startswith(";;", self.at)):
            self.stop("a `;` after no command")
        self.at += 1

    def shown(self, start: int) -> str:
        return self.text[start:].split("\n", 1)[0].strip()[:40]

    def word_start(self) -> str | None:
        """Return the name that the word at hand assigns, and go behind its `=`."""
        start, letters = self.at, ""
        while (letter := self.peek()) and (
            letter.isascii() and (letter.isalnum() or letter in "_=")
        ):
            letters += letter
            self.at += 1
            if letter == "=":
                break
        if ASSIGNMENT.fullmatch(letters):
            return letters[:-1]
        self.at = start
        return None

    def plain_word(self) -> str:
        """Return a word of letters, digits and `_`; "" and what follows is something else."""
        letters = ""
        while (letter := self.peek()) and letter not in " \t\n;":
            letters += letter
            self.at += 1
        return letters

    def value(self, *, exporting: bool) -> str:
        """Read the value of an assignment: a word, which is not split."""
        value = ""
        while (letter := self.peek()) and letter not in " \t\n;":
            if letter in OPERATORS or letter == "`":
                self.stop(f"`{letter}` outside quotes")
            if letter == "~" or (exporting and letter in "*?[]{}$"):
                self.stop(f"`{letter}` outside quotes{' after export' * exporting}")
            if letter == "'":
                value += self.single()
            elif letter == '"':
                value += self.double()
            elif letter == "$":
                value += self.dollar(quoted=False)
            elif letter == "\\":
                value += self.escaped()
            else:
                value += letter
                self.at += 1
        return value

    def escaped(self) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        if not letter:
            self.stop("a backslash at the end")
        self.at += 2
        return letter

    def single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            self.stop("a ' without its end")
        value = self.text[self.at + 1 : end]
        self.at = end + 1
        return value

    def double(self) -> str:
        start, value = self.at, ""
        self.at += 1
        while (letter := self.peek()) != '"':
            if not letter:
                self.at = start
                self.stop('a " without its end')
            if letter == "`":
                self.stop("a command substitution")
            if letter == "$":
                value += self.dollar(quoted=True)
            elif letter == "\\":
                next_one = self.text[self.at + 1 : self.at + 2]
                value += next_one if next_one in '$`"\\' else f"\\{next_one}"
                self.at += 2
            else:
                value += letter
                self.at += 1
        self.at += 1
        return value

    def dollar(self, *, quoted: bool) -> str:
        """Read a `$` and the variable behind it."""
        start = self.at
        self.at += 1
        letter = self.peek()
        braced = letter == "{"
        if braced:
            self.at += 1
        name = ""
        while (letter := self.peek()) and NAME.fullmatch(name + letter):
            name += letter
            self.at += 1
        if (
            not name
            and not braced
            and (not letter or letter not in SPECIAL or (quoted and letter in "'\""))
        ):
            return "$"
        if not name or (braced and letter != "}"):
            self.at = start
            self.stop(f"`{self.shown(start)}` is a substitution")
        if name not in self.values:
            self.at = start
            self.stop(f"${name} is not set in this file")
        if braced:
            self.at += 1
        return self.values[name]
