"""Facts of free space in a host's filesystems."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sheepvirt.bootstrap.facts.fact import queried_fact

# A line of POSIX `df -Pk`: filesystem, blocks of 1024 bytes, used, available, capacity, mounted on.
ROW = re.compile(r"(?m)^.*?\s+\d+\s+-?\d+\s+(-?\d+)\s+(?:\d+%|-)\s+(\S.*)$")


@dataclass(frozen=True, kw_only=True)
class Space:
    """The filesystem that a folder is in, and its free bytes."""

    mount: str
    free: int


def space(text: str) -> Space | None:
    """Parse the output of ``df -Pk`` about one folder; None if it has no such line."""
    row = ROW.search(text)
    return Space(mount=row[2].strip(), free=max(0, int(row[1])) * 1024) if row else None


# A folder that does not exist is going to be in its nearest parent's filesystem.
SPACE = queried_fact(
    "space",
    r"""
dir=$value
while [ ! -d "${dir:-/}" ]; do dir=${dir%/*}; done
timeout 10 df -Pk "${dir:-/}" 2>/dev/null
""",
    lambda query: query.folders,
    space,
)
