"""What ``dog`` prints. Pure.

libvirt's reader of raw lists takes the words after the name by spaces, and a backslash before a
space as part of the name; it wants ``=`` before a VDI, and the line ``Total CAPACITY USED`` of the
node's (``virStorageBackendSheepdogParseVdiList`` and ``...ParseNodeInfo`` of libvirt 7.0.0).
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from pocketsheep.wire import OBJECT_SHIFT, OBJECT_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pocketsheep.inode import Inode


def kind(inode: Inode) -> str:
    """Return sheepdog's letter: s a snapshot, c a clone, = a VDI."""
    if inode.snapshot:
        return "s"
    return "c" if inode.parent and inode.snap_id == 1 else "="


def usage(inode: Inode) -> tuple[int, int]:
    """Return the bytes in a VDI's own objects, and in other VDIs' objects that it refers to."""
    owners = [owner for _, owner in inode.owners()]
    own = owners.count(inode.vid)
    return own * OBJECT_SIZE, (len(owners) - own) * OBJECT_SIZE


def escaped(name: bytes) -> bytes:
    """Return a name as one word of a raw line: a backslash before each space and backslash."""
    return re.sub(rb"([\s\\])", rb"\\\1", name)


def raw_line(inode: Inode) -> bytes:
    """Return a raw line: kind, name, id, size, used, shared, time, vdi id, copies, tag, shift."""
    used, shared = usage(inode)
    start = f"{kind(inode)} ".encode() + escaped(inode.name)
    rest = f" {inode.snap_id} {inode.size} {used} {shared} {inode.ctime >> 32} {inode.vid:x} 1 "
    return start + rest.encode() + inode.tag + f" {OBJECT_SHIFT}\n".encode()


def table(found: Iterable[Inode]) -> bytes:
    """Return VDIs as people read them."""
    head = "  Name        Id    Size    Used  Shared    Creation time   VDI id  Copies  Tag\n"
    lines = [head.encode()]
    for inode in found:
        used, shared = usage(inode)
        letter = kind(inode).replace("=", " ")
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(inode.ctime >> 32))
        lines.append(f"{letter} ".encode() + inode.name.ljust(8))
        numbers = f" {human(inode.size):>7} {human(used):>7} {human(shared):>7}"
        lines.append(f" {inode.snap_id:5}{numbers} {when}  {inode.vid:7x}      1  ".encode())
        lines.append(inode.tag.rjust(13) + b"\n")
    return b"".join(lines)


def node_lines(status: Mapping[str, Any], *, raw: bool) -> str:
    """Return the lines of ``node info``: the one node, and the total."""
    size, used = int(status["capacity"]), int(status["used"])
    share = 100 * used // size if size else 0
    if raw:
        numbers = f"{size} {used} {size - used} {share}%"
        return f"0 {numbers}\nTotal {numbers} {status['promised']}\n"
    numbers = f"{human(size)}\t{human(used)}\t{human(size - used)}\t{share:3}%"
    return (
        f"Id\tSize\tUsed\tAvail\tUse%\n 0\t{numbers}\nTotal\t{numbers}\n\n"
        f"Total virtual image size\t{human(status['promised'])}\n"
    )


def human(size: int) -> str:
    """Return bytes in the unit that fits, as sheepdog does: one decimal below 10."""
    value, units = float(size), ["B", "KB", "MB", "GB", "TB", "PB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.1f} {units[0]}" if 0 < value < 10 else f"{value:.0f} {units[0]}"
