"""The guests' disks. Each is made from its guest's image and kept when that image changes.

``disk_vdi`` makes disks in sheepdog, ``disk_file`` makes files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps import disk_file, disk_vdi
from sheepvirt.bootstrap.steps.base import DesiredState, Image, Step, StepContext
from sheepvirt.core.files import sha256
from sheepvirt.images import guest as guests
from sheepvirt.model.enums import Disk
from sheepvirt.model.hosts import Change, Guest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "disk"


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Every guest has a disk that was made from its current image."""
    found = [_differences(wanted, facts, guest) for guest in wanted.host.guests]
    return [Change(step=NAME, what=what) for differences in found for what in differences]


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Make or replace the disks that differ; keep a former disk under another name.

    Raises ConfigError before anything is written: an image does not fit.
    """
    todo = [g for g in wanted.host.guests if _differences(wanted, facts, g)]
    images = {g.name: guests.ensure_image(context.work, g) for g in todo}
    for guest in todo:
        guests.check_size(guest, images[guest.name].stat().st_size)
    for guest in todo:
        image = Image(images[guest.name], sha256(images[guest.name]))
        kind = disk_vdi if guest.disk == Disk.SHEEPDOG else disk_file
        kind.apply(wanted, guest, image, facts, context)


def _differences(wanted: DesiredState, facts: Facts, guest: Guest) -> list[str]:
    differences = disk_vdi.differences if guest.disk == Disk.SHEEPDOG else disk_file.differences
    return differences(guest, wanted.images[guest.name], facts)


STEP = Step(name=NAME, check=check, apply=apply)
