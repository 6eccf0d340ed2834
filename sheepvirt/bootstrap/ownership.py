"""Whose the objects are that already have the names which the inventory gives. Pure.

What sheepvirt made carries its mark (marks.py; the notes of disks). Anything else of such a name is
refused on a real machine, all of it at once, unless it is as sheepvirt makes it, or adopted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.consent import ADOPT
from sheepvirt.bootstrap.marks import Mark
from sheepvirt.bootstrap.steps import (
    domain,
    ifcfg,
    marking,
    network,
    owned_files,
    pool,
    repository,
    units,
)
from sheepvirt.bootstrap.steps.base import ADOPTED_DISK, disk_path, vdi_note
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Disk, ObjectKind, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import DesiredState
    from sheepvirt.model.hosts import Host

GUEST_PORT = re.compile(r"vnet\d+")  # libvirt's name for a guest's interface


@dataclass(frozen=True, kw_only=True)
class Unmarked:
    """An object of a wanted name, without a mark on the host."""

    kind: ObjectKind
    name: str
    ours: bool  # it is as sheepvirt makes it, or says itself that it is sheepvirt's
    what: str = ""  # what is known of it, for a refusal
    mark: Mark | None = None  # that it will have; None: a disk, which has a note of its own

    @property
    def title(self) -> str:
        """Kind, name, and what is known of it."""
        return f"{self.kind} {self.name}" + (f" ({self.what})" if self.what else "")


def names(host: Host) -> tuple[str, ...]:
    """Return the names that ``--adopt`` and ``--replace`` know."""
    guests = (guest.name for guest in host.guests)
    own = (repository.REPO_FILE, *units.FILES)
    return tuple(dict.fromkeys((host.bridge, host.network, host.pool, *guests, *own)))


def unmarked(wanted: DesiredState, facts: Facts) -> list[Unmarked]:
    """Return all objects of wanted names that have no mark."""
    return [
        *_files(wanted, facts),
        *_bridge(wanted, facts),
        *_definitions(wanted, facts),
        *_disks(wanted, facts),
    ]


def require(wanted: DesiredState, facts: Facts) -> None:
    """Raise BootstrapError if an object is somebody else's and not adopted; name them all."""
    host = wanted.host
    _right_pool(wanted, facts)
    foreign = [
        one
        for one in unmarked(wanted, facts)
        if not one.ours and not wanted.consent.may_adopt(one.name)
    ]
    if foreign:
        rows = "\n".join(f"  {one.title}" for one in foreign)
        options = " ".join(f"{ADOPT} {name}" for name in dict.fromkeys(o.name for o in foreign))
        raise BootstrapError(
            f"{host.name} already has, and sheepvirt did not make:\n{rows}\nNothing was changed",
            hint="either give the inventory other names for them, or let sheepvirt take them as "
            f"they are: `invoke bootstrap {host.name} --plan {options}` shows what it would "
            "change of them then",
        )


def libvirt_objects(wanted: DesiredState, facts: Facts) -> Iterator[marking.Pair]:
    """Yield the wanted objects of libvirt, each with its state on the host."""
    host = wanted.host
    yield network.wanted_network(wanted, facts), facts.networks.get(host.network)
    yield pool.wanted_pool(wanted, facts), facts.pools.get(host.pool)
    for guest in host.guests:
        yield domain.wanted_domain(wanted, guest, facts), facts.domains.get(guest.name)


def _right_pool(wanted: DesiredState, facts: Facts) -> None:
    """Refuse a pool of another type: guests' disks are not in it, and cannot be."""
    host, state = wanted.host, facts.pools.get(wanted.host.pool)
    kind = pool.type_of(state.xml) if state else pool.TYPE
    if host.real and kind != pool.TYPE:
        raise BootstrapError(
            f"{host.name}: pool {host.pool} is of type {kind}, not {pool.TYPE}. Nothing was "
            "changed",
            hint="set another `pool` for it in the inventory",
        )


def _definitions(wanted: DesiredState, facts: Facts) -> Iterator[Unmarked]:
    for one, state in libvirt_objects(wanted, facts):
        found = marking.standing(one, state, facts)
        if state and found.mark and not found.noted:
            what = "active" if state.active else "inactive"
            yield Unmarked(
                kind=one.kind, name=one.name, ours=found.ours, what=what, mark=found.mark
            )


def _bridge(wanted: DesiredState, facts: Facts) -> Iterator[Unmarked]:
    host = wanted.host
    state = facts.bridges.get(host.bridge)
    if state is None or (ObjectKind.BRIDGE, host.bridge) in facts.marks:
        return
    others = [p for p in state.ports if p != host.uplink and not GUEST_PORT.fullmatch(p)]
    # With network scripts, its own file gives it the address.
    by_file = facts.network_scripts and not ifcfg.differing(wanted, facts)
    device = facts.devices.get(host.bridge)
    addressed = device is not None and bool(device.addresses) and not by_file
    what = [f"{state.datapath} datapath"]
    if others:
        what.append(f"with the ports {', '.join(others)}")
    if addressed:
        what.append("with an address")
    ours = state.datapath == host.datapath and not others and not addressed
    yield Unmarked(
        kind=ObjectKind.BRIDGE,
        name=host.bridge,
        ours=ours,
        what=", ".join(what),
        mark=Mark(
            kind=ObjectKind.BRIDGE,
            name=host.bridge,
            origin=Origin.TAKEN if ours else Origin.ADOPTED,
        ),
    )


def _files(wanted: DesiredState, facts: Facts) -> Iterator[Unmarked]:
    for path, content in files(wanted, facts).items():
        there, wished = facts.hashes.get(path), owned_files.digest(content)
        noted = facts.marks.get((ObjectKind.FILE, path))
        # A run may have been interrupted between a file and its note.
        if there is None or (noted and (noted.sent == there or there != wished)):
            continue
        ours = there == wished or owned_files.unmarked_host(facts)
        origin = Origin.TAKEN if ours else Origin.ADOPTED
        mark = Mark(kind=ObjectKind.FILE, name=path, origin=origin, sent=there)
        yield Unmarked(kind=ObjectKind.FILE, name=path, ours=ours, mark=mark)


def files(wanted: DesiredState, facts: Facts) -> dict[str, bytes]:
    """Return the files of sheepvirt on the host: path to content."""
    return {
        **repository.files(wanted),
        **units.wanted_files(wanted.host_files, facts.init),
    }


def _disks(wanted: DesiredState, facts: Facts) -> Iterator[Unmarked]:
    for guest in wanted.host.guests:
        size, path = facts.vdis.get(guest.name), disk_path(guest)
        if guest.disk == Disk.SHEEPDOG and size is not None and vdi_note(guest) not in facts.texts:
            what = (
                f"{size} bytes; a guest may run from it, here or on another host of this cluster, "
                "and a second one would destroy it"
            )
            yield Unmarked(kind=ObjectKind.VDI, name=guest.name, ours=False, what=what)
        if guest.disk == Disk.FILE and facts.disks.get(path) == "":
            yield Unmarked(kind=ObjectKind.DISK, name=guest.name, ours=False, what=path)


def disk_notes(wanted: DesiredState, found: list[Unmarked]) -> dict[str, str]:
    """Return the notes that adopt disks: path to content."""
    adopted = {one.name for one in found if one.mark is None}
    return {
        vdi_note(g) if g.disk == Disk.SHEEPDOG else f"{disk_path(g)}.from": f"{ADOPTED_DISK}\n"
        for g in wanted.host.guests
        if g.name in adopted
    }
