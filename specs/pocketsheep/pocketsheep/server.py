"""Connections: bytes to requests, answers to bytes. Nothing a client sends ends the server.

Memory is bounded: a connection has at most ``Limits.backlog`` bytes of requests and answers in
hand (but always one request), and is not read from meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketsheep.service import Client, Service
from pocketsheep.wire import HEADER, MAX_DATA, Op, Request, Response, Result, WireError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

log = logging.getLogger("pocketsheep")


@dataclass(frozen=True)
class Limits:
    """What a client may take. Seconds and bytes."""

    connections: int = 128
    begun: float = 30.0  # for a request whose first byte came; an idle connection may stay
    answered: float = 60.0  # for an answer to be taken
    backlog: int = 16 << 20  # of one connection's requests and answers together
    locked: float = 2.0  # a client that was just killed may still be seen as connected


class Backlog:
    """Bytes that one connection has in hand. One task takes, others give back."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._waiter: asyncio.Future[None] | None = None

    async def take(self, count: int) -> None:
        """Wait until ``count`` more fit; the first always does."""
        while self._used and self._used + count > self._limit:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._used += count

    def give(self, count: int) -> None:
        """Give ``count`` back."""
        self._used -= count
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Server:
    """Serves one ``Service`` on the addresses it is told."""

    def __init__(self, service: Service, limits: Limits = Limits()) -> None:
        self._service = service
        self._limits = limits
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="store")
        self._connections: set[asyncio.Task[None]] = set()
        self._listeners: list[asyncio.AbstractServer] = []

    async def start(self, addresses: Sequence[str], port: int) -> list[int]:
        """Listen; return the ports (``port`` 0: a free one). Raises OSError."""
        ports: list[int] = []
        for address in addresses:
            listener = await asyncio.start_server(
                self._connected, address, port, limit=1 << 20, reuse_address=True
            )
            self._listeners.append(listener)
            ports += [int(s.getsockname()[1]) for s in listener.sockets or []]
        return ports

    async def stop(self) -> None:
        """Take no more; finish what has been taken; close."""
        for listener in self._listeners:
            listener.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._pool.shutdown(wait=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._limits.connections:
            log.warning("more than %d connections: one was closed", self._limits.connections)
            writer.close()
            return
        self._connections.add(task)
        client = Client()
        self._service.clients.add(client)
        try:
            await _Connection(self, reader, writer, client).run()
        except (WireError, OSError, EOFError) as error:
            log.info("a connection was closed: %s", error or type(error).__name__)
        except asyncio.CancelledError:
            pass  # stop(): the task ends here in any case
        finally:
            self._service.clients.discard(client)
            self._connections.discard(task)
            writer.close()

    async def answer(self, request: Request, data: bytes, client: Client) -> Response:
        """Let a thread do it. A lock is tried for a while before it is refused."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.locked
        while True:
            done = await loop.run_in_executor(
                self._pool, self._service.answer, request, data, client
            )
            refused = request.opcode == Op.LOCK_VDI and done.result == Result.VDI_LOCKED
            if not refused or loop.time() > end:
                return done
            await asyncio.sleep(0.1)

    @property
    def limits(self) -> Limits:
        """What a client may take."""
        return self._limits


class _Connection:
    """One connection: requests are answered side by side, in whatever order they are done."""

    def __init__(
        self,
        server: Server,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: Client,
    ) -> None:
        self._server = server
        self._limits = server.limits
        self._reader = reader
        self._writer = writer
        self._client = client
        self._backlog = Backlog(self._limits.backlog)
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        sock = writer.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def run(self) -> None:
        """Serve until the client closes. Raises what ends a connection before that."""
        try:
            while await self._next():
                pass
        finally:
            # What was asked for is done, whoever still waits for the answer: a lock that goes
            # with this connection must not go before its last write.
            while self._tasks:
                await asyncio.wait(self._tasks)

    async def _next(self) -> bool:
        """Take one request; False at the end of the stream."""
        first = await self._reader.read(1)
        if not first:
            return False
        with self._within(self._limits.begun):
            request = Request.unpack(first + await self._reader.readexactly(HEADER - 1))
        try:
            length = request.payload
        except WireError:
            # Where the next request begins cannot be known: answer, then close.
            await self._send(request, Response(Result.INVALID_PARMS))
            raise
        size = max(length, min(request.data_length, MAX_DATA)) + HEADER
        await self._backlog.take(size)
        with self._within(self._limits.begun):
            data = await self._reader.readexactly(length) if length else b""
        task = asyncio.ensure_future(self._answer(request, data, size))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _answer(self, request: Request, data: bytes, size: int) -> None:
        try:
            await self._send(request, await self._server.answer(request, data, self._client))
        except OSError:
            self._writer.transport.abort()  # it does not take answers: it is gone
        finally:
            self._backlog.give(size)

    async def _send(self, request: Request, response: Response) -> None:
        async with self._writing:
            self._writer.write(response.pack(request))
            with self._within(self._limits.answered):
                await self._writer.drain()

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Cut the connection off after ``seconds``; what waits for it then ends with an error.

        ``asyncio.wait_for`` makes a task of each wait, which is a good part of a small request.
        """
        timer = asyncio.get_running_loop().call_later(seconds, self._writer.transport.abort)
        try:
            yield
        finally:
            timer.cancel()


def tell_systemd(state: str) -> None:
    """Tell systemd what a unit of ``Type=notify`` says (sd_notify(3)); nothing without systemd."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
