"""The bridge of a host and the network of libvirt on it, as the keys of ``[hosts.HOST]`` say them.

Each function that checks raises ConfigError.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from sheepvirt.config import host_values
from sheepvirt.config.keys import Key
from sheepvirt.core.errors import suggest
from sheepvirt.model.enums import Datapath
from sheepvirt.model.networks import Bridge, Network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.config.keys import Values
    from sheepvirt.core.errors import ConfigError
    from sheepvirt.core.tables import Table
    from sheepvirt.model.guests import Guest
    from sheepvirt.model.hosts import Host

BRIDGE: Key[str] = Key(
    name="bridge", kind=host_values.INTERFACE, meaning="name of the Open vSwitch bridge"
)
NETWORK: Key[str] = Key(
    name="network",
    kind=host_values.NAME,
    meaning="name of the network of libvirt that leads to the bridge",
)
DATAPATH: Key[Datapath | None] = Key(
    name="datapath",
    kind=host_values.choice(
        Datapath, "use 'system' (the kernel's) or 'netdev' (userspace, where the kernel has none)"
    ),
    default=None,
    otherwise='`"netdev"` on a rehearsal host, else `"system"`',
    meaning="where the bridge forwards packets: in the kernel, or in userspace",
)
UPLINK: Key[str] = Key(
    name="uplink",
    kind=host_values.OPTIONAL_INTERFACE,
    default="",
    otherwise="none",
    meaning="network interface of the host that becomes a port of the bridge",
)
BRIDGE_ADDRESS: Key[str] = Key(
    name="bridge_address",
    kind=host_values.TEXT,
    default="dhcp",
    meaning='address of the bridge: `"dhcp"` (over its uplink), or an IPv4 address with its prefix',
)
GATEWAY: Key[str] = Key(
    name="gateway",
    kind=host_values.TEXT,
    default="",
    otherwise="none",
    meaning="router of a bridge with an address of its own",
)
# Names of network interfaces that others make, and who.
TAKEN = (
    ("lo", "the loopback interface"),
    ("virbr[0-9]+(-nic)?", "libvirt's own, of networks such as 'default'"),
    ("(vnet|vif|macvtap|macvlan)[0-9]+", "libvirt's, of a guest's interface"),
    ("ovs-(system|netdev)", "Open vSwitch's own"),
)
KEYS: tuple[Key[object], ...] = (BRIDGE, NETWORK, DATAPATH, UPLINK, BRIDGE_ADDRESS, GATEWAY)


def bridge(values: Values, *, rehearsal: bool) -> Bridge:
    """Return the host's bridge."""
    usual = Datapath.NETDEV if rehearsal else Datapath.SYSTEM
    return Bridge(
        name=values[BRIDGE],
        datapath=values[DATAPATH] or usual,
        uplink=values[UPLINK],
        address=values[BRIDGE_ADDRESS],
        gateway=values[GATEWAY],
    )


def network(values: Values) -> Network:
    """Return the host's network."""
    return Network(name=values[NETWORK], bridge=values[BRIDGE])


def wrong_names(values: Values) -> Iterator[ConfigError]:
    """Yield what is wrong with names: they are something else's."""
    error = values.table.error
    if values[NETWORK] == "default":
        yield error("network", "is libvirt's 'default'", hint="choose another network name")
    bridge, uplink = values[BRIDGE], values[UPLINK]
    if uplink == bridge:
        yield error(
            "uplink",
            f"is the bridge itself: 'bridge' is {bridge!r} as well",
            hint="name a network interface: eth0",
        )
    for key, name in (("bridge", bridge), ("uplink", uplink)):
        owner = next((o for pattern, o in TAKEN if re.fullmatch(pattern, name)), "")
        if owner and not (key == "uplink" and uplink == bridge):
            yield error(key, f"is {name!r}: that is {owner}", hint="choose another name")


def wrong_network(guest: Guest, here: Table, host: Host, there: Table) -> Iterator[ConfigError]:
    """Yield that a guest is on a network that its host does not have."""
    known = [network.name for network in host.networks]
    for nic in guest.nics:
        if nic.network not in known:
            has = ", ".join(map(repr, known))
            what = f"is {nic.network!r}, and the network of {there.path} is {has}"
            near = suggest(nic.network, known)
            hint = (
                near if near.startswith("did") else f"write `network = {known[0]!r}`, or remove it"
            )
            yield here.error("network", what, hint=hint)


def check_addresses(bridge: Bridge, values: Values) -> None:
    """Refuse an address or a gateway that cannot be."""
    table = values.table
    if bridge.address == "dhcp" and not bridge.uplink and values.said(BRIDGE_ADDRESS):
        table.refuse(
            "bridge_address",
            "is 'dhcp', and there is no 'uplink' over which it could get an address",
            hint='add `uplink = "eth0"`, or remove bridge_address',
        )
    if bridge.address == "dhcp":
        if bridge.gateway:
            table.refuse(
                "gateway",
                "is set, and bridge_address is 'dhcp'",
                hint="remove it, or give a static bridge_address",
            )
        return
    try:
        address = ipaddress.IPv4Interface(bridge.address)
        whole = "/" in bridge.address
    except ValueError:
        whole = False
    if not whole:
        table.refuse(
            "bridge_address",
            f"is {bridge.address!r}",
            hint="use 'dhcp', or an IPv4 address with its prefix: 192.0.2.7/24",
        )
    said = f"bridge_address is {bridge.address!r}"
    _check_usable("bridge_address", address.ip, address.network, said, table)
    if bridge.gateway:
        _check_gateway(bridge.gateway, address, said, table)


def _check_gateway(written: str, address: ipaddress.IPv4Interface, said: str, table: Table) -> None:
    try:
        gateway = ipaddress.IPv4Address(written)
    except ValueError:
        table.refuse("gateway", f"is {written!r}", hint=f"give an address in {address.network}")
    if gateway not in address.network:
        table.refuse(
            "gateway",
            f"is {written!r}, and {said}",
            hint=f"give an address in {address.network}",
        )
    if gateway == address.ip:
        table.refuse(
            "gateway",
            f"is {written!r}, the host's own address: {said}",
            hint="give the router's address, or remove it",
        )
    _check_usable("gateway", gateway, address.network, said, table)


def _check_usable(
    key: str,
    address: ipaddress.IPv4Address,
    network: ipaddress.IPv4Network,
    said: str,
    table: Table,
) -> None:
    """Refuse an address that no machine in ``network`` can have; ``said`` is what sets that."""
    if network.prefixlen < 31:  # in a /31 both are hosts (RFC 3021), a /32 is one
        ends = {network.network_address: "network", network.broadcast_address: "broadcast"}
        if address in ends:
            table.refuse(
                key,
                f"is the {ends[address]} address of {network} ({said})",
                hint=f"give one from {network.network_address + 1} to "
                f"{network.broadcast_address - 1}",
            )
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        table.refuse(
            key,
            f"is {address}, which no network interface can have ({said})",
            hint="give the address of the host in its network",
        )
