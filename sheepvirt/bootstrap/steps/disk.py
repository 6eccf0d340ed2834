"""The guests' disks. Each is made from its guest's image once.

An image or a console line that changes later changes nothing of a disk that exists. `--reimage
GUEST` makes it again; the former disk is kept under another name.

``disk_vdi`` makes disks in sheepdog, ``disk_file`` makes files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import space
from sheepvirt.bootstrap.consent import REIMAGE
from sheepvirt.bootstrap.steps import disk_file, disk_vdi
from sheepvirt.bootstrap.steps.base import (
    ADOPTED_DISK,
    LIBVIRTD,
    DesiredState,
    DiskImage,
    ImageSize,
    Step,
    StepContext,
)
from sheepvirt.core.files import sha256
from sheepvirt.images import guest as guests
from sheepvirt.model.enums import Disk
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.model.guests import Guest

NAME = "disk"


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Every guest has a disk, as large as it should be."""
    return [change for guest in wanted.host.guests for change in _changes(wanted, facts, guest)]


def notes(wanted: DesiredState, facts: Facts) -> list[str]:
    """Return a line about each disk whose image or console line has changed since it was made."""
    found = []
    for guest in wanted.host.guests:
        made_from = disk_vdi.made_from if _is_vdi(guest) else disk_file.made_from
        origin = made_from(guest, facts)
        image = wanted.images[guest.name]
        if origin == ADOPTED_DISK and guest.name not in wanted.consent.reimages:
            found.append(f"the disk of {guest.name} was adopted, and is kept as it is")
        elif origin not in {"", image} and not wanted.consent.may_reimage(guest.name):
            found.append(
                f"the disk of {guest.name} is kept: it was made from {origin}, and the inventory "
                f"now means {image}; `{REIMAGE} {guest.name}` makes it again"
            )
        elif origin == image and guest.name in wanted.consent.reimages:
            found.append(
                f"the disk of {guest.name} is not made again: it was made from {image}, which the "
                "inventory still means"
            )
    return found


def needs(wanted: DesiredState, facts: Facts) -> list[space.Need]:
    """Return what is going to be written for disks, as far as the images' sizes are known."""
    found = []
    for guest in wanted.host.guests:
        kind = disk_vdi if _is_vdi(guest) else disk_file
        found += kind.needs(wanted, guest, facts)
    return found


def size_of(path: Path) -> ImageSize:
    """Return the size of an image on this machine. Raises OSError."""
    found = path.stat()
    return ImageSize(bytes=found.st_size, allocated=found.st_blocks * 512)


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Make or replace the disks that differ; keep a former disk under another name.

    Raises ConfigError (an image does not fit its VDI) and BootstrapError (there is no space)
    before anything is written and any guest is stopped.
    """
    todo = [
        g for g in wanted.host.guests if any(not c.waits_for for c in _changes(wanted, facts, g))
    ]
    images = {g.name: guests.ensure_image(context.work, g) for g in todo}
    for guest in todo:
        guests.check_size(guest, images[guest.name].stat().st_size)
    sizes = {name: size_of(path) for name, path in images.items()}
    space.require(wanted, facts, needs(replace(wanted, image_sizes=sizes), facts))
    for guest in todo:
        image = DiskImage(images[guest.name], sha256(images[guest.name]))
        kind = disk_vdi if _is_vdi(guest) else disk_file
        kind.apply(wanted, guest, image, facts, context)


def _changes(wanted: DesiredState, facts: Facts, guest: Guest) -> list[Change]:
    differences = disk_vdi.differences if _is_vdi(guest) else disk_file.differences
    return [
        Change(step=NAME, what=what, waits_for=waits_for)
        for what, waits_for in differences(wanted, guest, facts)
    ]


def _is_vdi(guest: Guest) -> bool:
    return guest.disk == Disk.SHEEPDOG


STEP = Step(name=NAME, check=check, apply=apply, asks=(LIBVIRTD,))
