"""Kill the server 200 times under load: what it has acknowledged is there.

Three guests write as QEMU does (objects made, then referred to in the vdi object; several requests
outstanding), one caller makes, grows, snapshots and deletes VDIs. Each kill is a SIGKILL at a
moment that a fixed seed chooses; after each restart everything acknowledged is looked at. What was
not acknowledged may be there, in part, or not at all.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from world import SETTINGS

from pocketsheep import wire
from pocketsheep.client import Connection, Refused
from pocketsheep.wire import FLAG_CACHE, FLAG_WRITE, HEADER, Kind, ObjectArgs, ObjectId, Op, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KILLS = 200
SEED = 20130315
BLOCK = 4096
OBJECTS = 12  # of each guest's VDI
BLOCKS = 24  # of each object that are written to
SIZE = OBJECTS * wire.OBJECT_SIZE


class Lost(AssertionError):
    """Something acknowledged is not there."""


class Sheep:
    """The real program, started and killed again and again, on one port."""

    def __init__(self, store: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._argv = [
            sys.executable,
            "-m",
            "pocketsheep",
            "--store",
            str(store),
            "--port",
            str(self.port),
        ]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(SETTINGS.specs / "pocketsheep")}
        self._process = subprocess.Popen(
            self._argv, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        lines = [self._process.stderr.readline() for _ in range(2)]
        assert lines[1].startswith("serving 127.0.0.1 port"), lines

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, "the server ended by itself"
        self._process.kill()
        self._process.wait()
        assert self._process.stderr is not None
        said = self._process.stderr.read()
        self._process.stderr.close()
        assert "Traceback" not in said, said

    def connect(self) -> Connection:
        return Connection("127.0.0.1", self.port, timeout=20)


def block(version: int) -> bytes:
    return version.to_bytes(8, "little") * (BLOCK // 8)


@dataclass
class Guest:
    """Writes into its VDI, and knows what has been acknowledged. 0: nothing was, yet."""

    name: bytes
    random: random.Random
    vid: int = 0
    known: dict[tuple[int, int], int] = field(default_factory=dict)  # (object, block) to version
    unsure: set[tuple[int, int]] = field(default_factory=set)
    version: int = 0
    acknowledged: int = 0
    flushed: int = 0

    def load(self, sheep: Sheep) -> None:
        """Write until the server is gone."""
        with sheep.connect() as connection:
            inode = connection.inode(self.vid)
            owned = {i for i in range(OBJECTS) if inode.owner(i) == self.vid}
            while True:
                index = self.random.randrange(OBJECTS)
                if index not in owned:
                    self._make(connection, index)
                    owned.add(index)
                elif self.random.random() < 0.04:
                    self._discard(connection, index)
                    owned.discard(index)
                elif self.random.random() < 0.1:
                    connection.flush(self.vid)
                    self.flushed += 1
                else:
                    self._overwrite(
                        connection, self.random.sample(sorted(owned), k=min(4, len(owned)))
                    )

    def _next(self) -> int:
        self.version += 1
        return self.version

    def _make(self, connection: Connection, index: int) -> None:
        """Make an object and refer to it: only then is the guest's write acknowledged."""
        place = (index, self.random.randrange(BLOCKS))
        version = self._next()
        self.unsure |= {(index, b) for b in range(BLOCKS)}
        oid = ObjectId(Kind.DATA, self.vid, index)
        connection.write(oid, place[1] * BLOCK, block(version), create=True)
        connection.set_owner(self.vid, index, self.vid)
        for number in range(BLOCKS):
            self._is((index, number), 0)
        self._is(place, version)
        self.acknowledged += 1

    def _discard(self, connection: Connection, index: int) -> None:
        self.unsure |= {(index, b) for b in range(BLOCKS)}
        connection.set_owner(self.vid, index, 0)
        for number in range(BLOCKS):
            self._is((index, number), 0)
        self.acknowledged += 1

    def _overwrite(self, connection: Connection, indexes: list[int]) -> None:
        """Send several writes before any is answered; answers may come in any order."""
        places = {(index, self.random.randrange(BLOCKS)): self._next() for index in indexes}
        self.unsure |= places.keys()
        by_ident = dict(enumerate(places))
        for ident, place in by_ident.items():
            args = ObjectArgs(
                ObjectId(Kind.DATA, self.vid, place[0]).pack(), offset=place[1] * BLOCK
            )
            header = Request(Op.WRITE_OBJ, FLAG_WRITE | FLAG_CACHE, ident, BLOCK, args.pack())
            connection._socket.sendall(header.pack() + block(places[place]))
        for _ in places:
            response, ident, _ = wire.response_header(connection._receive(HEADER))
            assert response.result == 0, wire.message(response.result)
            self._is(by_ident[ident], places[by_ident[ident]])
            self.acknowledged += 1

    def _is(self, place: tuple[int, int], version: int) -> None:
        self.known[place] = version
        self.unsure.discard(place)

    def check(self, connection: Connection) -> None:
        """Look at everything that was acknowledged; take what is there for what was not."""
        inode = connection.inode(self.vid)
        for index in range(OBJECTS):
            owner = inode.owner(index)
            data = bytes(BLOCKS * BLOCK)
            if owner:
                data = connection.read(ObjectId(Kind.DATA, owner, index), 0, BLOCKS * BLOCK)
            for number in range(BLOCKS):
                place, found = (index, number), data[number * BLOCK : (number + 1) * BLOCK]
                if place not in self.unsure and found != block(self.known.get(place, 0)):
                    wanted, there = self.known.get(place, 0), int.from_bytes(found[:8], "little")
                    raise Lost(f"{self.name!r}: {place} is version {there}, not {wanted}")
        for place in self.unsure & self.known.keys():
            self.known.pop(place)

    def settle(self, connection: Connection) -> None:
        """Write again what was not acknowledged, as QEMU does once it is connected again."""
        inode = connection.inode(self.vid)
        for index, number in sorted(self.unsure):
            if inode.owner(index) == self.vid:
                version = self._next()
                oid = ObjectId(Kind.DATA, self.vid, index)
                connection.write(oid, number * BLOCK, block(version))
                self._is((index, number), version)
            else:
                self._is((index, number), 0)


