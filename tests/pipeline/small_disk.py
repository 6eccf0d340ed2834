"""A rehearsal host on a disk of its own, which is so small that it can be full.

A container's files are on the disk of this machine. Here its folders are on an ext4 filesystem in a
file (a loop device), with the content of the host image. So a full disk is one: the kernel says
ENOSPC to whoever writes, and nobody plays it.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker

from sheepvirt.bootstrap import rehearsal
from sheepvirt.engine.engine import Engine

if TYPE_CHECKING:
    from sheepvirt.engine.container import Container
    from sheepvirt.model.hosts import Host
    from sheepvirt.run import Run

# What the engine or the host itself mounts anew with every start; and what is empty.
# /srv: what others have on the host is on a disk of their own.
NOT_ON_IT = {"dev", "proc", "sys", "run", "tmp", "mnt", "media", "boot", "srv"}
LOOP_MAJOR = 7


@dataclass(frozen=True, kw_only=True)
class SmallDisk:
    """An ext4 filesystem in a file below ``folder``; nothing is reserved for root."""

    folder: Path
    size: int  # bytes
    inodes: int

    @property
    def root(self) -> Path:
        """Where it is mounted here."""
        return self.folder / "root"

    def make(self) -> None:
        """Make and mount it, empty. Raises AssertionError, with what mkfs or mount says."""
        self.remove()
        self.root.mkdir(parents=True, exist_ok=True)
        image = self.folder / "disk.img"
        with image.open("wb") as file:
            file.truncate(self.size)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(self.inodes), str(image))
        _ensure_loop_device()
        # What a crash of this machine would lose of it does not matter.
        _run("mount", "-o", "loop,nobarrier,noatime", str(image), str(self.root))

    def missing(self) -> str:
        """Return why this machine cannot make one, or ""."""
        try:
            self.make()
        except (AssertionError, OSError) as error:
            return str(error)
        finally:
            self.remove()
        return ""

    def fill_with(self, image: str) -> None:
        """Copy the files of a container image to it."""
        api = docker.from_env().api
        ident = api.create_container(image, ["-"])["Id"]
        try:
            with subprocess.Popen(
                ["tar", "-x", "-C", str(self.root)], stdin=subprocess.PIPE
            ) as tar:
                assert tar.stdin
                for chunk in api.export(ident):
                    tar.stdin.write(chunk)
                tar.stdin.close()
            assert tar.returncode == 0
        finally:
            api.remove_container(ident, force=True, v=True)

    def mounts(self) -> dict[str, str]:
        """Return its folders: path here to path on the host."""
        folders = (p for p in self.root.iterdir() if p.is_dir() and not p.is_symlink())
        return {
            str(p): f"/{p.name}"
            for p in folders
            if p.name not in NOT_ON_IT and p.name != "lost+found"
        }

    def remove(self) -> None:
        """Unmount it and remove its file; also what a killed run of the tests has left."""
        while os.path.ismount(self.root):
            _run("umount", str(self.root))
        shutil.rmtree(self.folder, ignore_errors=True)


class _EngineWithSmallDisk(Engine):
    """An engine whose host containers have their folders on a small disk."""

    def __init__(self, disk: SmallDisk) -> None:
        super().__init__()
        self._disk = disk

    def start_host(self, name: str, image: str, **given: Any) -> Container:
        self._disk.fill_with(image)
        return super().start_host(name, image, **{**given, "mounts": self._disk.mounts()})


def create(disk: SmallDisk, run: Run, host: Host) -> None:
    """Create and start the container of ``host`` on ``disk``; it is not bootstrapped yet."""
    disk.make()
    rehearsal.ensure(replace(run, engine=_EngineWithSmallDisk(disk)), host)


def _ensure_loop_device() -> None:
    """Make the node of the next free loop device: in a container /dev has only some of them."""
    device = Path(_run("losetup", "--find"))
    if not device.exists():
        number = int(device.name.removeprefix("loop"))
        os.mknod(device, 0o660 | stat.S_IFBLK, os.makedev(LOOP_MAJOR, number))


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, (
        f"a small disk needs e2fsprogs, mount and a loop device, as root: `{' '.join(argv)}` "
        f"says {done.stderr.strip()!r}"
    )
    return done.stdout.strip()
