"""Reading an RPM spec without losing a byte: its lines, and what holds where on one target.

rpm reads a spec line by line: a line that begins with ``%if`` and its kin is a condition in every
section, ``%changelog`` included; a ``%define`` is obeyed wherever it stands in a true branch, even
in a comment; ``%%`` is a plain percent sign. norpm expands macros and evaluates expressions (it
runs no shell); following the branches, losslessly and with line numbers, is done here.

Source of the rules: rpm's manual, "Spec file format" and "Macro syntax".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from norpm.expression import eval_rpm_expr
from norpm.macro import MacroRegistry
from norpm.specfile import specfile_detect_macro_calls_in_string, specfile_expand_string

from sheepvirt.errors import RuleMismatchError

_OPENING = {"if", "ifarch", "ifnarch", "ifos", "ifnos"}
_NEXT = {"elif", "elifarch", "elifos", "else"}
_DEFINING = ("%define", "%global")
_SECTIONS = {
    *("package", "description", "prep", "generate_buildrequires", "conf", "build", "install"),
    *("check", "clean", "files", "changelog", "sourcelist", "patchlist", "verifyscript"),
    *("pre", "post", "preun", "postun", "pretrans", "posttrans", "preuntrans", "postuntrans"),
    *("trigger", "triggerin", "triggerprein", "triggerun", "triggerpostun"),
    *("filetriggerin", "filetriggerun", "filetriggerpostun"),
    *("transfiletriggerin", "transfiletriggerun", "transfiletriggerpostun"),
}

# norpm reports on its logger what we report ourselves, with rule and line.
logging.getLogger("norpm").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Branch:
    """One branch of a condition that a line stands in."""

    opening: int  # number of the line that opened the chain
    line: int  # number of this branch's own %if, %elif or %else
    text: str  # that line, stripped
    asked: str  # every expression of the chain so far: an %else depends on all of them
    holds: bool | None  # on the target; None: it cannot be told without running a shell


@dataclass(frozen=True)
class Line:
    """One line of a spec."""

    number: int
    text: str  # with its line ending
    branches: tuple[Branch, ...]  # outermost first
    section: str  # "" is the preamble; else "build", "package daemon", "files -n x" ...
    role: str = "text"  # or "condition" (%if and its kin), "definition" (all lines of a %define)

    @property
    def live(self) -> bool:
        """Whether rpm reads the line on this target."""
        return all(branch.holds for branch in self.branches)

    @property
    def definition(self) -> tuple[str, str] | None:
        """Name and body where the line is a plain ``%define`` or ``%global``, else None."""
        words = self.text.split(None, 2)
        if self.role != "definition" or len(words) < 2 or words[0] not in _DEFINING:
            return None
        return words[1], words[2].rstrip() if len(words) == 3 else ""

    @property
    def tag(self) -> tuple[str, str] | None:
        """Lower-case name and value where the line is a tag (``Requires: x``), else None."""
        name, colon, value = self.text.partition(":")
        if not colon or self.role != "text" or not has_tags(self.section):
            return None
        return name.strip().lower(), value.strip()


@dataclass(frozen=True)
class Spec:
    """A spec as read for one target."""

    lines: tuple[Line, ...]
    macros: MacroRegistry  # as they stand at the spec's end
    defined_at: Mapping[str, tuple[int, ...]]  # macro to the lines that defined it on this target
    endings: Mapping[int, int]  # number of an %if to its %endif's

    def expand(self, text: str) -> str:
        """Return ``text`` with the spec's macros expanded; as it is where that fails."""
        expanded = _expand(text, self.macros)
        return text if expanded is None else expanded

    def is_true(self, macro: str) -> bool:
        """Whether ``%if %{macro}`` holds at the spec's end."""
        return macro in self.macros and bool(_evaluate(f"%{{{macro}}}", self.macros))

    def asks_about(self, expression: str) -> set[str]:
        """Return the names of the macros that ``expression`` comes down to."""
        try:
            return set(specfile_detect_macro_calls_in_string(expression, self.macros))  # type: ignore[no-untyped-call]
        except Exception:  # see _expand
            return set()


