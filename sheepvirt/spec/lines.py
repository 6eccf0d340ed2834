"""The lines of an RPM spec on one target: types, sections, macros.

norpm expands macros and evaluates expressions; it runs no shell. ``reader`` makes the objects.

Source of the format: rpm's manual, "Spec file format" and "Macro syntax".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from norpm.expression import eval_rpm_expr
from norpm.specfile import specfile_detect_macro_calls_in_string, specfile_expand_string

from sheepvirt.spec.draft import Draft, Origin, split_lines
from sheepvirt.spec.units import DEFINING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from norpm.macro import MacroRegistry

_SECTIONS = {
    *("package", "description", "prep", "generate_buildrequires", "conf", "build", "install"),
    *("check", "clean", "files", "changelog", "sourcelist", "patchlist", "verifyscript"),
    *("pre", "post", "preun", "postun", "pretrans", "posttrans", "preuntrans", "postuntrans"),
    *("trigger", "triggerin", "triggerprein", "triggerun", "triggerpostun"),
    *("filetriggerin", "filetriggerun", "filetriggerpostun"),
    *("transfiletriggerin", "transfiletriggerun", "transfiletriggerpostun"),
}

# norpm logs what sheepvirt reports itself, with rule and line.
logging.getLogger("norpm").setLevel(logging.CRITICAL)


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One branch of a condition around a line."""

    opening: int  # number of the line that opened the chain
    line: int  # number of this branch's own %if, %elif or %else
    origin: Origin  # that line in the user's text
    text: str  # that line, stripped
    asked: str  # every expression of the chain so far: an %else depends on all of them
    holds: bool | None  # on the target; None: unknown without running a shell


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a spec, or several changelog lines without meaning for rpm."""

    number: int  # among the lines as read
    origin: Origin  # the user's line, which messages name and quote
    text: str  # with its line ending
    branches: tuple[Branch, ...]  # outermost first
    section: str  # "" is the preamble; else "build", "package daemon", "files -n x" ...
    role: str = "text"  # or "condition" (%if and the like), "definition", "continuation" of either

    @property
    def live(self) -> bool:
        """Whether rpm reads the line on this target."""
        return all(branch.holds for branch in self.branches)

    @property
    def unsure(self) -> bool:
        """Whether it is unknown if rpm reads the line: a condition calls the shell."""
        return not self.live and not any(branch.holds is False for branch in self.branches)

    @property
    def definition(self) -> tuple[str, str] | None:
        """Name and body if the line is a plain ``%define`` or ``%global``, else None."""
        if self.role != "definition":
            return None
        words = self.text.split(None, 2)
        if len(words) < 2 or words[0] not in DEFINING:
            return None
        return words[1], words[2].rstrip() if len(words) == 3 else ""

    @property
    def tag(self) -> tuple[str, str] | None:
        """Lower-case name and value if the line is a tag (``Requires: x``), else None."""
        if self.role != "text" or not has_tags(self.section):
            return None
        name, colon, value = self.text.partition(":")
        if not colon:
            return None
        return name.strip().lower(), value.strip()


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A spec as read for one target."""

    draft: Draft  # what was read
    lines: tuple[Line, ...]
    macros: MacroRegistry  # their values at the spec's end
    defined_at: Mapping[str, tuple[int, ...]]  # macro to the lines that define it on this target
    endings: Mapping[int, int]  # line number of an %if to that of its %endif
    # Macros that only rpm can evaluate: line number and reason. "" stands for macros that the line
    # does not name.
    unreadable: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def expand(self, text: str) -> str:
        """Return ``text`` with the spec's macros expanded, or unchanged if that fails."""
        if any(word in text for word in (*DEFINING, "%undefine")):
            return text  # an expansion must not define macros again
        text = text.replace("\r\n", "\n")  # a backslash before it still continues the line
        expanded = expand(text, self.macros)
        return text if expanded is None else expanded

    def is_true(self, macro: str) -> bool:
        """Whether ``%if %{macro}`` holds at the spec's end."""
        if macro in self.unreadable:
            return False
        return macro in self.macros and bool(evaluate(f"%{{{macro}}}", self.macros))

    def asks_about(self, expression: str) -> set[str]:
        """Return the names of the macros that ``expression`` uses, directly or not."""
        return calls(expression, self.macros)


def shown(text: str, width: int = 160) -> str:
    """Return a line for a message: on one line, printable, of limited length."""
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text.strip())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def has_tags(section: str) -> bool:
    """Tell whether a section has tags (``Requires: x``): the preamble and ``%package`` do."""
    return section.partition(" ")[0] in {"", "package"}


def section_at(text: str, section: str) -> str:
    """Return the section that a line starts (``package daemon``), or ``section`` unchanged.

    Among tags a header may be indented; in scripts and texts it may not.
    """
    if has_tags(section):
        text = text.lstrip()
    if not text.startswith("%"):
        return section
    words = text.split()
    if words[0][1:] not in _SECTIONS:
        return section
    return " ".join([words[0][1:], *words[1:]])


def by_section(text: str) -> dict[str, list[str]]:
    """Return the lines of each section of a spec; "" is the preamble."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in split_lines(text):
        section = section_at(line, section)
        found.setdefault(section, []).append(line)
    return found


def build_section(sections: Mapping[str, list[str]]) -> list[str]:
    """Return the lines of %build in rpm's expansion of a spec.

    rpm 4.18 leaves out the header of the section after %prep; then both sections are returned.
    """
    return sections.get("build") or sections.get("prep", [])


def joined(lines: Iterable[str]) -> list[str]:
    """Join lines that end in a backslash with the next line, as rpm does."""
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


def expand(text: str, macros: MacroRegistry) -> str | None:
    """Expand ``text`` and carry out its definitions; None if norpm cannot read it."""
    if "%" not in text and "\\" not in text:
        return text  # as norpm does, letter by letter: most lines of a spec
    try:
        return str(specfile_expand_string(text, macros))
    except Exception:
        # norpm raises any Python error (IndexError, ValueError …) for invalid macro language. None
        # means "unknown"; each caller decides what follows.
        return None


def calls(expression: str, macros: MacroRegistry) -> set[str]:
    """Return the names of the macros that ``expression`` uses, directly or not."""
    try:
        return set(specfile_detect_macro_calls_in_string(expression, macros))
    except Exception:  # see expand
        return set()


def evaluate(expression: str, macros: MacroRegistry) -> bool | None:
    """Evaluate an ``%if`` expression; None if its value is unknown (a shell call, bad syntax)."""
    expanded = expand(expression, macros)
    if expanded is None or "%" in expanded or "\n" in expanded.strip():
        return None  # rpm evaluates only up to the end of a line
    try:
        return bool(eval_rpm_expr(expanded.strip()))
    except Exception:  # see expand
        return None
