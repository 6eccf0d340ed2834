"""Compute the boot order of SysV init scripts from their headers, as chkconfig and rc do. Pure.

rc starts the links S<number><name> of a runlevel's folder in the order of their names. chkconfig
makes the numbers from two headers: its own line (``# chkconfig: 2345 20 80``: runlevels, start,
stop) and LSB's block (``Required-Start`` …), which can only move a script behind those it names.
Compared with el6's chkconfig 1.3.49.5, case by case: tests/unit/data/sysv/chkconfig.toml.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.model.hosts import Script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LEVELS = frozenset("2345")  # services are enabled in these, as by `chkconfig NAME on`
LAST = 99
UNSET = -1
MIDDLE = 50  # chkconfig's number for an LSB script without a chkconfig line
OVERRIDES = "/etc/chkconfig.d"  # chkconfig(8): a file there overrides the script's header
KEY = re.compile(
    r"\s*#\s*(chkconfig|Provides|(?:Required|Should)-Start|Default-St(?:art|op)):", re.A
)
BLOCK = re.compile(r"\s*### BEGIN INIT INFO", re.A)
NUMBERS = re.compile(r"\s*(\S+)\s+\+?(\d{1,9})\s+\+?(\d{1,9})\s", re.A)
RUNLEVELS = re.compile(r"(?:\s*[+-]?\d+)*", re.A)
LINK = re.compile(r"S(\d\d)(.+)")
START = re.compile(r".*/rc([0-6])\.d/S\d\d(.+)")


class Unmanaged(Exception):
    """A header for which chkconfig says "does not support chkconfig"."""


@dataclass
class _Header:
    levels: frozenset[str] | None = None  # None: not said
    start: int = UNSET
    stop: int = UNSET
    lsb: bool = False
    provides: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    should: tuple[str, ...] = ()


def read(name: str, header: str, override: str = "") -> Script | None:
    """Parse the comment lines of a script and of its file in /etc/chkconfig.d.

    Returns None if chkconfig would not manage it: a broken line, no runlevels (an LSB block with an
    empty ``Default-Start`` has none), or neither numbers nor an LSB block. As in chkconfig, an
    override replaces the numbers and ``Provides`` even if it has none.
    """
    try:
        own = _parse(header)
    except Unmanaged:
        return None
    if own.levels is None or not (own.lsb or own.start != UNSET):
        return None
    try:
        over = _parse(override) if override else own
    except Unmanaged:  # chkconfig's result is undefined here: it reads uninitialized memory
        over = own
    return Script(
        name=name,
        levels=own.levels if over.levels is None else over.levels,
        start=over.start,
        stop=over.stop,
        lsb=own.lsb or over.lsb,
        provides=(name, *(facility for facility in over.provides if facility != name)),
        after=(over.required or own.required) + (over.should or own.should),
    )


def _parse(text: str) -> _Header:
    """Parse comment lines. Raises Unmanaged."""
    found = _Header()
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        found.lsb = found.lsb or bool(BLOCK.match(line))
        match = KEY.match(line)
        if not match:
            continue
        value = line[match.end() :]
        words = tuple(value.split())
        if match[1] == "chkconfig":
            _take_numbers(found, value)
        elif match[1] == "Provides":
            found.provides = words or found.provides
        elif match[1] == "Required-Start":  # of several such lines the last one counts
            found.required = words
        elif match[1] == "Should-Start":
            found.should = words
        elif (levels := _levels(value)) is not None:
            base = found.levels or frozenset()
            found.levels = base | levels if match[1] == "Default-Start" else base - levels
    return found


def _take_numbers(found: _Header, value: str) -> None:
    match = NUMBERS.match(value)  # a space or newline must follow; the file's end is not enough
    if not match or int(match[2]) > LAST or int(match[3]) > LAST:
        raise Unmanaged
    if found.start == UNSET:
        found.start, found.stop = int(match[2]), int(match[3])
    if found.levels is None:  # an LSB block above the line takes precedence
        if not re.fullmatch("-|[0-6]+", match[1]):
            raise Unmanaged
        found.levels = frozenset(match[1]) - {"-"}


def _levels(value: str) -> frozenset[str] | None:
    """Parse the numbers at the start of a value; None if there is none.

    They must be separated: chkconfig takes "35" for bit 35, which is runlevel 3 (35 modulo 32).
    """
    match = RUNLEVELS.match(value)
    numbers = re.findall(r"[+-]?\d+", match[0], re.A) if match else []
    levels = {str(int(n) % 32) for n in numbers if len(n) < 19}  # more digits are not a runlevel
    return frozenset(levels) & frozenset("0123456") if numbers else None


def listed(text: str) -> frozenset[str]:
    """Return the runlevels that a line of ``chkconfig --list NAME`` calls "on" (``LC_ALL=C``)."""
    return frozenset(re.findall(r"\s([0-6]):on\b", text))


def links(names: Iterable[str]) -> dict[str, int]:
    """Map each script to its number, from the start links of a runlevel's folder."""
    found = (LINK.fullmatch(name) for name in names)
    return {match[2]: int(match[1]) for match in found if match}


