"""A store: a folder that says what it is, and that one server uses at a time.

``pocketsheep.json`` says the format, ``cluster.json`` that it has been formatted, ``vdi/`` has the
VDIs and their objects, ``scratch/`` what is being written.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pocketsheep.catalog import Catalog, sizes
from pocketsheep.errors import Refusal, StoreError
from pocketsheep.files import Scratch, write_all
from pocketsheep.objects import Objects
from pocketsheep.wire import Result

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
_VERSION_FILE = "pocketsheep.json"
_CLUSTER_FILE = "cluster.json"
# What may be in a folder that is taken for a new one: a filesystem's own, and what a server left
# that was killed while it made the store.
_EMPTY = {"lost+found", "scratch"}


@dataclass(frozen=True)
class Space:
    """Bytes: of the filesystem as far as it is ours to use, taken by objects, promised to VDIs."""

    capacity: int
    used: int
    promised: int


class Store:
    """An open store. Holds its lock until ``close``."""

    def __init__(self, folder: Path) -> None:
        """Open the store in ``folder``; an absent or empty folder becomes a new one.

        Raises StoreError: another server has it, it is something else, a newer format, damaged.
        """
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{folder} cannot be the store: {error.strerror}") from error
        try:
            self._take()
            self._open()
        except OSError as error:
            os.close(self._fd)
            raise StoreError(f"{folder} cannot be used: {error}") from error
        except BaseException:
            os.close(self._fd)
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another server is using {self._folder}") from None

    def _open(self) -> None:
        version = self._folder / _VERSION_FILE
        new = not version.exists()
        if new and {p.name for p in self._folder.iterdir()} - _EMPTY:
            raise StoreError(
                f"{self._folder} has files, but no {_VERSION_FILE}: it is not a store of "
                "pocketsheep. Name an empty folder"
            )
        if not new:
            _check(version)
        self._scratch = Scratch(self._folder / "scratch")
        if new:
            self._write(version, {"what": "a store of pocketsheep", "format": FORMAT})
        vdis = self._folder / "vdi"
        vdis.mkdir(exist_ok=True)
        self.objects = Objects(vdis, self._scratch)
        self.catalog = Catalog(vdis, self._scratch, self.objects)

    def close(self) -> None:
        """Let go of the store. Nothing is done to it: it is good at any moment."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    @property
    def formatted(self) -> bool:
        """Whether VDIs may be made."""
        return (self._folder / _CLUSTER_FILE).exists()

    def format(self, copies: int) -> None:
        """Declare the store ready for VDIs. Nothing is ever erased.

        Raises Refusal: INVALID_PARMS (more than one copy: there is one node), VDI_EXIST (it has
        VDIs, which a format of sheepdog would erase), OSError.
        """
        if copies > 1:
            raise Refusal(Result.INVALID_PARMS)
        if self.catalog.all():
            raise Refusal(Result.VDI_EXIST)
        if not self.formatted:
            self._write(self._folder / _CLUSTER_FILE, {"created": int(time.time()), "copies": 1})

    def space(self) -> Space:
        """Return how much there is, and how much is taken. Raises OSError."""
        info = os.fstatvfs(self._fd)
        used = self.objects.used()
        return Space(used + info.f_bavail * info.f_frsize, used, sizes(self.catalog.all()))

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2) + "\n"
        self._scratch.replace(path, lambda fd: write_all(fd, text.encode()), sync=True)


def _check(version: Path) -> None:
    """Refuse a store of a format that this program does not know."""
    try:
        found = json.loads(version.read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{version} says no format: {error!r}; nothing was changed") from error
    if found != FORMAT:
        raise StoreError(
            f"{version} says format {found}; this program knows format {FORMAT} alone. "
            "Use the version that wrote it; nothing was changed"
        )
