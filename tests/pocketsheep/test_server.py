"""The server over loopback: what it answers, what it survives, who may write."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import tracemalloc
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pocketsheep import wire
from pocketsheep.client import Connection, Refused
from pocketsheep.files import Scratch
from pocketsheep.server import Limits, Server
from pocketsheep.service import Service
from pocketsheep.store import Store
from pocketsheep.wire import (
    FLAG_CACHE,
    FLAG_DIRECT,
    FLAG_WRITE,
    HEADER,
    INODE_SIZE,
    MAX_DATA,
    OBJECT_SIZE,
    Kind,
    ObjectArgs,
    ObjectId,
    Op,
    Request,
    Result,
    VdiArgs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 1 << 20
LIMITS = Limits(connections=6, begun=0.2, answered=2.0, backlog=6 * MB, locked=0.2)


class Running:
    """A server in a thread of its own."""

    def __init__(self, store: Store) -> None:
        self.service = Service(store)
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = Server(self.service, LIMITS)
        (self.port,) = await server.start(["127.0.0.1"], 0)
        self._stop = asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        await server.stop()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def connect(self) -> Connection:
        return Connection("127.0.0.1", self.port, timeout=5)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    store = Store(tmp_path_factory.mktemp("server") / "store")
    store.format(1)
    running = Running(store)
    yield running
    running.stop()
    store.close()


@pytest.fixture
def sheep(server: Running) -> Iterator[Connection]:
    with server.connect() as connection:
        yield connection


def refused(result: Result) -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, check=lambda e: e.result == result)


def made(sheep: Connection, name: bytes) -> ObjectId:
    """Make a VDI with one object; return the object."""
    vid = sheep.create(name, 64 * MB)
    oid = ObjectId(Kind.DATA, vid, 2)
    sheep.write(oid, 0, b"data", create=True)
    sheep.set_owner(vid, 2, vid)
    return oid


def test_an_unformatted_store_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    running = Running(store)
    with running.connect() as sheep:
        with refused(Result.WAIT_FOR_FORMAT):
            sheep.create(b"early", MB)
        assert sheep.status()["formatted"] is False
        sheep.format(1)
        sheep.create(b"now", MB)
    running.stop()
    store.close()


def test_data_comes_back(sheep: Connection) -> None:
    oid = made(sheep, b"plain")
    data = os.urandom(OBJECT_SIZE)
    for flags in (FLAG_CACHE, FLAG_DIRECT, 0):
        sheep.write(oid, 0, data, flags=flags)
        sheep.flush(oid.vid)
        assert sheep.read(oid, 1000, 5000) == data[1000:6000]
    assert sheep.inode(oid.vid).owner(2) == oid.vid


def test_unknown_things_have_their_codes(sheep: Connection) -> None:
    oid = made(sheep, b"known")
    with refused(Result.NO_VDI):
        sheep.find(b"unknown")
    with refused(Result.NO_TAG):
        sheep.find(b"known", b"unknown")
    with refused(Result.NO_OBJ):
        sheep.read(ObjectId(Kind.DATA, oid.vid, 3), 0, 1)
    with refused(Result.NO_OBJ):
        sheep.write(ObjectId(Kind.DATA, oid.vid, 3), 0, b"x")
    with refused(Result.NO_VDI):
        sheep.write(ObjectId(Kind.DATA, 1, 0), 0, b"x", create=True)
    with refused(Result.NO_SUPPORT):
        sheep.call(0x7F)
    with refused(Result.VER_MISMATCH):
        raise Refused(_raw_result(sheep, Request(Op.READ_VDIS, protocol=9)))


def _raw_result(sheep: Connection, request: Request) -> int:
    sheep._socket.sendall(request.pack())
    return wire.response_header(sheep._receive(HEADER))[0].result


@pytest.mark.parametrize(
    ("offset", "length"), [(OBJECT_SIZE, 1), (1 << 63, 1), (0, OBJECT_SIZE + 1)]
)
def test_reads_and_writes_beyond_an_object_are_refused(
    sheep: Connection, offset: int, length: int
) -> None:
    oid = made(sheep, b"beyond %d %d" % (offset, length))
    with refused(Result.INVALID_PARMS):
        sheep.read(oid, offset, length)
    with refused(Result.INVALID_PARMS):
        sheep.write(oid, offset, bytes(length))
    with refused(Result.INVALID_PARMS):
        sheep.write(ObjectId(Kind.DATA, oid.vid, 16), 0, b"x", create=True)


def test_what_it_cannot_do_is_refused(sheep: Connection) -> None:
    for args in (
        VdiArgs(size=MB, shift=20),
        VdiArgs(size=MB, copies=3),
        VdiArgs(size=MB, copy_policy=0x21),
        VdiArgs(size=wire.MAX_VDI_SIZE + 1),
    ):
        with refused(Result.INVALID_PARMS):
            sheep.call(Op.NEW_VDI, args.pack(), wire.pad(b"special"))


def test_a_size_that_no_operation_has_is_answered_and_the_connection_closed(
    server: Running,
) -> None:
    with server.socket() as sock:
        sock.sendall(Request(Op.WRITE_OBJ, FLAG_WRITE, 7, MAX_DATA + 1).pack())
        response, ident, length = wire.response_header(_all(sock))
        assert (response.result, ident, length) == (Result.INVALID_PARMS, 7, 0)


def test_an_answer_that_no_operation_has_is_refused(sheep: Connection) -> None:
    oid = made(sheep, b"greedy")
    request = Request(
        Op.READ_OBJ, 0, 1, 0xFFFFFFFF, ObjectArgs(ObjectId(Kind.VDI, oid.vid).pack()).pack()
    )
    assert _raw_result(sheep, request) == Result.INVALID_PARMS
    assert len(sheep.read(ObjectId(Kind.VDI, oid.vid), 0, INODE_SIZE)) == INODE_SIZE


@pytest.mark.parametrize("sent", [1, HEADER - 1, HEADER, HEADER + 100])
def test_a_half_sent_request_is_closed_after_a_while(server: Running, sent: int) -> None:
    request = Request(Op.WRITE_OBJ, FLAG_WRITE, 1, 1000).pack() + bytes(1000)
    with server.socket() as sock:
        sock.sendall(request[:sent])
        assert _all(sock) == b""


def test_an_idle_connection_stays(server: Running, sheep: Connection) -> None:
    time.sleep(2 * LIMITS.begun)
    assert sheep.status()["formatted"]


def test_more_connections_than_allowed_are_closed(server: Running) -> None:
    _settled(server)
    with ExitStack() as stack:
        for _ in range(LIMITS.connections):
            assert stack.enter_context(server.connect()).status()
        with server.socket() as sock:
            assert _all(sock) == b""
    _settled(server)


def _all(sock: socket.socket) -> bytes:
    """Return all bytes up to the end of the stream."""
    found = b""
    try:
        while part := sock.recv(1 << 16):
            found += part
    except ConnectionResetError:
        pass
    return found


def _settled(server: Running, left: int = 0) -> None:
    """Wait until the server has seen that closed connections are closed; ``left`` are not."""
    end = time.monotonic() + 5
    while len(server.service.clients) > left and time.monotonic() < end:
        time.sleep(0.01)
    assert len(server.service.clients) == left


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=100),
            st.builds(
                lambda op, flags, ident, data, specific: (
                    Request(op, flags, ident, len(data), specific).pack() + data
                ),
                st.sampled_from([int(op) for op in Op if op != Op.FORMAT]) | st.integers(0, 255),
                st.integers(0, 15),
                st.integers(0, 9),
                st.binary(max_size=600),
                st.binary(min_size=32, max_size=32) | st.just(bytes(32)),
            ),
        ),
        max_size=6,
    )
)
def test_garbage_never_ends_the_server(server: Running, pieces: list[bytes]) -> None:
    """It is answered, or the connection is closed; others are served on."""
    with server.socket() as sock:
        try:
            sock.sendall(b"".join(pieces))
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        _all(sock)
    with server.connect() as sheep:
        assert sheep.status()["formatted"]


def test_many_requests_may_be_outstanding(server: Running, sheep: Connection) -> None:
    """More than the server takes in hand at once; each is answered, whatever the order."""
    oid = made(sheep, b"many")
    count, size = 40, 256 << 10
    with server.socket() as sock:
        args = [ObjectArgs(oid.pack(), offset=i % 16 * size) for i in range(count)]
        writes = [
            Request(Op.WRITE_OBJ, FLAG_WRITE | FLAG_CACHE, i, size, a.pack()).pack()
            + bytes([i]) * size
            for i, a in enumerate(args)
        ]
        sender = threading.Thread(target=sock.sendall, args=(b"".join(writes),))
        sender.start()
        idents = set()
        for _ in range(count):
            response, ident, length = wire.response_header(sock.recv(HEADER, socket.MSG_WAITALL))
            assert (response.result, length) == (Result.SUCCESS, 0)
            idents.add(ident)
        sender.join()
    assert idents == set(range(count))


def test_what_is_only_announced_or_never_taken_costs_no_memory(
    server: Running, sheep: Connection
) -> None:
    """Half a gigabyte is asked for and not taken; a write is announced whose data never comes."""
    oid = made(sheep, b"hungry")
    args = ObjectArgs(ObjectId(Kind.VDI, oid.vid).pack()).pack()
    reads = b"".join(Request(Op.READ_OBJ, 0, i, INODE_SIZE, args).pack() for i in range(128))
    write = Request(Op.WRITE_OBJ, FLAG_WRITE, 1, MAX_DATA, args).pack()
    _settled(server, 1)
    tracemalloc.start()
    try:
        with server.socket() as glutton, server.socket() as liar:
            glutton.sendall(reads)
            liar.sendall(write)
            for _ in range(200):
                assert sheep.status()["formatted"], "others are served meanwhile"
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # In hand: its backlog, and what a request needs beside the answer that it makes.
    assert peak < LIMITS.backlog + 6 * MAX_DATA, f"{peak / MB:.0f} MiB"


def test_a_vdi_that_a_live_client_has_written_to_is_locked(server: Running) -> None:
    with server.connect() as guest, server.connect() as other:
        oid = made(guest, b"locked")
        with refused(Result.VDI_LOCKED):
            other.find(b"locked", lock=True)
        assert other.find(b"locked") == oid.vid, "to look is always allowed"
        shared = VdiArgs(lock_type=wire.LOCK_SHARED).pack()
        other.call(Op.LOCK_VDI, shared, wire.pad(b"locked") + bytes(wire.NAME))
        other.call(Op.RELEASE_VDI, VdiArgs(base_vid=oid.vid).pack(), b"locked\0")
        other.find(b"locked", lock=True)
        guest.write(oid, 0, b"on")
        with refused(Result.VDI_LOCKED):
            other.find(b"locked", lock=True)
        guest.close()
        assert other.find(b"locked", lock=True) == oid.vid, "a dead client's lock goes with it"


def test_a_snapshots_writer_is_told_to_look_again(server: Running, sheep: Connection) -> None:
    """QEMU goes on with the VDI's new id when it is told READONLY."""
    oid = made(sheep, b"snap")
    new = sheep.create(b"snap", 64 * MB, oid.vid, snapshot=True)
    with refused(Result.READONLY):
        sheep.write(oid, 0, b"x")
    mine = ObjectId(Kind.DATA, new, 2)
    sheep.write(mine, 4, b" copied", create=True, base=oid)
    assert sheep.read(mine, 0, 11) == b"data copied"
    assert sheep.read(oid, 0, 11) == b"data" + bytes(7)


