"""The files of an RPM's payload, in one pass: decompressed and taken apart as a stream.

The archive is cpio in its "newc" shape: a header of thirteen numbers in eight hex digits each, the
name, the content, both padded to four bytes. No length in it is trusted: content comes in pieces.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol


class Stream(Protocol):
    """What is read of a decompressor."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; b"" at the end."""


OPENERS: dict[str, Callable[[BinaryIO], Any]] = {
    "gzip": lambda handle: gzip.GzipFile(fileobj=handle),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "lzma": lzma.LZMAFile,
}
BROKEN = (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error)
MAGICS = {b"070701", b"070702"}
HEADER_BYTES, END = 110, "TRAILER!!!"
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


def members(path: Path, start: int, compressor: str) -> Iterator[tuple[str, Content]]:
    """Give name (absolute) and content of each file of the payload at byte ``start`` of ``path``.

    Raises one of BROKEN where the payload is broken, KeyError where nothing here reads its
    compressor.
    """
    opener = OPENERS[compressor]
    with path.open("rb") as handle:
        handle.seek(start)
        with opener(handle) as stream:
            while True:
                head = _exactly(stream, HEADER_BYTES)
                if head[:6] not in MAGICS:
                    raise ValueError(f"a file in its payload starts with {head[:6]!r}")
                size, name_bytes = int(head[54:62], 16), int(head[94:102], 16)
                if not 0 < name_bytes <= 1 << 16:
                    raise ValueError(f"a file name in its payload has {name_bytes} bytes")
                padded = name_bytes + -(HEADER_BYTES + name_bytes) % 4
                name = _exactly(stream, padded)[: name_bytes - 1].decode(errors="replace")
                if name == END:
                    return
                content = Content(stream, size)
                yield name.removeprefix("."), content
                while content.read():
                    pass
                _exactly(stream, -size % 4)


def _exactly(stream: Stream, count: int) -> bytes:
    data = stream.read(count)
    while len(data) < count:
        more = stream.read(count - len(data))
        if not more:
            raise ValueError("its payload ends too early")
        data += more
    return data
