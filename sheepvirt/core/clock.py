"""The clock that a run works with. It is passed, so that a test never waits and never patches."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time of day, elapsed time, and waiting; all in seconds."""

    def now(self) -> float:
        """Return the time of day, in seconds since 1970 UTC."""

    def monotonic(self) -> float:
        """Return a time that never jumps back, for durations and deadlines."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Return the time of day, in seconds since 1970 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return a time that never jumps back, for durations and deadlines."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


SYSTEM = SystemClock()
