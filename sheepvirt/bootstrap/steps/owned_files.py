"""sheepvirt's files on a host: compared by their hash, marked, and kept before they are replaced.

A file that is neither what was written last nor what is wanted was edited by somebody. On a real
machine it is replaced only with ``--replace PATH``.
"""

from __future__ import annotations

import difflib
import hashlib
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.marks import Mark
from sheepvirt.bootstrap.steps import marking
from sheepvirt.bootstrap.steps.base import REPOMD
from sheepvirt.model.enums import ObjectKind, Origin
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import DesiredState, StepContext


def digest(content: bytes) -> str:
    """Return the hash by which a file is compared."""
    return hashlib.sha256(content).hexdigest()


def unmarked_host(facts: Facts) -> bool:
    """Tell whether the host was bootstrapped before there were marks: it has the repo, and none."""
    return not facts.marks and REPOMD in facts.hashes


def waits(wanted: DesiredState, facts: Facts, path: str) -> str:
    """Return the option that replacing a file waits for: somebody else wrote or edited it."""
    there = facts.hashes.get(path)
    mark = facts.marks.get((ObjectKind.FILE, path))
    if there is None or (mark is None and unmarked_host(facts)):
        return ""
    if mark and mark.sent == there and mark.origin != Origin.ADOPTED:
        return ""
    return wanted.consent.waits_for_replacement(path)


def differing(facts: Facts, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files that are missing or different on the host."""
    return {p: c for p, c in contents.items() if facts.hashes.get(p) != digest(c)}


def changes(
    step: str, wanted: DesiredState, facts: Facts, contents: Mapping[str, bytes]
) -> list[Change]:
    """Return what is written; what replaces another file has its diff."""
    rows = []
    for path, content in differing(facts, contents).items():
        former = path in facts.hashes
        what = f"{path} written" + (f"; {marking.FORMER}" if former else "")
        diff = _diff(facts.texts.get(path, ""), content.decode()) if former else ""
        waits_for = waits(wanted, facts, path)
        rows.append(Change(step=step, what=what, diff=diff, waits_for=waits_for))
    return rows


def write(
    wanted: DesiredState,
    facts: Facts,
    context: StepContext,
    contents: Mapping[str, bytes],
    *,
    executable: str = "",
    then: Sequence[str] = (),
) -> None:
    """Write the files that differ. Those whose path begins with ``executable`` are.

    ``then`` is a command that makes them count. They are marked after it: a file without its mark
    is how the next run knows that this one was interrupted.
    """
    todo = {
        path: content
        for path, content in differing(facts, contents).items()
        if not waits(wanted, facts, path)
    }
    former = [(ObjectKind.FILE, path) for path in todo if path in facts.hashes]
    if former:
        context.keep(*former)
    for path, content in todo.items():
        mode = 0o755 if executable and path.startswith(executable) else 0o644
        context.connection.write(path, content, mode=mode)
    if todo and then:
        context.run(*then)
    marking.note(
        context,
        [
            Mark(kind=ObjectKind.FILE, name=p, origin=Origin.DEFINED, sent=digest(c))
            for p, c in todo.items()
        ],
    )


def _diff(before: str, after: str) -> str:
    rows = difflib.unified_diff(
        before.strip().splitlines(),
        after.strip().splitlines(),
        "on the host",
        "wanted",
        lineterm="",
        n=2,
    )
    return "\n".join(rows)
