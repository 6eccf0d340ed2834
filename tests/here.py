"""What unit tests work with: the data of this checkout, folders of their own, a fake clock."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console

from sheepvirt.core import settings
from sheepvirt.core.progress import Progress
from sheepvirt.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.guests import Guest
    from sheepvirt.model.hosts import Host
    from sheepvirt.ssh.client import Connection

# The checkout's packages, targets and hosts, and none of the user's folders. Below /dev/null
# nothing can be made, not even by root.
SETTINGS = settings.from_environment({"HOME": "/dev/null", "SHEEPVIRT_DIST": "/dev/null/dist"})


def within(folder: Path, **changes: Path) -> Settings:
    """Return settings whose results, cache and state are in ``folder``."""
    own = {name: folder / name for name in ("dist", "cache", "state")}
    return replace(SETTINGS, **{**own, **changes})


class FakeClock:
    """A clock that stands still but for ``sleep``, which takes no time."""

    def __init__(self, start: float = 0.0) -> None:
        self.time = start
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class NoEngine:
    """An engine that must not be used."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the engine was asked for {name!r}")


def silent() -> Progress:
    """Return a progress that nobody sees."""
    return Progress(console=Console(file=io.StringIO(), width=200))


@dataclass(frozen=True, kw_only=True)
class PlayedRun(Run):
    """A run that connects to no machine: ``peer`` plays every host."""

    peer: Any = None

    def connect(self, host: Host) -> Connection:
        assert self.peer is not None, f"nobody planned a connection to {host.name}"
        return cast("Connection", self.peer)


def run_in(
    folder: Path | None = None, *, engine: object = None, peer: object = None, **changes: Any
) -> PlayedRun:
    """Return a run with folders of its own, and no engine or host but the given ones."""
    own = within(folder) if folder else SETTINGS
    values = {"settings": own, "progress": silent(), "clock": FakeClock(), **changes}
    return PlayedRun(engine=cast("Any", engine or NoEngine()), peer=peer, **values)


def with_bridge(host: Host, **fields: Any) -> Host:
    """Return a host whose bridge differs in ``fields``, such as its uplink."""
    return replace(host, bridges=(replace(host.bridges[0], **fields), *host.bridges[1:]))


def with_disk(guest: Guest, **fields: Any) -> Guest:
    """Return a guest whose disk differs in ``fields``."""
    return replace(guest, disks=(replace(guest.disks[0], **fields), *guest.disks[1:]))
