"""This machine: the Debian packages that the pipeline needs, the Docker Engine, its resources.

Uses no engine client: it must work before the engine does.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core import files, processes
from sheepvirt.core.clock import SYSTEM, Clock
from sheepvirt.core.errors import EngineUnavailableError
from sheepvirt.core.waiting import wait_until

if TYPE_CHECKING:
    from sheepvirt.core.progress import Progress
    from sheepvirt.core.settings import Settings

# Program to its Debian package.
PROGRAMS = {
    "dockerd": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "git": "git",
}
START_SECONDS = 60.0
SOCKET = Path("/var/run/docker.sock")
MAPS, CMDLINE, MEMINFO = Path("/proc/self/maps"), Path("/proc/cmdline"), Path("/proc/meminfo")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def engine_answers() -> bool:
    """Tell whether a Docker Engine answers, at ``$DOCKER_HOST`` or the default socket."""
    if os.environ.get("DOCKER_HOST"):
        return True  # the user's choice; engine/engine.py reports it if it does not answer
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(SOCKET))
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in client.recv(64)
    except OSError:
        return False


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are not on this machine."""
    needed = dict(PROGRAMS)
    if engine_answers():
        del needed["dockerd"]
    return sorted({p for name, p in needed.items() if not shutil.which(name, path=PATH)})


def ensure(settings: Settings, progress: Progress, clock: Clock = SYSTEM) -> None:
    """Install missing packages and start the engine, if needed.

    Raises EngineUnavailableError: not root (with the two commands for an administrator), a failed
    installation, or an engine that does not start.
    """
    missing = missing_packages()
    if not missing and engine_answers():
        return
    if os.geteuid() != 0:
        raise EngineUnavailableError(
            "the container engine is not ready and only root can set it up"
            + (f" (missing: {', '.join(missing)})" if missing else " (it is not running)"),
            hint=f"let an administrator run `make engine`, then `usermod -aG docker "
            f"{getpass.getuser()}`; log in again and repeat this command",
        )
    if missing:
        with progress.stage(f"install {' '.join(missing)}"):
            _install(missing)
    if not engine_answers():
        with progress.stage("start the Docker Engine") as stage:
            stage.note = f"log: {_start(settings, clock)}"


def _install(packages: list[str]) -> None:
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    for argv in (["apt-get", "update", "-q"], install):
        done = processes.run(argv, env=env)
        if done.code:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
            raise EngineUnavailableError(
                f"`{' '.join(argv)}` failed:\n{tail}",
                hint="check that a Debian mirror is reachable, and run that command yourself",
            )


def _start(settings: Settings, clock: Clock) -> Path:
    """Start dockerd detached, and return its log.

    It outlives this command and keeps no terminal or pipe open.

    It is started directly, because its init script gives up if cgroups cannot be remounted.
    """
    path = files.private_folder(settings.state) / "dockerd.log"
    with path.open("ab") as log:
        processes.run_leaving(["setsid", "--fork", "dockerd"], log, {"PATH": PATH})
    if not wait_until(engine_answers, bool, clock=clock, seconds=START_SECONDS, every=0.3):
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-3:])
        raise EngineUnavailableError(
            f"dockerd did not come up within {START_SECONDS:.0f} s; its last lines:\n{tail}",
            hint=f"read {path}",
        )
    return path


def vsyscall_mode(maps: str, cmdline: str) -> str:
    """Return the vsyscall mode, by which programs older than glibc 2.14 get the time.

    It is "none", "emulate", "xonly" or "unknown". ``maps`` is a /proc/PID/maps: either every
    process has the page or none has it, and a program that jumps to a missing page dies with
    SIGSEGV (exit code 139). ``cmdline`` is the kernel's; it decides if ``maps`` is empty. Source:
    the kernel's Documentation/admin-guide/kernel-parameters.txt (``vsyscall=``).
    """
    page = re.search(r"(?m)^[0-9a-f]+-[0-9a-f]+ (\S{4}) .*\[vsyscall\]$", maps)
    if page:
        return "emulate" if page[1].startswith("r") else "xonly"
    options = re.findall(r"(?:^|\s)vsyscall=(\w+)", cmdline)
    if maps.strip() or not options:
        return "none" if maps.strip() else "unknown"
    return str(options[-1])


def vsyscall() -> str:
    """Return the mode of the running kernel; "unknown" if /proc does not say."""
    texts = []
    for path in (MAPS, CMDLINE):
        try:
            texts.append(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            texts.append("")
    return vsyscall_mode(*texts)


def memory_mb(meminfo: str) -> int | None:
    """Return the available memory in /proc/meminfo (10**6 bytes), or None."""
    row = re.search(r"(?m)^MemAvailable:\s+(\d+) kB$", meminfo)
    return int(row[1]) * 1024 // 10**6 if row else None


def available_memory_mb() -> int | None:
    """Return the memory available now (10**6 bytes), or None if /proc does not say."""
    try:
        return memory_mb(MEMINFO.read_text(encoding="utf-8"))
    except OSError:
        return None


def free_gb(path: Path) -> float:
    """Return the free space (10**9 bytes) at ``path``, which need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / 10**9
