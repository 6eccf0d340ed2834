"""Pure: SysV init scripts by their headers: who starts when at boot, as chkconfig and rc see it.

rc starts the links S<number><name> of a runlevel's folder in the order of their names; chkconfig
makes the numbers from two headers: its own line (``# chkconfig: 2345 20 80``: runlevels, start,
stop) and LSB's block (``Required-Start`` …), which can only move a script behind those it names.
Sources: chkconfig(8) and what chkconfig 1.3 does (``parseServiceInfo``, ``frobOneDependencies``).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sheepvirt.host.model import Script

LEVELS = frozenset("2345")  # which we enable services in, as `chkconfig NAME on` does
LAST = 99
UNSET = -1
MIDDLE = 50  # chkconfig's number for an LSB script without a line of its own
OVERRIDES = "/etc/chkconfig.d"  # chkconfig(8): a file there overrules the script's header
LINE = re.compile(r"#\s*chkconfig:\s*(-|[0-6]+)\s+(\d+)\s+(\d+)\s*")
KEY = re.compile(r"#\s*(Provides|Required-Start|Should-Start|Default-Start):(.*)")
LINK = re.compile(r"S(\d\d)(.+)")


def read(name: str, header: str, override: str = "") -> Script | None:
    """Read a script's comment lines, and those of its file in /etc/chkconfig.d.

    None where chkconfig would not manage it: it has neither a good chkconfig line nor an LSB block.
    """
    script = Script(name, frozenset(), UNSET, UNSET, provides=(name,))
    for text in (header, override):
        after: list[str] = []
        for line in text.splitlines():
            if line.startswith("### BEGIN INIT INFO"):
                script = replace(script, lsb=True)
            own, key = LINE.fullmatch(line), KEY.fullmatch(line)
            if own:
                levels, start, stop = frozenset(own[1]) - {"-"}, int(own[2]), int(own[3])
                if start > LAST or stop > LAST:
                    return None
                script = replace(script, levels=levels, start=start, stop=stop)
            elif key and key[1] == "Provides":
                script = replace(script, provides=(name, *key[2].split()))
            elif key and key[1] == "Default-Start":
                levels = script.levels or frozenset("".join(key[2].split()))
                script = replace(script, levels=levels)
            elif key:
                after += key[2].split()
        script = replace(script, after=tuple(after) or script.after)
    return script if script.lsb or script.start != UNSET else None


def listed(text: str) -> frozenset[str]:
    """Return the runlevels that a line of ``chkconfig --list NAME`` calls "on" (``LC_ALL=C``)."""
    return frozenset(re.findall(r"\s([0-6]):on\b", text))


def links(names: Iterable[str]) -> dict[str, int]:
    """Return script to number of a runlevel folder's start links."""
    found = (LINK.fullmatch(name) for name in names)
    return {match[2]: int(match[1]) for match in found if match}


def numbers(scripts: Mapping[str, Script], on: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """Return the start number that chkconfig gives each script.

    ``on`` has the runlevels that a script is switched on in; a dependency counts where it starts in
    all of its dependant's. A cycle ends at 99, as with chkconfig.
    """
    found = {n: MIDDLE if s.start == UNSET else s.start for n, s in scripts.items()}
    givers: dict[str, list[str]] = {}
    for name, script in scripts.items():
        for facility in {name, *script.provides}:
            givers.setdefault(facility, []).append(name)
    moved = True
    while moved:
        moved = False
        for name, script in scripts.items():
            if not script.lsb:
                continue
            for giver in {g for facility in script.after for g in givers.get(facility, ())}:
                together = on.get(name, frozenset()) <= on.get(giver, frozenset())
                later = min(found[giver] + 1, LAST)
                if giver != name and together and found[name] < later:
                    found[name], moved = later, True
    return found


def boot_order(numbered: Mapping[str, int]) -> list[str]:
    """Return names as rc starts them: by number, then by name (``S97libvirtd`` before ``S98a``)."""
    return sorted(numbered, key=lambda name: f"{numbered[name]:02d}{name}")


@dataclass(frozen=True)
class Misplaced:
    """A script that starts before one that it stands on."""

    earlier: str
    later: str
    what: str
    fix: str


def misplaced(
    wanted: Sequence[str], scripts: Mapping[str, Script], there: Mapping[str, int]
) -> list[Misplaced]:
    """Hold the boot order against ``wanted`` (first to last); empty where it is that.

    ``there`` has the start links of the default runlevel; what has none gets the number that
    chkconfig will give it. A name without a script is somebody else's finding.
    """
    on = {name: LEVELS if name in wanted or name in there else frozenset() for name in scripts}
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
        return Misplaced(first, second, what, f"its links are older than its header: `{again}`")
    script, number = second, computed[first] + 1
    if number > LAST:  # nothing comes behind 99: the other one has to go to the front
        script, number = first, max(computed[second] - 1, 0)
    stop = scripts[script].stop if scripts[script].stop != UNSET else LAST - number
    line = f"# chkconfig: 2345 {number:02d} {stop:02d}"
    fix = (
        f"write `{line}` to {OVERRIDES}/{script} there, then `chkconfig --del {script}; "
        f"chkconfig --add {script}; chkconfig --level 2345 {script} on`"
    )
    return Misplaced(first, second, what, fix)


def _place(name: str, script: Script, computed: int, link: int | None) -> str:
    header = "none" if script.start == UNSET else f"{script.start:02d} {script.stop:02d}"
    linked = f", its link S{link:02d}" if link is not None else ""
    after = f", Required-Start {' '.join(script.after)}" if script.after else ""
    return (
        f"/etc/init.d/{name} (chkconfig line {header}{after}; chkconfig makes it "
        f"S{computed:02d}{linked})"
    )
