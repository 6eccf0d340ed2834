"""Facts of sheepdog: its cluster, its VDIs, and the addresses on which its server listens.

Source of the format of /proc/net/tcp: proc(5). Addresses are words of 32 bits in the byte order of
the machine, which is little-endian on x86_64.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import virsh
from sheepvirt.bootstrap.facts.fact import Fact, Fragment

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.fact import Sections

ADDRESS, PORT = "127.0.0.1", 7000  # of the host's own node
# For grep on /proc/net/tcp and tcp6: sockets that listen on the port (0A is TCP_LISTEN).
LISTENING = f":{PORT:04X} [0-9A-F:]* 0A "
ROW = re.compile(
    rf"^\s*\d+: ([0-9A-F]{{8}}|[0-9A-F]{{32}}):{PORT:04X} [0-9A-F:]+ 0A .*? \d+ +\d+ (\d+) ", re.M
)
# The output of `_OWNERS` about a socket: its inode, and the process and program that have it.
OWNER = re.compile(r"^(\d+) (\d+) (.*)$", re.M)


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """A sheepdog cluster as ``dog`` reports it."""

    status: str  # from `dog cluster info`; "" if no server answers
    nodes: int  # number of nodes in `dog node info`, which libvirt's pool runs
    listed: bool  # its VDIs could be listed, so a VDI that is not listed does not exist
    free: int | None = None  # bytes in the stores of all nodes; None if unknown
    copies: float = 1.0  # bytes in the stores for each byte of a VDI, at most


def cluster_status(text: str) -> str:
    """Return the status in the first line of ``dog cluster info``, or ""."""
    return virsh.info(text).get("Cluster status", "")


def nodes(text: str) -> int:
    """Count the nodes in ``dog node info -r``: lines that begin with a node's number."""
    return len(re.findall(r"(?m)^\s*\d+\s", text))


def free(text: str) -> int | None:
    """Return the free bytes in the line "Total SIZE USED ..." of ``dog node info -r``."""
    found = re.search(r"(?m)^Total (\d+) (\d+)\b", text)
    return int(found[1]) - int(found[2]) if found else None


def copies(text: str) -> float:
    """Return how many bytes in the stores a VDI's byte needs, from ``dog vdi list -r``.

    It is the most that any VDI has: each has its own number of copies, or "DATA:PARITY" strips.
    """
    words = re.findall(r"(?m)^[=cs] (?:\\.|[^\\\s])+ \d+ \d+ \d+ \d+ \d+ [0-9a-f]+ ([\d:]+) ", text)
    found = [1.0]
    for word in words:
        data, _, parity = word.partition(":")
        found.append((int(data) + int(parity)) / int(data) if parity else float(data))
    return max(found)


def used(text: str) -> dict[str, int]:
    """Parse ``dog vdi list -r``: return name to the bytes in each VDI's objects, shared or own."""
    rows = re.findall(r"(?m)^[=c] ((?:\\.|[^\\\s])+) \d+ \d+ (\d+) (\d+) ", text)
    return {re.sub(r"\\(.)", r"\1", name): int(own) + int(shared) for name, own, shared in rows}


def vdis(text: str) -> dict[str, int]:
    """Parse ``dog vdi list -r``: return name to size of each VDI, without snapshots.

    The first column is the kind: = is a VDI, c a clone, s a snapshot. Spaces and backslashes in a
    name are escaped with a backslash.
    """
    rows = re.findall(r"(?m)^[=c] ((?:\\.|[^\\\s])+) \d+ (\d+) ", text)
    return {re.sub(r"\\(.)", r"\1", name): int(size) for name, size in rows}


_CLUSTER = Fragment(
    name="cluster",
    shell=r"""
has dog || exit
printf 'dog\n'
timeout 5 dog cluster info 2>/dev/null | grep -m 1 '^Cluster status'
""",
    beside=True,
)
_NODES = Fragment(
    name="nodes", shell="has dog && timeout 5 dog node info -r 2>/dev/null\n", beside=True
)
_VDIS = Fragment(
    name="vdis",
    shell="has dog && timeout 20 dog vdi list -r 2>/dev/null && printf 'listed\\n'\n",
    beside=True,
)


