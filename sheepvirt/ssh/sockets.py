"""The sockets of shared connections."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core.errors import SshError

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings


def path(settings: Settings, identity: str) -> Path:
    """Return the path of the socket for what ``identity`` says of host, key and user.

    A socket's path may have about 100 bytes, and a state folder's path may be longer. So it is a
    hash, in a short folder that only this user can enter.
    """
    return _home(settings) / hashlib.sha256(identity.encode()).hexdigest()[:16]


def make_folder(settings: Settings) -> None:
    """Make the folder of the sockets. Raises SshError: somebody else may enter it."""
    home = _home(settings)
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SshError(
            f"{home} is not a folder that only you can enter",
            hint=f"remove it, or make it yours: chmod 700 {home}",
        )


def _home(settings: Settings) -> Path:
    runtime = settings.runtime
    usable = runtime and len(str(runtime)) < 40 and os.access(runtime, os.W_OK)
    return (runtime if runtime and usable else Path("/tmp")) / f"sheepvirt-{os.getuid()}"
