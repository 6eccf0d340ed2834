"""Read an RPM spec losslessly: which lines are active on a target, and what they define.

rpm reads a spec line by line. A line that begins with ``%if`` and the like is a condition in every
section, also in ``%changelog``. A ``%define`` in a true branch always takes effect, even in a
comment. ``%%`` is a plain percent sign. This module follows the branches; norpm handles macros.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from norpm.macro import MacroRegistry

from sheepvirt.core.errors import RuleMismatchError
from sheepvirt.spec.draft import Draft
from sheepvirt.spec.lines import (
    Branch,
    Line,
    Spec,
    calls,
    evaluate,
    expand,
    joined,
    section_at,
    shown,
)
from sheepvirt.spec.units import (
    ACTING,
    DEFINING,
    NEXT,
    OPENING,
    directive,
    foreign,
    may_act,
    unit_end,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEEPEST = 100  # of conditions in conditions; a spec of libvirt has four
# Macros for %ifarch, from rpm's file "macros" (here: 4.16's).
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
# Conditional builds, from rpm's file "macros" since 4.8. %bcond is from 4.18.
_CONDITIONAL = {
    "bcond_with": "%{expand:%%{?_with_%{1}:%%global with_%{1} 1}}",
    "bcond_without": "%{expand:%%{!?_without_%{1}:%%global with_%{1} 1}}",
    "with": "%{expand:%%{?with_%{1}:1}%%{!?with_%{1}:0}}",
    "without": "%{expand:%%{?with_%{1}:0}%%{!?with_%{1}:1}}",
    "defined": "%{expand:%%{?%{1}:1}%%{!?%{1}:0}}",
    "undefined": "%{expand:%%{?%{1}:0}%%{!?%{1}:1}}",
}
_BCOND = re.compile(r"\s*%bcond\s+(\w+)\s+(\S.*)")


def read(text: str | Draft, macros: Mapping[str, str]) -> Spec:
    """Read a spec as rpm would with ``macros`` predefined (``_target_cpu``: the arch).

    Raises RuleMismatchError: its conditions do not pair up.
    """
    return _Reader(Draft.of(text) if isinstance(text, str) else text, macros).read()


@dataclass
class _Chain:
    """A condition that is being read: its current branch, and the state before it."""

    branch: Branch
    section: str  # the section at the chain's start; an inactive branch does not change it
    taken: bool  # a branch before this one held
    closed: bool = False  # %else was seen


class _Registry(MacroRegistry):  # type: ignore[misc]  # norpm has no types
    """norpm's registry, which also records new definitions."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: dict[str, int] = {}  # name to how many definitions it had before

    def define(self, name: str, value: object, special: bool = False) -> None:
        if isinstance(value, tuple) and re.fullmatch(r"\{[^{}]*\}", str(value[0])):
            value = (str(value[0])[1:-1], *value[1:])  # rpm treats such braces as quotes
        before = len(self.db[name].stack) if name in self.db else 0
        self.touched.setdefault(name, before)
        super().define(name, value, special)

    def news(self) -> list[str]:
        """Return the names that got a definition since the last call."""
        touched, self.touched = self.touched, {}
        return [
            name
            for name, before in touched.items()
            if name in self.db and len(self.db[name].stack) > before
        ]


