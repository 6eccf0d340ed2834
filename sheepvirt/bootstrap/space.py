"""Is there space on a host for what is going to be written? Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.space import FOLDERS
from sheepvirt.core.errors import NoSpaceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.space import Space
    from sheepvirt.bootstrap.steps.base import DesiredState

CLUSTER = "sheepdog's cluster"
MARGIN = 1 << 20  # bytes that stay free, for notes, folders and maps
FILES = 64  # and inodes


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes to be written for ``what`` below one of ``FOLDERS``, or into the cluster."""

    folder: str
    size: int
    what: str


def require(wanted: DesiredState, facts: Facts, needs: Iterable[Need]) -> None:
    """Raise NoSpaceError if something that is to be written does not fit.

    Where the free space is not known (in a plan of a host that has no cluster yet) nothing is
    refused. A VDI's bytes count once for each copy that the cluster keeps.
    """
    places: defaultdict[str, list[Need]] = defaultdict(list)
    free = {}
    for need in needs:
        place, found = _free(facts, need.folder)
        if found is not None:
            places[place].append(need)
            free[place] = found
    short = []
    for place, given in places.items():
        copies = facts.cluster.copies if facts.cluster and place == CLUSTER else 1.0
        size = int(sum(need.size for need in given) * copies) + MARGIN
        if size > free[place]:
            short.append(
                f"{place} has {_mib(free[place])} free, and {_mib(size)} are needed: "
                + "; ".join(f"{need.what} ({_mib(int(need.size * copies))})" for need in given)
            )
    if short:
        raise NoSpaceError(
            f"{wanted.host.name}: there is not enough space: "
            + "; ".join(short)
            + ". No guest was stopped for it",
            hint="free space there, then run this again",
        )


def full(found: Mapping[str, Space]) -> dict[str, str]:
    """Return the filesystems without room for notes: where each is mounted, to a sentence."""
    said = {}
    for one in distinct(found):
        if one.inodes is not None and one.inodes < FILES:
            said[one.mount] = f"the filesystem {one.mount} has only {one.inodes} inodes left"
        if one.free < MARGIN:
            said[one.mount] = f"the filesystem {one.mount} is full: {left(one)}"
    return said


def distinct(found: Mapping[str, Space]) -> list[Space]:
    """Return each filesystem once; one may be mounted in several places."""
    seen: dict[str, Space] = {}
    for one in found.values():
        seen.setdefault(one.device if "/" in one.device else one.mount, one)
    return [*seen.values()]


def left(one: Space) -> str:
    """Say how much of a filesystem is free."""
    return f"{one.free >> 20} of its {one.size >> 20} MiB are free"


def hint(mounts: Iterable[str]) -> str:
    """Return what to do where filesystems are full."""
    names = " and ".join(mounts)
    return f"free space in {names} there (`df -h`, `df -i`), then run this again"


def require_room(wanted: DesiredState, facts: Facts) -> None:
    """Raise NoSpaceError if a change could not even write its notes."""
    said = full(facts.space)
    if said:
        raise NoSpaceError(f"{wanted.host.name}: {'; '.join(said.values())}", hint=hint(said))


def notes(facts: Facts) -> list[str]:
    """Return a line about each full filesystem."""
    return [f"{words}. While it is, a run is refused" for words in full(facts.space).values()]


def _free(facts: Facts, folder: str) -> tuple[str, int | None]:
    """Return where ``folder`` is, and the free bytes there; None if they are not known."""
    if folder == CLUSTER:
        return CLUSTER, facts.cluster.free if facts.cluster else None
    near = next((one for one in FOLDERS if f"{folder}/".startswith(f"{one}/")), "")
    found = facts.space.get(near)
    return (f"the filesystem {found.mount}", found.free) if found else ("", None)


def _mib(size: int) -> str:
    return f"{-(-size // (1 << 20))} MiB"
