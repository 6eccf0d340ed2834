"""The server's command line: ``pocketsheep --store DIR``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from pocketsheep import WHAT
from pocketsheep.errors import StoreError
from pocketsheep.server import Server, tell_systemd
from pocketsheep.service import Service
from pocketsheep.store import Store
from pocketsheep.wire import PORT


def main(argv: list[str] | None = None) -> int:
    """Serve a store until SIGTERM or SIGINT. Returns the exit code: 0, or 1 where it cannot."""
    parser = argparse.ArgumentParser("pocketsheep", description=WHAT)
    parser.add_argument("--version", action="version", version=WHAT)
    parser.add_argument("--store", type=Path, required=True, help="folder of the store")
    parser.add_argument(
        "--address",
        action="append",
        default=[],
        help="address to serve; may be given again (default: 127.0.0.1 alone)",
    )
    parser.add_argument(
        "--port", type=int, default=PORT, help="default: %(default)s; 0: a free one"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        store = Store(options.store)
    except StoreError as error:
        print(f"pocketsheep: {error}", file=sys.stderr)
        return 1
    try:
        asyncio.run(_serve(store, options.address or ["127.0.0.1"], options.port))
    except OSError as error:
        print(f"pocketsheep: cannot listen: {error}", file=sys.stderr)
        return 1
    finally:
        store.close()
    return 0


async def _serve(store: Store, addresses: list[str], port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(Service(store))
    ports = await server.start(addresses, port)
    places = ", ".join(f"{a} port {p}" for a, p in zip(addresses, ports))
    print(f"{WHAT}\nserving {places}", file=sys.stderr, flush=True)
    tell_systemd(f"READY=1\nSTATUS={WHAT}")
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    sys.exit(main())
