"""Guests in the inventory: ``[hosts.HOST.guests.GUEST]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.config import host_values
from sheepvirt.config.keys import Key, Section
from sheepvirt.model.enums import Disk
from sheepvirt.model.guests import Guest, GuestDisk, Nic

if TYPE_CHECKING:
    from sheepvirt.config.keys import Problems
    from sheepvirt.core.tables import Table

VDI_LIMIT = 2**42  # sheepdog's limit: a VDI's map has 2**20 objects of 4 MiB

TITLE: Key[str] = Key(
    name="title",
    kind=host_values.LINE,
    default="",
    otherwise="the guest's name",
    meaning="`<title>` of the domain",
)
MEMORY_MB: Key[int] = Key(
    name="memory_mb",
    kind=host_values.whole(1),
    meaning="memory, in 10**6 bytes",
)
VCPUS: Key[int] = Key(
    name="vcpus", kind=host_values.whole(1), default=1, meaning="number of virtual CPUs"
)
NETWORK: Key[str] = Key(
    name="network",
    kind=host_values.NAME,
    meaning="network of libvirt that its network interface is on",
)
LINE: Key[str] = Key(
    name="line",
    kind=host_values.LINE,
    meaning="what the guest prints on its serial console while it is up: its console marker",
)
DISK: Key[Disk] = Key(
    name="disk",
    kind=host_values.choice(
        Disk, "use 'sheepdog' (a VDI of the host's cluster) or 'file' (a raw file on the host)"
    ),
    default=Disk.SHEEPDOG,
    meaning="a VDI with the guest's name, or a raw file on the host",
)
DISK_GB: Key[int] = Key(
    name="disk_gb",
    kind=host_values.whole(1),
    default=1,
    meaning="size of the VDI, in 10**9 bytes",
)
SECTION = Section(
    path="hosts.HOST.guests.GUEST",
    meaning="a guest of the host. Its name is that of its domain, and of its VDI",
    keys=(TITLE, MEMORY_MB, VCPUS, NETWORK, LINE, DISK, DISK_GB),
)


def read(name: str, table: Table, problems: Problems) -> Guest | None:
    """Return the guest; None if something in its table is a problem."""
    before = problems.count
    with problems.collecting():
        host_values.name(table, "name", name)
    values = SECTION.read(table, problems)
    if values is None:
        return None
    disk = GuestDisk(kind=values[DISK], size=values[DISK_GB] * 10**9)
    if disk.size > VDI_LIMIT:
        with problems.collecting():
            table.refuse(
                "disk_gb",
                f"is {values[DISK_GB]}: a VDI has at most {VDI_LIMIT} bytes",
                hint=f"give at most {VDI_LIMIT // 10**9}",
            )
    guest = Guest(
        name=name,
        title=values[TITLE] if values.said(TITLE) else name,
        memory_mb=values[MEMORY_MB],
        vcpus=values[VCPUS],
        console_marker=values[LINE],
        nics=(Nic(network=values[NETWORK]),),
        disks=(disk,),
    )
    return guest if problems.count == before else None
