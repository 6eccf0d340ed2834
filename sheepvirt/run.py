"""What one run of a command works with. The command makes it once and passes it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sheepvirt.core.clock import SYSTEM, Clock
from sheepvirt.ssh import client, hostkeys
from sheepvirt.ssh.sent import Sent
from sheepvirt.ssh.sudo import Sudo

if TYPE_CHECKING:
    from sheepvirt.core.progress import Progress
    from sheepvirt.core.settings import Settings
    from sheepvirt.engine.engine import Engine
    from sheepvirt.model.hosts import Host


@dataclass(frozen=True, kw_only=True)
class Run:
    """Settings, container engine, progress and clock of a run."""

    settings: Settings
    engine: Engine  # it connects on first use: most commands for a real machine never do
    progress: Progress
    clock: Clock = SYSTEM
    sudo: Sudo = field(default_factory=Sudo)

    def connect(self, host: Host) -> client.Connection:
        """Return a connection to ``host``; its first command opens it. Raises SshError.

        A key that is made for that is announced, with what the user has to do.
        """
        if not (host.ssh or host.rehearsal or hostkeys.has_key(self.settings, host)):
            made = hostkeys.ensure_key(self.settings, host)
            self.progress.say(
                f"a key for {host.name} was made: {made}. Append this line to "
                f"~{host.user}/.ssh/authorized_keys there:\n"
                f"  {hostkeys.public_key(self.settings, host)}"
            )
        return client.connect(self.settings, host, self.clock, sudo=self.sudo, sent=self.sent)

    @cached_property
    def sent(self) -> Sent:
        """The commands that this run has sent to hosts."""
        return Sent(self.progress.log)
