"""Frozen dataclasses of the compatibility gate: what old tools allow, what a file has.

Imports nothing local.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Traits:
    """What of an RPM file decides whether older tools can use it."""

    file: str  # the path as it was given
    release: str
    compressor: str  # "none" where nothing compressed its payload
    file_digest: int  # OpenPGP's number of the algorithm
    dependencies: tuple[str, ...]  # names in Requires, Conflicts and Obsoletes
    weak: tuple[str, ...]  # "Recommends: name" …
    file_triggers: tuple[str, ...]  # the paths that they wait for
    signatures: tuple[bytes, ...]  # OpenPGP packets
    stores: tuple[int, int]  # bytes of the data of its signature header and of its header
    files: int  # how many it has
    symbol_versions: Mapping[str, tuple[str, ...]]  # path of each ELF file: what it needs
    unread: tuple[str, ...] = ()  # what could not be looked into, and why
    stripped: bool = False  # its payload's archive has places in the header for names and sizes
    newer_signatures: tuple[bytes, ...] = ()  # packets in the tag that rpm 6 added for them


@dataclass(frozen=True)
class Metadata:
    """One file that a repo's repomd.xml lists."""

    file: str
    kind: str  # primary | filelists | primary_db | group …
    compressions: tuple[str, ...]  # by its name and by its content: gz, bz2 … or "none"


@dataclass(frozen=True)
class Violation:
    """Something that is beyond a target's ceilings."""

    file: str
    rule: str
    found: str
    ceiling: str

    def __str__(self) -> str:
        """``file: rule: what was found; ceiling``."""
        return f"{self.file}: {self.rule}: {self.found}; {self.ceiling}"
