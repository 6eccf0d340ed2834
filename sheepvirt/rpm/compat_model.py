"""Frozen dataclasses of the compatibility gate: traits of files, violations.

Imports nothing local.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Traits:
    """The properties of an RPM file that decide whether older tools can use it."""

    file: str  # the path, as given
    release: str
    compressor: str  # "none" if its payload is not compressed
    file_digest: int  # OpenPGP's number of the algorithm
    dependencies: tuple[str, ...]  # names in Requires, Conflicts and Obsoletes
    weak: tuple[str, ...]  # "Recommends: name" …
    file_triggers: tuple[str, ...]  # their paths
    signatures: tuple[bytes, ...]  # OpenPGP packets
    stores: tuple[int, int]  # bytes of data in its signature header and in its header
    files: int  # the number of its files
    symbol_versions: Mapping[str, tuple[str, ...]]  # path of each ELF file to its needed versions
    unread: tuple[str, ...] = ()  # what could not be read, and why
    stripped: bool = False  # its archive has indexes into the header instead of names and sizes
    newer_signatures: tuple[bytes, ...] = ()  # packets in the tag that rpm 6 added


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """One file that a repo's repomd.xml lists."""

    file: str
    kind: str  # primary | filelists | primary_db | group …
    compressions: tuple[str, ...]  # by its name and by its content: gz, bz2 … or "none"


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A property that exceeds a target's ceilings."""

    file: str
    rule: str
    found: str
    ceiling: str

    def __str__(self) -> str:
        """``file: rule: what was found; ceiling``."""
        return f"{self.file}: {self.rule}: {self.found}; {self.ceiling}"
