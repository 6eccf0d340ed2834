"""Values of the inventory, checked where they are read.

A name or a word is safe in a path, an option and an argument.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sheepvirt.core.tables import Table


def word(table: Table, key: str, value: str, pattern: str, allowed: str) -> str:
    """Return ``value`` if it is safe in a path, an option and an argument. Raises ConfigError."""
    if not re.fullmatch(pattern, value):
        table.refuse(key, f"is {value!r}", hint=f"allowed: {allowed}")
    return value


def name(table: Table, key: str, value: str) -> str:
    """Return the name of a host, guest, network or user. Raises ConfigError."""
    return word(
        table,
        key,
        value,
        r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}",
        "1 to 63 of A-Z a-z 0-9 . _ - (not . or - first)",
    )


def bridge(table: Table, key: str, value: str) -> str:
    """Return the name of a network interface. Raises ConfigError."""
    # 15 is the kernel's IFNAMSIZ without its final NUL.
    return word(
        table,
        key,
        value,
        r"[A-Za-z0-9_][A-Za-z0-9._-]{0,14}",
        "1 to 15 of A-Z a-z 0-9 . _ - (not . or - first)",
    )


def address(table: Table) -> str:
    """Return the host's address in ssh's spelling, which its known_hosts files use."""
    value = table.get("address", str, "127.0.0.1")
    number, sign, zone = value.partition("%")
    try:
        known = str(ipaddress.ip_address(number))
    except ValueError:
        known = ""
    # Only an IPv6 address may have a zone.
    zoned = ":" in known and re.fullmatch(r"[A-Za-z0-9._-]+", zone)
    if known and (not sign or zoned):
        return f"{known}{sign}{zone}"
    before, _, port = value.rpartition(":")
    user, at, _ = value.rpartition("@")
    if at:
        table.refuse("address", f"is {value!r}: it has a user", hint=f"write user = {user!r}")
    if port.isdigit() and (before.startswith("[") or ":" not in before):
        bare = before.strip("[]")
        table.refuse(
            "address",
            f"is {value!r}: it has a port",
            hint=f'write address = "{bare}" and port = {port}',
        )
    return word(
        table, "address", value, r"[A-Za-z0-9_][A-Za-z0-9._-]*", "a host name or an IP address"
    )


def interface(table: Table, key: str, default: str) -> str:
    """Return the name of a network interface that may be left out. Raises ConfigError."""
    value = table.get(key, str, default)
    return bridge(table, key, value) if value else ""


def visible(table: Table, key: str, value: str) -> str:
    """Return one line of free text. XML allows no control characters, a title no second line."""
    if not value.isprintable():
        table.refuse(key, f"is {value!r}: it has a control character", hint="use one line of text")
    return value
