"""Label stand-ins in messages and tables. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sheepvirt.model.builds import BuildRecord, Package

LABEL = " (stand-in)"


def published(records: Iterable[BuildRecord]) -> frozenset[str]:
    """Return the names of the published packages that are stand-ins."""
    return frozenset(record.package for record in records if record.stand_in)


def words(packages: Iterable[Package]) -> frozenset[str]:
    """Return the names of stand-ins on a host: their own, and of what they stand in for."""
    found = {p.name: p.stands_in_for for p in packages if p.stands_in_for}
    volumes = {"VDI"} if "sheepdog" in found.values() else set()
    return frozenset({*found, *found.values(), *volumes})


def label(text: str, about: Collection[str]) -> str:
    """Return ``text`` with a label if it names one of ``about`` and has no "stand-in" yet.

    Only whole words count: libvirt's storage_backend_sheepdog is not a stand-in. In a list the
    name is labelled, else the line.
    """
    if "stand-in" in text or not about:
        return text
    word = rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(about)))})"
    marked, times = re.subn(rf"{word}(?=,| by |$)", rf"\g<0>{LABEL}", text)
    if times:
        return marked
    return f"{text}{LABEL}" if re.search(rf"{word}(?!\w)", text) else text
