"""A guest's disk as a VDI of the sheepdog cluster. A note on the host names its image.

The note is written after the VDI was read back. While the VDI is filled, the note says so: after an
interrupted run the VDI is then replaced. Any other VDI of that name is copied to another one first.
It is a copy and not a snapshot: libvirt's pool takes each line of ``dog vdi list`` for a volume. A
snapshot's line has its VDI's name and keeps the pool from starting
(``virStorageBackendSheepdogRefreshAllVol`` of libvirt 7.0.0).

What fails is undone at once: a copy that is not whole is deleted, the former disk is put back, its
guest is started. Where the connection is lost, notes say what the next run has to do.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import space
from sheepvirt.bootstrap.facts.sheepdog import ADDRESS, PORT
from sheepvirt.bootstrap.service_commands import log_hint
from sheepvirt.bootstrap.steps.base import (
    ADOPTED_DISK,
    STATE,
    DesiredState,
    DiskImage,
    StepContext,
    vdi_note,
)
from sheepvirt.bootstrap.steps.cluster import ready
from sheepvirt.bootstrap.steps.power import Halt, halted, stands
from sheepvirt.core import sizes
from sheepvirt.core.errors import BootstrapError, ConfigError, SheepvirtError, SshError

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.model.guests import Guest

FILLING = "filling"
CREATING = "creating"  # the VDI did not exist, and may by now
INTERRUPTED = (FILLING, CREATING)
UNKNOWN = "something unknown"  # it has no note


def copying_note(guest: Guest) -> str:
    """Return the path of the note that names a copy of the VDI while it is being made."""
    return f"{STATE}/vdi-{guest.name}.copying"


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is noted of a VDI: its image; while it is filled also its former disk and that one's."""

    origin: str  # an image, or one of the words above
    kept: str = ""  # the VDI with the former disk
    former: str = ""  # the former disk's own note


def read_note(guest: Guest, facts: Facts) -> Note:
    """Parse "IMAGE SHA256", or "filling IMAGE [kept VDI [former note]]"."""
    words = facts.texts.get(vdi_note(guest), "").split()
    if words[:1] == [FILLING] and words[2:3] == ["kept"]:
        return Note(origin=FILLING, kept="".join(words[3:4]), former=" ".join(words[4:]))
    return Note(origin=(words or [UNKNOWN])[0])


def differences(wanted: DesiredState, guest: Guest, facts: Facts) -> list[tuple[str, str]]:
    """Return the changes that the VDI needs, each with the option that it waits for.

    Raises ConfigError: it would have to shrink.
    """
    unfinished = facts.texts.get(copying_note(guest), "").strip()
    removed = [(f"VDI {unfinished} deleted: it is an unfinished copy", "")] if unfinished else []
    change = _change(wanted, guest, facts)
    return [*removed, change] if change else removed


def _change(wanted: DesiredState, guest: Guest, facts: Facts) -> tuple[str, str] | None:
    """Return the change of the VDI itself, and what it waits for. Raises ConfigError."""
    name, size, image = guest.name, facts.vdis.get(guest.name), wanted.images[guest.name]
    note, restart = read_note(guest, facts), ""
    if stands(facts, guest):
        restart = wanted.consent.waits_for_restart()
    if size is None and facts.cluster and not ready(facts) and vdi_note(guest) in facts.texts:
        return None  # a plan, and the cluster does not answer, so its VDIs are unknown
    if _is_replaced(wanted, guest, facts):
        agreed = wanted.consent.may_reimage(name)
        return _replaced(guest, note, image, facts), "" if agreed else restart
    if size is None:
        again = f" ({_interrupted(note)})" if note.origin in INTERRUPTED else ""
        size_text = sizes.text(guest.disk_bytes)
        what = f"VDI {name} created ({size_text}) and filled from {image}{again}"
    elif _is_left(wanted, guest, facts):
        return None
    elif size > guest.disk_bytes:
        raise ConfigError(
            f"VDI {name} has {size} bytes and should have {guest.disk_bytes}: a VDI cannot shrink",
            hint=f'set `disk_size = "{sizes.text(size)}"` for {name} in the inventory, or delete '
            f"the VDI and its data on the host (`dog vdi delete {name}`)",
        )
    else:
        what = f"VDI {name} grown from {size} to {guest.disk_bytes} bytes"
    return f"{what}, {name} restarted" if stands(facts, guest) else what, restart


