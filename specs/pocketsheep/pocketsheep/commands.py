"""What each subcommand of ``dog`` does. Names are bytes; what they hold is data.

Each takes a connection and the options of ``dog.parser`` and returns an exit code; what cannot be
done raises Failure, Refused (the server's answer), OSError or WireError.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO

from pocketsheep import WHAT, wire
from pocketsheep.client import Connection, Refused
from pocketsheep.listing import node_lines, raw_line, table
from pocketsheep.wire import OBJECT_SIZE, Kind, ObjectId, Result

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pocketsheep.inode import Inode

FAILURE, SYSFAIL, EXISTS, FULL, MISSING, USAGE = 1, 2, 3, 4, 5, 64


class Failure(Exception):
    """A command that cannot be done: message and exit code."""

    def __init__(self, message: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.code = code


def node_info(connection: Connection, options: argparse.Namespace) -> int:
    """Print capacity and use."""
    print(f"dog: {WHAT}", file=sys.stderr)
    sys.stdout.write(node_lines(connection.status(), raw=options.raw))
    return 0


def cluster_info(connection: Connection, _options: argparse.Namespace) -> int:
    """Print whether the cluster is formatted, in sheepdog's words."""
    print(f"dog: {WHAT}", file=sys.stderr)
    formatted = connection.status()["formatted"]
    print(f"Cluster status: {'running' if formatted else 'Waiting for cluster to be formatted'}")
    return 0


def cluster_format(connection: Connection, options: argparse.Namespace) -> int:
    """Format the cluster; a formatted one without VDIs stays as it is."""
    try:
        connection.format(options.copies)
    except Refused as refused:
        if refused.result == Result.VDI_EXIST:
            raise Failure("the cluster has VDIs; delete them first", EXISTS) from None
        if refused.result == Result.INVALID_PARMS:
            raise Failure("this is a single node: only -c 1 is possible", USAGE) from None
        raise
    return 0


def vdi_list(connection: Connection, options: argparse.Namespace) -> int:
    """Print all VDIs and snapshots, or those of one name; nothing where there is none."""
    found = []
    for vid in connection.vids():
        if vid:
            inode = connection.inode(vid) if _exists(connection, vid) else None
            if inode and (options.name is None or inode.name == os.fsencode(options.name)):
                found.append(inode)
    out = b"".join(raw_line(i) for i in found) if options.raw else table(found)
    sys.stdout.buffer.write(out)
    return 0


def vdi_create(connection: Connection, options: argparse.Namespace) -> int:
    """Make an empty VDI."""
    connection.create(os.fsencode(options.name), options.size)
    return 0


def vdi_snapshot(connection: Connection, options: argparse.Namespace) -> int:
    """Make a snapshot of a VDI."""
    name = os.fsencode(options.name)
    vid = connection.find(name)
    if options.snapshot:
        tag = wire.pad(os.fsencode(options.snapshot))
        connection.write(ObjectId(Kind.VDI, vid), wire.NAME, tag)
    connection.create(name, connection.header(vid).size, vid, snapshot=True)
    return 0


def vdi_delete(connection: Connection, options: argparse.Namespace) -> int:
    """Delete a VDI, or a snapshot with -s; not one that a client is writing to."""
    name, tag, snapid = _snapshot(options)
    connection.find(name, tag, snapid, lock=True)
    connection.delete(name, tag, snapid)
    return 0


def vdi_resize(connection: Connection, options: argparse.Namespace) -> int:
    """Let a VDI grow."""
    vid = connection.find(os.fsencode(options.name))
    size = connection.header(vid).size
    if options.size < size:
        raise Failure(f"a VDI cannot shrink (it has {size} bytes)")
    if options.size > wire.MAX_VDI_SIZE:
        raise Failure(f"a VDI has {wire.MAX_VDI_SIZE} bytes at most", USAGE)
    data = options.size.to_bytes(8, "little")
    connection.write(ObjectId(Kind.VDI, vid), 2 * wire.NAME + 24, data)
    return 0


