"""What one run of a command works with. The command makes it once and passes it down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.core.clock import SYSTEM, Clock
from sheepvirt.ssh import client

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

    def connect(self, host: Host) -> client.Connection:
        """Return a connection to ``host``; its first command opens it. Raises SshError."""
        return client.connect(self.settings, host, self.clock)
