"""The file of a bundle: a tar archive whose every byte follows from its lock.

    bundle.json, bundle.json.sha256, the members in the lock's order, two empty blocks

It is plain ustar with fixed fields, so ``tar -tf`` and ``tar -xf`` read it. This module does not
parse tar: the lock has each member's name and size, and its header must match them exactly. So the
archive cannot choose where its content is written, and it has nothing that the lock does not name.
It is not compressed as a whole: sources are already compressed, and images are one by one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from sheepvirt.bundle import lockfile
from sheepvirt.bundle.lockfile import NAME, Lock, Member
from sheepvirt.core.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BLOCK = 512
END = bytes(2 * BLOCK)
SEAL = f"{NAME}.sha256"
SEAL_BYTES = 64 + 2 + len(NAME) + 1  # the format of sha256sum
LOCK_BYTES = 64 << 20  # far more than a lock needs
PIECE = 1 << 20
AGAIN = "copy it again from where it was made, and compare sha256sum's output on both sides"


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A verified bundle: its lock, and the offset of each member's content."""

    path: Path
    lock: Lock
    lock_sha256: str
    starts: dict[str, int]
    size: int

    def content(self, name: str) -> Iterator[bytes]:
        """Yield the content of member ``name`` in pieces."""
        size = next(member.size for member in self.lock.members if member.name == name)
        with self.path.open("rb") as handle:
            handle.seek(self.starts[name])
            yield from _pieces(handle, size)


def write(path: Path, lock: Lock, files: Sequence[Path]) -> str:
    """Write a bundle, atomically; ``files`` are the contents of the lock's members, in order.

    Returns the sha256 of its lock. Raises BundleError: a file does not match the lock (it changed
    meanwhile), or the bundle cannot be written.
    """
    text = lockfile.dump(lock)
    seal = hashlib.sha256(text).hexdigest()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as out:
            for name, data in ((NAME, text), (SEAL, f"{seal}  {NAME}\n".encode())):
                out.write(header(name, len(data)) + data + bytes(-len(data) % BLOCK))
            for member, file in zip(lock.members, files, strict=True):
                _write_member(out, member, file)
            out.write(END)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="check that the disk is not full or read-only; a former bundle is unchanged",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return seal


def _write_member(out: BinaryIO, member: Member, file: Path) -> None:
    out.write(header(member.name, member.size))
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        for piece in _pieces(handle, member.size):
            digest.update(piece)
            out.write(piece)
        whole = not handle.read(1)
    if digest.hexdigest() != member.sha256 or not whole:
        raise BundleError(f"{file} changed while it was bundled", hint="run the command again")
    out.write(bytes(-member.size % BLOCK))


def header(name: str, size: int) -> bytes:
    """Return the header of a plain file in a ustar archive (POSIX.1-1988), its dates all 0."""
    fields = [
        name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        b"%011o\0" % size,
        b"00000000000\0",
        b" " * 8,
        b"0",
        bytes(100),
        b"ustar\x0000",
        b"root".ljust(32, b"\0") * 2,
        b"0000000\0" * 2,
        bytes(155 + 12),
    ]
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def read(path: Path) -> Archive:
    """Check every byte of the bundle ``path`` against its lock.

    Raises BundleError: it is not a bundle, truncated, or changed; the member is named.
    """
    try:
        with path.open("rb") as handle:
            return _read(handle, path, os.fstat(handle.fileno()).st_size)
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror or error}", hint="check the path"
        ) from error


def _read(handle: BinaryIO, path: Path, size: int) -> Archive:
    text, seal = _read_lock(handle, path, size)
    lock = lockfile.load(text)
    starts = {}
    place = handle.tell()
    for member in lock.members:
        starts[member.name] = place + BLOCK
        place += BLOCK + _padded(member.size)
        if place > size:
            raise _cut(path, size, member.name)
    if place + len(END) != size:
        if size < place + len(END):
            raise _cut(path, size, "its end")
        raise BundleError(f"{path}: it has data after its last member", hint=AGAIN)
    for member in lock.members:
        if handle.read(BLOCK) != header(member.name, member.size):
            raise BundleError(f"{path}: the header of {member.name} was changed", hint=AGAIN)
        digest = hashlib.sha256()
        for piece in _pieces(handle, member.size):
            digest.update(piece)
        if digest.hexdigest() != member.sha256:
            raise BundleError(
                f"{path}: {member.name} was changed: its sha256 is {digest.hexdigest()}, "
                f"{NAME} says {member.sha256}",
                hint=AGAIN,
            )
        _skip_padding(handle, path, member.name, member.size)
    if handle.read(len(END)) != END:
        raise BundleError(f"{path}: its end was changed", hint=AGAIN)
    return Archive(path=path, lock=lock, lock_sha256=seal, starts=starts, size=size)


def _read_lock(handle: BinaryIO, path: Path, size: int) -> tuple[bytes, str]:
    """Return the text of the lock and its sha256, which must match the seal."""
    first = handle.read(BLOCK)
    digits = first[124:135]
    length = int(digits, 8) if len(digits) == 11 and set(digits) <= set(b"01234567") else 0
    if not 0 < length <= LOCK_BYTES or first != header(NAME, length):
        raise BundleError(
            f"{path} is not a bundle: its start is wrong",
            hint="name an unchanged file that `invoke bundle TARGET` wrote",
        )
    end = BLOCK + _padded(length)
    if size < end:
        raise _cut(path, size, NAME)
    text = handle.read(length)
    _skip_padding(handle, path, NAME, length)
    if size < end + BLOCK + _padded(SEAL_BYTES):
        raise _cut(path, size, SEAL)
    seal = hashlib.sha256(text).hexdigest()
    if handle.read(BLOCK) != header(SEAL, SEAL_BYTES):
        raise BundleError(f"{path}: the header of {SEAL} was changed", hint=AGAIN)
    if handle.read(SEAL_BYTES) != f"{seal}  {NAME}\n".encode():
        raise BundleError(f"{path}: {NAME} or {SEAL} was changed: they do not match", hint=AGAIN)
    _skip_padding(handle, path, SEAL, SEAL_BYTES)
    return text, seal


def _cut(path: Path, size: int, name: str) -> BundleError:
    return BundleError(f"{path} is truncated at {size} bytes: {name} is incomplete", hint=AGAIN)


def _padded(size: int) -> int:
    return size + -size % BLOCK


def _skip_padding(handle: BinaryIO, path: Path, name: str, size: int) -> None:
    if any(handle.read(-size % BLOCK)):
        raise BundleError(f"{path}: the padding after {name} was changed", hint=AGAIN)


def _pieces(handle: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield ``size`` bytes in pieces; fewer if the file ends (the hash then differs)."""
    while size > 0:
        piece = handle.read(min(size, PIECE))
        if not piece:
            return
        size -= len(piece)
        yield piece
