"""The marks of what is sheepvirt's on a host: one note for each object. Pure.

A note says what sheepvirt sent last, and what libvirt made of that right then. So a later run
tells somebody else's change (drift: now against then) from its own (wanted against sent), and what
libvirt adds by itself is known without a list.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.model.enums import ObjectKind, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "/var/lib/sheepvirt/owned"
FORMAT = 1
XML = ("made", "live")  # fields that have XML, if anything


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The note of one object."""

    kind: ObjectKind
    name: str  # of a file: its path
    origin: Origin
    uuid: str = ""  # libvirt's; another object of that name is not the one that was marked
    sent: str = ""  # what was sent last, without the identity that libvirt chose; a file's sha256
    made: str = ""  # libvirt's stored definition right after that
    # A domain's running definition right after its start; the one that a network was left with.
    live: str = ""
    live_sent: str = ""  # sha256 of what the running definition came from
    maker: str = ""  # libvirt, QEMU and kernel, which write these definitions

    @property
    def file(self) -> str:
        """The name of its file below FOLDER."""
        return f"{self.kind}-{self.name.strip('/').replace('/', '-')}.json".replace(" ", "-")

    @property
    def line(self) -> str:
        """The content of its file, one line."""
        return json.dumps({"format": FORMAT, **asdict(self)})


Marks = dict[tuple[ObjectKind, str], Mark]


def parse(text: str) -> Marks:
    """Parse the notes, one a line. A broken one is no mark, which is the careful reading."""
    found = (_mark(line) for line in text.splitlines() if line.strip())
    return {(mark.kind, mark.name): mark for mark in found if mark}


def _mark(line: str) -> Mark | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    names = {field.name for field in fields(Mark)}
    if not isinstance(row, dict) or row.pop("format", None) != FORMAT or row.keys() != names:
        return None
    if not all(isinstance(value, str) for value in row.values()) or not _readable(row):
        return None
    try:
        kind, origin = ObjectKind(row.pop("kind")), Origin(row.pop("origin"))
    except ValueError:
        return None
    return Mark(kind=kind, origin=origin, **row)


def _readable(row: Mapping[str, str]) -> bool:
    try:
        for name in XML:
            if row[name]:
                ElementTree.fromstring(row[name])
    except ElementTree.ParseError:
        return False
    return True
