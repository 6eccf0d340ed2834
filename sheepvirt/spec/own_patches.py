"""Patches of ours in a spec that upstream's own tree carries: its tags, and its %prep. Pure.

A spec that takes every patch it names (``%autosetup``) gets tags; else %prep gets a command for
each after ``%setup``. No line of context may be off: a patch that fits by chance is worse than
none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sheepvirt.core.errors import SpecError
from sheepvirt.spec.draft import Draft, unified_diff
from sheepvirt.spec.lines import Line
from sheepvirt.spec.model import Patched
from sheepvirt.spec.reader import read

FIRST = 9001  # no spec of upstream's comes near
SOURCE = re.compile(r"(source|patch)\d*$")
UNPACKS = re.compile(r"%(setup|autosetup)\b")
APPLIES = re.compile(r"%(setup|autosetup|patch\d*)\b")


def apply(
    spec: str | Draft, patches: Sequence[str], macros: Mapping[str, str], *, name: str
) -> Patched:
    """Return the spec with ``patches`` (file names, in order) applied in %prep.

    Patches that the spec names are left to it. Raises SpecError: no %setup that is in force.
    """
    draft = Draft.of(spec) if isinstance(spec, str) else spec
    text = draft.text
    missing = [patch for patch in patches if patch not in text]
    if not missing:
        return Patched(text, "", (), already=True, draft=draft)
    lines = read(draft, macros).lines
    new = [line.text for line in lines]
    numbers = range(FIRST, FIRST + len(missing))
    tags = "".join(f"Patch{n}: {p}\n" for n, p in zip(numbers, missing, strict=True))
    after = _last_source(lines, name)
    setup, last = _prep(lines, name)
    new[after] = _ended(new[after]) + tags
    if "%autosetup" not in setup.text:
        done = "".join(f"patch -p1 --fuzz=0 < %{{PATCH{n}}}\n" for n in numbers)
        new[last] = _ended(new[last]) + done
    draft = draft.edited(new)
    diff = unified_diff(text, draft.text, name)
    told = tuple(f"patch {p}" for p in missing)
    return Patched(draft.text, diff, told, already=False, draft=draft)


def _last_source(lines: Sequence[Line], name: str) -> int:
    """Return the index of the preamble's last source or patch that no condition can take away."""
    for line in reversed(lines):
        if not line.section and not line.branches and line.tag and SOURCE.match(line.tag[0]):
            return line.number - 1
    raise SpecError(f"{name} has no Source in its preamble", hint="is it a spec?")


def _prep(lines: Sequence[Line], name: str) -> tuple[Line, int]:
    """Return the line that unpacks the source, and the index of the last line about that."""
    prep = [line for line in lines if line.section == "prep" and line.live]
    setups = [line for line in prep if UNPACKS.match(line.text.lstrip())]
    if not setups:
        raise SpecError(
            f"{name} has no %setup in its %prep",
            hint="take patches/<package>/<version>/ away, or write a spec of ours",
        )
    steps = [line for line in prep if APPLIES.match(line.text.lstrip())]
    return setups[0], steps[-1].number - 1


def _ended(line: str) -> str:
    return line if line.endswith("\n") else line + "\n"