def split_lines(text: str) -> list[str]:
    r"""Split at ``\n`` alone, as rpm does, keeping it: joining the result gives ``text`` again."""
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def has_tags(section: str) -> bool:
    """Whether a section holds tags (``Requires: x``): the preamble and ``%package`` do."""
    return section.partition(" ")[0] in {"", "package"}


def section_at(text: str, section: str) -> str:
    """Return the section that a line starts (``package daemon``), or ``section`` unchanged.

    Among tags a header may be indented; in scripts and texts it may not.
    """
    if has_tags(section):
        text = text.lstrip()
    words = text.split()
    if not text.startswith("%") or words[0][1:] not in _SECTIONS:
        return section
    return " ".join([words[0][1:], *words[1:]])


def commands(lines: Iterable[str]) -> list[str]:
    """Join lines that end in a backslash with what follows, as the shell does."""
    found: list[str] = []
    continued = False
    for line in lines:
        text = line.rstrip()
        body = text.removesuffix("\\")
        if continued:
            found[-1] += " " + body
        else:
            found.append(body)
        continued = body != text
    return found


def read(text: str, macros: Mapping[str, str]) -> Spec:
    """Read a spec as rpm would with ``macros`` defined beforehand (``_target_cpu``: the arch).

    Raises RuleMismatchError where its conditions do not pair up.
    """
    return _Reader(macros).read(text)


def _expand(text: str, macros: MacroRegistry) -> str | None:
    try:
        return str(specfile_expand_string(text, macros))  # type: ignore[no-untyped-call]
    except Exception:
        # norpm meets text that is no macro language with whatever Python raises (IndexError,
        # ValueError …). None means "cannot be told", and each caller says what follows from it.
        return None


def _evaluate(expression: str, macros: MacroRegistry) -> bool | None:
    """Evaluate an ``%if`` expression; None where it cannot be told (a shell call, bad syntax)."""
    expanded = _expand(expression, macros)
    if expanded is None or "%" in expanded:
        return None
    try:
        return bool(eval_rpm_expr(expanded.strip()))
    except Exception:  # see _expand
        return None


def _directive(text: str) -> tuple[str, str]:
    """Split ``%if expr`` into word and rest; ("", "") where the line is no condition."""
    text = text.strip()
    if not text.startswith("%"):
        return "", ""
    word = ""
    for char in text[1:]:
        if not (char.isalnum() or char == "_"):
            break
        word += char
    if word not in _OPENING | _NEXT | {"endif"}:
        return "", ""
    return word, text[1 + len(word) :].strip()


def _is_whole(text: str) -> bool:
    """Whether a definition ends with this line: no open brace, no trailing backslash (as rpm)."""
    depth = {"{": 0, "(": 0, "[": 0}
    closing = {"}": "{", ")": "(", "]": "["}
    chars = iter(text.rstrip("\r\n"))
    for char in chars:
        if char == "\\" and next(chars, None) is None:
            return False
        if char == "%":
            after = next(chars, "")
            if after in depth:
                depth[after] += 1
        elif depth.get(char):
            depth[char] += 1
        elif char in closing and depth[closing[char]]:
            depth[closing[char]] -= 1
    return not any(depth.values())


@dataclass
class _Chain:
    """A condition being read: the branch in force, and what came before it."""

    branch: Branch
    section: str  # in force where the chain opened: a dead branch does not change it
    taken: bool  # a branch before this one held
    closed: bool = False  # %else was seen


