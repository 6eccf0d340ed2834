"""Frozen dataclasses of guests: what a domain is made of."""

from __future__ import annotations

from dataclasses import dataclass

from sheepvirt.model.enums import Disk


@dataclass(frozen=True, kw_only=True)
class Nic:
    """A network interface of a guest."""

    network: str  # the name of a network of libvirt


@dataclass(frozen=True, kw_only=True)
class GuestDisk:
    """A disk of a guest."""

    kind: Disk = Disk.SHEEPDOG
    size: int = 10**9  # in bytes, of a VDI; a file is as large as its image


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A domain of a host. Memory in MB (10**6 bytes), as in the how-to's ``unit='GB'``."""

    name: str
    title: str
    memory_mb: int
    vcpus: int
    console_marker: str  # what a running guest prints on its console; key `line` of the inventory
    nics: tuple[Nic, ...]
    disks: tuple[GuestDisk, ...] = (GuestDisk(),)

    # Today a guest has one network interface and one disk.
    @property
    def network(self) -> str:
        """The network of its interface."""
        return self.nics[0].network

    @property
    def disk(self) -> Disk:
        """Where its disk is."""
        return self.disks[0].kind

    @property
    def disk_bytes(self) -> int:
        """The VDI's size."""
        return self.disks[0].size
