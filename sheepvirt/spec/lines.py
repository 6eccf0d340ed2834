"""The lines of an RPM spec as they stand on one target: shapes, sections, macros.

norpm expands macros and evaluates expressions; it runs no shell. ``reader`` fills the shapes.

Source of the format: rpm's manual, "Spec file format" and "Macro syntax".
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from norpm.expression import eval_rpm_expr
from norpm.macro import MacroRegistry
from norpm.specfile import specfile_detect_macro_calls_in_string, specfile_expand_string

from sheepvirt.spec.draft import Draft, Origin, split_lines
from sheepvirt.spec.units import DEFINING

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
    origin: Origin  # that line, as the user has it
    text: str  # that line, stripped
    asked: str  # every expression of the chain so far: an %else depends on all of them
    holds: bool | None  # on the target; None: it cannot be told without running a shell


@dataclass(frozen=True)
class Line:
    """One line of a spec, or a stretch of its changelog that says nothing to rpm."""

    number: int  # among the lines as read
    origin: Origin  # as the user has it: what messages name and quote
    text: str  # with its line ending
    branches: tuple[Branch, ...]  # outermost first
    section: str  # "" is the preamble; else "build", "package daemon", "files -n x" ...
    role: str = "text"  # or "condition" (%if and its kin), "definition", "continuation" of either

    @property
    def live(self) -> bool:
        """Whether rpm reads the line on this target."""
        return all(branch.holds for branch in self.branches)

    @property
    def unsure(self) -> bool:
        """Whether it cannot be told if rpm reads the line: a condition calls the shell."""
        return not self.live and not any(branch.holds is False for branch in self.branches)

    @property
    def definition(self) -> tuple[str, str] | None:
        """Name and body where the line is a plain ``%define`` or ``%global``, else None."""
        if self.role != "definition":
            return None
        words = self.text.split(None, 2)
        if len(words) < 2 or words[0] not in DEFINING:
            return None
        return words[1], words[2].rstrip() if len(words) == 3 else ""

    @property
    def tag(self) -> tuple[str, str] | None:
        """Lower-case name and value where the line is a tag (``Requires: x``), else None."""
        if self.role != "text" or not has_tags(self.section):
            return None
        name, colon, value = self.text.partition(":")
        if not colon:
            return None
        return name.strip().lower(), value.strip()


@dataclass(frozen=True)
class Spec:
    """A spec as read for one target."""

    draft: Draft  # what was read
    lines: tuple[Line, ...]
    macros: MacroRegistry  # as they stand at the spec's end
    defined_at: Mapping[str, tuple[int, ...]]  # macro to the lines that defined it on this target
    endings: Mapping[int, int]  # number of an %if to its %endif's
    # Macros of which only rpm can tell what they come to: the number of the line, and why. "" is
    # for macros that the line does not name.
    untold: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def expand(self, text: str) -> str:
        """Return ``text`` with the spec's macros expanded; as it is where that fails."""
        if any(word in text for word in (*DEFINING, "%undefine")):
            return text  # reading it again must not change what was read
        text = text.replace("\r\n", "\n")  # a backslash before it stays one
        expanded = expand(text, self.macros)
        return text if expanded is None else expanded

    def is_true(self, macro: str) -> bool:
        """Whether ``%if %{macro}`` holds at the spec's end."""
        if macro in self.untold:
            return False
        return macro in self.macros and bool(evaluate(f"%{{{macro}}}", self.macros))

    def asks_about(self, expression: str) -> set[str]:
        """Return the names of the macros that ``expression`` comes down to."""
        return calls(expression, self.macros)


def shown(text: str, width: int = 160) -> str:
    """Return a line as a message may quote it: on one line, printable, not endless."""
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text.strip())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def has_tags(section: str) -> bool:
    """Whether a section holds tags (``Requires: x``): the preamble and ``%package`` do."""
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
    """Return the lines of each section of a spec; those of "" are the preamble."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in split_lines(text):
        section = section_at(line, section)
        found.setdefault(section, []).append(line)
    return found


def build_section(sections: Mapping[str, list[str]]) -> list[str]:
    """Return the lines of %build in what rpm printed of a spec.

    rpm 4.18 leaves out the header of the section that follows %prep: then both are one here.
    """
    return sections.get("build") or sections.get("prep", [])


def joined(lines: Iterable[str]) -> list[str]:
    """Join lines that end in a backslash with what follows, as rpm does."""
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
    """Expand ``text``, obeying what it defines; None where norpm cannot read it."""
    try:
        return str(specfile_expand_string(text, macros))
    except Exception:
        # norpm meets text that is no macro language with whatever Python raises (IndexError,
        # ValueError …). None means "cannot be told", and each caller says what follows from it.
        return None


def calls(expression: str, macros: MacroRegistry) -> set[str]:
    """Return the names of the macros that ``expression`` comes down to."""
    try:
        return set(specfile_detect_macro_calls_in_string(expression, macros))
    except Exception:  # see expand
        return set()


def evaluate(expression: str, macros: MacroRegistry) -> bool | None:
    """Evaluate an ``%if`` expression; None where it cannot be told (a shell call, bad syntax)."""
    expanded = expand(expression, macros)
    if expanded is None or "%" in expanded or "\n" in expanded.strip():
        return None  # rpm evaluates no further than the end of a line
    try:
        return bool(eval_rpm_expr(expanded.strip()))
    except Exception:  # see expand
        return None
