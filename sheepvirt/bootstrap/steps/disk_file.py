"""A guest's disk as a raw file of its host, with a note beside it of what it was made from."""

from __future__ import annotations

from sheepvirt.bootstrap.steps.base import DesiredState, Image, StepContext, disk_path
from sheepvirt.bootstrap.steps.power import stands, stop
from sheepvirt.model.hosts import Facts, Guest


def differences(guest: Guest, image: str, facts: Facts) -> list[str]:
    """Return what is to be done for the file to be there, made from ``image``."""
    path = disk_path(guest)
    origin = facts.disks.get(path)
    if origin is None:
        return [f"{path} made from {image}"]
    if _made_from(origin) == image:
        return []
    was = _made_from(origin) or "something unknown"
    return [f"{path} made anew from {image} (it was made from {was}), {guest.name} stopped"]


def apply(
    _wanted: DesiredState, guest: Guest, image: Image, facts: Facts, context: StepContext
) -> None:
    """Make the file; replace a former one."""
    path = disk_path(guest)
    origin = facts.disks.get(path)
    if origin is not None:
        if stands(facts, guest):
            stop(guest.name, context)
        _put_aside(path, origin, image.sha256, context)
    if context.run("test", "-e", path, check=False).code:
        context.connection.put(image.path, path, on_line=context.line)
    context.connection.write(f"{path}.from", f"{image.name} {image.sha256}\n".encode())


def _put_aside(path: str, origin: str, digest: str, context: StepContext) -> None:
    """Take ``path`` away, unless it is the wanted image already; keep what a guest has written.

    What it was when it was made is in its origin's second word. Without one (a run that was cut
    off, or a disk that is not ours) it is kept as well.
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
    context.line(f"the former disk was written to and is kept as {kept}")


def _made_from(origin: str) -> str:
    return origin.partition(" ")[0]
