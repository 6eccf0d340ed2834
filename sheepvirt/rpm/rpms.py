"""Read the headers of RPM files. Nothing else uses rpmfile.

Tag names: https://rpm-software-management.github.io/rpm/manual/tags.html; rpmfile calls
RPMTAG_SHA1HEADER (269) ``md5`` and returns strings as bytes. It trusts the lengths that it reads,
so they are compared with the file's size first.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import rpmfile
from rpmfile.errors import RPMError

from sheepvirt.core.errors import BuildError
from sheepvirt.core.files import sha256
from sheepvirt.model.builds import Rpm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Errors that rpmfile raises on broken input: it trusts the lengths and offsets that it reads.
TRUSTING = (
    AssertionError, EOFError, IndexError, KeyError, OverflowError, struct.error, TypeError,
    ValueError,
)  # fmt: skip  # a table
LEAD_MAGIC, LEAD_BYTES = b"\xed\xab\xee\xdb", 96
INTRO = struct.Struct("!4s4xII")  # of a header: magic and version, tags, bytes of data
INTRO_MAGIC = b"\x8e\xad\xe8\x01"
ENTRY = struct.Struct("!IIII")  # of a header's index: tag, type, offset of its data, count
LONGFILESIZES, INT64 = 5008, 5  # rpmfile cannot read numbers of 64 bits
GHOST = 1 << 6  # a file's flag: it is not in the payload


@dataclass(frozen=True, kw_only=True)
class Header:
    """All tags of an RPM file's two headers, by rpmfile's names, or by number without a name."""

    tags: Mapping[str | int, Any]
    stores: tuple[int, int]  # bytes of data in the signature header and in the header
    payload: int  # the offset of the payload

    def text(self, name: str) -> str:
        """Return a string tag, or ""."""
        return _text(self.tags.get(name, b""))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a string array tag, or ()."""
        return _texts(self.tags.get(name))

    @property
    def source(self) -> bool:
        """Whether this is a source RPM: only those name no source RPM."""
        return "sourcerpm" not in self.tags


def header(path: Path) -> Header:
    """Read both headers of the RPM file ``path``. Raises BuildError: it is not an RPM."""
    try:
        with path.open("rb") as handle:
            stores, start, payload = _measure(handle)
            handle.seek(0)
            tags = dict(rpmfile.open(fileobj=handle).headers)
            if "longfilesizes" in tags:
                tags["longfilesizes"] = _longs(handle, start, LONGFILESIZES)
        found = Header(tags=tags, stores=stores, payload=payload)
        for name in ("name", "version", "release", "arch"):
            if not found.text(name):
                raise ValueError(f"its header has no {name}")
        return found
    except (OSError, RPMError, *TRUSTING) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BuildError(
            f"{path.name} is not a readable RPM: {why}", hint="build the package again"
        ) from error


def _measure(handle: BinaryIO) -> tuple[tuple[int, int], int, int]:
    """Return the sizes of both headers' data, and the offsets of the second and the payload.

    Raises ValueError.
    """
    size = os.fstat(handle.fileno()).st_size
    if handle.read(4) != LEAD_MAGIC:
        raise ValueError("its start is not that of an RPM")
    signature, end = _store(handle, LEAD_BYTES, size)
    start = end + -end % 8
    main, payload = _store(handle, start, size)
    return (signature, main), start, payload


def _store(handle: BinaryIO, start: int, size: int) -> tuple[int, int]:
    handle.seek(start)
    magic, tags, store = INTRO.unpack(handle.read(INTRO.size))
    end = start + INTRO.size + tags * ENTRY.size + store
    if magic != INTRO_MAGIC or end > size:
        raise ValueError(f"broken header at byte {start}")
    return store, end


def _longs(handle: BinaryIO, start: int, wanted: int) -> tuple[int, ...]:
    """Return the numbers of a 64-bit tag in the header at ``start``. Raises ValueError."""
    handle.seek(start)
    _, tags, store = INTRO.unpack(handle.read(INTRO.size))
    entries = ENTRY.iter_unpack(handle.read(tags * ENTRY.size))
    data = handle.read(store)
    for tag, kind, at, count in entries:
        if (tag, kind) == (wanted, INT64):
            if at + 8 * count > store:
                raise ValueError(f"tag {wanted} of its header is beyond its data")
            return struct.unpack_from(f"!{count}Q", data, at)
    raise ValueError(f"tag {wanted} of its header has no numbers")


