"""Is there space on a host for what a step is going to write? Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps.base import DISKS, STATE
from sheepvirt.core.errors import BootstrapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import DesiredState

FOLDERS = (STATE, DISKS)  # whose filesystems are looked at
CLUSTER = "sheepdog's cluster"
MARGIN = 1 << 20  # bytes that stay free, for notes, folders and maps


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes to be written for ``what`` below one of ``FOLDERS``, or into the cluster."""

    folder: str
    size: int
    what: str


def require(wanted: DesiredState, facts: Facts, needs: Iterable[Need]) -> None:
    """Raise BootstrapError if something that is to be written does not fit.

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
        raise BootstrapError(
            f"{wanted.host.name}: there is not enough space. "
            + ". ".join(short)
            + ". No guest was stopped for it",
            hint="free space there, then run this again",
        )


def _free(facts: Facts, folder: str) -> tuple[str, int | None]:
    """Return where ``folder`` is, and the free bytes there; None if they are not known."""
    if folder == CLUSTER:
        return CLUSTER, facts.cluster.free if facts.cluster else None
    near = next((one for one in FOLDERS if f"{folder}/".startswith(f"{one}/")), "")
    found = facts.space.get(near)
    return (f"the filesystem {found.mount}", found.free) if found else ("", None)


def _mib(size: int) -> str:
    return f"{-(-size // (1 << 20))} MiB"
