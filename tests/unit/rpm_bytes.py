"""RPM files made byte by byte, for what no rpmbuild at hand makes."""

from __future__ import annotations

import base64
import gzip
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Tag to its value: text, texts, numbers (of 16, 32 or 64 bits) or bytes.
Value = str | bytes | Sequence[str] | tuple[str, Sequence[int]]
INT16, INT32, INT64 = "H", "I", "Q"
TYPES = {INT16: 3, INT32: 4, INT64: 5}
FOLDER, FILE, LINK = 0o040755, 0o100644, 0o120777


def header(tags: Mapping[int, Value]) -> bytes:
    """Return a header with these tags."""
    index, data = b"", b""
    for tag, value in sorted(tags.items()):
        if isinstance(value, str):
            kind, count, raw = 6, 1, value.encode() + b"\0"
        elif isinstance(value, bytes):
            kind, count, raw = 7, len(value), value
        elif isinstance(value, tuple):
            kind, count = TYPES[value[0]], len(value[1])
            raw = struct.pack(f"!{count}{value[0]}", *value[1])
            data += bytes(-len(data) % struct.calcsize(f"!{value[0]}"))
        else:
            kind, count, raw = 8, len(value), b"".join(v.encode() + b"\0" for v in value)
        index += struct.pack("!IIII", tag, kind, len(data), count)
        data += raw
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack("!II", len(tags), len(data)) + index + data


def newc(name: str, content: bytes) -> bytes:
    """Return a file of a cpio archive."""
    numbers = [0, FILE, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % n for n in numbers) + name.encode() + b"\0"
    return padded(head) + padded(content)


def stripped(place: int, content: bytes) -> bytes:
    """Return a file of an archive whose names and sizes are in the RPM's header."""
    return padded(b"07070X%08x" % place) + padded(content)


def padded(data: bytes, unit: int = 4) -> bytes:
    """Return data with zeros up to a whole number of units."""
    return data + bytes(-len(data) % unit)


END = newc("TRAILER!!!", b"")


def files(
    names: Sequence[str], sizes: Sequence[int], modes: Sequence[int], inodes: Sequence[int] = ()
) -> dict[int, Value]:
    """Return the tags of files in /a; their sizes are of 64 bits."""
    count = len(names)
    return {
        5008: (INT64, sizes),
        1030: (INT16, modes),
        1037: (INT32, [0] * count),
        1095: (INT32, [1] * count),
        1096: (INT32, inodes or range(1, count + 1)),
        1116: (INT32, [0] * count),
        1117: list(names),
        1118: ["/a/"],
    }


def rpm(
    payload: bytes = gzip.compress(END),
    tags: Mapping[int, Value] | None = None,
    signature: Mapping[int, Value] | None = None,
) -> bytes:
    """Return an RPM named a-1-1.el6.noarch with ``tags`` besides."""
    needed = {1000: "a", 1001: "1", 1002: "1.el6", 1022: "noarch", 1044: "a-1-1.el6.src.rpm"}
    signed = header(signature or {})
    lead = b"\xed\xab\xee\xdb\x03\x00".ljust(78, b"\0") + b"\x00\x05".ljust(18, b"\0")
    main = header({**needed, **(tags or {})})
    return lead + padded(signed, 8) + main + payload


def make(
    path: Path,
    payload: bytes = gzip.compress(END),
    tags: Mapping[int, Value] | None = None,
    signature: Mapping[int, Value] | None = None,
) -> Path:
    """Write such an RPM and return its path."""
    path.write_bytes(rpm(payload, tags, signature))
    return path


def base64_of(*packets: bytes) -> list[str]:
    """Return OpenPGP packets as rpm 6 writes them."""
    return [base64.b64encode(p).decode() for p in packets]