def in_payload(header: Header) -> tuple[tuple[str, int], ...]:
    """Return each file's name and its size in the payload, in the header's order.

    Of hard links, only the last one has content; folders, devices and %ghost have none. Raises
    ValueError: the header contradicts itself.
    """
    names = _files(header.tags)
    sizes, modes, flags, inodes, devices = (
        _ints(header.tags.get(tag))
        for tag in ("filesizes", "filemodes", "fileflags", "fileinodes", "filedevices")
    )
    sizes = sizes or _ints(header.tags.get("longfilesizes"))
    rows = list(zip(names, sizes, modes, flags, inodes, devices, strict=True))
    last = {row[4:]: n for n, row in enumerate(rows) if _has_content(row[2], row[3])}
    return tuple(
        (name, size if last.get((inode, device)) == n or stat.S_ISLNK(mode) else 0)
        for n, (name, size, mode, _, inode, device) in enumerate(rows)
    )


def modes(header: Header) -> dict[str, int]:
    """Return each file's st_mode by its name. Raises ValueError: the header contradicts itself."""
    numbers = (mode & 0xFFFF for mode in _ints(header.tags.get("filemodes")))
    return dict(zip(_files(header.tags), numbers, strict=True))


def _has_content(mode: int, flags: int) -> bool:
    return stat.S_ISREG(mode) and not flags & GHOST


def read(path: Path) -> Rpm:
    """Read the header of the RPM file ``path``. Raises BuildError: it is not an RPM."""
    found = header(path)
    try:
        return Rpm(
            name=found.text("name"),
            epoch=int(found.tags.get("serial", 0)),
            version=found.text("version"),
            release=found.text("release"),
            arch="src" if found.source else found.text("arch"),
            path=path,
            sha256=sha256(path),
            header_sha1=found.text("md5"),
            summary=found.text("summary"),
            files=_files(found.tags),
            provides=found.texts("provides"),
            requires=found.texts("requirename"),
        )
    except TRUSTING as error:
        raise BuildError(
            f"{path.name} is not a readable RPM: {error}", hint="build the package again"
        ) from error


def read_member(path: Path, member: str) -> bytes:
    """Return the content of file ``member`` (absolute path) in the RPM ``path``."""
    with rpmfile.open(str(path)) as archive:
        return bytes(archive.extractfile("." + member).read())


def read_folder(path: Path, folder: str) -> dict[str, bytes]:
    """Read the files in ``folder`` (absolute, ends in /) of the RPM ``path``: name to content.

    Raises BuildError: it is not an RPM.
    """
    start = f".{folder}"
    try:
        with rpmfile.open(str(path)) as archive:
            members = [m for m in archive.getmembers() if m.name.startswith(start)]
            return {
                m.name.removeprefix(start): bytes(archive.extractfile(m).read())
                for m in members
                if "/" not in m.name.removeprefix(start) and m.name != start
            }
    except (OSError, RPMError, *TRUSTING) as error:
        raise BuildError(
            f"{path.name} is not a readable RPM: {error}", hint="build the package again"
        ) from error


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(_text(v) for v in value) if isinstance(value, (list, tuple)) else (_text(value),)


def _ints(value: Any) -> tuple[int, ...]:
    """Return the numbers of a tag; rpmfile returns a single number without a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(int(v) for v in value)


def _files(headers: Mapping[str | int, Any]) -> tuple[str, ...]:
    """Join RPMTAG_BASENAMES with RPMTAG_DIRNAMES; the index of a single file is a plain number.

    Raises ValueError: the header contradicts itself.
    """
    names, folders = _texts(headers.get("basenames")), _texts(headers.get("dirnames"))
    indexes = _ints(headers.get("dirindexes"))
    if not all(0 <= i < len(folders) for i in indexes):
        raise ValueError("its header names a folder that it does not have")
    return tuple(folders[i] + n for n, i in zip(names, indexes, strict=True))
