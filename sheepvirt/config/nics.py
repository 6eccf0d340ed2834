"""Network interfaces of guests in the inventory: ``nics = [{…}]`` of a guest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sheepvirt.config import host_values
from sheepvirt.config.keys import Key, Kind, Section
from sheepvirt.model.guests import Nic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sheepvirt.config.keys import Problems
    from sheepvirt.core.errors import ConfigError
    from sheepvirt.core.tables import Table

MAC_PATTERN = "[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"
GROUP_BIT = 1  # of the first byte: the address is one of a group of machines


def _mac(table: Table, key: str) -> str:
    value = table.get(key, str).lower()
    if not re.fullmatch(MAC_PATTERN, value):
        table.refuse(key, f"is {value!r}", hint="write six bytes: 52:54:00:12:34:56")
    if int(value[:2], 16) & GROUP_BIT or value == "00:00:00:00:00:00":
        table.refuse(
            key,
            f"is {value!r}, which is no address of one machine",
            hint="start it with 52:54:00, as libvirt does",
        )
    return value


NETWORK: Key[str | None] = Key(
    name="network",
    kind=host_values.NAME,
    default=None,
    otherwise="the host's network",
    meaning="network of libvirt that it is on",
)
VLAN: Key[int | None] = Key(
    name="vlan",
    kind=host_values.whole(1, 4094, "give a tag from 1 to 4094, or remove it: untagged"),
    default=None,
    otherwise="none: untagged",
    meaning="VLAN tag that the bridge gives its frames; the guest sees none",
)
MAC: Key[str] = Key(
    name="mac",
    kind=Kind(
        title="MAC address",
        schema={"type": "string", "pattern": f"^{MAC_PATTERN}$"},
        read=_mac,
    ),
    default="",
    otherwise="libvirt chooses one, and it stays",
    meaning="its hardware address",
)
SECTION = Section(
    path="nics",
    meaning="a network interface of a guest",
    keys=(NETWORK, VLAN, MAC),
)


def read(table: Table, problems: Problems, usual: str) -> tuple[Nic, ...]:
    """Return what ``nics`` of a guest says; nothing where it is not there."""
    rows: list[Table] = []
    with problems.collecting():
        rows = table.array("nics")
        if "nics" in table.names() and not rows:
            table.refuse("nics", "is empty", hint="remove it: then there is one on the network")
    read = [SECTION.read(row, problems) for row in rows]
    return tuple(Nic(network=v[NETWORK] or usual, vlan=v[VLAN] or 0, mac=v[MAC]) for v in read if v)


def twice(tables: Mapping[str, Table]) -> Iterator[ConfigError]:
    """Yield each MAC that two interfaces of all hosts (``tables``) have. Pure."""
    known: dict[str, Table] = {}
    for host in tables.values():
        for _, guest in host.tables("guests"):
            for here in guest.array("nics"):
                mac = here.plain("mac")
                there = known.setdefault(mac.lower(), here) if isinstance(mac, str) else here
                if there is not here:
                    what = f"is {mac!r}, and so is that of {there.path}"
                    hint = "give one of them another, or remove it: libvirt chooses one then"
                    yield here.error("mac", what, hint=hint)
