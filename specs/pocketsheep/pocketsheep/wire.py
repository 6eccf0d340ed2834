"""Sheepdog's messages: bytes to shapes and back. Pure: no sockets, no files.

The format is that of QEMU 5.2's ``block/sheepdog.c`` (its structs ``SheepdogReq``, ``SheepdogRsp``,
``SheepdogObjReq``, ``SheepdogVdiReq``, ``SheepdogVdiRsp``, ``SheepdogClusterRsp``): a header of 48
bytes, little-endian, then ``data_length`` bytes. In a request those bytes follow only if
``FLAG_WRITE`` is set; without it ``data_length`` is how much the client will take.
Two operations are ours alone (``Op.STATUS``, ``Op.FORMAT``): QEMU's source does not describe what
sheepdog's own tools say to it for these.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

HEADER = 48  # bytes of every request and response
PROTOCOL = 1  # SD_PROTO_VER; clients may also leave it 0, as QEMU does for objects
PORT = 7000

OBJECT_SHIFT = 22
OBJECT_SIZE = 1 << OBJECT_SHIFT  # bytes of a data object: the only size that is served
MAX_OBJECTS = 1 << 20  # data objects of a VDI
MAX_VDI_SIZE = OBJECT_SIZE * MAX_OBJECTS
VDI_COUNT = 1 << 24  # VDI ids; 0 means "none"
NAME = 256  # bytes of a name or a tag, zero-padded
INODE_HEADER = 4664
INODE_SIZE = INODE_HEADER + 4 * MAX_OBJECTS
BITMAP = VDI_COUNT // 8  # bytes of the answer to READ_VDIS

# The largest data_length that any operation has a use for: a whole vdi object.
MAX_DATA = INODE_SIZE

FLAG_WRITE = 0x01  # data follows the request
FLAG_COW = 0x02  # a new object starts as a copy of cow_oid
FLAG_CACHE = 0x04  # writeback: durable at FLUSH_VDI; without it, durable when answered
FLAG_DIRECT = 0x08

LOCK_NORMAL = 0
LOCK_SHARED = 1

_VDI_BIT = 1 << 63
_VMSTATE_BIT = 1 << 62
_RESERVED = 0x0F << 56 | 0x30 << 56
_COMMON = struct.Struct("<BBHIII")
_OBJECT = struct.Struct("<QQBB6xQ")
_VDI = struct.Struct("<QIBBBBII8x")


class WireError(Exception):
    """Bytes that are no message, or a message that asks for more than the protocol has."""


class Op(enum.IntEnum):
    """Operations (SD_OP_*)."""

    CREATE_AND_WRITE_OBJ = 0x01
    READ_OBJ = 0x02
    WRITE_OBJ = 0x03
    DISCARD_OBJ = 0x05  # QEMU before 2.10; later ones write a zero into the vdi object instead
    NEW_VDI = 0x11
    LOCK_VDI = 0x12
    RELEASE_VDI = 0x13
    GET_VDI_INFO = 0x14
    READ_VDIS = 0x15
    FLUSH_VDI = 0x16
    DEL_VDI = 0x17
    GET_CLUSTER_DEFAULT = 0x18
    STATUS = 0xE0  # ours: a JSON object
    FORMAT = 0xE1  # ours


class Result(enum.IntEnum):
    """Results (SD_RES_*)."""

    SUCCESS = 0x00
    UNKNOWN = 0x01
    NO_OBJ = 0x02
    EIO = 0x03
    VDI_EXIST = 0x04
    INVALID_PARMS = 0x05
    SYSTEM_ERROR = 0x06
    VDI_LOCKED = 0x07
    NO_VDI = 0x08
    NO_BASE_VDI = 0x09
    NO_TAG = 0x0E
    FULL_VDI = 0x13
    VER_MISMATCH = 0x14
    NO_SPACE = 0x15
    WAIT_FOR_FORMAT = 0x16
    READONLY = 0x1A
    NO_SUPPORT = 0x8B


class Kind(enum.Enum):
    """What an object id names."""

    DATA = "d"
    VMSTATE = "m"
    VDI = "v"


@dataclass(frozen=True)
class ObjectId:
    """An object id: the VDI it belongs to, and its index there (0 for a vdi object)."""

    kind: Kind
    vid: int
    index: int = 0

    def pack(self) -> int:
        """Return the 64 bits of it."""
        bit = {Kind.DATA: 0, Kind.VMSTATE: _VMSTATE_BIT, Kind.VDI: _VDI_BIT}[self.kind]
        return bit | self.vid << 32 | self.index

    @classmethod
    def unpack(cls, oid: int) -> ObjectId:
        """Read 64 bits. Raises WireError where reserved bits are set or the index is too large."""
        kind = {0: Kind.DATA, _VMSTATE_BIT: Kind.VMSTATE, _VDI_BIT: Kind.VDI}.get(
            oid & (_VDI_BIT | _VMSTATE_BIT)
        )
        index = oid & 0xFFFFFFFF
        limit = 1 if kind is Kind.VDI else MAX_OBJECTS
        if kind is None or oid & _RESERVED or index >= limit:
            raise WireError(f"object id {oid:#x} is not in use")
        return cls(kind, oid >> 32 & (VDI_COUNT - 1), index)


@dataclass(frozen=True)
class ObjectArgs:
    """What object operations carry in the header."""

    oid: int
    cow_oid: int = 0
    offset: int = 0
    copies: int = 0
    copy_policy: int = 0

    def pack(self) -> bytes:
        """Return the header's last 32 bytes."""
        return _OBJECT.pack(self.oid, self.cow_oid, self.copies, self.copy_policy, self.offset)


