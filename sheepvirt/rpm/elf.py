"""Read the symbol versions that a binary needs. Nothing else uses pyelftools."""

from __future__ import annotations

import itertools
import struct
from typing import IO, TYPE_CHECKING, Any

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC = b"\x7fELF"
# Errors that pyelftools raises on broken input.
BROKEN = (
    ELFError, ConstructError, ArithmeticError, AssertionError, AttributeError, LookupError,
    MemoryError, OSError, struct.error, TypeError, ValueError,
)  # fmt: skip  # a table
MANY = 1 << 16  # an upper limit of any count: counts in a broken file may be huge


def needed_versions(stream: IO[bytes]) -> tuple[str, ...]:
    """Return the versions (GLIBC_2.3.4 …) that the ELF file ``stream`` needs, sorted.

    Raises ValueError: it is broken, or it has no section headers to find its dynamic section.
    """
    try:
        elf = ELFFile(stream)
        sections = list(_bounded(elf.iter_sections("SHT_GNU_verneed")))
        if not elf.num_sections() and any(
            s["p_type"] == "PT_DYNAMIC" for s in _bounded(elf.iter_segments())
        ):
            raise ValueError("it is linked dynamically and has no section headers")
        names = {a.name for s in sections for a in _bounded(_auxiliaries(s))}
    except BROKEN as error:
        raise ValueError(str(error) or type(error).__name__) from error
    return tuple(sorted(names))


def _auxiliaries(section: Any) -> Iterator[Any]:
    for _, auxiliaries in section.iter_versions():
        yield from auxiliaries


def _bounded(items: Iterable[Any]) -> Iterator[Any]:
    for count, item in enumerate(itertools.islice(items, MANY + 1)):
        if count == MANY:
            raise ValueError("its counts cannot be right")
        yield item
