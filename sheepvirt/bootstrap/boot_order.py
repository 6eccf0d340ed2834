"""Compute the boot order of SysV init scripts from their headers, as chkconfig and rc do. Pure.

rc starts the links S<number><name> of a runlevel's folder in the order of their names. chkconfig
makes the numbers from two headers: its own line (``# chkconfig: 2345 20 80``: runlevels, start,
stop) and LSB's block (``Required-Start`` …), which can only move a script behind those it names.
Compared with el6's chkconfig 1.3.49.5, case by case: tests/unit/data/sysv/chkconfig.toml.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.sysv import LAST, UNSET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.bootstrap.facts.sysv import Script

LEVELS = frozenset("2345")  # services are enabled in these, as by `chkconfig NAME on`
MIDDLE = 50  # chkconfig's number for an LSB script without a chkconfig line
OVERRIDES = "/etc/chkconfig.d"  # chkconfig(8): a file there overrides the script's header


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