def test_a_full_disk_is_an_error_and_earlier_data_stays(
    server: Running, sheep: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    oid = made(sheep, b"full")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        disk.setattr(os, "pwrite", full)
        with refused(Result.NO_SPACE):
            sheep.write(ObjectId(Kind.DATA, oid.vid, 3), 0, b"x", create=True)
        with refused(Result.NO_SPACE):
            sheep.set_owner(oid.vid, 2, 0)
        with refused(Result.NO_SPACE):
            sheep.create(b"another", MB)
    assert sheep.read(oid, 0, 4) == b"data"
    assert sheep.inode(oid.vid).owner(2) == oid.vid


def test_what_is_written_into_an_object_that_a_full_disk_left_without_reference_stays(
    server: Running, sheep: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU does not refer to it again: it takes it for made."""
    oid = made(sheep, b"orphan")
    orphan = ObjectId(Kind.DATA, oid.vid, 3)
    sheep.write(orphan, 0, b"failed", create=True)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Scratch, "replace", full)
        for _ in range(2):
            with refused(Result.NO_SPACE):
                sheep.set_owner(oid.vid, 3, oid.vid)
            with refused(Result.NO_SPACE):
                sheep.write(orphan, 0, b"failed as well")
    assert sheep.inode(oid.vid).owner(3) == 0
    sheep.write(orphan, 0, b"written")
    assert sheep.inode(oid.vid).owner(3) == oid.vid
    assert sheep.read(orphan, 0, 7) == b"written"


def test_a_defect_of_ours_is_an_answer(sheep: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "space", lambda _: 1 // 0)
    with refused(Result.SYSTEM_ERROR):
        sheep.status()


def test_a_write_that_is_under_way_is_finished_before_its_lock_ends(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest that is killed while the server writes for it must not write into the next one's."""
    with server.connect() as other:
        guest = server.connect()
        oid = made(guest, b"slow")
        write, begun, may_end = (
            type(server.service._objects).write,
            threading.Event(),
            threading.Event(),
        )

        def slow(*args: object, **named: object) -> None:
            begun.set()
            may_end.wait(10)
            write(*args, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(type(server.service._objects), "write", slow)
        args = ObjectArgs(oid.pack())
        guest._socket.sendall(Request(Op.WRITE_OBJ, FLAG_WRITE, 9, 4, args.pack()).pack() + b"late")
        assert begun.wait(10)
        guest.close()
        with refused(Result.VDI_LOCKED):
            other.find(b"slow", lock=True)
        may_end.set()
        assert other.find(b"slow", lock=True) == oid.vid
        assert other.read(oid, 0, 4) == b"late"