def _is_due(wanted: DesiredState, guest: Guest, facts: Facts) -> bool:
    """Tell whether the VDI itself is changed in this run."""
    change = _change(wanted, guest, facts)
    return change is not None and not change[1]


def _is_left(wanted: DesiredState, guest: Guest, facts: Facts) -> bool:
    """Tell whether the VDI keeps its size. An adopted one stays as it is."""
    as_it_is = wanted.host.real and read_note(guest, facts).origin in {ADOPTED_DISK, UNKNOWN}
    return facts.vdis.get(guest.name) == guest.disk_bytes or as_it_is


def _is_replaced(wanted: DesiredState, guest: Guest, facts: Facts) -> bool:
    """Tell whether the VDI that is there is made from its image again."""
    origin = read_note(guest, facts).origin
    if guest.name not in facts.vdis:
        return False
    again = origin != wanted.images[guest.name] and wanted.consent.may_reimage(guest.name)
    return origin in INTERRUPTED or again


def _replaced(guest: Guest, note: Note, image: str, facts: Facts) -> str:
    name = guest.name
    if note.origin == FILLING:
        return f"VDI {name} replaced from {image} ({_interrupted(note)}), {name} stopped"
    was = "a run was interrupted" if note.origin == CREATING else f"it was made from {note.origin}"
    size = f"{-(-facts.vdis_used.get(name, 0) // (1 << 20))} MiB"
    return (
        f"VDI {name} replaced from {image} ({was}), {name} stopped; the "
        f"former disk is kept as VDI {name}.kept-TIME ({size})"
    )


def _interrupted(note: Note) -> str:
    former = f"; the former disk is kept as VDI {note.kept}" if note.kept else ""
    return f"a run was interrupted{former}"


def needs(wanted: DesiredState, guest: Guest, facts: Facts) -> list[space.Need]:
    """Return what is written into the cluster: the image, and a copy of the former disk."""
    size, name = wanted.image_sizes.get(guest.name), guest.name
    replaced = _is_replaced(wanted, guest, facts)
    if size is None or not (replaced or name not in facts.vdis):
        return []
    found = [space.Need(folder=space.CLUSTER, size=size.bytes, what=f"the disk of {name}")]
    if replaced and read_note(guest, facts).origin != FILLING:
        used, what = facts.vdis_used.get(name, 0), f"a copy of the former disk of {name}"
        found.append(space.Need(folder=space.CLUSTER, size=used, what=what))
    return found


def apply(
    wanted: DesiredState, guest: Guest, image: DiskImage, facts: Facts, context: StepContext
) -> None:
    """Make, replace or grow the VDI. Raises BootstrapError: it does not read back the same."""
    name, pool = guest.name, wanted.host.pool
    unfinished = facts.texts.get(copying_note(guest), "").strip()
    if unfinished:
        _delete_copy(guest, unfinished, context)
    if not _is_due(wanted, guest, facts):
        return
    replaced = _is_replaced(wanted, guest, facts)
    size = facts.vdis.get(name)
    # A running QEMU does not see a new size or map.
    with halted(wanted, facts, guest, context) as halt:
        if size is not None and not replaced:
            context.run("dog", "vdi", "resize", name, str(guest.disk_bytes))
            context.virsh("pool-refresh", pool)
        else:
            _Making(wanted, guest, image, facts, context=context, halt=halt).run()


