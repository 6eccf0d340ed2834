"""The files of an RPM's payload, in one pass: decompressed and taken apart as a stream.

The archive is cpio in its "newc" shape: a header of thirteen numbers in eight hex digits each, the
name, the content, both padded to four bytes. Where a file is larger than 4 GiB rpm strips it: what
is left of that header is the file's place in the RPM's own. No length in it is trusted: content
comes in pieces.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class Stream(Protocol):
    """What is read of a decompressor."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; b"" at the end."""


OPENERS: dict[str, Callable[[BinaryIO], Any]] = {
    "gzip": lambda handle: gzip.GzipFile(fileobj=handle),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "lzma": lzma.LZMAFile,
    "none": lambda handle: handle,
}
BROKEN = (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error)
MAGICS = {b"070701", b"070702"}
HEADER_BYTES, END = 110, "TRAILER!!!"
STRIPPED, STRIPPED_BYTES = b"07070X", 16  # its eight digits, and padding
GZIP = b"\x1f\x8b"
PLAIN = {"none", "ufdio"}  # how rpm's own names say that nothing compressed it
PIECE = 1 << 20


class Content:
    """The content of one file: read it in pieces; what is left unread is skipped."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, most: int = PIECE) -> bytes:
        """Return up to ``most`` bytes, b"" at its end. Raises ValueError: the payload ended."""
        wanted = min(most, self._left)
        data = _exactly(self._stream, wanted) if wanted else b""
        self._left -= len(data)
        return data


def compressor(path: Path, start: int, told: str) -> str:
    """Return what compressed the payload at byte ``start``; ``told`` is the header's word for it.

    rpm writes none for a payload that is not compressed (w.ufdio); zlib reads that as it is.
    """
    if told in {"", "gzip"}:
        with path.open("rb") as handle:
            handle.seek(start)
            return "gzip" if handle.read(len(GZIP)) == GZIP else "none"
    return "none" if told in PLAIN else told


def is_stripped(path: Path, start: int, compressor: str) -> bool:
    """Return whether the archive is stripped; as ``members`` reads it, and with its errors."""
    with path.open("rb") as handle:
        handle.seek(start)
        with OPENERS[compressor](handle) as stream:
            return _exactly(stream, len(STRIPPED)) == STRIPPED


def members(
    path: Path, start: int, compressor: str, files: Sequence[tuple[str, int]] = ()
) -> Iterator[tuple[str, Content]]:
    """Give name (absolute) and content of each file of the payload at byte ``start`` of ``path``.

    ``files`` are ``rpms.in_payload``, for a stripped archive. Raises one of BROKEN where the
    payload is broken, KeyError where nothing here reads its compressor.
    """
    opener = OPENERS[compressor]
    with path.open("rb") as handle:
        handle.seek(start)
        with opener(handle) as stream:
            while found := _next(stream, files):
                name, size = found
                content = Content(stream, size)
                yield name, content
                while content.read():
                    pass
                _exactly(stream, -size % 4)


def _next(stream: Stream, files: Sequence[tuple[str, int]]) -> tuple[str, int] | None:
    """Return name and size of the next file, None at the archive's end. Raises ValueError."""
    head = _exactly(stream, STRIPPED_BYTES)
    if head[:6] == STRIPPED:
        index = int(head[6:14], 16)
        if not 0 <= index < len(files):
            raise ValueError(f"its payload names file {index} of {len(files)}")
        return files[index]
    if head[:6] not in MAGICS:
        raise ValueError(f"a file in its payload starts with {head[:6]!r}")
    head += _exactly(stream, HEADER_BYTES - STRIPPED_BYTES)
    size, name_bytes = int(head[54:62], 16), int(head[94:102], 16)
    if size < 0:
        raise ValueError(f"a file in its payload has {size} bytes")
    if not 0 < name_bytes <= 1 << 16:
        raise ValueError(f"a file name in its payload has {name_bytes} bytes")
    padded = name_bytes + -(HEADER_BYTES + name_bytes) % 4
    name = _exactly(stream, padded)[: name_bytes - 1].decode(errors="replace")
    return None if name == END else (name.removeprefix("."), size)


def _exactly(stream: Stream, count: int) -> bytes:
    data = stream.read(count)
    while len(data) < count:
        more = stream.read(count - len(data))
        if not more:
            raise ValueError("its payload ends too early")
        data += more
    return data
