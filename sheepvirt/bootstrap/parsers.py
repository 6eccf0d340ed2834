"""Pure: what rpm and virsh print under ``LC_ALL=C``, as values. ``verify/checks`` reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

# One line per installed package, for `rpm -qa --qf`: what identifies this very build of it.
INSTALLED = r"%{NAME}\t%{NEVRA}\t%{SHA1HEADER}\n"
# `rpm -V`: nine signs (or "missing"), an optional kind of file (c is configuration), the path.
ALTERED = re.compile(r"(?P<what>[S.?M5DLUGTPC]{8,9}|missing) +(?:(?P<kind>[cdglr]) )?(?P<path>/.*)")
# What the guest's init (containers/rehearsal/guest/init) adds to its line.
BEAT = r" \(uptime (\d+) s(?:, boot (\d+), marker ([0-9a-f]+))?(?:, ([^\r\n]*))?\)(?=\r|\n|$)"
EDITED = "edited configuration"  # the property of a JUnit report that tells of one such file
BOOT_RECORD = "boot record"  # the property of a JUnit report that has a guest's boots and marker
# libvirt's units of memory: https://libvirt.org/formatdomain.html#memory-allocation
UNITS = {
    "b": 1, "bytes": 1, "KB": 10**3, "k": 2**10, "KiB": 2**10, "MB": 10**6, "M": 2**20,
    "MiB": 2**20, "GB": 10**9, "G": 2**30, "GiB": 2**30,
}  # fmt: skip


@dataclass(frozen=True)
class Altered:
    """One line of ``rpm -V``: a file that differs from its package, or another complaint."""

    path: str  # empty where rpm complains of something else than a file
    what: str
    kind: str = ""  # c is configuration, g a %ghost


@dataclass(frozen=True)
class Heartbeat:
    """One line of a guest: how long it has been up, and what its disk said just then."""

    uptime: int
    boot: int  # the boots that its disk has counted; 0 where the disk does not say
    marker: str  # what its first boot wrote on the disk
    trouble: str = ""  # an I/O error, in the guest's words


def installed(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return name to [(NEVRA, SHA1 of the header)] of the output of ``rpm -qa --qf INSTALLED``."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        name, nevra, sha1 = line.split("\t")
        found.setdefault(name, []).append((nevra, sha1))
    return found


def altered(text: str) -> list[Altered]:
    """Return the complaints of ``rpm -V``. A line in no known form is a complaint, too."""
    rows = []
    for line in filter(str.strip, text.splitlines()):
        match = ALTERED.fullmatch(line.rstrip())
        if match is None:
            rows.append(Altered("", line.strip()))
        else:
            rows.append(Altered(match["path"], match["what"], match["kind"] or ""))
    return rows


def made_by_libvirtd(row: Altered) -> bool:
    """Return whether libvirtd itself accounts for a difference, so that nobody else did.

    The RPM brings no %ghost: libvirtd makes those folders, and the specs of 2013 have other modes
    for them than it gives. 1.0.3's init script empties /var/cache/libvirt, and the daemon makes the
    folder in it once more. And it saves the UUIDs that it gives to filters in their files, for root
    alone; later specs call those %ghost as well.
    """
    if row.path == "/var/cache/libvirt/qemu":
        return not set(row.what) - set("M.")
    if row.path.startswith("/etc/libvirt/nwfilter/"):
        return not set(row.what) - set("SM5T.")
    return row.kind == "g" and row.path.startswith(("/var/run/libvirt", "/run/libvirt"))


def info(text: str) -> dict[str, str]:
    """Return the ``Key:   value`` lines of ``virsh net-info`` and ``virsh dominfo``."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def yum_knows(text: str) -> frozenset[str]:
    """Return the packages that ``yum -q list`` of yum 3 lists: names, and NEVRAs as we write them.

    A row is ``name.arch  [epoch:]version-release  repo``, broken behind the first or second column
    where that is wide.
    """
    found = set()
    rows = re.findall(r"(?m)^([^\s:]\S*)\.(\w+)\s+(?:(\d+):)?([^\s:]+)\s+\S+$", text)
    for name, arch, epoch, version in rows:
        shown = f"{epoch}:{version}" if epoch and epoch != "0" else version
        found |= {name, f"{name}-{shown}.{arch}"}
    return frozenset(found)


