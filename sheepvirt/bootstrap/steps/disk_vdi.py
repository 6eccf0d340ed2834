"""A guest's disk as a VDI of the sheepdog cluster. A note on the host says what it was made from.

The note is written when the VDI has been read back; while it is filled, the note says that, so that
a run that was cut off there is found and the VDI made anew. What else is in the way of a new VDI is
copied to another one first. A copy, no snapshot: libvirt's pool takes each line of ``dog vdi list``
for a volume, and a snapshot's, which has its VDI's name, keeps the pool from starting
(``virStorageBackendSheepdogRefreshAllVol`` of libvirt 7.0.0).
"""

from __future__ import annotations

from sheepvirt.bootstrap.services import log_hint
from sheepvirt.bootstrap.sheepdog import ADDRESS, PORT
from sheepvirt.bootstrap.steps.base import DesiredState, Image, StepContext, vdi_note
from sheepvirt.bootstrap.steps.cluster import ready
from sheepvirt.bootstrap.steps.power import stands, stop
from sheepvirt.core.errors import BootstrapError, ConfigError
from sheepvirt.model.hosts import Facts, Guest

FILLING = "filling"


def differences(guest: Guest, image: str, facts: Facts) -> list[str]:
    """Return what is to be done for the VDI to be there, made from ``image``, and large enough.

    Raises ConfigError where it would have to shrink.
    """
    name, size = guest.name, facts.vdis.get(guest.name)
    origin = _made_from(guest, facts)
    if size is None and origin == image and not ready(facts):
        return []  # a plan, and nobody can say what a cluster holds that does not answer
    if size is None:
        return [f"VDI {name} created ({guest.disk_gb} GB) and filled from {image}"]
    if origin != image:
        was = "a run was cut off" if origin == FILLING else f"it was made from {origin}"
        return [f"VDI {name} made anew from {image} ({was}), {name} stopped"]
    if size < guest.disk_bytes:
        stopped = f", {name} stopped" if stands(facts, guest) else ""
        return [f"VDI {name} grown from {size} to {guest.disk_bytes} bytes{stopped}"]
    if size > guest.disk_bytes:
        raise ConfigError(
            f"VDI {name} has {size} bytes and is to have {guest.disk_bytes}: a VDI cannot shrink",
            hint=f"set `disk_gb = {-(-size // 10**9)}` for {name} in the inventory, or delete the "
            f"VDI on the host (`dog vdi delete {name}`) and lose what is in it",
        )
    return []


def apply(
    wanted: DesiredState, guest: Guest, image: Image, facts: Facts, context: StepContext
) -> None:
    """Make, replace or grow the VDI. Raises BootstrapError: it does not read back the same."""
    name, pool = guest.name, wanted.host.pool
    if stands(facts, guest):
        stop(name, context)  # QEMU keeps a VDI's size and map as it has found them
    if name in facts.vdis:
        origin = _made_from(guest, facts)
        if origin == image.name:
            context.run("dog", "vdi", "resize", name, str(guest.disk_bytes))
            context.virsh("pool-refresh", pool)
            return
        if origin != FILLING:
            _keep(name, context)
    if guest.name in facts.domains:
        # A host that boots meanwhile must not start it on half a disk; the domain step turns it on.
        context.virsh("autostart", "--disable", name)
    context.run("rm", "-f", vdi_note(guest))
    if name in facts.vdis:
        context.run("dog", "vdi", "delete", name)
    context.virsh("pool-refresh", pool)
    context.virsh("vol-create-as", pool, name, str(guest.disk_bytes))
    # Only now, when the VDI is certainly a new one: what is called this is deleted without a copy.
    context.connection.write(vdi_note(guest), f"{FILLING} {image.name}\n".encode())
    _fill(name, image, facts, context)
    context.connection.write(vdi_note(guest), f"{image.name} {image.sha256}\n".encode())


def _keep(name: str, context: StepContext) -> None:
    """Copy a VDI to one that is called after the time, and compare the two."""
    now = context.run("date", "+%Y%m%d-%H%M%S").stdout.strip()
    kept = f"{name}.kept-{now}"
    source, copy = (f"sheepdog:{ADDRESS}:{PORT}:{n}" for n in (name, kept))
    context.run("qemu-img", "convert", "-f", "raw", "-O", "raw", source, copy)
    context.run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, copy)
    context.progress.say(f"  the former disk of {name} is kept as VDI {kept}")


def _fill(name: str, image: Image, facts: Facts, context: StepContext) -> None:
    """Write the image into the new VDI and read it back; behind it a new VDI has zeros."""
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
            hint=f"{log_hint(facts.init, 'sheepdog')} there may say why; run this again: it is "
            "made anew",
        )


def _made_from(guest: Guest, facts: Facts) -> str:
    """Return the image that the VDI was made from, "filling" or "something unknown"."""
    return (facts.texts.get(vdi_note(guest), "").split() or ["something unknown"])[0]
