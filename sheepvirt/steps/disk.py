"""The guests' disks: each made from its guest's image, and never lost when that image changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sheepvirt import guest as guests
from sheepvirt.model import Change, Facts, Guest
from sheepvirt.steps.base import Hands, Step, Wanted, disk_path
from sheepvirt.steps.domain import stop

NAME = "disk"


def check(wanted: Wanted, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Every guest has a disk that was made from the image it is to have."""
    changes = []
    for guest in wanted.host.guests:
        path, image = disk_path(guest), wanted.images[guest.name]
        origin = facts.disks.get(path)
        if origin is None:
            changes.append(Change(NAME, f"{path} made from {image}"))
        elif _made_from(origin) != image:
            was = _made_from(origin) or "something unknown"
            what = f"{path} made anew from {image} (it was made from {was}), {guest.name} stopped"
            changes.append(Change(NAME, what))
    return changes


def apply(wanted: Wanted, facts: Facts, hands: Hands) -> None:
    """Make, or make anew, the disks that differ; a disk that was written to is kept beside."""
    for guest in wanted.host.guests:
        path = disk_path(guest)
        origin = facts.disks.get(path)
        if origin is not None and _made_from(origin) == wanted.images[guest.name]:
            continue
        image = guests.ensure_image(guest, hands.progress)
        digest = _sha256(image)
        if origin is not None:
            if _stands(facts, guest):
                stop(guest.name, hands)
            _put_aside(path, origin, digest, hands)
        if hands.run("test", "-e", path, check=False).code:
            hands.connection.put(image, path, on_line=hands.line)
        hands.connection.write(f"{path}.from", f"{image.name} {digest}\n".encode())


def _put_aside(path: str, origin: str, digest: str, hands: Hands) -> None:
    """Take ``path`` away, unless it is the wanted image already; keep what a guest has written.

    What it was when it was made is in its origin's second word. Without one (a run that was cut
    off, or a disk that is not ours) it is kept as well.
    """
    now = hands.run("sha256sum", path).stdout.split()[0]
    if now == digest:
        return
    _, _, then = origin.partition(" ")
    if now == then:
        hands.run("rm", "-f", path)
        return
    kept = f"{path}.kept-{now[:12]}"
    hands.run("mv", "-f", path, kept)
    hands.line(f"the former disk was written to and is kept as {kept}")


def _made_from(origin: str) -> str:
    return origin.partition(" ")[0]


def _stands(facts: Facts, guest: Guest) -> bool:
    state = facts.domains.get(guest.name)
    return state is not None and state.active


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


STEP = Step(NAME, check, apply)
