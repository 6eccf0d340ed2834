"""A blocking client of the wire protocol, for ``dog`` and for tests."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

from pocketsheep import wire
from pocketsheep.inode import Inode
from pocketsheep.wire import (
    FLAG_CACHE,
    FLAG_COW,
    FLAG_WRITE,
    HEADER,
    INODE_HEADER,
    Kind,
    ObjectArgs,
    ObjectId,
    Op,
    Request,
    Response,
    Result,
    VdiArgs,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 60.0  # seconds for an answer


class Refused(Exception):
    """The server answered with an error; ``result`` is its code."""

    def __init__(self, result: int) -> None:
        super().__init__(wire.message(result))
        self.result = result


class Connection:
    """One connection to a server, one request at a time."""

    def __init__(self, host: str, port: int, timeout: float = TIMEOUT) -> None:
        """Connect. Raises OSError."""
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._count = 0

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self,
        op: int,
        specific: bytes = bytes(32),
        data: bytes = b"",
        *,
        flags: int = 0,
        take: int = 0,
    ) -> Response:
        """Ask, with ``data`` if any, and return the answer, with up to ``take`` bytes of data.

        Raises Refused, OSError (the connection), WireError (what came is no answer to it).
        """
        self._count += 1
        if data:
            flags |= FLAG_WRITE
        request = Request(op, flags, self._count, len(data) if data else take, specific)
        self._socket.sendall(request.pack() + data)
        response, ident, length = wire.response_header(self._receive(HEADER))
        if ident != self._count or length > take:
            raise WireError("the answer is not one to the question")
        answer = self._receive(length)
        if response.result != Result.SUCCESS:
            raise Refused(response.result)
        return Response(response.result, answer, response.specific)

    def _receive(self, length: int) -> bytes:
        parts = []
        while length:
            part = self._socket.recv(min(length, 1 << 20))
            if not part:
                raise ConnectionResetError("the server closed the connection")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def status(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        found = json.loads(self.call(Op.STATUS, take=4096).data)
        if not isinstance(found, dict):
            raise WireError("the status is no JSON object")
        return found

    def format(self, copies: int) -> None:
        """Format the cluster."""
        self.call(Op.FORMAT, VdiArgs(copies=copies).pack())

    def find(self, name: bytes, tag: bytes = b"", snapid: int = 0, *, lock: bool = False) -> int:
        """Return the id of a VDI or of a snapshot of it; with ``lock`` only if nobody writes it."""
        op = Op.LOCK_VDI if lock else Op.GET_VDI_INFO
        args = VdiArgs(snapid=snapid).pack()
        return self.call(op, args, wire.pad(name) + wire.pad(tag)).vid

    def create(self, name: bytes, size: int, base: int = 0, *, snapshot: bool = False) -> int:
        """Make a VDI, or a snapshot of one; return the new VDI's id."""
        args = VdiArgs(size=size, base_vid=base, snapid=int(snapshot))
        return self.call(Op.NEW_VDI, args.pack(), wire.pad(name)).vid

    def delete(self, name: bytes, tag: bytes = b"", snapid: int = 0) -> None:
        """Delete a VDI or a snapshot of it."""
        self.call(Op.DEL_VDI, VdiArgs(snapid=snapid).pack(), wire.pad(name) + wire.pad(tag))

    def read(self, oid: ObjectId, offset: int, length: int) -> bytes:
        """Read part of an object."""
        args = ObjectArgs(oid.pack(), offset=offset)
        return self.call(Op.READ_OBJ, args.pack(), take=length).data

    def write(
        self,
        oid: ObjectId,
        offset: int,
        data: bytes,
        *,
        create: bool = False,
        base: ObjectId | None = None,
        flags: int = FLAG_CACHE,
    ) -> None:
        """Write part of an object; with ``create`` it is made, from ``base`` if that is given."""
        op = Op.CREATE_AND_WRITE_OBJ if create else Op.WRITE_OBJ
        args = ObjectArgs(oid.pack(), base.pack() if base else 0, offset)
        self.call(op, args.pack(), data, flags=flags | (FLAG_COW if base else 0))

    def flush(self, vid: int) -> None:
        """Make all durable that was written to a VDI."""
        self.call(Op.FLUSH_VDI, ObjectArgs(ObjectId(Kind.VDI, vid).pack()).pack())

    def header(self, vid: int) -> Inode:
        """Return a vdi object without its map."""
        return Inode.unpack(self.read(ObjectId(Kind.VDI, vid), 0, INODE_HEADER))

    def inode(self, vid: int) -> Inode:
        """Return a vdi object, its map as far as its size goes."""
        length = INODE_HEADER + 4 * self.header(vid).objects
        return Inode.unpack(self.read(ObjectId(Kind.VDI, vid), 0, length))

    def set_owner(self, vid: int, index: int, owner: int) -> None:
        """Write one entry of a VDI's map."""
        offset = INODE_HEADER + 4 * index
        self.write(ObjectId(Kind.VDI, vid), offset, owner.to_bytes(4, "little"))

    def vids(self) -> Iterator[int]:
        """Yield the ids in use, by the server's bitmap."""
        bitmap = self.call(Op.READ_VDIS, take=wire.BITMAP).data
        for found in re.finditer(rb"[^\0]", bitmap):  # nearly all of its 2 MiB are zeros
            byte = found[0][0]
            yield from (8 * found.start() + bit for bit in range(8) if byte >> bit & 1)
