"""Find the addresses on which sheepdog's server listens, from the host's /proc/net/tcp. Pure.

Source of the format: proc(5), /proc/net/tcp. Addresses are words of 32 bits in the byte order of
the machine, which is little-endian on x86_64.
"""

from __future__ import annotations

import ipaddress
import re

from sheepvirt.model.hosts import Listener

ADDRESS, PORT = "127.0.0.1", 7000  # of the host's own node
# For grep on /proc/net/tcp and tcp6: sockets that listen on the port (0A is TCP_LISTEN).
LISTENING = f":{PORT:04X} [0-9A-F:]* 0A "
ROW = re.compile(
    rf"^\s*\d+: ([0-9A-F]{{8}}|[0-9A-F]{{32}}):{PORT:04X} [0-9A-F:]+ 0A .*? \d+ +\d+ (\d+) ", re.M
)
# The output of facts.SCRIPT about a socket: its inode, and the process and program that have it.
OWNER = re.compile(r"^(\d+) (\d+) (.*)$", re.M)


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


def _address(word: str) -> str:
    data = b"".join(bytes.fromhex(word[i : i + 8])[::-1] for i in range(0, len(word), 8))
    address = ipaddress.ip_address(data)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
