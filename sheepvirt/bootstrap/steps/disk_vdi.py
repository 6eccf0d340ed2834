"""A guest's disk as a VDI of the sheepdog cluster. A note on the host names its image.

The note is written after the VDI was read back. While the VDI is filled, the note says so: after an
interrupted run the VDI is then replaced. Any other VDI of that name is copied to another one first.
It is a copy and not a snapshot: libvirt's pool takes each line of ``dog vdi list`` for a volume. A
snapshot's line has its VDI's name and keeps the pool from starting
(``virStorageBackendSheepdogRefreshAllVol`` of libvirt 7.0.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.sheepdog import ADDRESS, PORT
from sheepvirt.bootstrap.service_commands import log_hint
from sheepvirt.bootstrap.steps.base import ADOPTED_DISK, DesiredState, Image, StepContext, vdi_note
from sheepvirt.bootstrap.steps.cluster import ready
from sheepvirt.bootstrap.steps.power import stands, stop
from sheepvirt.core.errors import BootstrapError, ConfigError

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.model.hosts import Guest

FILLING = "filling"
CREATING = "creating"  # the VDI did not exist, and may by now
INTERRUPTED = (FILLING, CREATING)
UNKNOWN = "something unknown"  # it has no note


def differences(wanted: DesiredState, guest: Guest, facts: Facts) -> list[tuple[str, str]]:
    """Return the changes that the VDI needs, each with the option that it waits for.

    Raises ConfigError: it would have to shrink.
    """
    name, size, image = guest.name, facts.vdis.get(guest.name), wanted.images[guest.name]
    origin = _noted(guest, facts)
    if size is None and origin == image and not ready(facts):
        return []  # a plan, and the cluster does not answer, so its VDIs are unknown
    if size is None:
        return [(f"VDI {name} created ({guest.disk_gb} GB) and filled from {image}", "")]
    if origin in INTERRUPTED or (origin != image and wanted.consent.may_reimage(name)):
        was = "a run was interrupted" if origin in INTERRUPTED else f"it was made from {origin}"
        return [(f"VDI {name} replaced from {image} ({was}), {name} stopped", "")]
    # An adopted one stays as it is, in its size too.
    if size == guest.disk_bytes or (wanted.host.real and origin in {ADOPTED_DISK, UNKNOWN}):
        return []
    if size > guest.disk_bytes:
        raise ConfigError(
            f"VDI {name} has {size} bytes and should have {guest.disk_bytes}: a VDI cannot shrink",
            hint=f"set `disk_gb = {-(-size // 10**9)}` for {name} in the inventory, or delete the "
            f"VDI and its data on the host (`dog vdi delete {name}`)",
        )
    grown = f"VDI {name} grown from {size} to {guest.disk_bytes} bytes"
    if not stands(facts, guest):
        return [(grown, "")]
    return [(f"{grown}, {name} restarted", wanted.consent.waits_for_restart())]


def apply(
    wanted: DesiredState, guest: Guest, image: Image, facts: Facts, context: StepContext
) -> None:
    """Make, replace or grow the VDI. Raises BootstrapError: it does not read back the same."""
    name, pool = guest.name, wanted.host.pool
    if stands(facts, guest):
        stop(wanted, name, context)  # a running QEMU does not see a new size or map
    if name in facts.vdis:
        origin = _noted(guest, facts)
        if origin == image.name or not (origin in INTERRUPTED or wanted.consent.may_reimage(name)):
            context.run("dog", "vdi", "resize", name, str(guest.disk_bytes))
            context.virsh("pool-refresh", pool)
            return
        if origin != FILLING:
            _keep(name, context)
    if guest.name in facts.domains:
        # If the host boots now, it must not start on half a disk; the domain step enables it again.
        context.virsh("autostart", "--disable", name)
    if name in facts.vdis:
        context.run("rm", "-f", vdi_note(guest))
        context.run("dog", "vdi", "delete", name)
    # Without a note, what an interrupted run has created would be somebody else's.
    context.connection.write(vdi_note(guest), f"{CREATING} {image.name}\n".encode())
    context.virsh("pool-refresh", pool)
    context.virsh("vol-create-as", pool, name, str(guest.disk_bytes))
    # Only now that the VDI is certainly new: a VDI with this note is deleted without a copy.
    context.connection.write(vdi_note(guest), f"{FILLING} {image.name}\n".encode())
    _fill(name, image, facts, context)
    context.connection.write(vdi_note(guest), f"{image.name} {image.sha256}\n".encode())


def _keep(name: str, context: StepContext) -> None:
    """Copy a VDI to one whose name has the time, and compare the two."""
    now = context.run("date", "+%Y%m%d-%H%M%S").stdout.strip()
    kept = f"{name}.kept-{now}"
    source, copy = (f"sheepdog:{ADDRESS}:{PORT}:{n}" for n in (name, kept))
    context.run("qemu-img", "convert", "-f", "raw", "-O", "raw", source, copy)
    context.run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, copy)
    context.progress.say(f"  the former disk of {name} is kept as VDI {kept}")


def _fill(name: str, image: Image, facts: Facts, context: StepContext) -> None:
    """Write the image to the new VDI and read it back; the rest of a new VDI is zeros."""
    size = str(image.path.stat().st_size)
    with image.path.open("rb") as content:
        context.connection.run(
            ["dog", "vdi", "write", name, "0", size], stdin=content, on_line=context.line
        )
    script = 'dog vdi read "$1" 0 "$2" | sha256sum'
    found = context.run("sh", "-c", script, "sh", name, size).stdout.split()
    if found[:1] != [image.sha256]:
        raise BootstrapError(
            f"{context.connection.host.name}: VDI {name} does not read back as it was written: "
            f"sha256 {' '.join(found[:1]) or '(none)'}, wanted {image.sha256}",
            hint=f"read {log_hint(facts.init, 'sheepdog')} on the host, then run this again",
        )


def made_from(guest: Guest, facts: Facts) -> str:
    """Return the image that the VDI was made from, or "something unknown"; "" without a VDI."""
    return _noted(guest, facts) if guest.name in facts.vdis else ""


def _noted(guest: Guest, facts: Facts) -> str:
    """Return the image in the note of the VDI, "filling" or "something unknown"."""
    return (facts.texts.get(vdi_note(guest), "").split() or [UNKNOWN])[0]
