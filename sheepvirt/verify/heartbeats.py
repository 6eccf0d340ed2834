"""Parse a guest's heartbeats on its console. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What the guest's init (containers/rehearsal/guest/init) adds to its line.
HEARTBEAT = r" \(uptime (\d+) s(?:, boot (\d+), marker ([0-9a-f]+))?(?:, ([^\r\n]*))?\)(?=\r|\n|$)"


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """One console line of a guest: its uptime, and what it read from its disk at that moment."""

    uptime: int  # seconds
    boot: int  # number of boots, counted on its disk; 0 if the disk does not say
    marker: str  # what its first boot wrote to the disk
    trouble: str = ""  # an I/O error, as the guest printed it


def beats(console: str, line: str) -> list[Heartbeat]:
    """Return a guest's heartbeats on its console: what follows each ``line``, in order."""
    found = re.findall(re.escape(line) + HEARTBEAT, console)
    return [
        Heartbeat(uptime=int(up), boot=int(boot or 0), marker=marker, trouble=trouble)
        for up, boot, marker, trouble in found
    ]
