"""Read the files of an RPM's payload in one pass, as a stream.

The archive is cpio in the "newc" format: a header of thirteen numbers with eight hex digits each,
the name, the content, both padded to four bytes. If a file is larger than 4 GiB, rpm strips the
archive: instead of that header it has the file's index in the RPM's header. No length in it is
trusted: content is read in pieces.
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
    """The interface of a decompressor."""

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
STRIPPED, STRIPPED_BYTES = b"07070X", 16  # with eight digits and padding
GZIP = b"\x1f\x8b"
PLAIN = {"none", "ufdio"}  # rpm's names for an uncompressed payload
PIECE = 1 << 20


class Content:
    """The content of one file, read in pieces; an unread rest is skipped."""

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
    """Return the compressor of the payload at byte ``start``; ``told`` is from the header.

    For an uncompressed payload (w.ufdio) rpm writes no compressor; zlib reads it unchanged.
    """
    if told in {"", "gzip"}:
        with path.open("rb") as handle:
            handle.seek(start)
            return "gzip" if handle.read(len(GZIP)) == GZIP else "none"
    return "none" if told in PLAIN else told


def is_stripped(path: Path, start: int, compressor: str) -> bool:
    """Tell whether the archive is stripped. Raises as ``members``."""
    with path.open("rb") as handle:
        handle.seek(start)
        with OPENERS[compressor](handle) as stream:
            return _exactly(stream, len(STRIPPED)) == STRIPPED


def members(
    path: Path, start: int, compressor: str, files: Sequence[tuple[str, int]] = ()
) -> Iterator[tuple[str, Content]]:
    """Yield name (absolute) and content of each file in the payload at byte ``start`` of ``path``.

    ``files`` are ``rpms.in_payload``, for a stripped archive. Raises one of BROKEN (a broken
    payload), KeyError (an unknown compressor).
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
