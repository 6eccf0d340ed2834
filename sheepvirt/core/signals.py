"""SIGTERM as an exception, so that what must be cleaned up is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminate_as_exception() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt meanwhile; Python itself would end without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python takes signals on its main thread alone
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
