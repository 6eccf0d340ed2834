"""Disk images of guests: small, bootable, made only from Debian's packages.

Their parts are in the image kind ``guest`` of the rehearsal target
(``containers/rehearsal/guest/``). A guest is the same on every target: it does not use the RPMs.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.config import host_values, inventory
from sheepvirt.core import locks
from sheepvirt.core.errors import ConfigError
from sheepvirt.images import recipes
from sheepvirt.model.enums import Disk

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings
    from sheepvirt.model.guests import Guest
    from sheepvirt.run import Run

LOCK = "guest-images"


def ensure_image(run: Run, guest: Guest) -> Path:
    """Return the raw disk image of ``guest`` in ``dist/guests/``; make it if absent.

    Its name has a hash over the recipe and the console marker, so the same input needs no work.
    Raises ConfigError (a marker that a console cannot show as one line), EngineError (a step
    failed).
    """
    path = image_path(run.settings, guest)
    if path.exists():
        return path
    with locks.lock(run.settings, LOCK, run.progress, clock=run.clock):
        if not path.exists():  # another run may have made it meanwhile
            _make(run, guest, path)
    return path


def _make(run: Run, guest: Guest, path: Path) -> None:
    owner = str(locks.path_of(run.settings, LOCK))
    run.engine.reap(owner)
    target = inventory.load_target(run.settings, "rehearsal")
    parts = recipes.ensure(run, target, "guest")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        run.progress.stage(f"guest image of {guest.name}") as stage,
        tempfile.TemporaryDirectory(dir=path.parent) as scratch,
        run.engine.container(parts, owner=owner, network="none") as container,
    ):
        container.write("/guest/line", guest.console_marker + "\n")
        container.run(
            ["sh", "/guest/assemble.sh", "/guest/line", "/guest/disk.img"],
            on_line=stage.line,
            check=True,
        )
        container.get("/guest/disk.img", Path(scratch)).replace(path)
        stage.note = f"{path.stat().st_size // 2**20} MiB"


def image_path(settings: Settings, guest: Guest) -> Path:
    """Return where the image of ``guest`` is, once it was made. Raises ConfigError."""
    return settings.dist / "guests" / image_name(settings, guest)


def image_name(settings: Settings, guest: Guest) -> str:
    """Return the file name of ``guest``'s image, with a hash of its recipe.

    Only the guest's console marker is on the disk, so only that is in the hash. Raises
    ConfigError: the marker is not one line.
    """
    check_console_marker(guest)
    recipe = recipes.tag_of(settings, inventory.load_target(settings, "rehearsal"), "guest")
    key = hashlib.sha256(f"{recipe}\0{guest.console_marker}".encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', guest.name)}-{key[:16]}.img"


def check_size(guest: Guest, size: int) -> None:
    """Raise ConfigError if an image of ``size`` bytes does not fit on ``guest``'s VDI."""
    if guest.disk == Disk.SHEEPDOG and size > guest.disk_bytes:
        raise ConfigError(
            f"guest {guest.name!r}: its image has {size} bytes, its VDI only {guest.disk_bytes}",
            hint=f'set `disk_size = "{-(-size // 10**9)} GB"` for it in the inventory',
        )


def check_console_marker(guest: Guest) -> None:
    """Raise ConfigError if a console cannot show the guest's marker as one line."""
    marker = guest.console_marker
    if not host_values.shows_on_console(marker):
        raise ConfigError(
            f"guest {guest.name!r}: 'line' is {marker!r}: it is empty, ends in a space or has a "
            "control character",
            hint="use one line of visible text: it is searched on the guest's serial console",
        )
