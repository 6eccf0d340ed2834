"""Files that are always complete: written to a scratch file, synced, renamed.

``rename`` within one filesystem is atomic; a name is durable once its folder has been synced.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Scratch:
    """A folder for what is not finished, on the store's filesystem. Emptied when it is opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = itertools.count()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)

    def path(self) -> Path:
        """Return a path in it that was never given out before."""
        return self._folder / str(next(self._count))

    def replace(self, path: Path, fill: Callable[[int], None], *, sync: bool) -> None:
        """Put a new file at ``path``; ``fill`` writes it through a descriptor.

        With ``sync`` it is durable on return. Where this raises OSError (no space, I/O), what was
        at ``path`` is still there, whole.
        """
        temporary = self.path()
        try:
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fill(fd)
                if sync:
                    os.fsync(fd)
            finally:
                os.close(fd)
            temporary.replace(path)
        except BaseException:
            _unlink(temporary)
            raise
        if sync:
            sync_folder(path.parent)

    def discard(self, path: Path) -> None:
        """Remove a file or folder: gone at once and for good, its space a moment later."""
        aside = self.path()
        path.replace(aside)
        sync_folder(path.parent)
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            _unlink(aside)


def write_all(fd: int, data: bytes, offset: int = 0) -> None:
    """Write all of ``data`` at ``offset``. Raises OSError; some of it may then be written."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view = view[done:]
        offset += done


def read_all(fd: int, length: int, offset: int) -> bytes:
    """Read ``length`` bytes at ``offset``. Raises OSError, also where the file ends before."""
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise OSError(errno.EIO, "a file is shorter than it was made")
        data += more
    return data


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unlink(path: Path) -> None:
    try:
        path.unlink()
    except OSError:
        return  # never made, or the next start empties the folder
