"""Tell what a run did in the words and the order of its plan. Pure.

A plan is made from one look at a host, so it has what earlier steps bring along: RPMs of libvirt
define a network that the plan has for itself. What only the run could find out is marked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.model.hosts import Change

# The end of a planned change where a service did not answer, so that nothing could be compared.
NOT_KNOWN = "what it has is not known"
LOOKED_AT = "it was looked at when its turn came"
CAME_ALONG = "it was so already when its turn came"
UNPLANNED = "not in the plan: only the run could find it out"


def told(planned: Sequence[Change], done: Sequence[Change], order: Sequence[str]) -> list[Change]:
    """Return the changes of a run: those of its plan, and in place what only the run found out.

    ``order`` has the names of the steps. What waits for consent now waits only if it was found to.
    """
    left = list(done)
    rows: list[Change] = []
    for row in planned:
        same = next((c for c in left if (c.step, c.what) == (row.step, row.what)), None)
        if same is None:
            note = LOOKED_AT if row.what.endswith(NOT_KNOWN) else CAME_ALONG
            rows.append(replace(row, note=note, waits_for="", reboots=False))
        else:
            left.remove(same)
            rows.append(replace(same, note=row.note))
    for row in left:
        place = _rank(order, row)
        at = max((i for i, one in enumerate(rows, 1) if _rank(order, one) <= place), default=0)
        rows.insert(at, replace(row, note="; ".join(filter(None, (row.note, UNPLANNED)))))
    return rows


def _rank(order: Sequence[str], row: Change) -> int:
    return order.index(row.step) if row.step in order else -1