@dataclass
class _Reader:
    given: Mapping[str, str]
    registry: MacroRegistry = field(default_factory=MacroRegistry)
    chains: list[_Chain] = field(default_factory=list)
    section: str = ""
    lines: list[Line] = field(default_factory=list)
    defined_at: dict[str, list[int]] = field(default_factory=dict)
    endings: dict[int, int] = field(default_factory=dict)

    def read(self, text: str) -> Spec:
        for name, value in self.given.items():
            self.registry.define(name, value, special=True)  # type: ignore[no-untyped-call]
        # Not this machine's: the same spec gives the same patch everywhere.
        self.registry.target = self.given.get("_target_cpu", "x86_64")
        raw = split_lines(text)
        while len(self.lines) < len(raw):
            self._take(self._unit(raw[len(self.lines) :]))
        if self.chains:
            self._refuse(self.chains[-1].branch.line, "this condition has no %endif")
        defined = {name: tuple(numbers) for name, numbers in self.defined_at.items()}
        return Spec(tuple(self.lines), self.registry, defined, self.endings)

    def _unit(self, rest: list[str]) -> list[str]:
        """Return the next line, with its continuation where it is a definition or a condition."""
        start = rest[0].lstrip()
        if _directive(start)[0]:
            size = 1
            while size < len(rest) and rest[size - 1].rstrip().endswith("\\"):
                size += 1
            return rest[:size]
        size = 1
        if start.startswith((*_DEFINING, "%{")):
            while size < len(rest) and not _is_whole("".join(rest[:size])):
                size += 1
        return rest[:size]

    def _take(self, unit: list[str]) -> None:
        number = len(self.lines) + 1
        text = "".join(unit)
        word, rest = _directive(text.replace("\\\n", " "))
        if word in _OPENING:
            self._add(unit, "condition")  # the %if itself stands outside of its branch
            self._open(number, word, rest)
            return
        if word in _NEXT:
            self._next(number, word, rest)
        elif word == "endif":
            if not self.chains:
                self._refuse(number, "this %endif closes nothing", found=text)
            chain = self._leave()
            self.chains.pop()
            self.endings[chain.branch.opening] = number
        elif not word:
            self.section = section_at(text, self.section)
        if word:
            self._add(unit, "condition")
            return
        self._add(unit, "definition" if text.lstrip().startswith(_DEFINING) else "text")
        if self._live():
            self._obey(number, text)

    def _add(self, unit: list[str], role: str) -> None:
        branches = tuple(chain.branch for chain in self.chains)
        for text in unit:
            self.lines.append(Line(len(self.lines) + 1, text, branches, self.section, role))

    def _live(self) -> bool:
        return all(chain.branch.holds for chain in self.chains)

    def _holds(self, word: str, expression: str) -> bool | None:
        if word.endswith(("arch", "os")):
            names = (_expand(expression, self.registry) or "").replace(",", " ").split()
            known = self.registry.target if word.endswith("arch") else "linux"
            return (known in names) != word.startswith("ifn")
        return _evaluate(expression, self.registry)

    def _open(self, number: int, word: str, rest: str) -> None:
        holds = self._holds(word, rest) if self._live() else False
        branch = Branch(number, number, f"%{word} {rest}", rest, holds)
        self.chains.append(_Chain(branch, self.section, taken=False))

    def _next(self, number: int, word: str, rest: str) -> None:
        if not self.chains or self.chains[-1].closed:
            self._refuse(number, f"this %{word} belongs to no %if", found=f"%{word} {rest}")
        chain = self._leave()
        before = chain.branch
        self.chains.pop()
        outer = self._live()
        self.chains.append(chain)
        chain.taken = chain.taken or bool(before.holds)
        chain.closed = word == "else"
        holds: bool | None = False
        if outer and not chain.taken:
            holds = True if word == "else" else self._holds(word, rest)
            # Whether an earlier branch was taken could not be told: then neither can this one.
            holds = None if before.holds is None else holds
        text = f"%{word} {rest}".strip()
        chain.branch = Branch(before.opening, number, text, f"{before.asked} {rest}", holds)

    def _leave(self) -> _Chain:
        chain = self.chains[-1]
        if not self._live():
            self.section = chain.section
        return chain

    def _obey(self, number: int, text: str) -> None:
        """Let norpm act on the definitions of a live line."""
        if "define" not in text and "global" not in text:
            return
        before = {name: len(macro.stack) for name, macro in self.registry.db.items()}
        _expand(text.replace("\r\n", "\n"), self.registry)
        for name, macro in self.registry.db.items():
            if len(macro.stack) > before.get(name, 0):
                self.defined_at.setdefault(name, []).append(number)

    def _refuse(self, number: int, why: str, found: str = "") -> None:
        found = found or self.lines[number - 1].text
        raise RuleMismatchError(
            f"rule 'conditions': line {number}: {why}; found: {found.strip()}",
            hint="mend the spec: every %if needs its %endif",
        )