def vdi_object(connection: Connection, options: argparse.Namespace) -> int:
    """Print which object holds the data at an index; without one, the vdi object."""
    vid = connection.find(*_snapshot(options))
    if options.index is None:
        print(f"vdi object {ObjectId(Kind.VDI, vid).pack():016x}: 1 copy, on this node")
        return 0
    owner = connection.inode(vid).owner(options.index)
    if not owner:
        raise Failure(f"index {options.index} is not allocated", MISSING)
    oid = ObjectId(Kind.DATA, owner, options.index).pack()
    print(f"data object {oid:016x}: 1 copy, on this node")
    return 0


def vdi_read(connection: Connection, options: argparse.Namespace) -> int:
    """Write a VDI's content to standard output."""
    inode = connection.inode(connection.find(*_snapshot(options)))
    length = inode.size - options.offset if options.length is None else options.length
    for index, start, count in _pieces(options.offset, length, inode.size):
        owner = inode.owner(index)
        data = bytes(count)
        if owner:
            data = connection.read(ObjectId(Kind.DATA, owner, index), start, count)
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return 0


def vdi_write(connection: Connection, options: argparse.Namespace) -> int:
    """Write standard input into a VDI; all of it is durable when this ends."""
    vid = connection.find(os.fsencode(options.name), lock=True)
    inode = connection.inode(vid)
    source = sys.stdin.buffer
    room = max(inode.size - options.offset, 0)
    length = _length(source) if options.length is None else options.length
    if length is not None and length > room:
        raise Failure(f"{length} bytes do not fit into a VDI with room for {room} there")
    wanted = room if length is None else length
    for index, start, count in _pieces(options.offset, wanted, inode.size):
        data = source.read(count)
        if data:
            _write_piece(connection, inode, index, start, data)
        if len(data) < count:
            if options.length is not None:
                raise Failure(f"the input ended before {length} bytes")
            break
    too_much = length is None and bool(source.read(1))
    connection.flush(vid)
    if too_much:
        raise Failure(f"the input is larger than the VDI; {room} bytes of it were written")
    return 0


def _write_piece(connection: Connection, inode: Inode, index: int, start: int, data: bytes) -> None:
    owner, oid = inode.owner(index), ObjectId(Kind.DATA, inode.vid, index)
    if owner == inode.vid:
        connection.write(oid, start, data)
    elif owner or data.count(0) != len(data):  # zeros need no object
        base = ObjectId(Kind.DATA, owner, index) if owner else None
        connection.write(oid, start, data, create=True, base=base)
        connection.set_owner(inode.vid, index, inode.vid)


def _pieces(offset: int, length: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (object's index, offset in it, bytes) for a range of a VDI."""
    if offset + length > size or length < 0:
        raise Failure(f"the VDI has {size} bytes: {offset} + {length} is beyond its end")
    while length:
        index, start = divmod(offset, OBJECT_SIZE)
        count = min(length, OBJECT_SIZE - start)
        yield index, start, count
        offset += count
        length -= count


def _length(source: BinaryIO) -> int | None:
    """Return how much there is to read of a file; None of what is no file."""
    info = os.fstat(source.fileno())
    if not stat.S_ISREG(info.st_mode):
        return None
    return max(info.st_size - os.lseek(source.fileno(), 0, os.SEEK_CUR), 0)


def _exists(connection: Connection, vid: int) -> bool:
    """Whether an id in use is a VDI; not one that was deleted."""
    try:
        connection.read(ObjectId(Kind.VDI, vid), 0, 8)
    except Refused as refused:
        if refused.result == Result.NO_VDI:
            return False
        raise
    return True


def _snapshot(options: argparse.Namespace) -> tuple[bytes, bytes, int]:
    """Return name, tag and snapshot id: -s takes either of the latter."""
    name, text = os.fsencode(options.name), options.snapshot or ""
    return (name, b"", int(text)) if text.isdecimal() else (name, os.fsencode(text), 0)
