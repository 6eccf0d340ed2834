"""Amounts of bytes with a unit, as people and libvirt write them: ``512 MiB``, ``20 GB``. Pure.

The units are libvirt's (virScaleInteger in src/util/virutil.c): upper and lower case mean the same,
kB is 10**3 and KiB is 2**10 bytes. A bare letter (``512 M``) is binary to libvirt and decimal to
many others, so it is read in libvirt's XML (``unit``) and refused from people (``parse``).
"""

from __future__ import annotations

import re
from fractions import Fraction

LETTERS = "KMGTPE"
UNITS = {"B": 1}
for _power, _letter in enumerate(LETTERS, start=1):
    UNITS |= {f"{_letter}B": 1000**_power, f"{_letter}iB": 1024**_power}
BY_NAME = {name.upper(): (name, factor) for name, factor in UNITS.items()}
# libvirt's own spellings besides.
XML_ONLY = {"BYTE": 1, "BYTES": 1, **{x: 1024**n for n, x in enumerate(LETTERS, start=1)}}
# What `parse` accepts, for programs that know no regular expression without case.
PATTERN = r"[0-9]+(\.[0-9]+)? ?([KkMmGgTtPpEe][Ii]?)?[Bb]"
_PARTS = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)")


class NotASizeError(ValueError):
    """A text is no size. The message says why, ``hint`` what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def parse(text: str) -> int:
    """Return the bytes of ``512 MiB`` or ``1.5 GB``. Raises NotASizeError."""
    found = _PARTS.fullmatch(text)
    if not found:
        raise NotASizeError("it is no number with a unit", 'write it as "20 GB" or "512 MiB"')
    number, unit = found.groups()
    if unit.upper() not in BY_NAME:
        letter = unit.upper()
        if letter in LETTERS:
            either = f'"{number} {letter}iB" (1024) or "{number} {letter}B" (1000)'
            raise NotASizeError(f"the unit {unit!r} may be one of two", f"write {either}")
        raise NotASizeError(f"there is no unit {unit!r}", f"units: {', '.join(UNITS)}")
    amount = Fraction(number) * BY_NAME[unit.upper()][1]
    if amount.denominator != 1:
        raise NotASizeError("that is no whole number of bytes", "use a smaller unit")
    return int(amount)


def text(amount: int) -> str:
    """Return bytes in the unit that needs the fewest digits, exactly: ``parse`` reads it back."""
    whole = [(amount // f, name) for name, f in UNITS.items() if amount % f == 0]
    number, name = min(whole, key=lambda row: (row[0], row[1]))
    return f"{number} {name}" if amount else "0 B"


def unit(name: str) -> int:
    """Return how many bytes a unit of libvirt's XML is. Raises KeyError: it has none such."""
    upper = name.upper()
    return XML_ONLY[upper] if upper in XML_ONLY else BY_NAME[upper][1]
