"""Facts of the kernel's IPv4 routes.

Source of the format of /proc/net/route: proc(5). Addresses are words in the byte order of the
machine, which is little-endian on x86_64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network

from sheepvirt.bootstrap.facts.fact import fixed_fact

ROW = re.compile(r"(?m)^(\S+)\s+([0-9A-F]{8})\s(?:\S+\s+){5}([0-9A-F]{8})\s")


@dataclass(frozen=True, kw_only=True)
class Route:
    """A route, by the interface that it leads to."""

    interface: str
    network: IPv4Network


def routes(text: str) -> tuple[Route, ...]:
    """Parse /proc/net/route, without default routes."""
    found = (
        Route(interface=name, network=IPv4Network((_number(address), _prefix(_number(mask)))))
        for name, address, mask in ROW.findall(text)
    )
    return tuple(route for route in found if route.network.prefixlen)


def _number(word: str) -> int:
    return int.from_bytes(bytes.fromhex(word), "little")


def _prefix(mask: int) -> int:
    return mask.bit_count()


ROUTES = fixed_fact("routes", "cat /proc/net/route 2>/dev/null\n", routes)