@dataclass
class _Reader:
    draft: Draft
    given: Mapping[str, str]
    registry: _Registry = field(default_factory=_Registry)
    chains: list[_Chain] = field(default_factory=list)
    section: str = ""
    lines: list[Line] = field(default_factory=list)
    defined_at: dict[str, list[int]] = field(default_factory=dict)
    endings: dict[int, int] = field(default_factory=dict)
    unreadable: dict[str, tuple[int, str]] = field(default_factory=dict)

    def read(self) -> Spec:
        for name, body in _CONDITIONAL.items():
            self.registry.define(name, (body, "", None), special=True)
        for name, value in {**_ARCHES, **self.given}.items():
            self.registry.define(name, value, special=True)
        # Not this machine's: the same spec gives the same patch everywhere.
        self.registry.target = self.given.get("_target_cpu", "x86_64")
        raw = self.draft.pieces
        while len(self.lines) < len(raw):
            start = len(self.lines)
            self._take(raw[start : unit_end(raw, start)])
        if self.chains:
            self._refuse(self.chains[-1].branch.line, "this condition has no %endif")
        defined = {name: tuple(numbers) for name, numbers in self.defined_at.items()}
        return Spec(
            draft=self.draft,
            lines=tuple(self.lines),
            macros=self.registry,
            defined_at=defined,
            endings=self.endings,
            unreadable=self.unreadable,
        )

    def _take(self, unit: Sequence[str]) -> None:
        number = len(self.lines) + 1
        text = "".join(unit)
        acts = "%" in text if self.section != "changelog" else may_act(text)
        word, rest = directive(" ".join(joined(unit))) if acts else ("", "")
        if word in OPENING:
            self._add(unit, "condition")  # the %if itself is outside of its branch
            self._open(number, word, rest)
            return
        if word in NEXT:
            self._next(number, word, rest)
        elif word == "endif":
            if not self.chains:
                self._refuse(number, "this %endif closes nothing")
            chain = self._leave()
            self.chains.pop()
            self.endings[chain.branch.opening] = number
        elif not word:
            self.section = section_at(text, self.section)
        if word:
            self._add(unit, "condition")
            return
        self._add(unit, "definition" if text.lstrip().startswith(DEFINING) else "text")
        if acts and self._live():
            self._obey(number, text)

    def _add(self, unit: Sequence[str], role: str) -> None:
        branches = tuple(chain.branch for chain in self.chains)
        for text in unit:
            at = len(self.lines)
            origin = self.draft.origins[at]
            self.lines.append(
                Line(
                    number=at + 1,
                    origin=origin,
                    text=text,
                    branches=branches,
                    section=self.section,
                    role=role,
                )
            )
            role = "text" if role == "text" else "continuation"

    def _live(self) -> bool:
        return all(chain.branch.holds for chain in self.chains)

    def _holds(self, word: str, expression: str) -> bool | None:
        if self.unreadable and self.unreadable.keys() & calls(expression, self.registry):
            return None
        if word.endswith(("arch", "os")):
            # Only blanks separate the names: a comma belongs to the name before it.
            names = (expand(expression, self.registry) or "").lower().split()
            known = self.registry.target.lower() if word.endswith("arch") else "linux"
            if known not in names and any("%" in name for name in names):
                return None  # one of the target's macros may have it
            return (known in names) != word.startswith("ifn")
        return evaluate(expression, self.registry)

    def _open(self, number: int, word: str, rest: str) -> None:
        if len(self.chains) == _DEEPEST:
            self._refuse(number, f"conditions nest deeper than {_DEEPEST}")
        holds = self._holds(word, rest) if self._live() else False
        origin = self.draft.origins[number - 1]
        branch = Branch(
            opening=number,
            line=number,
            origin=origin,
            text=f"%{word} {rest}",
            asked=rest,
            holds=holds,
        )
        self.chains.append(_Chain(branch, self.section, taken=False))

    def _next(self, number: int, word: str, rest: str) -> None:
        if not self.chains or self.chains[-1].closed:
            self._refuse(number, f"this %{word} belongs to no %if")
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
            # If it is unknown whether an earlier branch was taken, this one is unknown, too.
            holds = None if before.holds is None else holds
        text = f"%{word} {rest}".strip()
        origin = self.draft.origins[number - 1]
        asked = f"{before.asked} {rest}"
        chain.branch = Branch(
            opening=before.opening, line=number, origin=origin, text=text, asked=asked, holds=holds
        )

    def _leave(self) -> _Chain:
        chain = self.chains[-1]
        if not self._live():
            self.section = chain.section
        return chain

    def _obey(self, number: int, text: str) -> None:
        """Let norpm carry out the definitions of an active line; note those that only rpm can."""
        if not any(word in text for word in ACTING):
            return
        self.registry.news()
        conditional = _BCOND.match(text)
        if conditional:
            self._bcond(conditional[1], conditional[2])
        else:
            expand(text.replace("\r\n", "\n"), self.registry)
        plain = text.replace("\r\n", "\n").replace("\\\n", "").strip()
        broken = "\n" in plain and plain.startswith(DEFINING)
        for name in self.registry.news():
            self.defined_at.setdefault(name, []).append(number)
            self.unreadable.pop(name, None)
            if broken:
                self.unreadable[name] = (
                    number,
                    "it has several lines, which only rpm can read",
                )
        for name in foreign(text):
            self.unreadable[name] = number, "only rpm can evaluate what is defined here"

    def _bcond(self, name: str, default: str) -> None:
        """Do what ``%bcond name default`` does."""
        on = evaluate(default, self.registry)
        if f"_with_{name}" in self.registry or (on and f"_without_{name}" not in self.registry):
            self.registry.define(f"with_{name}", "1")

    def _refuse(self, number: int, why: str) -> None:
        origin = self.draft.origins[number - 1]
        raise RuleMismatchError(
            f"rule 'conditions': line {origin.number}: {why}; found: {shown(origin.text)}",
            hint="correct the spec: every %if needs its %endif",
        )
