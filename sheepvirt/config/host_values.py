"""How the values of the inventory are written, checked where they are read.

A name or a word is safe in a path, an option and an argument.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, TypeVar

from sheepvirt.config.keys import Kind
from sheepvirt.core import sizes

if TYPE_CHECKING:
    from enum import StrEnum

    from sheepvirt.core.tables import Table

    E = TypeVar("E", bound=StrEnum)

NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}"
NAME_ALLOWED = "1 to 63 of A-Z a-z 0-9 . _ - (not . or - first)"
# 15 is the kernel's IFNAMSIZ without its final NUL.
INTERFACE_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,14}"
INTERFACE_ALLOWED = "1 to 15 of A-Z a-z 0-9 . _ - (not . or - first)"


def word(table: Table, key: str, value: str, pattern: str, allowed: str) -> str:
    """Return ``value`` if it is safe in a path, an option and an argument. Raises ConfigError."""
    if not re.fullmatch(pattern, value):
        table.refuse(key, f"is {value!r}", hint=f"allowed: {allowed}")
    return value


def name(table: Table, key: str, value: str) -> str:
    """Return the name of a host, guest, network or user. Raises ConfigError."""
    return word(table, key, value, NAME_PATTERN, NAME_ALLOWED)


def matching(title: str, pattern: str, allowed: str) -> Kind[str]:
    """Return the kind of text that matches a pattern as a whole."""

    def read(table: Table, key: str) -> str:
        return word(table, key, table.get(key, str), pattern, allowed)

    return Kind(title=title, schema={"type": "string", "pattern": f"^({pattern})$"}, read=read)


NAME = matching("name", NAME_PATTERN, NAME_ALLOWED)
INTERFACE = matching("network interface", INTERFACE_PATTERN, INTERFACE_ALLOWED)
OPTIONAL_INTERFACE = matching(
    'network interface, or ""', f"|{INTERFACE_PATTERN}", INTERFACE_ALLOWED
)


def _text(table: Table, key: str) -> str:
    return table.get(key, str)


TEXT = Kind(title="text", schema={"type": "string"}, read=_text)


def _visible(table: Table, key: str) -> str:
    """Return one line of free text. XML allows no control characters, a title no second line."""
    value = table.get(key, str)
    if not value.isprintable():
        table.refuse(key, f"is {value!r}: it has a control character", hint="use one line of text")
    return value


LINE = Kind(title="one line of text", schema={"type": "string"}, read=_visible)


def shows_on_console(marker: str) -> bool:
    """Tell whether a serial console can show the text as one line."""
    return bool(marker.strip()) and marker.isprintable() and marker == marker.rstrip()


def _console_line(table: Table, key: str) -> str:
    value = _visible(table, key)
    if not shows_on_console(value):
        what = f"is {value!r}: it is empty or ends in a space"
        table.refuse(key, what, hint="use one line of visible text")
    return value


CONSOLE_LINE = Kind(
    title="one line of text", schema={"type": "string", "minLength": 1}, read=_console_line
)


def _address(table: Table, key: str) -> str:
    """Return the host's address in ssh's spelling, which its known_hosts files use."""
    value = table.get(key, str)
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
        table.refuse(key, f"is {value!r}: it has a user", hint=f"write user = {user!r}")
    if port.isdigit() and (before.startswith("[") or ":" not in before):
        bare = before.strip("[]")
        table.refuse(
            key,
            f"is {value!r}: it has a port",
            hint=f'write address = "{bare}" and port = {port}',
        )
    return word(table, key, value, r"[A-Za-z0-9_][A-Za-z0-9._-]*", "a host name or an IP address")


ADDRESS = Kind(
    title="host name or IP address", schema={"type": "string", "minLength": 1}, read=_address
)


def _flag(table: Table, key: str) -> bool:
    return table.get(key, bool)


FLAG = Kind(title="true or false", schema={"type": "boolean"}, read=_flag)


def _strings(table: Table, key: str) -> tuple[str, ...]:
    return table.strings(key)


STRINGS = Kind(
    title="list of strings",
    schema={"type": "array", "items": {"type": "string"}},
    read=_strings,
)


def whole(least: int, most: int | None = None, hint: str = "") -> Kind[int]:
    """Return the kind of whole numbers from ``least`` to ``most``."""

    def read(table: Table, key: str) -> int:
        value = table.get(key, int)
        if value < least or (most is not None and value > most):
            limit = "" if most is None else f" and at most {most}"
            table.refuse(key, f"is {value}", hint=hint or f"give at least {least}{limit}")
        return value

    schema: dict[str, object] = {"type": "integer", "minimum": least}
    if most is not None:
        schema["maximum"] = most
    return Kind(title="whole number", schema=schema, read=read)


def size(least: int, most: int, *, multiple: int = 1) -> Kind[int]:
    """Return the kind of amounts of bytes: a number with a unit."""

    def read(table: Table, key: str) -> int:
        value = table.plain(key)
        if isinstance(value, int) and not isinstance(value, bool):
            table.refuse(key, f"is {value}, without a unit", hint=f'write it as "{value} MB"')
        written = table.get(key, str)
        try:
            amount = sizes.parse(written)
        except sizes.NotASizeError as error:
            table.refuse(key, f"is {written!r}: {error}", hint=error.hint)
        for wrong, limit in ((amount < least, least), (amount > most, most)):
            if wrong:
                side = "least" if limit == least else "most"
                table.refuse(key, f"is {written!r}", hint=f"give at {side} {sizes.text(limit)}")
        if amount % multiple:
            up = sizes.text(-(-amount // multiple) * multiple)
            table.refuse(
                key, f"is {written!r}, no multiple of {multiple} bytes", hint=f'write "{up}"'
            )
        return amount

    schema = {"type": "string", "pattern": f"^{sizes.PATTERN}$"}
    return Kind(title="size", schema=schema, read=read)


def choice(kind: type[E], hint: str, *, without: tuple[E, ...] = ()) -> Kind[E]:
    """Return the kind of one of several words."""
    words = [str(word) for word in kind if word not in without]

    def read(table: Table, key: str) -> E:
        value = table.one_of(key, kind, hint=hint)
        if value in without:
            table.refuse(key, f"is {value.value!r}", hint=hint)
        return value

    title = " or ".join(f'`"{word}"`' for word in words)
    return Kind(title=title, schema={"enum": words}, read=read)


def optional_choice(kind: type[E], hint: str, *, without: tuple[E, ...] = ()) -> Kind[E | None]:
    """Return the kind of one of several words; an empty one is None."""
    given = choice(kind, hint, without=without)

    def read(table: Table, key: str) -> E | None:
        return given.read(table, key) if table.get(key, str) else None

    words = [str(word) for word in kind if word not in without]
    return Kind(title=given.title, schema={"enum": [*words, ""]}, read=read)