def states(text: str) -> dict[str, str]:
    """Return the second column of a table of virsh by the first: pools to states, say."""
    rows = [line.split() for line in text.splitlines()[2:]]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def compiled_in(text: str, section: str) -> tuple[str, ...]:
    """Return the words of one section (such as ``Storage``) of ``virsh -V``."""
    return tuple(info(text).get(section, "").split())


def cluster_status(text: str) -> str:
    """Return what the first line of ``dog cluster info`` says; "" where it says nothing."""
    return info(text).get("Cluster status", "")


def nodes(text: str) -> int:
    """Return how many nodes ``dog node info -r`` lists: lines that begin with a node's number."""
    return len(re.findall(r"(?m)^\s*\d+\s", text))


def vdis(text: str) -> dict[str, int]:
    """Return name to size of the VDIs that ``dog vdi list -r`` lists; no snapshots.

    The kind comes first: = is a VDI, c one that was cloned, s a snapshot. A name's spaces and
    backslashes have a backslash before them.
    """
    rows = re.findall(r"(?m)^[=c] ((?:\\.|[^\\\s])+) \d+ (\d+) ", text)
    return {re.sub(r"\\(.)", r"\1", name): int(size) for name, size in rows}


def amount(memory: ElementTree.Element) -> int:
    """Return the bytes that a ``<memory unit="...">`` element says."""
    return int((memory.text or "0").strip()) * UNITS[memory.get("unit", "KiB")]


def memory_kib(domain: ElementTree.Element) -> int:
    """Return a domain's memory in KiB, rounded up as libvirt does; -1 where there is none."""
    memory = domain.find("memory")
    if memory is None or not (memory.text or "").strip().isdigit():
        return -1
    return -(-amount(memory) // 1024)


def beats(console: str, line: str) -> list[Heartbeat]:
    """Return what a guest printed after ``line`` on its console, each time, in order."""
    found = re.findall(re.escape(line) + BEAT, console)
    return [
        Heartbeat(int(up), int(boot or 0), marker, trouble) for up, boot, marker, trouble in found
    ]


def boot_records(junit: str) -> dict[str, tuple[int, str]]:
    """Return what each guest's disk said in a pass of the verification: boots and marker, by guest.

    ``junit`` is the pass's report, whose property "boot record" is "GUEST BOOTS MARKER". Raises
    ElementTree.ParseError.
    """
    found = {}
    for entry in ElementTree.fromstring(junit).iter("property"):
        if entry.get("name") == BOOT_RECORD:
            guest, boots, marker = entry.get("value", "").rsplit(" ", 2)
            found[guest] = (int(boots), marker)
    return found


def edited(junit: str) -> list[str]:
    """Return what a pass of the verification tells of configuration that was edited, in order.

    One text a file: a line, and its diff below where it has one. Raises ElementTree.ParseError.
    """
    entries = ElementTree.fromstring(junit).iter("property")
    return [e.get("value", "") for e in entries if e.get("name") == EDITED]


def network_disks(domain: ElementTree.Element) -> list[tuple[str, str]]:
    """Return (protocol, name) of each disk of a domain that comes over a network."""
    sources = domain.findall("devices/disk[@type='network']/source")
    return [(s.get("protocol", ""), s.get("name", "")) for s in sources]


def opens_vdi(words: Sequence[str], vdi: str) -> bool:
    """Tell whether a QEMU command line opens ``vdi`` through QEMU's sheepdog driver.

    As libvirt >= 5 says it (-blockdev and JSON) or as older ones do (-drive file=sheepdog:...).
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
    """Return what is wrong with installed packages whose names are ours; empty: all are ours.

    Both map a name to (NEVRA, SHA1 of the header); a host may have more than one of a name.
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
