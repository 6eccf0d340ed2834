"""Reading an RPM spec without losing a byte: which lines hold on a target, and what they define.

rpm reads a spec line by line: a line that begins with ``%if`` and its kin is a condition in every
section, ``%changelog`` included; a ``%define`` is obeyed wherever it stands in a true branch, even
in a comment; ``%%`` is a plain percent sign. Following the branches is done here, everything about
macros by norpm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from norpm.macro import MacroRegistry

from sheepvirt.errors import RuleMismatchError
from sheepvirt.spec.lines import (
    DEFINING,
    Branch,
    Line,
    Spec,
    commands,
    evaluate,
    expand,
    section_at,
    shown,
    split_lines,
)

_OPENING = {"if", "ifarch", "ifnarch", "ifos", "ifnos"}
_NEXT = {"elif", "elifarch", "elifos", "else"}
_DEEPEST = 100  # of conditions in conditions; a spec of libvirt has four
# What rpm's own file "macros" (here: 4.16's) gives an %ifarch to ask for.
_ARCHES = {
    "ix86": "i386 i486 i586 i686 pentium3 pentium4 athlon geode",
    "arm": "armv3l armv4b armv4l armv4tl armv5tl armv5tel armv5tejl armv6l armv6hl armv7l armv7hl"
    " armv7hnl armv8l armv8hl armv8hnl armv8hcnl",
    "arm64": "aarch64",
    "power64": "ppc64 ppc64p7 ppc64le",
    "mips": "mips mipsel mipsr6 mipsr6el mips64 mips64el mips64r6 mips64r6el",
    "sparc": "sparc sparcv8 sparcv9 sparcv9v sparc64 sparc64v",
    "alpha": "alpha alphaev56 alphaev6 alphaev67",
}


def read(text: str, macros: Mapping[str, str]) -> Spec:
    """Read a spec as rpm would with ``macros`` defined beforehand (``_target_cpu``: the arch).

    Raises RuleMismatchError where its conditions do not pair up.
    """
    return _Reader(macros).read(text)


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


def _unit_end(raw: list[str], start: int) -> int:
    """Return where the line at ``start`` ends, with its continuation if it is macro language.

    A shell command that goes on over lines is not one: conditions may stand between its lines.
    """
    first = raw[start].lstrip()
    condition, definition = bool(_directive(first)[0]), first.startswith(DEFINING)
    end = start + 1
    if not (condition or definition or first.startswith("%{")):
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


@dataclass
class _Chain:
    """A condition being read: the branch in force, and what came before it."""

    branch: Branch
    section: str  # in force where the chain opened: a dead branch does not change it
    taken: bool  # a branch before this one held
    closed: bool = False  # %else was seen


class _Registry(MacroRegistry):  # type: ignore[misc]  # norpm has no types
    """norpm's registry, which also remembers what was defined since it was asked last."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: dict[str, int] = {}  # name to how many definitions it had before

    def define(self, name: str, value: object, special: bool = False) -> None:
        before = len(self.db[name].stack) if name in self.db else 0
        self.touched.setdefault(name, before)
        super().define(name, value, special)

    def news(self) -> list[str]:
        """Return the names that have a definition more than when this was last called."""
        touched, self.touched = self.touched, {}
        return [
            name
            for name, before in touched.items()
            if name in self.db and len(self.db[name].stack) > before
        ]


@dataclass
class _Reader:
    given: Mapping[str, str]
    registry: _Registry = field(default_factory=_Registry)
    chains: list[_Chain] = field(default_factory=list)
    section: str = ""
    lines: list[Line] = field(default_factory=list)
    defined_at: dict[str, list[int]] = field(default_factory=dict)
    endings: dict[int, int] = field(default_factory=dict)

    def read(self, text: str) -> Spec:
        for name, value in {**_ARCHES, **self.given}.items():
            self.registry.define(name, value, special=True)
        # Not this machine's: the same spec gives the same patch everywhere.
        self.registry.target = self.given.get("_target_cpu", "x86_64")
        raw = split_lines(text)
        while len(self.lines) < len(raw):
            start = len(self.lines)
            self._take(raw[start : _unit_end(raw, start)])
        if self.chains:
            self._refuse(self.chains[-1].branch.line, "this condition has no %endif")
        defined = {name: tuple(numbers) for name, numbers in self.defined_at.items()}
        return Spec(tuple(self.lines), self.registry, defined, self.endings)

    def _take(self, unit: list[str]) -> None:
        number = len(self.lines) + 1
        text = "".join(unit)
        word, rest = _directive(" ".join(commands(unit)))
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
        self._add(unit, "definition" if text.lstrip().startswith(DEFINING) else "text")
        if self._live():
            self._obey(number, text)

    def _add(self, unit: list[str], role: str) -> None:
        branches = tuple(chain.branch for chain in self.chains)
        for text in unit:
            self.lines.append(Line(len(self.lines) + 1, text, branches, self.section, role))
            role = "text" if role == "text" else "continuation"

    def _live(self) -> bool:
        return all(chain.branch.holds for chain in self.chains)

    def _holds(self, word: str, expression: str) -> bool | None:
        if word.endswith(("arch", "os")):
            names = (expand(expression, self.registry) or "").replace(",", " ").split()
            known = self.registry.target if word.endswith("arch") else "linux"
            if known not in names and any("%" in name for name in names):
                return None  # a macro of the target's own may stand for it
            return (known in names) != word.startswith("ifn")
        return evaluate(expression, self.registry)

    def _open(self, number: int, word: str, rest: str) -> None:
        if len(self.chains) == _DEEPEST:
            self._refuse(number, f"conditions nest deeper than {_DEEPEST}", f"%{word} {rest}")
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
        self.registry.news()
        expand(text.replace("\r\n", "\n"), self.registry)
        for name in self.registry.news():
            self.defined_at.setdefault(name, []).append(number)

    def _refuse(self, number: int, why: str, found: str = "") -> None:
        found = found or self.lines[number - 1].text
        raise RuleMismatchError(
            f"rule 'conditions': line {number}: {why}; found: {shown(found)}",
            hint="mend the spec: every %if needs its %endif",
        )
