"""Frozen dataclasses of guests: what a domain is made of."""

from __future__ import annotations

from dataclasses import dataclass

from sheepvirt.model.enums import Disk


@dataclass(frozen=True, kw_only=True)
class Nic:
    """A network interface of a guest."""

    network: str  # the name of a network of libvirt
    vlan: int = 0  # tag of its frames on the bridge; 0: untagged
    mac: str = ""  # "": libvirt chooses it, and it stays


@dataclass(frozen=True, kw_only=True)
class GuestDisk:
    """A disk of a guest."""

    kind: Disk = Disk.SHEEPDOG
    size: int = 10**9  # in bytes, of a VDI; a file is as large as its image


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A domain of a host."""

    name: str
    title: str
    memory: int  # in bytes
    vcpus: int
    console_marker: str  # what a running guest prints on its console; key `line` of the inventory
    nics: tuple[Nic, ...]
    disks: tuple[GuestDisk, ...] = (GuestDisk(),)

    @property
    def memory_unit(self) -> str:
        """The unit of its memory in XML: MB as in the how-to where that is exact, else KiB.

        It does not depend on how the inventory writes the amount, so that is no change on a host.
        """
        return "KiB" if self.memory % 10**6 else "MB"

    @property
    def memory_amount(self) -> int:
        """Its memory in that unit, rounded up as libvirt does."""
        return -(-self.memory // (10**6 if self.memory_unit == "MB" else 1024))

    # Today a guest has one disk.
    @property
    def disk(self) -> Disk:
        """Where its disk is."""
        return self.disks[0].kind

    @property
    def disk_bytes(self) -> int:
        """The VDI's size."""
        return self.disks[0].size