def starts(paths: Iterable[str]) -> dict[str, frozenset[str]]:
    """Map each script to the runlevels in which it starts, from links such as /etc/rc3.d/S09x."""
    found: dict[str, set[str]] = {}
    for match in filter(None, (START.fullmatch(path) for path in paths)):
        found.setdefault(match[2], set()).add(match[1])
    return {name: frozenset(levels) for name, levels in found.items()}


def numbers(scripts: Mapping[str, Script], on: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """Return the start number that chkconfig gives each script.

    ``on`` has the runlevels in which a script is enabled. A dependency counts only if it starts in
    all runlevels of its dependant. As with chkconfig, a cycle ends at 99, and so does a script that
    requires what it provides itself.
    """
    found = {n: MIDDLE if s.start == UNSET and s.lsb else s.start for n, s in scripts.items()}
    givers: dict[str, list[str]] = {}
    for name, script in scripts.items():
        for facility in {name, *script.provides}:
            givers.setdefault(facility, []).append(name)
    moved = True
    while moved:
        moved = False
        for name, script in scripts.items():
            for giver in {g for facility in script.after for g in givers.get(facility, ())}:
                together = on.get(name, frozenset()) <= on.get(giver, frozenset())
                later = min(found[giver] + 1, LAST)
                if script.lsb and together and found[name] < later:
                    found[name], moved = later, True
    return found


def boot_order(numbered: Mapping[str, int]) -> list[str]:
    """Return names in rc's order: by number, then by name (``S97libvirtd`` before ``S98a``)."""
    return sorted(numbered, key=lambda name: f"{numbered[name]:02d}{name}")


@dataclass(frozen=True, kw_only=True)
class Misplaced:
    """A script that starts before one that it depends on."""

    earlier: str
    later: str
    what: str
    fix: str


def misplaced(
    wanted: Sequence[str],
    scripts: Mapping[str, Script],
    there: Mapping[str, int],
    now: Mapping[str, frozenset[str]] | None = None,
) -> list[Misplaced]:
    """Compare the boot order with ``wanted`` (first to last); return what is out of order.

    ``there`` has the start links of the default runlevel; a script without one gets the number that
    chkconfig will give it. ``now`` has the runlevels in which each script starts. Names without a
    script are ignored here.
    """
    on = {name: (now or {}).get(name, frozenset()) for name in scripts}
    on |= {n: LEVELS | (on[n] or scripts[n].levels) for n in wanted if n in scripts}
    computed = numbers(scripts, on)
    known = [name for name in wanted if name in scripts]
    at = {name: there.get(name, computed[name]) for name in known}
    rank = {name: place for place, name in enumerate(boot_order(at))}
    return [
        _explain(first, second, scripts, computed, there)
        for first, second in itertools.pairwise(known)
        if rank[first] > rank[second]
    ]


def _explain(
    first: str,
    second: str,
    scripts: Mapping[str, Script],
    computed: Mapping[str, int],
    there: Mapping[str, int],
) -> Misplaced:
    said = " and ".join(_place(n, scripts[n], computed[n], there.get(n)) for n in (second, first))
    what = f"{second} would start before {first}: {said}"
    now = {name: f"{computed[name]:02d}{name}" for name in (first, second)}
    if now[first] < now[second]:
        stale = [n for n in (first, second) if there.get(n, computed[n]) != computed[n]]
        again = "; ".join(
            f"chkconfig --del {n}; chkconfig --add {n}; chkconfig --level 2345 {n} on"
            for n in stale
        )
        return Misplaced(
            earlier=first,
            later=second,
            what=what,
            fix=f"its links are older than its header: `{again}`",
        )
    script, number = second, computed[first] + 1
    if number > LAST:  # no number follows 99: move the other script to the front
        script, number = first, max(computed[second] - 1, 0)
    stop = scripts[script].stop if scripts[script].stop != UNSET else LAST - number
    line = f"# chkconfig: 2345 {number:02d} {stop:02d}"
    provided = " ".join(scripts[script].provides)  # an override without it would remove it
    more = f" and `# Provides: {provided}`" if provided not in {"", script} else ""
    fix = (
        f"write `{line}`{more} to {OVERRIDES}/{script} there, then `chkconfig --del {script}; "
        f"chkconfig --add {script}; chkconfig --level 2345 {script} on`"
    )
    return Misplaced(earlier=first, later=second, what=what, fix=fix)


def _place(name: str, script: Script, computed: int, link: int | None) -> str:
    header = "none" if script.start == UNSET else f"{script.start:02d} {script.stop:02d}"
    linked = f", its link S{link:02d}" if link is not None else ""
    after = f", Required-Start {' '.join(script.after)}" if script.after else ""
    return (
        f"/etc/init.d/{name} (chkconfig line {header}{after}; chkconfig makes it "
        f"S{computed:02d}{linked})"
    )
