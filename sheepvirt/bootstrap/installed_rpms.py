"""Parse what rpm and yum say of a host's packages under ``LC_ALL=C``, and compare it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# One line per installed package, for `rpm -qa --qf`: it identifies the exact build.
INSTALLED = r"%{NAME}\t%{NEVRA}\t%{SHA1HEADER}\n"
# `rpm -V`: nine letters (or "missing"), an optional kind of file (c is configuration), the path.
ALTERED = re.compile(r"(?P<what>[S.?M5DLUGTPC]{8,9}|missing) +(?:(?P<kind>[cdglr]) )?(?P<path>/.*)")


@dataclass(frozen=True, kw_only=True)
class Altered:
    """One line of ``rpm -V``: a file that differs from its package, or another problem."""

    path: str  # empty if the problem is not about a file
    what: str
    kind: str = ""  # c is configuration, g a %ghost


def installed(text: str) -> dict[str, list[tuple[str, str]]]:
    """Parse ``rpm -qa --qf INSTALLED``: name to [(NEVRA, SHA1 of the header)]."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        name, nevra, sha1 = line.split("\t")
        found.setdefault(name, []).append((nevra, sha1))
    return found


def altered(text: str) -> list[Altered]:
    """Parse ``rpm -V``. A line in an unknown form counts as a problem, too."""
    rows = []
    for line in filter(str.strip, text.splitlines()):
        match = ALTERED.fullmatch(line.rstrip())
        if match is None:
            rows.append(Altered(path="", what=line.strip()))
        else:
            rows.append(Altered(path=match["path"], what=match["what"], kind=match["kind"] or ""))
    return rows


def made_by_libvirtd(row: Altered) -> bool:
    """Tell whether libvirtd itself caused a difference.

    An RPM does not install its %ghost folders: libvirtd makes them, with other modes than the specs
    of 2013 have. 1.0.3's init script empties /var/cache/libvirt, and the daemon makes the folder in
    it again. It also writes the UUIDs of filters to their files, readable by root only; later
    specs list those files as %ghost, too.
    """
    if row.path == "/var/cache/libvirt/qemu":
        return not set(row.what) - set("M.")
    if row.path.startswith("/etc/libvirt/nwfilter/"):
        return not set(row.what) - set("SM5T.")
    return row.kind == "g" and row.path.startswith(("/var/run/libvirt", "/run/libvirt"))


def differing(
    ours: Mapping[str, tuple[str, str]], there: Mapping[str, Sequence[tuple[str, str]]]
) -> list[str]:
    """Return the installed packages that differ from the published ones of the same names.

    Both arguments map a name to (NEVRA, SHA1 of the header); a host may have several of one name.
    """
    wrong = []
    for name in sorted(ours.keys() & there.keys()):
        nevra, sha1 = ours[name]
        found = there[name]
        if [n for n, _ in found] != [nevra]:
            wrong.append(f"{name}: {', '.join(n for n, _ in found)} is installed, ours is {nevra}")
        elif found[0][1] != sha1:
            wrong.append(f"{nevra}: another build: header {found[0][1]}, ours has {sha1}")
    return wrong


def yum_knows(text: str) -> frozenset[str]:
    """Parse ``yum -q list`` of yum 3: return names, and NEVRAs in sheepvirt's spelling.

    A row is ``name.arch  [epoch:]version-release  repo``. It is broken after the first or second
    column if that column is wide.
    """
    found = set()
    rows = re.findall(r"(?m)^([^\s:]\S*)\.(\w+)\s+(?:(\d+):)?([^\s:]+)\s+\S+$", text)
    for name, arch, epoch, version in rows:
        shown = f"{epoch}:{version}" if epoch and epoch != "0" else version
        found |= {name, f"{name}-{shown}.{arch}"}
    return frozenset(found)
