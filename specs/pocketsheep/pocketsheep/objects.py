"""Data objects and saved machine states: one file of 4 MiB each.

What has been answered survives a kill -9 of this process at any moment, since it is with the
kernel then. It survives a loss of power once it was synced: when the answer is given for writes
without ``FLAG_CACHE``, at the next flush of its VDI for writes with it.

A file is allocated whole when it is made: a write into it cannot run out of space later.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from pocketsheep.errors import Refusal
from pocketsheep.files import Scratch, read_all, sync_folder, write_all
from pocketsheep.wire import OBJECT_SIZE, Kind, ObjectId, Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCKS = 64


class Objects:
    """The object files below a folder. Safe to use from several threads."""

    def __init__(self, folder: Path, scratch: Scratch) -> None:
        self._folder = folder
        self._scratch = scratch
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._flushes = [threading.Lock() for _ in range(_LOCKS)]
        self._guard = threading.Lock()
        # By VDI: what was written since its last flush. A VDI that is not in _known has not been
        # flushed since this process began: any of its objects may be one that a killed process
        # before this one had written and not synced.
        self._dirty: dict[int, set[str]] = {}
        self._known: set[int] = set()

    def home(self, vid: int) -> Path:
        """Return the folder of a VDI's objects."""
        return self._folder / f"{vid:06x}"

    def path(self, oid: ObjectId) -> Path:
        """Return the file of an object."""
        return self.home(oid.vid) / _name(oid)

    def exists(self, oid: ObjectId) -> bool:
        """Whether the object is there."""
        return self.path(oid).is_file()

    def create(
        self, oid: ObjectId, offset: int, data: bytes, base: ObjectId | None, *, durable: bool
    ) -> None:
        """Make an object: a copy of ``base``, or zeros, with ``data`` at ``offset``.

        One that was there is replaced, whole. Raises Refusal (``base`` is not there), OSError.
        """
        _inside(offset, len(data))
        origin = self.read(base, 0, OBJECT_SIZE) if base else b""

        def fill(fd: int) -> None:
            os.posix_fallocate(fd, 0, OBJECT_SIZE)
            if origin:
                write_all(fd, origin)
            write_all(fd, data, offset)

        with self._lock(oid):
            self._scratch.replace(self.path(oid), fill, sync=durable)
            if not durable:
                self._mark(oid)

    def write(self, oid: ObjectId, offset: int, data: bytes, *, durable: bool) -> None:
        """Overwrite part of an object in place. Raises Refusal (it is not there), OSError."""
        _inside(offset, len(data))
        with self._lock(oid):
            fd = self._open(oid, os.O_RDWR)
            try:
                write_all(fd, data, offset)
                if durable:
                    os.fdatasync(fd)
                else:
                    self._mark(oid)
            finally:
                os.close(fd)

    def read(self, oid: ObjectId, offset: int, length: int) -> bytes:
        """Return part of an object. Raises Refusal (it is not there), OSError."""
        _inside(offset, length)
        fd = self._open(oid, os.O_RDONLY)
        try:
            return read_all(fd, length, offset)
        finally:
            os.close(fd)

    def sync(self, vid: int) -> None:
        """Make everything durable that was written to a VDI's objects. Raises OSError."""
        # One at a time: a second flush must not be answered while the first still syncs its share.
        with self._flushes[vid % _LOCKS]:
            self._sync_all(vid)

    def _sync_all(self, vid: int) -> None:
        with self._guard:
            names = self._dirty.pop(vid, set())
            known = vid in self._known
        if not known:
            names |= {name for name, _ in self._files(vid)}
        try:
            for name in names:
                self._sync(vid, name)
            if names:
                sync_folder(self.home(vid))
        except OSError:
            with self._guard:
                self._dirty.setdefault(vid, set()).update(names)
            raise
        with self._guard:
            self._known.add(vid)

    def sync_objects(self, vid: int, indexes: list[int]) -> None:
        """Make these data objects of a VDI durable, names included. Raises OSError."""
        for index in indexes:
            self._sync(vid, _name(ObjectId(Kind.DATA, vid, index)))
        if indexes:
            sync_folder(self.home(vid))

    def remove(self, vid: int, indexes: list[int]) -> None:
        """Remove data objects of a VDI that nobody refers to any more."""
        for index in indexes:
            oid = ObjectId(Kind.DATA, vid, index)
            with self._lock(oid):
                try:
                    self.path(oid).unlink()
                except FileNotFoundError:
                    continue

    def forget(self, vid: int) -> None:
        """Forget what is known of a VDI whose folder was removed."""
        with self._guard:
            self._dirty.pop(vid, None)
            self._known.discard(vid)

    def indexes(self, vid: int) -> list[int]:
        """Return the indexes of the data objects that are there."""
        return [int(name[1:], 16) for name, kind in self._files(vid) if kind == Kind.DATA.value]

    def used(self) -> int:
        """Return the bytes that all objects take."""
        vids = [int(entry.name, 16) for entry in os.scandir(self._folder)]
        return sum(1 for vid in vids for _ in self._files(vid)) * OBJECT_SIZE

    def _files(self, vid: int) -> Iterator[tuple[str, str]]:
        """Yield (name, kind) of the object files of a VDI; none where its folder is gone."""
        kinds = {Kind.DATA.value, Kind.VMSTATE.value}
        try:
            names = [path.name for path in self.home(vid).iterdir()]
        except FileNotFoundError:
            return
        yield from ((name, name[0]) for name in names if len(name) == 6 and name[0] in kinds)

    def _sync(self, vid: int, name: str) -> None:
        try:
            fd = os.open(self.home(vid) / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # discarded meanwhile
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def _open(self, oid: ObjectId, flags: int) -> int:
        try:
            return os.open(self.path(oid), flags | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise Refusal(Result.NO_OBJ) from None

    def _lock(self, oid: ObjectId) -> threading.Lock:
        return self._locks[hash((oid.vid, oid.index)) % _LOCKS]

    def _mark(self, oid: ObjectId) -> None:
        """Note, once it is written and before it is answered, that a flush has to sync it."""
        with self._guard:
            self._dirty.setdefault(oid.vid, set()).add(_name(oid))


def _name(oid: ObjectId) -> str:
    return f"{oid.kind.value}{oid.index:05x}"


def _inside(offset: int, length: int) -> None:
    if offset + length > OBJECT_SIZE:
        raise Refusal(Result.INVALID_PARMS)
