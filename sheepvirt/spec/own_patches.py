"""Add the patches in patches/ to upstream's spec: Patch tags, and commands in %prep. Pure.

A spec that applies every patch tag (``%autosetup``) gets tags; any other also gets a command for
each patch in %prep. All context lines must match: a patch that fits by chance is worse than none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sheepvirt.core.errors import SpecError
from sheepvirt.spec.draft import Draft, unified_diff
from sheepvirt.spec.model import Patched
from sheepvirt.spec.reader import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.spec.lines import Line

FIRST = 9001  # number of the first Patch tag; no upstream spec has as many
SOURCE = re.compile(r"(source|patch)\d*$")
UNPACKS = re.compile(r"%(setup|autosetup)\b")
APPLIES = re.compile(r"%(setup|autosetup|patch\d*)\b")


def apply(
    spec: str | Draft, patches: Sequence[str], macros: Mapping[str, str], *, name: str
) -> Patched:
    """Return the spec with ``patches`` (file names, in order) applied in %prep.

    Patches that the spec names already are not added. Raises SpecError: no active %setup.
    """
    draft = Draft.of(spec) if isinstance(spec, str) else spec
    text = draft.text
    missing = [patch for patch in patches if patch not in text]
    if not missing:
        return Patched(text=text, diff="", actions=(), already=True, draft=draft)
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
    actions = tuple(f"patch {p}" for p in missing)
    return Patched(text=draft.text, diff=diff, actions=actions, already=False, draft=draft)


def _last_source(lines: Sequence[Line], name: str) -> int:
    """Return the index of the preamble's last source or patch outside of conditions."""
    for line in reversed(lines):
        if not line.section and not line.branches and line.tag and SOURCE.match(line.tag[0]):
            return line.number - 1
    raise SpecError(f"{name} has no Source in its preamble", hint="check that it is a spec")


def _prep(lines: Sequence[Line], name: str) -> tuple[Line, int]:
    """Return the line that unpacks the source, and the index of the last such or patch line."""
    prep = [line for line in lines if line.section == "prep" and line.live]
    setups = [line for line in prep if UNPACKS.match(line.text.lstrip())]
    if not setups:
        raise SpecError(
            f"{name} has no %setup in its %prep",
            hint="remove patches/<package>/<version>/, or write your own spec",
        )
    steps = [line for line in prep if APPLIES.match(line.text.lstrip())]
    return setups[0], steps[-1].number - 1


def _ended(line: str) -> str:
    return line if line.endswith("\n") else line + "\n"
