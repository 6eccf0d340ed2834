"""Locks: one run at a time per target and per host. A second run waits and says for which."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sheepvirt.core import files
from sheepvirt.core.clock import SYSTEM, Clock
from sheepvirt.core.errors import LockedError
from sheepvirt.core.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.core.progress import Progress
    from sheepvirt.core.settings import Settings


def path_of(settings: Settings, name: str) -> Path:
    """Return the file of lock ``name``."""
    return settings.state / "locks" / f"{name}.lock"


@contextmanager
def lock(
    settings: Settings,
    name: str,
    progress: Progress,
    *,
    wait: float = 1800.0,
    clock: Clock = SYSTEM,
) -> Iterator[None]:
    """Hold the machine-wide lock ``name`` (such as ``host-tahiti``).

    Waits at most ``wait`` seconds for another run and says who holds the lock; then raises
    LockedError. flock(2) frees the lock when its holder dies, so a killed run leaves no stale one.
    """
    path = path_of(settings, name)
    files.private_folder(path.parent)
    with path.open("a+", encoding="utf-8") as handle:
        said: list[str] = []

        def take() -> bool:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not said:
                    said.append(path.read_text(encoding="utf-8").strip() or "another run")
                    progress.say(f"  waiting: {name} is in use by {said[0]}")
                return False
            return True

        if not wait_until(take, bool, clock=clock, seconds=wait, every=0.5):
            holder = path.read_text(encoding="utf-8").strip() or "another run"
            raise LockedError(
                f"{name} is in use by {holder}",
                hint="wait for that run to end, then run this command again",
            )
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(clock.now()))
        handle.truncate(0)
        handle.write(f"process {os.getpid()}, started {since}\n")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)
