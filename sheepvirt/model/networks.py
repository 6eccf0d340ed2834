"""Frozen dataclasses of a host's bridges and of libvirt's networks on them."""

from __future__ import annotations

from dataclasses import dataclass

from sheepvirt.model.enums import Datapath


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """A bridge of Open vSwitch."""

    name: str
    datapath: Datapath = Datapath.SYSTEM
    uplink: str = ""  # the host's interface that becomes a port of the bridge; "" for none
    address: str = "dhcp"  # of a bridge with an uplink; or an IPv4 address and its prefix
    gateway: str = ""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network of libvirt, which leads to a bridge of the host."""

    name: str
    bridge: str  # the bridge's name