@dataclass(frozen=True)
class VdiArgs:
    """What VDI operations carry in the header. ``size`` in bytes."""

    size: int = 0
    base_vid: int = 0
    copies: int = 0
    copy_policy: int = 0
    store_policy: int = 0
    shift: int = 0
    snapid: int = 0
    lock_type: int = 0

    def pack(self) -> bytes:
        """Return the header's last 32 bytes."""
        return _VDI.pack(
            self.size,
            self.base_vid,
            self.copies,
            self.copy_policy,
            self.store_policy,
            self.shift,
            self.snapid,
            self.lock_type,
        )


@dataclass(frozen=True)
class Request:
    """The header of a request. ``opcode`` may be one that we do not know."""

    opcode: int
    flags: int = 0
    ident: int = 0
    data_length: int = 0
    specific: bytes = bytes(32)
    protocol: int = PROTOCOL
    epoch: int = 0

    @property
    def object(self) -> ObjectArgs:
        """The operation's own part, read as that of an object operation."""
        oid, cow_oid, copies, policy, offset = _OBJECT.unpack(self.specific)
        return ObjectArgs(oid, cow_oid, offset, copies, policy)

    @property
    def vdi(self) -> VdiArgs:
        """The operation's own part, read as that of a VDI operation."""
        size, base, copies, policy, store, shift, snapid, kind = _VDI.unpack(self.specific)
        return VdiArgs(size, base, copies, policy, store, shift, snapid, kind)

    @property
    def payload(self) -> int:
        """How many bytes follow the header. Raises WireError where that is more than MAX_DATA."""
        if not self.flags & FLAG_WRITE:
            return 0
        if self.data_length > MAX_DATA:
            raise WireError(f"{self.data_length} bytes of data; no operation takes that much")
        return self.data_length

    def pack(self) -> bytes:
        """Return the header's bytes."""
        return (
            _COMMON.pack(
                self.protocol, self.opcode, self.flags, self.epoch, self.ident, self.data_length
            )
            + self.specific
        )

    @classmethod
    def unpack(cls, data: bytes) -> Request:
        """Read a header. Raises WireError unless it is 48 bytes of a version that we speak."""
        protocol, opcode, flags, epoch, ident, length, specific = _split(data)
        return cls(opcode, flags, ident, length, specific, protocol, epoch)


