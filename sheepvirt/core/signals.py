"""SIGTERM as an exception, so that clean-up code runs."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextmanager
def terminate_as_exception() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt in this block; by default it ends Python at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals on its main thread only
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
