"""Bytes of the wire: what is sent is what arrives, and nothing but WireError comes of garbage."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketsheep import inode as inodes
from pocketsheep import wire
from pocketsheep.inode import Inode
from pocketsheep.wire import (
    HEADER,
    INODE_HEADER,
    INODE_SIZE,
    MAX_DATA,
    Kind,
    ObjectArgs,
    ObjectId,
    Request,
    Response,
    VdiArgs,
    WireError,
)
from tests.here import SETTINGS

byte = st.integers(0, 0xFF)
word = st.integers(0, 0xFFFFFFFF)
long = st.integers(0, 0xFFFFFFFFFFFFFFFF)
names = st.binary(max_size=wire.NAME - 1).map(lambda b: b.replace(b"\0", b"x"))
object_args = st.builds(ObjectArgs, long, long, long, byte, byte)
vdi_args = st.builds(VdiArgs, long, word, byte, byte, byte, byte, word, word)
specific = st.binary(min_size=32, max_size=32)
requests = st.builds(Request, byte, st.integers(0, 0xFFFF), word, word, specific, byte, word)
maps = st.lists(st.integers(0, wire.VDI_COUNT - 1), max_size=50).map(
    lambda row: inodes.trimmed(b"".join(n.to_bytes(4, "little") for n in row))
)
vdis = st.builds(Inode, word, names, long, names, long, long, word, word, long, long, maps)


@given(requests)
def test_a_request_arrives_as_it_was_sent(request: Request) -> None:
    assert len(request.pack()) == HEADER
    assert Request.unpack(request.pack()) == request


@given(object_args, vdi_args)
def test_the_operations_own_part_arrives(args: ObjectArgs, vdi: VdiArgs) -> None:
    assert Request(1, specific=args.pack()).object == args
    assert Request(1, specific=vdi.pack()).vdi == vdi


@given(requests, word, st.binary(max_size=64))
def test_a_response_arrives_with_its_requests_id(
    request: Request, result: int, data: bytes
) -> None:
    sent = Response(result, data).pack(request)
    found, ident, length = wire.response_header(sent[:HEADER])
    assert (found.result, ident, length) == (result, request.ident, len(data))
    assert sent[HEADER:] == data


@given(st.binary(max_size=2 * HEADER))
def test_garbage_is_a_request_or_a_wire_error(data: bytes) -> None:
    """And what it asks for is never taken at its word: a length is checked before it is used."""
    try:
        request = Request.unpack(data)
        assert 0 <= request.payload <= MAX_DATA
        ObjectId.unpack(request.object.oid)
    except WireError:
        return


@given(st.binary(max_size=2 * HEADER))
def test_garbage_is_a_response_or_a_wire_error(data: bytes) -> None:
    try:
        assert wire.response_header(data)[2] <= MAX_DATA
    except WireError:
        return


@given(st.binary(min_size=HEADER, max_size=HEADER), st.integers(0, HEADER - 1))
def test_a_truncated_header_is_refused(data: bytes, length: int) -> None:
    with pytest.raises(WireError, match="a header has 48 bytes"):
        Request.unpack(data[:length])


@pytest.mark.parametrize("length", [MAX_DATA + 1, 0xFFFFFFFF])
def test_an_oversized_payload_is_refused(length: int) -> None:
    with pytest.raises(WireError, match=str(length)):
        _ = Request(3, wire.FLAG_WRITE, data_length=length).payload
    assert Request(2, data_length=length).payload == 0, "without data, it is what the client takes"


@given(st.sampled_from(Kind), st.integers(0, wire.VDI_COUNT - 1), st.integers(0, (1 << 20) - 1))
def test_an_object_id_arrives(kind: Kind, vid: int, index: int) -> None:
    oid = ObjectId(kind, vid, 0 if kind is Kind.VDI else index)
    assert ObjectId.unpack(oid.pack()) == oid


@given(long)
def test_an_object_id_has_one_form(number: int) -> None:
    try:
        assert ObjectId.unpack(number).pack() == number
    except WireError:
        return


@given(vdis)
def test_a_vdi_object_arrives(inode: Inode) -> None:
    assert Inode.unpack(inode.pack()) == inode
    assert inode.read(0, INODE_SIZE) == inode.pack().ljust(INODE_SIZE, b"\0")


@given(st.binary(max_size=INODE_HEADER + 64))
def test_garbage_is_a_vdi_object_or_a_wire_error(data: bytes) -> None:
    for raw in (data, data.ljust(INODE_HEADER, b"\0")):
        try:
            Inode.unpack(raw)
        except WireError:
            continue


@given(vdis, st.integers(0, INODE_SIZE + 8), st.binary(max_size=64))
def test_a_write_never_changes_who_a_vdi_is(inode: Inode, offset: int, data: bytes) -> None:
    inode = replace(inode, size=min(inode.size, wire.MAX_VDI_SIZE))
    try:
        new = inode.written(offset, data)
    except WireError:
        return
    assert (new.vid, new.name, new.ctime, new.snap_ctime, new.snap_id, new.parent) == (
        inode.vid,
        inode.name,
        inode.ctime,
        inode.snap_ctime,
        inode.snap_id,
        inode.parent,
    )
    assert inode.size <= new.size <= wire.MAX_VDI_SIZE
    if offset >= INODE_HEADER:
        assert new.read(offset, len(data)) == data


@given(vdis, st.integers(0, 60), st.lists(word, min_size=1, max_size=8))
def test_changes_of_the_map_are_told(inode: Inode, first: int, owners: list[int]) -> None:
    data = b"".join(n.to_bytes(4, "little") for n in owners)
    offset = INODE_HEADER + 4 * first
    new = replace(inode, size=0).written(offset, data)
    told = list(inodes.changes(inode, new, offset, len(data)))
    assert told == [
        (i, inode.owner(i), new.owner(i)) for i in range(200) if inode.owner(i) != new.owner(i)
    ]


def test_the_search_for_a_name_begins_where_qemus_does() -> None:
    """Published values of 64-bit FNV-1a, cut to the 24 bits of a VDI's id."""
    assert inodes.home(b"") == 0xCBF29CE484222325 & 0xFFFFFF
    assert inodes.home(b"a") == 0xAF63DC4C8601EC8C & 0xFFFFFF
    assert inodes.home(b"foobar") == 0x85944171F73967E8 & 0xFFFFFF


def test_the_sources_are_of_bullseyes_python() -> None:
    for path in sorted((SETTINGS.specs / "pocketsheep").rglob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))