@dataclass(frozen=True)
class Response:
    """The header of a response and its data. ``specific`` is what follows the result."""

    result: int
    data: bytes = b""
    specific: bytes = bytes(28)

    def pack(self, request: Request) -> bytes:
        """Return the bytes of the answer to ``request``: header, then data."""
        return (
            _COMMON.pack(
                request.protocol, request.opcode, 0, request.epoch, request.ident, len(self.data)
            )
            + self.result.to_bytes(4, "little")
            + self.specific
            + self.data
        )

    @classmethod
    def of_vdi(cls, vid: int) -> Response:
        """Return the answer that names a VDI."""
        return cls(Result.SUCCESS, specific=struct.pack("<4xI20x", vid))

    @classmethod
    def of_cluster(cls) -> Response:
        """Return the answer to GET_CLUSTER_DEFAULT: one copy, objects of 4 MiB."""
        return cls(Result.SUCCESS, specific=struct.pack("<BBB25x", 1, 0, OBJECT_SHIFT))

    @property
    def vid(self) -> int:
        """The VDI that the answer names."""
        return int.from_bytes(self.specific[4:8], "little")


def response_header(data: bytes) -> tuple[Response, int, int]:
    """Read a response's header: the response without data, its request's id, its data's length.

    Raises WireError where the bytes are no header or announce more than MAX_DATA.
    """
    _protocol, _opcode, _flags, _epoch, ident, length, rest = _split(data)
    if length > MAX_DATA:
        raise WireError(f"the server announces {length} bytes; no operation answers so much")
    return Response(int.from_bytes(rest[:4], "little"), b"", rest[4:]), ident, length


def _split(data: bytes) -> tuple[int, int, int, int, int, int, bytes]:
    if len(data) != HEADER:
        raise WireError(f"a header has {HEADER} bytes, not {len(data)}")
    protocol, opcode, flags, epoch, ident, length = _COMMON.unpack_from(data)
    return protocol, opcode, flags, epoch, ident, length, data[_COMMON.size :]


def pad(text: bytes, size: int = NAME) -> bytes:
    """Return ``text`` zero-padded to ``size``. Raises WireError unless a final NUL fits."""
    if len(text) >= size or b"\0" in text:
        raise WireError(f"a name of {len(text)} bytes; up to {size - 1} without NUL fit")
    return text.ljust(size, b"\0")


def unpad(data: bytes) -> bytes:
    """Return what is before the first NUL."""
    return data.split(b"\0", 1)[0]


def message(result: int) -> str:
    """Say a result in words."""
    return _MESSAGES.get(result, f"error {result:#x}")


_MESSAGES: dict[int, str] = {
    Result.SUCCESS: "success",
    Result.UNKNOWN: "unknown error",
    Result.NO_OBJ: "no such object",
    Result.EIO: "I/O error",
    Result.VDI_EXIST: "a VDI of this name exists already",
    Result.INVALID_PARMS: "invalid parameters",
    Result.SYSTEM_ERROR: "system error",
    Result.VDI_LOCKED: "the VDI is in use: a client that is connected has written to it",
    Result.NO_VDI: "no such VDI",
    Result.NO_BASE_VDI: "no such base VDI",
    Result.NO_TAG: "no such snapshot",
    Result.FULL_VDI: "no VDI id is free",
    Result.VER_MISMATCH: "protocol version mismatch",
    Result.NO_SPACE: "the store has no space left",
    Result.WAIT_FOR_FORMAT: "not formatted yet (`dog cluster format -c 1`)",
    Result.READONLY: "read-only: it belongs to a snapshot",
    Result.NO_SUPPORT: "not supported by this stand-in",
}
