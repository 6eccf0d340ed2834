"""Facts of SysV init: the default runlevel, its init scripts, and the links that start them.

Headers are read as chkconfig reads them: its own line (``# chkconfig: 2345 20 80``: runlevels,
start, stop) and LSB's block (``Required-Start`` …). Compared with el6's chkconfig 1.3.49.5, case by
case: tests/unit/data/sysv/chkconfig.toml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.fact import Fact, Fragment, fixed_fact, of_kind
from sheepvirt.bootstrap.facts.system import SET_INIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sheepvirt.bootstrap.facts.fact import Sections

INITDEFAULT = r"s/^[^#:]*:\([0-6]\):initdefault:.*/\1/p"  # for sed -n, on /etc/inittab
LAST = 99
UNSET = -1
KEY = re.compile(
    r"\s*#\s*(chkconfig|Provides|(?:Required|Should)-Start|Default-St(?:art|op)):", re.A
)
BLOCK = re.compile(r"\s*### BEGIN INIT INFO", re.A)
NUMBERS = re.compile(r"\s*(\S+)\s+\+?(\d{1,9})\s+\+?(\d{1,9})\s", re.A)
RUNLEVELS = re.compile(r"(?:\s*[+-]?\d+)*", re.A)
LINK = re.compile(r"S(\d\d)(.+)")
START = re.compile(r".*/rc([0-6])\.d/S\d\d(.+)")


@dataclass(frozen=True, kw_only=True)
class Script:
    """A SysV init script's header. ``start`` and ``stop`` are -1 without a chkconfig line."""

    name: str
    levels: frozenset[str]  # runlevels in which it starts by default
    start: int
    stop: int
    lsb: bool = False
    provides: tuple[str, ...] = ()
    after: tuple[str, ...] = ()  # Required-Start and Should-Start: facilities or scripts


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


_ON_SYSV = SET_INIT + "[ $init = sysv ] || exit\n"
_SET_RUNLEVEL = _ON_SYSV + f"runlevel=$(sed -n '{INITDEFAULT}' /etc/inittab)\n"
RUNLEVEL = fixed_fact("runlevel", _SET_RUNLEVEL + "printf '%s' \"$runlevel\"\n", str.strip)

_HEADERS = Fragment(
    name="headers",
    shell=_ON_SYSV
    + r"""
for script in /etc/init.d/*; do
  case $script in *.rpmsave | *.rpmnew | *.rpmorig | *.swp | *~ | *,) continue ;; esac
  section "header:${script##*/}"
  sed -n '/#/{/INIT INFO/p;/chkconfig:/p;/Provides:/p;/-St[ao][rp]t*:/p;}' "$script" 2>/dev/null
  override=/etc/chkconfig.d/${script##*/}
  [ ! -r "$override" ] || { section "override:${script##*/}"; cat "$override"; }
done
""",
)


def _scripts(sections: Sections) -> dict[str, Script]:
    overrides = of_kind(sections, "override")
    headers = of_kind(sections, "header").items()
    found = {name: read(name, header, overrides.get(name, "")) for name, header in headers}
    return {name: script for name, script in found.items() if script is not None}


SCRIPTS = Fact((_HEADERS,), _scripts)


def links(names: Iterable[str]) -> dict[str, int]:
    """Map each script to its number, from the start links of a runlevel's folder."""
    found = (LINK.fullmatch(name) for name in names)
    return {match[2]: int(match[1]) for match in found if match}


LINKS = fixed_fact(
    "links", _SET_RUNLEVEL + 'ls "/etc/rc$runlevel.d"\n', lambda text: links(text.split())
)


def starts(paths: Iterable[str]) -> dict[str, frozenset[str]]:
    """Map each script to the runlevels in which it starts, from links such as /etc/rc3.d/S09x."""
    found: dict[str, set[str]] = {}
    for match in filter(None, (START.fullmatch(path) for path in paths)):
        found.setdefault(match[2], set()).add(match[1])
    return {name: frozenset(levels) for name, levels in found.items()}


STARTS = fixed_fact(
    "starts", _ON_SYSV + "ls -d /etc/rc[0-6].d/S*\n", lambda text: starts(text.split())
)