@dataclass
class Caller:
    """Makes and deletes VDIs, as an administrator does."""

    random: random.Random
    known: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # name to (size, snapshots)
    unsure: set[bytes] = field(default_factory=set)
    acknowledged: int = 0

    def load(self, sheep: Sheep) -> None:
        with sheep.connect() as connection:
            while True:
                name = b"vdi/%d 'x'" % self.random.randrange(12)
                if name not in self.unsure:
                    self._change(connection, name)

    def _change(self, connection: Connection, name: bytes) -> None:
        self.unsure.add(name)
        size, snapshots = self.known.get(name, (0, 0))
        if not size:
            size = self.random.randrange(1, 1 << 30)
            connection.create(name, size)
        elif snapshots > 2 or self.random.random() < 0.3:
            connection.delete(name)
            for snapid in range(1, snapshots + 1):
                connection.delete(name, snapid=snapid)
            size = snapshots = 0
        elif self.random.random() < 0.5:
            connection.create(name, size, connection.find(name), snapshot=True)
            snapshots += 1
        else:
            size += self.random.randrange(1, 1 << 20)
            vdi = ObjectId(Kind.VDI, connection.find(name))
            connection.write(vdi, 2 * wire.NAME + 24, size.to_bytes(8, "little"))
        self.known[name] = (size, snapshots)
        self.unsure.discard(name)
        self.acknowledged += 1

    def check(self, connection: Connection) -> None:
        found: dict[bytes, tuple[int, int]] = {}
        for vid in connection.vids():
            try:
                inode = connection.header(vid)
            except Refused:
                continue  # an id that is kept
            size, snapshots = found.get(inode.name, (0, 0))
            if inode.snapshot:
                found[inode.name] = (size, snapshots + 1)
            elif size:
                raise Lost(f"{inode.name!r} is there twice")
            else:
                found[inode.name] = (inode.size, snapshots)
        for name, wanted in self.known.items():
            if name not in self.unsure and found.get(name, (0, 0)) != wanted:
                raise Lost(f"{name!r} is {found.get(name)}, not {wanted}")

    def settle(self, connection: Connection) -> None:
        """Delete what is in doubt, and begin with it again."""
        for name in sorted(self.unsure):
            for snapid in range(5):
                try:
                    connection.delete(name, snapid=snapid)
                except Refused:
                    continue
            self.known[name] = (0, 0)
        self.unsure.clear()


def under_load(sheep: Sheep, loads: list[Callable[[Sheep], None]], seconds: float) -> int:
    """Run the loads, kill the server after ``seconds``; return how many the kill interrupted."""
    interrupted: list[BaseException] = []
    defects: list[BaseException] = []

    def run(load: Callable[[Sheep], None]) -> None:
        try:
            load(sheep)
        except OSError as error:
            interrupted.append(error)
        except BaseException as error:  # told to the test's own thread
            defects.append(error)

    threads = [threading.Thread(target=run, args=(load,)) for load in loads]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    sheep.kill()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not defects, defects
    return len(interrupted)


@pytest.fixture
def sheep(tmp_path: Path) -> Iterator[Sheep]:
    server = Sheep(tmp_path / "store")
    server.start()
    yield server
    if server._process is not None and server._process.poll() is None:
        server.kill()


def test_no_acknowledged_write_is_lost_in_200_kills(
    sheep: Sheep, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    guests = [Guest(b"guest %d" % n, random.Random(SEED + n)) for n in range(3)]
    caller = Caller(random.Random(SEED + 9))
    actors: list[Guest | Caller] = [*guests, caller]
    with sheep.connect() as connection:
        connection.format(1)
        for guest in guests:
            guest.vid = connection.create(guest.name, SIZE)
    outstanding = 0
    started = time.monotonic()
    for _ in range(KILLS):
        outstanding += under_load(sheep, [a.load for a in actors], chance.uniform(0.005, 0.15))
        sheep.start()
        with sheep.connect() as connection:
            for actor in actors:
                actor.check(connection)
                actor.settle(connection)
    writes = sum(g.acknowledged for g in guests)
    seconds = time.monotonic() - started
    with capsys.disabled():
        print(
            f"\npocketsheep: {KILLS} kills (seed {SEED}, {outstanding} clients cut off) in "
            f"{seconds:.0f} s: {writes} acknowledged writes, {sum(g.flushed for g in guests)} "
            f"flushes, {caller.acknowledged} acknowledged changes of VDIs; none lost"
        )
    assert writes > KILLS, "that was no load"
    assert outstanding > KILLS, "the kills came while nobody was asking"
