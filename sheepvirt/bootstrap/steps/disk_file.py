"""A guest's disk as a raw file on its host. FILE.from says which image it was made from.

A new file is written next to the former one while the guest runs on it. The guest is shut down only
for renaming the two.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import space
from sheepvirt.bootstrap.steps.base import DISKS, DesiredState, DiskImage, StepContext, disk_path
from sheepvirt.bootstrap.steps.power import halted
from sheepvirt.core.errors import BootstrapError, SshError

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.model.guests import Guest

# Renames; if one fails, the former file is put back. Its standard input is the new FILE.from.
SWAP = r"""
path=$1 new=$2 kept=$1.kept-$(date +%Y%m%d-%H%M%S)
cat >"$path.from.new" || exit 1
mv "$path" "$kept" || exit 1
if mv "$new" "$path"; then
  [ ! -e "$path.from" ] || mv "$path.from" "$kept.from"
  mv "$path.from.new" "$path.from" && echo "$kept"
else
  mv "$kept" "$path"; exit 1
fi
"""


def beside(path: str) -> str:
    """Return the path of the new file while the former one is in use."""
    return f"{path}.again"


def differences(wanted: DesiredState, guest: Guest, facts: Facts) -> list[tuple[str, str]]:
    """Return the changes that the file needs, each with the option that it waits for."""
    path, image = disk_path(guest), wanted.images[guest.name]
    origin = made_from(guest, facts)
    if not origin:
        return [(f"{path} made from {image}", "")]
    if _is_replaced(wanted, guest, facts):
        was = f"it was made from {origin}"
        return [
            (
                f"{path} replaced from {image} ({was}), {guest.name} stopped; the former disk is "
                f"kept as {path}.kept-TIME",
                "",
            )
        ]
    if beside(path) in facts.hashes:
        return [(f"{beside(path)} removed: a run was interrupted", "")]
    return []


def _is_replaced(wanted: DesiredState, guest: Guest, facts: Facts) -> bool:
    origin = made_from(guest, facts)
    return origin not in {"", wanted.images[guest.name]} and wanted.consent.may_reimage(guest.name)


def needs(wanted: DesiredState, guest: Guest, facts: Facts) -> list[space.Need]:
    """Return what is written: the image without its holes. The former file only gets a new name."""
    size = wanted.image_sizes.get(guest.name)
    if size is None or (made_from(guest, facts) and not _is_replaced(wanted, guest, facts)):
        return []
    return [space.Need(folder=DISKS, size=size.allocated, what=f"the disk of {guest.name}")]


def made_from(guest: Guest, facts: Facts) -> str:
    """Return the image that the file was made from, or "something unknown"; "" without a file."""
    origin = facts.disks.get(disk_path(guest))
    return "" if origin is None else origin.partition(" ")[0] or "something unknown"


def apply(
    wanted: DesiredState, guest: Guest, image: DiskImage, facts: Facts, context: StepContext
) -> None:
    """Make the file; replace a former one, which is kept."""
    path = disk_path(guest)
    record = f"{image.name} {image.sha256}\n".encode()
    if path not in facts.disks:
        # In this order: a disk without a record would be of unknown origin.
        context.connection.write(f"{path}.from", record)
        _put(image, path, context)
        if beside(path) in facts.hashes:  # the host went down between the renames
            context.run("rm", "-f", beside(path))
        return
    if not _is_replaced(wanted, guest, facts):
        context.run("rm", "-f", beside(path))
        return
    _put(image, beside(path), context)
    try:
        with halted(wanted, facts, guest, context):
            swap = ("sh", "-c", SWAP, "sh", path, beside(path))
            kept = context.run(*swap, stdin=record).stdout.strip()
    except BaseException:
        with contextlib.suppress(SshError):
            context.run("rm", "-f", beside(path), f"{path}.from.new")
        raise
    context.progress.say(f"  the former disk of {guest.name} is kept as {kept}")


def _put(image: DiskImage, path: str, context: StepContext) -> None:
    """Copy the image and read it back. Raises BootstrapError: it is not the same there."""
    try:
        context.connection.put(image.path, path, on_line=context.line)
        found = context.run("sha256sum", path).stdout.split()
        if found[:1] != [image.sha256]:
            raise BootstrapError(
                f"{context.connection.host.name}: {path} does not read back as it was written: "
                f"sha256 {' '.join(found[:1]) or '(none)'}, wanted {image.sha256}",
                hint="check the disk of that host (`dmesg`), then run this again",
            )
    except BaseException:
        with contextlib.suppress(SshError):
            context.run("rm", "-rf", path, f"{path}.new")
        raise
