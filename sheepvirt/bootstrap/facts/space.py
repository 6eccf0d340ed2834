"""Facts of free space in a host's filesystems."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.fact import fixed_fact

if TYPE_CHECKING:
    from collections.abc import Sequence

# Where sheepvirt itself writes: its notes, guests' disks, units.
FOLDERS = ("/var/lib/sheepvirt", "/var/lib/libvirt/images", "/etc")
# A line of POSIX `df -P`: filesystem, size, used, available, capacity, mounted on.
ROW = re.compile(
    r"(?m)^(?P<device>.*?)\s+(?P<size>\d+|-)\s+(?:-?\d+|-)\s+(?P<free>-?\d+|-)\s+(?:\d+%|-)\s+"
    r"(?P<mount>\S.*)$"
)
BLOCKS, INODES = "-k", "-i"


@dataclass(frozen=True, kw_only=True)
class Space:
    """The filesystem that a folder is in, and what is free there for everybody (not for root)."""

    mount: str
    free: int  # bytes
    size: int = 0  # bytes
    inodes: int | None = None  # that are free; None: not known, or there is no limit
    device: str = ""


def shell(folders: Sequence[str]) -> str:
    """Return lines of shell that print `df` of the folders, by blocks and by inodes.

    A folder that does not exist is going to be in its nearest parent's filesystem.
    """
    return f"""
set --
for dir in {" ".join(folders)}; do
  while [ ! -d "${{dir:-/}}" ]; do dir=${{dir%/*}}; done
  set -- "$@" "${{dir:-/}}"
done
for unit in {BLOCKS} {INODES}; do
  echo "unit $unit"
  timeout 10 df -P $unit "$@" 2>/dev/null
done
"""


def spaces(text: str, folders: Sequence[str]) -> dict[str, Space]:
    """Parse the output of ``shell``: folder to space. A `df` that does not answer says nothing."""
    blocks, inodes = (_rows(text, unit, len(folders)) for unit in (BLOCKS, INODES))
    return {
        folder: Space(
            mount=row["mount"].strip(),
            free=_number(row["free"]) * 1024,
            size=_number(row["size"]) * 1024,
            inodes=_number(files["free"]) if files and _number(files["size"]) else None,
            device=row["device"],
        )
        for folder, row, files in zip(folders, blocks, inodes, strict=True)
        if row
    }


def _rows(text: str, unit: str, count: int) -> list[re.Match[str] | None]:
    """Return a row for each folder; None for all if not each has one."""
    parts = re.split(r"(?m)^unit (\S+)\n", text)
    rows = dict(zip(parts[1::2], parts[2::2], strict=True)).get(unit, "")
    found: list[re.Match[str] | None] = [*ROW.finditer(rows)]
    return found if len(found) == count else [None] * count


def _number(text: str) -> int:
    return max(0, int(text)) if text != "-" else 0


SPACE = fixed_fact("space", shell(FOLDERS), lambda text: spaces(text, FOLDERS))
