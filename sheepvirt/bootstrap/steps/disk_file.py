"""A guest's disk as a raw file on its host. FILE.from says which image it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps.base import DesiredState, Image, StepContext, disk_path
from sheepvirt.bootstrap.steps.power import stands, stop

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.model.hosts import Guest

FILLING = "filling"  # the file is being copied; it may be there and have no note of its image yet


def differences(wanted: DesiredState, guest: Guest, facts: Facts) -> list[tuple[str, str]]:
    """Return the changes that the file needs, each with the option that it waits for."""
    path, image = disk_path(guest), wanted.images[guest.name]
    origin = made_from(guest, facts)
    if origin in {"", FILLING}:
        return [(f"{path} made from {image}", "")]
    if origin == image or not wanted.consent.may_reimage(guest.name):
        return []
    return [(f"{path} replaced from {image} (it was made from {origin}), {guest.name} stopped", "")]


def made_from(guest: Guest, facts: Facts) -> str:
    """Return the image that the file was made from, or "something unknown"; "" without a file."""
    origin = facts.disks.get(disk_path(guest))
    return "" if origin is None else _made_from(origin) or "something unknown"


def apply(
    wanted: DesiredState, guest: Guest, image: Image, facts: Facts, context: StepContext
) -> None:
    """Make the file; replace a former one."""
    path = disk_path(guest)
    origin = facts.disks.get(path)
    if origin is not None:
        if stands(facts, guest):
            stop(wanted, guest.name, context)
        _put_aside(path, origin, image.sha256, context)
    if context.run("test", "-e", path, check=False).code:
        # Without a note, what an interrupted run has copied would be somebody else's.
        context.connection.write(f"{path}.from", f"{FILLING} {image.name}\n".encode())
        context.connection.put(image.path, path, on_line=context.line)
    context.connection.write(f"{path}.from", f"{image.name} {image.sha256}\n".encode())


def _put_aside(path: str, origin: str, digest: str, context: StepContext) -> None:
    """Move ``path`` away unless it is the desired image already; keep a disk that was changed.

    The second word of ``origin`` is the disk's hash when it was made. Without one (an interrupted
    run, or a disk that sheepvirt did not make) it is kept as well.
    """
    now = context.run("sha256sum", path).stdout.split()[0]
    if now == digest:
        return
    _, _, then = origin.partition(" ")
    if now == then:
        context.run("rm", "-f", path)
        return
    kept = f"{path}.kept-{now[:12]}"
    context.run("mv", "-f", path, kept)
    context.line(f"the former disk has changed and is kept as {kept}")


def _made_from(origin: str) -> str:
    return origin.partition(" ")[0]
