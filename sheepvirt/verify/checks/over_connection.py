"""testinfra over sheepvirt's own connection: for hosts that its ssh backend cannot serve.

That backend knows no password for sudo and no alias of another name than the host's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from testinfra.backend.base import BaseBackend

from sheepvirt.core.secret import Secret
from sheepvirt.ssh import client
from sheepvirt.ssh.sudo import PASSWORD_FILE, Sudo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.hosts import Host
    from sheepvirt.ssh.client import Connection


class OverConnection(BaseBackend):  # type: ignore[misc]
    """Runs each command as root over one connection."""

    NAME = "ssh"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        super().__init__(connection.host.name)

    def run(self, command: str, *args: str, **_: Any) -> Any:
        """Run a line of shell; return testinfra's result."""
        line = self.quote(command, *args)
        done = self._connection.run(["sh", "-c", line], check=False)
        return self.result(done.code, self.encode(line), done.stdout.encode(), done.stderr.encode())


def needed(host: Host) -> bool:
    """Tell whether testinfra's own ssh backend cannot serve ``host``."""
    return bool(host.ssh) or host.user != "root"


def connect(settings: Settings, host: Host, environment: Mapping[str, str]) -> Connection:
    """Return a connection whose commands are root's, with a password that was handed down.

    Raises SshError and its kinds.
    """
    given = {}
    if number := environment.get(PASSWORD_FILE):
        with os.fdopen(int(number), encoding="utf-8", errors="surrogateescape") as file:
            given[host.name] = Secret(file.read())
    made = client.connect(settings, host, sudo=Sudo(passwords=given))
    made.open()
    return made