class _Making:
    """One VDI on its way from its image; what fails is undone."""

    def __init__(
        self,
        wanted: DesiredState,
        guest: Guest,
        image: DiskImage,
        facts: Facts,
        *,
        context: StepContext,
        halt: Halt,
    ) -> None:
        self._pool = wanted.host.pool
        self._guest = guest
        self._image = image
        self._facts = facts
        self._context = context
        self._halt = halt
        self._note = vdi_note(guest)
        found = read_note(guest, facts)
        self._is_former = guest.name in facts.vdis and found.origin != FILLING
        self._kept, self._former = found.kept, found.former
        self._is_made = False  # a VDI of this name has our note and is not whole

    def run(self) -> None:
        """Keep the former disk, make the new one."""
        name, context = self._guest.name, self._context
        if self._is_former:
            self._former = self._facts.texts.get(self._note, "").strip()
            self._kept = _keep(self._guest, context)
        if name in self._facts.domains:
            # If the host boots now, it must not start on half a disk.
            context.virsh("autostart", "--disable", name)
        self._halt.restart = False
        try:
            self._make()
        except BaseException:
            self._undo()
            raise
        self._autostart()

    def _make(self) -> None:
        name, context = self._guest.name, self._context
        filling = f"{FILLING} {self._image.name}"
        if self._kept:
            filling += f" kept {self._kept} {self._former}".rstrip()
            context.connection.write(self._note, f"{filling}\n".encode())
        elif name in self._facts.vdis:
            context.run("rm", "-f", self._note)
        if name in self._facts.vdis:
            self._is_made = True  # the former one is kept, or was never whole
            context.run("dog", "vdi", "delete", name)
            self._is_made = False
        if not self._kept:
            # Without a note, what an interrupted run has created would be somebody else's.
            context.connection.write(self._note, f"{CREATING} {self._image.name}\n".encode())
        context.virsh("pool-refresh", self._pool)
        context.virsh("vol-create-as", self._pool, name, str(self._guest.disk_bytes))
        self._is_made = True
        # Only now that the VDI is certainly new: a VDI with this note is deleted without a copy.
        context.connection.write(self._note, f"{filling}\n".encode())
        _fill(name, self._image, self._facts, context)
        content = f"{self._image.name} {self._image.sha256}\n"
        context.connection.write(self._note, content.encode())
        self._is_made = False
        if self._kept:
            context.progress.say(f"  the former disk of {name} is kept as VDI {self._kept}")

    def _autostart(self) -> None:
        """Let the guest be started at boot again, if it was."""
        state = self._facts.domains.get(self._guest.name)
        if state is not None and state.autostart:
            self._context.virsh("autostart", self._guest.name)

    def _undo(self) -> None:
        """Delete what is not whole; put the former disk back. What cannot be done is said."""
        name, context = self._guest.name, self._context
        try:
            if self._is_made:
                context.run("dog", "vdi", "delete", name, check=False)
            if self._kept:
                _copy(self._kept, name, context)
                content = self._former or UNKNOWN
                context.connection.write(self._note, f"{content}\n".encode())
                context.run("dog", "vdi", "delete", self._kept)
                self._halt.restart = True
                self._autostart()
                context.progress.say(f"  the former disk of {name} is back")
            elif self._is_made:
                context.run("rm", "-f", self._note)
            if self._is_made or self._kept:
                context.virsh("pool-refresh", self._pool, check=False)
        except SheepvirtError as error:
            where = f"the former disk is in VDI {self._kept}; " if self._kept else ""
            context.progress.say(
                f"  VDI {name} is not whole, and could not be undone ({error.message}): {where}"
                "the next bootstrap goes on with it"
            )


def _keep(guest: Guest, context: StepContext) -> str:
    """Copy a VDI to one whose name has the time; return that. What fails leaves no copy.

    Raises RemoteCommandError (it cannot be copied, or the copy differs), SshError.
    """
    name = guest.name
    now = context.run("date", "+%Y%m%d-%H%M%S").stdout.strip()
    kept = f"{name}.kept-{now}"
    context.connection.write(copying_note(guest), f"{kept}\n".encode())
    try:
        _copy(name, kept, context)
    except BaseException:
        with contextlib.suppress(SshError):  # the note says what to delete
            _delete_copy(guest, kept, context)
        raise
    context.run("rm", "-f", copying_note(guest))
    return kept


def _copy(name: str, to: str, context: StepContext) -> None:
    """Copy a VDI to a new one, and compare the two."""
    source, copy = (f"sheepdog:{ADDRESS}:{PORT}:{n}" for n in (name, to))
    context.run("qemu-img", "convert", "-f", "raw", "-O", "raw", source, copy)
    context.run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, copy)


def _delete_copy(guest: Guest, copy: str, context: StepContext) -> None:
    """Delete a copy that is not whole, if it is there, and then its note."""
    context.run("dog", "vdi", "delete", copy, check=False)
    context.run("rm", "-f", copying_note(guest))


def _fill(name: str, image: DiskImage, facts: Facts, context: StepContext) -> None:
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
    return read_note(guest, facts).origin if guest.name in facts.vdis else ""
