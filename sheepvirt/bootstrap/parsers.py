"""Parse the output of rpm, virsh, dog and yum under ``LC_ALL=C``. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# One line per installed package, for `rpm -qa --qf`: it identifies the exact build.
INSTALLED = r"%{NAME}\t%{NEVRA}\t%{SHA1HEADER}\n"
# `rpm -V`: nine letters (or "missing"), an optional kind of file (c is configuration), the path.
ALTERED = re.compile(r"(?P<what>[S.?M5DLUGTPC]{8,9}|missing) +(?:(?P<kind>[cdglr]) )?(?P<path>/.*)")
# What the guest's init (containers/rehearsal/guest/init) adds to its line.
BEAT = r" \(uptime (\d+) s(?:, boot (\d+), marker ([0-9a-f]+))?(?:, ([^\r\n]*))?\)(?=\r|\n|$)"
EDITED = "edited configuration"  # the property of a JUnit report about one such file
BOOT_RECORD = "boot record"  # the property of a JUnit report that has a guest's boots and marker
# libvirt's units of memory: https://libvirt.org/formatdomain.html#memory-allocation
UNITS = {
    "b": 1, "bytes": 1, "KB": 10**3, "k": 2**10, "KiB": 2**10, "MB": 10**6, "M": 2**20,
    "MiB": 2**20, "GB": 10**9, "G": 2**30, "GiB": 2**30,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Altered:
    """One line of ``rpm -V``: a file that differs from its package, or another problem."""

    path: str  # empty if the problem is not about a file
    what: str
    kind: str = ""  # c is configuration, g a %ghost


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """One console line of a guest: its uptime, and what it read from its disk at that moment."""

    uptime: int  # seconds
    boot: int  # number of boots, counted on its disk; 0 if the disk does not say
    marker: str  # what its first boot wrote to the disk
    trouble: str = ""  # an I/O error, as the guest printed it


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


def info(text: str) -> dict[str, str]:
    """Parse the ``Key:   value`` lines of ``virsh net-info`` and ``virsh dominfo``."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


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


def states(text: str) -> dict[str, str]:
    """Map the first column of a virsh table to the second, such as pools to states."""
    rows = [line.split() for line in text.splitlines()[2:]]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def compiled_in(text: str, section: str) -> tuple[str, ...]:
    """Return the capabilities in one section (such as ``Storage``) of ``virsh -V``."""
    return tuple(info(text).get(section, "").split())


def cluster_status(text: str) -> str:
    """Return the status in the first line of ``dog cluster info``, or ""."""
    return info(text).get("Cluster status", "")


def nodes(text: str) -> int:
    """Count the nodes in ``dog node info -r``: lines that begin with a node's number."""
    return len(re.findall(r"(?m)^\s*\d+\s", text))


def vdis(text: str) -> dict[str, int]:
    """Parse ``dog vdi list -r``: return name to size of each VDI, without snapshots.

    The first column is the kind: = is a VDI, c a clone, s a snapshot. Spaces and backslashes in a
    name are escaped with a backslash.
    """
    rows = re.findall(r"(?m)^[=c] ((?:\\.|[^\\\s])+) \d+ (\d+) ", text)
    return {re.sub(r"\\(.)", r"\1", name): int(size) for name, size in rows}


def amount(memory: ElementTree.Element) -> int:
    """Return the bytes of a ``<memory unit="...">`` element."""
    return int((memory.text or "0").strip()) * UNITS[memory.get("unit", "KiB")]


def memory_kib(domain: ElementTree.Element) -> int:
    """Return a domain's memory in KiB, rounded up as libvirt does; -1 if it has none."""
    memory = domain.find("memory")
    if memory is None or not (memory.text or "").strip().isdigit():
        return -1
    return -(-amount(memory) // 1024)


def beats(console: str, line: str) -> list[Heartbeat]:
    """Return a guest's heartbeats on its console: what follows each ``line``, in order."""
    found = re.findall(re.escape(line) + BEAT, console)
    return [
        Heartbeat(uptime=int(up), boot=int(boot or 0), marker=marker, trouble=trouble)
        for up, boot, marker, trouble in found
    ]


def boot_records(junit: str) -> dict[str, tuple[int, str]]:
    """Return each guest's boot count and marker, as one pass of the verification read them.

    ``junit`` is the report of the pass; its property "boot record" is "GUEST BOOTS MARKER". Raises
    ElementTree.ParseError.
    """
    found = {}
    for entry in ElementTree.fromstring(junit).iter("property"):
        if entry.get("name") == BOOT_RECORD:
            guest, boots, marker = entry.get("value", "").rsplit(" ", 2)
            found[guest] = (int(boots), marker)
    return found


def edited(junit: str) -> list[str]:
    """Return the edited configuration files that one pass of the verification reported, in order.

    One text for each file: a line, and its diff if there is one. Raises ElementTree.ParseError.
    """
    entries = ElementTree.fromstring(junit).iter("property")
    return [e.get("value", "") for e in entries if e.get("name") == EDITED]


def network_disks(domain: ElementTree.Element) -> list[tuple[str, str]]:
    """Return (protocol, name) of each network disk of a domain."""
    sources = domain.findall("devices/disk[@type='network']/source")
    return [(s.get("protocol", ""), s.get("name", "")) for s in sources]


def opens_vdi(words: Sequence[str], vdi: str) -> bool:
    """Tell whether a QEMU command line opens ``vdi`` through QEMU's sheepdog driver.

    libvirt >= 5 writes -blockdev and JSON, older ones -drive file=sheepdog:...
    """
    old = re.compile(rf"(?:.*,)?file=sheepdog:(?:[^,]*:)?{re.escape(vdi)}(?:,.*)?")
    for word in words:
        if word.startswith("{"):
            said = json.loads(word)
            if said.get("driver") == "sheepdog" and said.get("vdi") == vdi:
                return True
        elif old.fullmatch(word):
            return True
    return False


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
