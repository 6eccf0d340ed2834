"""Locks: one run at a time per target and per host. A second run waits and says for which."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sheepvirt.core import paths
from sheepvirt.core.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.core.progress import Progress


def path_of(name: str) -> Path:
    """Return the file of lock ``name``."""
    return paths.state() / "locks" / f"{name}.lock"


@contextmanager
def lock(name: str, progress: Progress, *, wait: float = 1800.0) -> Iterator[None]:
    """Hold the machine-wide lock ``name`` (such as ``host-tahiti``).

    Waits at most ``wait`` seconds for another run and says who holds the lock; then raises
    LockedError. flock(2) frees the lock when its holder dies, so a killed run leaves no stale one.
    """
    path = path_of(name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a+", encoding="utf-8") as handle:
        deadline = time.monotonic() + wait
        said = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = path.read_text(encoding="utf-8").strip() or "another run"
                if time.monotonic() >= deadline:
                    raise LockedError(
                        f"{name} is in use by {holder}",
                        hint="wait for that run to end, then run this command again",
                    ) from None
                if not said:
                    progress.say(f"  waiting: {name} is in use by {holder}")
                    said = True
                time.sleep(0.5)
        handle.truncate(0)
        handle.write(f"process {os.getpid()}, started {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)
