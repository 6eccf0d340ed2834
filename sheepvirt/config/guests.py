"""Guests in the inventory: ``[hosts.HOST.guests.GUEST]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.config import host_values, nics
from sheepvirt.config.keys import Apart, Group, Key, OneOf, Section
from sheepvirt.model.enums import Disk
from sheepvirt.model.guests import Guest, GuestDisk, Nic

if TYPE_CHECKING:
    from sheepvirt.config.keys import Problems, Values
    from sheepvirt.core.tables import Table

SECTOR = 512  # QEMU counts a disk in sectors
VDI_LIMIT = 2**42  # sheepdog's limit: a VDI's map has 2**20 objects of 4 MiB

TITLE: Key[str | None] = Key(
    name="title",
    kind=host_values.LINE,
    default=None,
    otherwise="the guest's name",
    meaning="`<title>` of the domain",
)
MEMORY: Key[int | None] = Key(
    name="memory",
    kind=host_values.size(10**6, 2**63),
    default=None,
    otherwise="**required**, or `memory_mb`",
    meaning="memory of the guest",
)
MEMORY_MB: Key[int | None] = Key(
    name="memory_mb",
    kind=host_values.whole(1),
    default=None,
    otherwise="none",
    meaning="the same as a number of MB, in place of `memory`",
)
VCPUS: Key[int] = Key(
    name="vcpus", kind=host_values.whole(1), default=1, meaning="number of virtual CPUs"
)
NETWORK: Key[str | None] = Key(
    name="network",
    kind=host_values.NAME,
    default=None,
    otherwise="the host's network",
    meaning="network of libvirt that its network interface is on",
)
LINE: Key[str] = Key(
    name="line",
    kind=host_values.CONSOLE_LINE,
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
DISK_SIZE: Key[int | None] = Key(
    name="disk_size",
    kind=host_values.size(SECTOR, VDI_LIMIT, multiple=SECTOR),
    default=None,
    otherwise='`"1 GB"`',
    meaning="size of the VDI (a file is as large as its image)",
)
DISK_GB: Key[int | None] = Key(
    name="disk_gb",
    kind=host_values.whole(1),
    default=None,
    otherwise="none",
    meaning="the same as a number of GB, in place of `disk_size`",
)
SECTION = Section(
    path="hosts.HOST.guests.GUEST",
    meaning="a guest of the host. Its name is that of its domain, and of its VDI",
    groups=(
        Group(
            key="nics",
            section=nics.SECTION,
            meaning="its network interfaces; without it there is one, on its `network`",
            listed=True,
        ),
    ),
    keys=(TITLE, MEMORY, MEMORY_MB, VCPUS, NETWORK, LINE, DISK, DISK_SIZE, DISK_GB),
    rules=(
        OneOf(keys=("memory", "memory_mb"), example='memory = "512 MiB"'),
        Apart(
            first="nics",
            second="network",
            why=", and each of them has its own",
            hint="say `network` in `nics`, or remove it: without one it is the host's",
        ),
        Apart(first="disk_size", second="disk_gb", hint="remove `disk_gb`"),
        Apart(
            first="disk_size",
            second="disk",
            with_value=str(Disk.FILE),
            why=" (to 'file'), and a file is as large as its image",
            hint="remove `disk_size`",
        ),
    ),
)


def read(name: str, table: Table, problems: Problems, usual: str) -> Guest | None:
    """Return the guest; None if something in its table is a problem.

    ``usual`` is the network of a guest that names none; it is "" where that is a problem itself.
    """
    before = problems.count
    with problems.collecting():
        host_values.name(table, "name", name)
    values = SECTION.read(table, problems)
    found = nics.read(table, problems, usual)
    if values is None:
        return None
    disk = GuestDisk(kind=values[DISK], size=_disk_size(values, problems))
    title = values[TITLE]
    guest = Guest(
        name=name,
        title=name if title is None else title,
        memory=values[MEMORY] or (values[MEMORY_MB] or 0) * 10**6,
        vcpus=values[VCPUS],
        console_marker=values[LINE],
        nics=found or (Nic(network=values[NETWORK] or usual),),
        disks=(disk,),
    )
    return guest if problems.count == before else None


def _disk_size(values: Values, problems: Problems) -> int:
    """Return the size of the disk in bytes."""
    gigabytes = values[DISK_GB] or 1
    size = values[DISK_SIZE] or gigabytes * 10**9
    if size > VDI_LIMIT:
        with problems.collecting():
            values.table.refuse(
                "disk_gb",
                f"is {gigabytes}: a VDI has at most {VDI_LIMIT} bytes",
                hint=f"give at most {VDI_LIMIT // 10**9}",
            )
    return size
