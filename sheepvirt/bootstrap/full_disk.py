"""Say which filesystem is full where that is why something failed on a host.

What a program prints then may not say it: a shell says "I/O error", dnf "Error unpacking rpm
package". So the host is asked, after an error and over the connection that is there.
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
LOW = 32 << 20  # bytes
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
        found = _ask(connection)
        said = explanation(error.message, found)
        hint = space.hint(said)
        if not said:
            said = suspicion(found)
            hint = f"{space.hint(said)}; if that is not it: {error.hint}"
        if not said:
            raise
        words = "; ".join(said.values())
        raise NoSpaceError(
            f"{error.message}\n  {connection.host.name}: {words}", hint=hint
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


def suspicion(found: Mapping[str, Space]) -> dict[str, str]:
    """Return the filesystems that may have been full, each with a sentence. Pure.

    A transaction that found no space has removed what it had unpacked, and does not say why.
    """
    return {
        one.mount: f"the filesystem {one.mount} was full, perhaps: {space.left(one)}"
        for one in space.distinct(found)
        if one.free < min(LOW, one.size // 10)
    }