def _cluster(sections: Sections) -> ClusterState | None:
    """Return the cluster's state; None if dog is not installed."""
    there, _, line = sections.get(_CLUSTER.name, "").strip().partition("\n")
    if there != "dog":
        return None
    return ClusterState(
        status=cluster_status(line),
        nodes=nodes(sections.get(_NODES.name, "")),
        listed=sections.get(_VDIS.name, "").splitlines()[-1:] == ["listed"],
        free=free(sections.get(_NODES.name, "")),
        copies=copies(sections.get(_VDIS.name, "")),
    )


CLUSTER = Fact((_CLUSTER, _NODES, _VDIS), _cluster)
VDIS = Fact((_VDIS,), lambda sections: vdis(sections.get(_VDIS.name, "")))
VDIS_USED = Fact((_VDIS,), lambda sections: used(sections.get(_VDIS.name, "")))


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A listening TCP socket, and the process that has it open."""

    address: str
    pid: int = 0  # 0 if unknown
    program: str = ""

    @property
    def title(self) -> str:
        """Program, pid and address, as text."""
        who = f"{self.program or 'a process'} (pid {self.pid})" if self.pid else "some process"
        return f"{who} on {self.address}"


def listeners(table: str, owners: str = "") -> tuple[Listener, ...]:
    """Return the listeners on sheepdog's port, by address; ``table`` is /proc/net/tcp and tcp6.

    ``owners`` has a line "INODE PID PROGRAM" for each socket whose process is known.
    """
    known = {inode: (int(pid), program) for inode, pid, program in OWNER.findall(owners)}
    found = set()
    for word, inode in ROW.findall(table):
        pid, program = known.get(inode, (0, ""))
        found.add(Listener(address=_address(word), pid=pid, program=program))
    return tuple(sorted(found, key=lambda one: one.address))


def _address(word: str) -> str:
    data = b"".join(bytes.fromhex(word[i : i + 8])[::-1] for i in range(0, len(word), 8))
    address = ipaddress.ip_address(data)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


_LISTENERS = Fragment(
    name="listeners", shell=f"grep -h '{LISTENING}' /proc/net/tcp /proc/net/tcp6 2>/dev/null\n"
)
_OWNERS = Fragment(
    name="owners",
    shell=r"""
inodes=$(grep -h 'LISTENING' /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '{ print $10 }')
if [ -n "$inodes" ]; then
  ls -l /proc/[0-9]*/fd 2>/dev/null | awk -v wanted="$inodes" '
    BEGIN { split(wanted, list); for (i in list) open["socket:[" list[i] "]"] = list[i] }
    /^\/proc\// { split($0, part, "/"); pid = part[3] }
    $NF in open { print open[$NF], pid }' | sort -u |
    while read -r inode pid; do printf '%s %s %s\n' "$inode" "$pid" "$(cat "/proc/$pid/comm")"; done
fi
""".replace("LISTENING", LISTENING),
)
LISTENERS = Fact(
    (_LISTENERS, _OWNERS),
    lambda found: listeners(found.get(_LISTENERS.name, ""), found.get(_OWNERS.name, "")),
)


def unwanted(found: tuple[Listener, ...], wanted: tuple[str, ...]) -> tuple[Listener, ...]:
    """Return those of ``found`` whose address is not in ``wanted``.

    0.0.0.0 or :: in ``wanted`` stands for every address of its family.
    """
    allowed = {ipaddress.ip_address(address) for address in wanted}
    families = {address.version for address in allowed if address.is_unspecified}
    return tuple(
        one
        for one in found
        if (address := ipaddress.ip_address(one.address)) not in allowed
        and address.version not in families
    )
