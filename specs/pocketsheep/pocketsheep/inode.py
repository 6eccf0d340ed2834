"""The vdi object: what a VDI is called, how large it is, and which objects its data is in.

The layout is QEMU 5.2's ``SheepdogInode`` (``block/sheepdog.c``): 4664 bytes of header, then for
each of 2**20 data objects the id of the VDI that owns it (0: not allocated), little-endian. In
files the trailing zeros of that map are left out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pocketsheep import wire
from pocketsheep.wire import INODE_HEADER, INODE_SIZE, MAX_OBJECTS, NAME, WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

# name, tag, ctime, snap_ctime, vm_clock_nsec, vdi_size, vm_state_size, copy_policy, nr_copies,
# block_size_shift, snap_id, vdi_id, parent_vdi_id; 1024 child ids follow, which nobody reads
_HEADER = struct.Struct(f"<{NAME}s{NAME}sQQQQQHBBIII")


@dataclass(frozen=True)
class Inode:
    """One VDI. Sizes in bytes; times are seconds << 32 | nanoseconds; names are bytes."""

    vid: int
    name: bytes  # empty: a VDI that was deleted; its id is kept so that searches go on past it
    size: int
    tag: bytes = b""
    ctime: int = 0
    snap_ctime: int = 0  # not 0: a snapshot, read-only
    snap_id: int = 1
    parent: int = 0
    vm_clock_nsec: int = 0
    vm_state_size: int = 0
    map: bytes = b""  # four bytes for each object, up to the last that is allocated

    @property
    def snapshot(self) -> bool:
        """Whether it is a snapshot."""
        return self.snap_ctime != 0

    @property
    def deleted(self) -> bool:
        """Whether nothing but its id is left."""
        return not self.name

    @property
    def objects(self) -> int:
        """How many data objects its size spans."""
        return -(-self.size // wire.OBJECT_SIZE)

    def owner(self, index: int) -> int:
        """Return the id of the VDI that owns the object at ``index``, or 0."""
        return int.from_bytes(self.map[4 * index : 4 * index + 4], "little")

    def owners(self) -> Iterator[tuple[int, int]]:
        """Yield (index, owner) of every allocated object."""
        for index, (owner,) in enumerate(struct.iter_unpack("<I", self.map)):
            if owner:
                yield index, owner

    def pack(self) -> bytes:
        """Return the object's bytes up to the last that is not zero (at least its header)."""
        header = _HEADER.pack(
            wire.pad(self.name),
            wire.pad(self.tag),
            self.ctime,
            self.snap_ctime,
            self.vm_clock_nsec,
            self.size,
            self.vm_state_size,
            0,
            1,
            wire.OBJECT_SHIFT,
            self.snap_id,
            self.vid,
            self.parent,
        )
        return header.ljust(INODE_HEADER, b"\0") + self.map

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes of the object. Raises WireError outside of it."""
        _inside(offset, length)
        return self.pack()[offset : offset + length].ljust(length, b"\0")

    def written(self, offset: int, data: bytes) -> Inode:
        """Return it with ``data`` written at ``offset``, except the fields that clients cannot set.

        Name, ids, times and copies stay. Raises WireError: outside of the object, inside of an
        entry of the map, a size that shrinks or is too large.
        """
        _inside(offset, len(data))
        end = offset + len(data)
        inode = self
        if offset < INODE_HEADER:
            raw = bytearray(self.pack()[:INODE_HEADER])
            raw[offset : min(end, INODE_HEADER)] = data[: INODE_HEADER - offset]
            inode = self._with_header(bytes(raw))
        if end > INODE_HEADER:
            start = max(offset, INODE_HEADER) - INODE_HEADER
            inode = inode._with_map(start, data[max(0, INODE_HEADER - offset) :])
        return inode

    def _with_header(self, raw: bytes) -> Inode:
        given = Inode.unpack(raw)
        if not self.size <= given.size <= wire.MAX_VDI_SIZE:
            raise WireError(f"a size of {given.size} bytes; a VDI of {self.size} may only grow")
        return replace(
            self,
            size=given.size,
            tag=given.tag,
            vm_clock_nsec=given.vm_clock_nsec,
            vm_state_size=given.vm_state_size,
        )

    def _with_map(self, start: int, data: bytes) -> Inode:
        if start % 4 or len(data) % 4:
            raise WireError("a write into the map that does not cover whole entries")
        former = self.map.ljust(start, b"\0")
        new = former[:start] + data + former[start + len(data) :]
        return replace(self, map=trimmed(new))

    @classmethod
    def unpack(cls, data: bytes) -> Inode:
        """Read an object's bytes, as ``pack`` gives them. Raises WireError."""
        if not INODE_HEADER <= len(data) <= INODE_SIZE or len(data) % 4:
            raise WireError(f"a vdi object of {len(data)} bytes")
        row = _HEADER.unpack_from(data)
        name, tag, ctime, snap_ctime, clock, size, state, _policy, _copies, shift = row[:10]
        if shift != wire.OBJECT_SHIFT:
            raise WireError(f"objects of 2**{shift} bytes; only 2**{wire.OBJECT_SHIFT} is served")
        return cls(
            vid=row[11],
            name=wire.unpad(name),
            size=size,
            tag=wire.unpad(tag),
            ctime=ctime,
            snap_ctime=snap_ctime,
            snap_id=row[10],
            parent=row[12],
            vm_clock_nsec=clock,
            vm_state_size=state,
            map=trimmed(data[INODE_HEADER:]),
        )


def trimmed(data: bytes) -> bytes:
    """Return a map without the zero entries at its end."""
    kept = data.rstrip(b"\0")
    return kept + bytes(-len(kept) % 4)


def changes(old: Inode, new: Inode, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Yield (index, former owner, new owner) of what a write into the object changed in its map."""
    first = max(0, offset - INODE_HEADER) // 4
    last = max(0, offset + length - INODE_HEADER) // 4
    for index in range(first, min(last, max(len(old.map), len(new.map)) // 4)):
        before, after = old.owner(index), new.owner(index)
        if before != after:
            yield index, before, after


def home(name: bytes) -> int:
    """Return the id where the search for the VDI ``name`` begins: 24 bits of its FNV-1a hash.

    It must be QEMU's (``fnv_64a_buf``): QEMU looks for snapshots from there on, up to the first
    id that is not in use.
    """
    value = 0xCBF29CE484222325
    for byte in name:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value & (wire.VDI_COUNT - 1)


def _inside(offset: int, length: int) -> None:
    if offset + length > INODE_SIZE:
        raise WireError(f"{length} bytes at {offset} of a vdi object of {INODE_SIZE}")


assert MAX_OBJECTS * 4 + INODE_HEADER == INODE_SIZE
assert _HEADER.size == 568
