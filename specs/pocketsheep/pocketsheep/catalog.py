"""The VDIs of a store: which there are, what they are called, which objects they refer to.

Each VDI is a folder, named by its id in hex, with its vdi object in the file ``inode``. A change
is durable before it is seen, and before it is answered; it happens whole or not at all. Names are
data: no file is ever called by one.
"""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pocketsheep import inode as inodes
from pocketsheep import wire
from pocketsheep.errors import Refusal, StoreError
from pocketsheep.files import Scratch, sync_folder, write_all
from pocketsheep.inode import Inode
from pocketsheep.wire import Kind, ObjectId, Result, WireError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pocketsheep.objects import Objects

INODE = "inode"


class Catalog:
    """All VDIs. Safe to use from several threads."""

    def __init__(self, folder: Path, scratch: Scratch, objects: Objects) -> None:
        """Read what is in ``folder``, and finish what a killed server left half done.

        Raises StoreError where it is not what this module writes.
        """
        self._folder = folder
        self._scratch = scratch
        self._objects = objects
        self._lock = threading.RLock()
        self._inodes = {i.vid: i for i in (_load(path) for path in sorted(folder.iterdir()))}
        self._roll_back()
        self._drop_unused()

    def all(self) -> list[Inode]:
        """Return every VDI and snapshot, by id."""
        return [i for _, i in sorted(self._inodes.items()) if not i.deleted]

    def bitmap(self) -> bytes:
        """Return the answer to READ_VDIS: a bit for each id in use.

        Id 0 counts as in use: it means "none", and a search for free ids goes past it.
        """
        bits = bytearray(wire.BITMAP)
        for vid in (0, *self._inodes):
            bits[vid // 8] |= 1 << vid % 8
        return bytes(bits)

    def get(self, vid: int) -> Inode:
        """Return a VDI by its id. Raises Refusal (NO_VDI)."""
        found = self._inodes.get(vid)
        if found is None or found.deleted:
            raise Refusal(Result.NO_VDI)
        return found

    def find(self, name: bytes, tag: bytes = b"", snapid: int = 0) -> Inode:
        """Return the VDI ``name``, or the snapshot of it with this tag or id.

        Raises Refusal (NO_VDI, NO_TAG).
        """
        same = [i for i in self._inodes.values() if i.name == name and name]
        if not tag and not snapid:
            current = [i for i in same if not i.snapshot]
            if current:
                return current[0]
            raise Refusal(Result.NO_VDI)
        if not same:
            raise Refusal(Result.NO_VDI)
        for found in same:
            if found.snapshot and (found.snap_id == snapid if snapid else found.tag == tag):
                return found
        raise Refusal(Result.NO_TAG)

    def create(self, name: bytes, size: int, base_vid: int, *, snapshot: bool) -> Inode:
        """Make the VDI ``name`` of ``size`` bytes, with the data of ``base_vid`` (0: empty).

        With ``snapshot`` the present VDI of this name becomes a snapshot and the new one takes
        its place. Raises Refusal (VDI_EXIST, NO_BASE_VDI, INVALID_PARMS, FULL_VDI), OSError.
        """
        if not _acceptable(name) or not 0 <= size <= wire.MAX_VDI_SIZE:
            raise Refusal(Result.INVALID_PARMS)
        with self._lock:
            same = [i for i in self._inodes.values() if i.name == name]
            current = next((i for i in same if not i.snapshot), None)
            if current is not None and not snapshot:
                raise Refusal(Result.VDI_EXIST)
            base = self._inodes.get(base_vid)
            if base_vid and (base is None or base.deleted):
                raise Refusal(Result.NO_BASE_VDI)
            if snapshot and base is None:
                raise Refusal(Result.NO_BASE_VDI)
            if base and base.size > size:
                raise Refusal(Result.INVALID_PARMS)
            if base and base != current and not base.snapshot:
                raise Refusal(Result.INVALID_PARMS)  # its objects may still change or go
            if current:
                self._objects.sync(current.vid)
            new = Inode(
                vid=self._free(name),
                name=name,
                size=size,
                ctime=_now(),
                snap_id=1 + max((i.snap_id for i in same), default=0),
                parent=base_vid,
                map=base.map if base else b"",
            )
            self._add(new)
            if current:
                try:
                    self._put(replace(current, snap_ctime=_now()))
                except OSError:
                    self._drop(new.vid)
                    raise
            return new

    def delete(self, name: bytes, tag: bytes = b"", snapid: int = 0) -> None:
        """Delete a VDI or a snapshot; objects that others refer to stay until those are gone.

        Its id is not given to another VDI while this server runs: a client that still has it open
        must not write into that one. Raises Refusal (NO_VDI, NO_TAG), OSError.
        """
        with self._lock:
            vid = self.find(name, tag, snapid).vid
            if self._referenced(vid):
                self._put(Inode(vid=vid, name=b"", size=0))
            else:
                # Needs no space: on a full disk this must work.
                self._drop(vid)
                self._keep_id(vid)
            self._collect()

    def update(self, vid: int, offset: int, data: bytes) -> None:
        """Write into a vdi object: size, tag, entries of the map.

        An entry may become 0 (the object is discarded) or the VDI's own id, whose object must be
        there; it is made durable first. Raises Refusal (NO_VDI, READONLY, NO_OBJ, INVALID_PARMS),
        OSError.
        """
        with self._lock:
            old = self.get(vid)
            if old.snapshot:
                raise Refusal(Result.READONLY)
            try:
                new = old.written(offset, data)
            except WireError:
                raise Refusal(Result.INVALID_PARMS) from None
            rows = list(inodes.changes(old, new, offset, len(data)))
            added = [index for index, _, owner in rows if owner == vid]
            if any(owner not in (0, vid) for _, _, owner in rows):
                raise Refusal(Result.INVALID_PARMS)
            if not all(self._objects.exists(ObjectId(Kind.DATA, vid, i)) for i in added):
                raise Refusal(Result.NO_OBJ)
            if new != old:
                self._objects.sync_objects(vid, added)
                self._put(new)
            gone = [index for index, owner, now in rows if owner == vid and now == 0]
            self._objects.remove(vid, gone)

    def _add(self, new: Inode) -> None:
        """Make the folder of a new VDI, atomically."""
        temporary = self._scratch.path()
        temporary.mkdir()
        inode = temporary / INODE
        try:
            self._scratch.replace(inode, lambda fd: write_all(fd, new.pack()), sync=True)
            temporary.replace(self._objects.home(new.vid))
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(self._folder)
        self._inodes[new.vid] = new

    def _put(self, new: Inode) -> None:
        path = self._objects.home(new.vid) / INODE
        self._scratch.replace(path, lambda fd: write_all(fd, new.pack()), sync=True)
        self._inodes[new.vid] = new

    def _drop(self, vid: int) -> None:
        self._scratch.discard(self._objects.home(vid))
        self._inodes.pop(vid, None)
        self._objects.forget(vid)

    def _keep_id(self, vid: int) -> None:
        """Keep the id of a dropped VDI in use, on disk too where there is space for it."""
        empty = Inode(vid=vid, name=b"", size=0)
        try:
            self._add(empty)
        except OSError:
            self._inodes[vid] = empty

    def _free(self, name: bytes) -> int:
        """Return the first free id from the name's own on."""
        start = inodes.home(name)
        for step in range(wire.VDI_COUNT):
            vid = (start + step) % wire.VDI_COUNT
            if vid and vid not in self._inodes:
                return vid
        raise Refusal(Result.FULL_VDI)

    def _referenced(self, vid: int) -> set[int]:
        """Return the indexes of the objects of ``vid`` that other VDIs refer to."""
        mark = vid.to_bytes(4, "little")
        others = [i for i in self._inodes.values() if i.vid != vid and mark in i.map]
        return {index for other in others for index, owner in other.owners() if owner == vid}

    def _collect(self) -> None:
        """Remove objects of deleted VDIs that nobody refers to any more."""
        for vid in [i.vid for i in self._inodes.values() if i.deleted]:
            kept = self._referenced(vid)
            self._objects.remove(vid, [i for i in self._objects.indexes(vid) if i not in kept])

    def _roll_back(self) -> None:
        """Undo a snapshot that was not finished: two VDIs of one name, the newer one empty."""
        for older in self.all():
            twins = [
                i
                for i in self.all()
                if i.name == older.name
                and not (i.snapshot or older.snapshot)
                and i.snap_id > older.snap_id
            ]
            for newer in twins:
                if self._objects.indexes(newer.vid):
                    raise StoreError(
                        f"{self._folder}: {older.vid:06x} and {newer.vid:06x} have one name: "
                        "the store is damaged"
                    )
                self._drop(newer.vid)

    def _drop_unused(self) -> None:
        """Free the ids of deleted VDIs that no search has to go past and no VDI refers to."""
        self._collect()
        for vid in sorted(self._inodes, reverse=True):
            follows = (vid + 1) % wire.VDI_COUNT in self._inodes
            if self._inodes[vid].deleted and not follows and not self._objects.indexes(vid):
                self._drop(vid)


def _load(folder: Path) -> Inode:
    """Read the vdi object of a VDI's folder. Raises StoreError."""
    try:
        found = Inode.unpack((folder / INODE).read_bytes())
    except (OSError, WireError) as error:
        raise StoreError(f"{folder} is no VDI: {error}; the store is damaged") from error
    if folder.name != f"{found.vid:06x}":
        raise StoreError(f"{folder} holds VDI {found.vid:06x}: the store is damaged")
    return found


def _acceptable(name: bytes) -> bool:
    """Whether a VDI may be called so: lists are lines, so control characters are out."""
    return 0 < len(name) < wire.NAME and all(byte >= 0x20 and byte != 0x7F for byte in name)


def _now() -> int:
    """Return the time as sheepdog keeps it: seconds << 32 | nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return seconds << 32 | nanoseconds


def sizes(all_of: Iterable[Inode]) -> int:
    """Return the bytes that VDIs (not snapshots) promise together."""
    return sum(i.size for i in all_of if not i.snapshot)
