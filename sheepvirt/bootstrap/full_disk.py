"""Say which filesystem is full where that is why something failed on a host.

What a program prints then may not say it: a shell says "I/O error", Open vSwitch "transaction
error". So the host is asked, after an error and over the connection that is there.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import space
from sheepvirt.bootstrap.facts.space import FOLDERS, shell, spaces
from sheepvirt.core.errors import (
    BootstrapError,
    HostUnreachableError,
    NoSpaceError,
    SheepvirtError,
    SshError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sheepvirt.bootstrap.facts.space import Space
    from sheepvirt.ssh.client import Connection

# Where the programs write that a run starts.
ASKED = (*FOLDERS, "/usr", "/var/lib/rpm", "/var/cache", "/var/log", "/var/tmp", "/tmp", "/var/run")
# Under LC_ALL=C. Tar speaks of what it wrote; rpm and dnf look at the free space themselves.
WORDS = re.compile(
    r"No space left on device|Disk quota exceeded|Wrote only \d+ of \d+ bytes"
    r"|(?:needs \S+(?: inodes)?|more space needed) on the \S+ filesystem"
)


@contextmanager
def explained(connection: Connection) -> Iterator[None]:
    """Raise an error of the block as NoSpaceError if a filesystem of the host is full."""
    try:
        yield
    except (NoSpaceError, HostUnreachableError):
        raise
    except (BootstrapError, SshError) as error:
        said = explanation(error.message, _ask(connection))
        if not said:
            raise
        words = "; ".join(said.values())
        raise NoSpaceError(
            f"{error.message}\n  {connection.host.name}: {words}", hint=space.hint(said)
        ) from error


def _ask(connection: Connection) -> Mapping[str, Space]:
    try:
        return spaces(connection.run(["sh", "-c", shell(ASKED)]).stdout, ASKED)
    except SheepvirtError:
        return {}


def explanation(message: str, found: Mapping[str, Space]) -> dict[str, str]:
    """Return the filesystems that are full, each with a sentence. Pure.

    What failed may have been removed since. So where the message says that it was for want of
    space, the filesystem with the least space is named, if none is full now.
    """
    said = space.full(found)
    if said or not found or not WORDS.search(message):
        return said
    least = min(found.values(), key=lambda one: one.free)
    return {least.mount: f"the filesystem {least.mount} was full; now {space.left(least)}"}
