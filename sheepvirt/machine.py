"""This machine: Debian's packages that the pipeline needs, and a running Docker Engine.

Standard library only, and no engine client: it must work before anything else does.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from sheepvirt import paths
from sheepvirt.errors import EngineUnavailableError
from sheepvirt.progress import Progress

# Program to look for -> Debian package that has it.
PROGRAMS = {
    "dockerd": "docker.io",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "git": "git",
}
SOCKET = Path("/var/run/docker.sock")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def engine_answers() -> bool:
    """Tell whether a Docker Engine answers, at ``$DOCKER_HOST`` or the default socket."""
    if os.environ.get("DOCKER_HOST"):
        return True  # the user's own choice; engine.py says so if it does not answer
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


def ensure(progress: Progress) -> None:
    """Install what is missing and start the engine; do nothing where all of it is there.

    Raises EngineUnavailableError: not root (with the two commands for an administrator), an
    installation that failed, an engine that does not come up.
    """
    missing = missing_packages()
    if not missing and engine_answers():
        return
    if os.geteuid() != 0:
        raise EngineUnavailableError(
            "the container engine is not ready and only root can set it up"
            + (f" (missing: {', '.join(missing)})" if missing else " (it is not running)"),
            hint=f"an administrator runs `make engine`, then `usermod -aG docker "
            f"{getpass.getuser()}`; log in again and repeat this command",
        )
    if missing:
        with progress.stage(f"install {' '.join(missing)}"):
            _install(missing)
    if not engine_answers():
        with progress.stage("start the Docker Engine") as stage:
            _start()
            stage.note = f"log: {paths.state() / 'dockerd.log'}"


def _install(packages: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    for argv in (["apt-get", "update", "-q"], install):
        done = subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
            raise EngineUnavailableError(
                f"`{' '.join(argv)}` failed:\n{tail}",
                hint="is a Debian mirror in reach? run that command by hand and mend what it says",
            )


def _start() -> None:
    """Start dockerd so that it outlives this command and holds no terminal and no pipe.

    dockerd itself, not its init script: that one gives up where cgroups cannot be remounted.
    """
    path = paths.state() / "dockerd.log"
    with path.open("ab") as log:
        subprocess.run(
            ["setsid", "--fork", "dockerd"],
            cwd="/",
            env={**os.environ, "PATH": PATH},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )
    deadline = time.monotonic() + 60
    while not engine_answers():
        if time.monotonic() > deadline:
            tail = "\n".join(path.read_text(errors="replace").splitlines()[-3:])
            raise EngineUnavailableError(
                f"dockerd did not come up within 60 s; its last lines:\n{tail}",
                hint=f"read {path}",
            )
        time.sleep(0.3)
