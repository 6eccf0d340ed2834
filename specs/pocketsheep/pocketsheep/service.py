"""Requests to answers: what each operation means. Knows no sockets."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pocketsheep import VERSION, wire
from pocketsheep.errors import Refusal, result_of
from pocketsheep.wire import (
    FLAG_CACHE,
    FLAG_COW,
    INODE_SIZE,
    LOCK_SHARED,
    NAME,
    OBJECT_SHIFT,
    OBJECT_SIZE,
    Kind,
    ObjectId,
    Op,
    Request,
    Response,
    Result,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pocketsheep.store import Store

log = logging.getLogger("pocketsheep")
SUCCESS = Response(Result.SUCCESS)


@dataclass(eq=False)
class Client:
    """A connection. ``writes``: ids of the VDIs it has written data to since their last release.

    That is what a lock goes by. QEMU locks and releases a VDI on connections of their own, which
    it closes at once, and does its I/O on another one that it keeps; after a kill it releases
    nothing, after a restart of the server it locks nothing again. So a VDI is in use while a
    connection lives that has written to it, and a lock ends with that connection.
    """

    writes: set[int] = field(default_factory=set)


class Service:
    """Answers requests on one store. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catalog = store.catalog
        self._objects = store.objects
        self.clients: set[Client] = set()
        self._operations: dict[int, Callable[[Request, bytes, Client], Response]] = {
            Op.CREATE_AND_WRITE_OBJ: self._write,
            Op.WRITE_OBJ: self._write,
            Op.READ_OBJ: self._read,
            Op.DISCARD_OBJ: self._discard,
            Op.NEW_VDI: self._new,
            Op.LOCK_VDI: self._lock,
            Op.RELEASE_VDI: self._release,
            Op.GET_VDI_INFO: self._info,
            Op.READ_VDIS: self._vdis,
            Op.FLUSH_VDI: self._flush,
            Op.DEL_VDI: self._delete,
            Op.GET_CLUSTER_DEFAULT: lambda _r, _d, _c: Response.of_cluster(),
            Op.STATUS: self._status,
            Op.FORMAT: self._format,
        }

    def answer(self, request: Request, data: bytes, client: Client) -> Response:
        """Do what ``request`` asks. Never raises: what goes wrong is the answer's result."""
        try:
            result = self._refused(request)
            if result is None:
                return self._operations[request.opcode](request, data, client)
        except Refusal as refusal:
            result = refusal.result
        except WireError:
            result = Result.INVALID_PARMS
        except OSError as error:
            log.error("operation %#x: %s", request.opcode, error)
            result = result_of(error)
        except Exception:  # a bug here must not take the guests' disks away
            log.exception("operation %#x", request.opcode)
            result = Result.SYSTEM_ERROR
        return Response(result)

    def _refused(self, request: Request) -> Result | None:
        """Return why nothing of this kind can be done now, or None."""
        if request.opcode not in self._operations:
            return Result.NO_SUPPORT
        if request.protocol > wire.PROTOCOL:
            return Result.VER_MISMATCH
        if request.opcode not in (Op.STATUS, Op.FORMAT) and not self._store.formatted:
            return Result.WAIT_FOR_FORMAT
        return None

    def _read(self, request: Request, _data: bytes, _client: Client) -> Response:
        args, length = request.object, request.data_length
        oid = ObjectId.unpack(args.oid)
        if length > INODE_SIZE:
            raise Refusal(Result.INVALID_PARMS)
        if oid.kind is Kind.VDI:
            return Response(Result.SUCCESS, self._catalog.get(oid.vid).read(args.offset, length))
        return Response(Result.SUCCESS, self._objects.read(oid, args.offset, length))

    def _write(self, request: Request, data: bytes, client: Client) -> Response:
        args = request.object
        oid = ObjectId.unpack(args.oid)
        create = request.opcode == Op.CREATE_AND_WRITE_OBJ
        durable = not request.flags & FLAG_CACHE
        if oid.kind is Kind.VDI:
            if create:
                raise Refusal(Result.INVALID_PARMS)
            self._catalog.update(oid.vid, args.offset, data)
            return SUCCESS
        found = self._catalog.get(oid.vid)
        if found.snapshot:
            raise Refusal(Result.READONLY)
        client.writes.add(oid.vid)
        if not create:
            if oid.kind is Kind.DATA and found.owner(oid.index) != oid.vid:
                self._refer(oid)
            self._objects.write(oid, args.offset, data, durable=durable)
            return SUCCESS
        if oid.kind is Kind.DATA and oid.index >= found.objects:
            raise Refusal(Result.INVALID_PARMS)
        base = ObjectId.unpack(args.cow_oid) if request.flags & FLAG_COW else None
        if base and (base.kind, base.index) != (Kind.DATA, oid.index):
            raise Refusal(Result.INVALID_PARMS)
        self._objects.create(oid, args.offset, data, base, durable=durable)
        return SUCCESS

    def _refer(self, oid: ObjectId) -> None:
        """Add a reference from the VDI to its own object ``oid``, if there is none yet.

        After this answer, QEMU assumes that the object exists. If the disk is full at its next
        request, which adds the reference, it fails only that write and does not ask again. Without
        a reference, later writes to the object would be lost.
        """
        entry = wire.INODE_HEADER + 4 * oid.index
        self._catalog.update(oid.vid, entry, oid.vid.to_bytes(4, "little"))

    def _discard(self, request: Request, _data: bytes, _client: Client) -> Response:
        oid = ObjectId.unpack(request.object.oid)
        if oid.kind is not Kind.DATA:
            raise Refusal(Result.INVALID_PARMS)
        self._catalog.update(oid.vid, wire.INODE_HEADER + 4 * oid.index, bytes(4))
        return SUCCESS

    def _new(self, request: Request, data: bytes, _client: Client) -> Response:
        args = request.vdi
        if args.shift not in (0, OBJECT_SHIFT) or args.copies > 1 or args.copy_policy:
            raise Refusal(Result.INVALID_PARMS)
        name, _ = _names(data)
        new = self._catalog.create(name, args.size, args.base_vid, snapshot=args.snapid != 0)
        return Response.of_vdi(new.vid)

    def _info(self, request: Request, data: bytes, _client: Client) -> Response:
        name, tag = _names(data)
        return Response.of_vdi(self._catalog.find(name, tag, request.vdi.snapid).vid)

    def _lock(self, request: Request, data: bytes, client: Client) -> Response:
        found = self._info(request, data, client)
        if request.vdi.lock_type != LOCK_SHARED:
            for other in list(self.clients):
                if other is not client and found.vid in other.writes:
                    raise Refusal(Result.VDI_LOCKED)
        return found

    def _release(self, request: Request, _data: bytes, _client: Client) -> Response:
        for client in list(self.clients):
            client.writes.discard(request.vdi.base_vid)
        return SUCCESS

    def _vdis(self, request: Request, _data: bytes, _client: Client) -> Response:
        return Response(Result.SUCCESS, self._catalog.bitmap()[: request.data_length])

    def _flush(self, request: Request, _data: bytes, _client: Client) -> Response:
        found = self._catalog.get(ObjectId.unpack(request.object.oid).vid)
        self._objects.sync(found.vid)
        return SUCCESS

    def _delete(self, request: Request, data: bytes, _client: Client) -> Response:
        name, tag = _names(data)
        self._catalog.delete(name, tag, request.vdi.snapid)
        return SUCCESS

    def _status(self, request: Request, _data: bytes, _client: Client) -> Response:
        space = self._store.space()
        status = {
            "server": f"pocketsheep {VERSION}",
            "formatted": self._store.formatted,
            "capacity": space.capacity,
            "used": space.used,
            "promised": space.promised,
        }
        return Response(Result.SUCCESS, json.dumps(status).encode()[: request.data_length])

    def _format(self, request: Request, _data: bytes, _client: Client) -> Response:
        self._store.format(request.vdi.copies)
        return SUCCESS


def _names(data: bytes) -> tuple[bytes, bytes]:
    """Return the name and the tag of a VDI operation's data (a tag may be left out)."""
    return wire.unpad(data[:NAME]), wire.unpad(data[NAME : 2 * NAME])


assert OBJECT_SIZE <= INODE_SIZE
