"""What becomes of the settings in the former files of an uplink and its bridge. Pure.

With the new files the interface is a port, and the bridge has its address. So a setting of the
address moves to the bridge's file, a setting of the link stays in the port's, and a setting that
is in neither list is a `Problem`: none is dropped silently. The keys are those of initscripts'
sysconfig.txt and of Open vSwitch's README.RHEL.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sheepvirt.model.hosts import Host

FOLDER = "/etc/sysconfig/network-scripts"
# What the templates say themselves, in ways that are checked here.
OURS = re.compile(
    r"DEVICE|DEVICETYPE|TYPE|ONBOOT|BOOTPROTO|HOTPLUG|NM_CONTROLLED|OVS_BRIDGE|OVSBOOTPROTO|"
    r"OVSDHCPINTERFACES|(IPADDR|PREFIX|NETMASK|GATEWAY)[0-9]*"
)
LINK = re.compile(
    r"HWADDR|MACADDR|LLADDR|MTU|ETHTOOL_OPTS|ETHTOOL_DELAY|UUID|NAME|USERCTL|LINKDELAY|"
    r"SUBCHANNELS|NETTYPE|OPTIONS|PORTNAME|LAYER2"
)
ADDRESS = re.compile(
    r"DNS[0-9]*|DOMAIN|SEARCH|PEERDNS|PEERROUTES|DEFROUTE|METRIC|WINDOW|SRCADDR|NETWORK|BROADCAST|"
    r"ARPCHECK|ARPUPDATE|NOZEROCONF|RES_OPTIONS|ZONE|IPV4_FAILURE_FATAL|IPV4_ROUTE_METRIC|"
    r"PERSISTENT_DHCLIENT|DHCLIENTARGS|DHCP_HOSTNAME|DHCP_CLIENT_ID|DHCPRELEASE|"
    r"IPV6INIT|IPV6ADDR|IPV6ADDR_SECONDARIES|IPV6_[A-Z0-9_]+|IPV6FORWARDING|DHCPV6C[A-Z_]*"
)
SWITCH = re.compile(r"OVS_OPTIONS|OVS_EXTRA|OVSREQUIRES|STP|DELAY")
# An interface with one of these is part of another one, or made of others.
PART = ("BRIDGE", "MASTER", "SLAVE", "VLAN", "PHYSDEV", "TEAM_MASTER", "TEAM_PORT_CONFIG",
        "TEAM_CONFIG", "BONDING_OPTS", "BONDING_MASTER", "BOND_IFACES")  # fmt: skip  # a table
NO = {"", "no", "n", "false", "f", "off", "0", "none"}
DHCP = {"dhcp", "bootp"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why the new files cannot be written, and the one thing to do."""

    what: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Settings of former files that the new ones have as well."""

    bridge: Mapping[str, str] = field(default_factory=dict)
    port: Mapping[str, str] = field(default_factory=dict)


def path(interface: str) -> str:
    """Return the path of an interface's file."""
    return f"{FOLDER}/ifcfg-{interface}"


def is_true(value: str) -> bool:
    """Tell whether a file switches something on; initscripts and people write it in any case."""
    return value.lower() not in NO


def carry(
    host: Host, uplink: Mapping[str, str], bridge: Mapping[str, str]
) -> tuple[Carried, list[Problem]]:
    """Return which settings of the former files go where, and those that can go nowhere."""
    problems: list[Problem] = []
    to_port: dict[str, str] = {}
    to_bridge = _of_bridge(host, bridge, problems)
    for key, value in uplink.items():
        if LINK.fullmatch(key) or SWITCH.fullmatch(key) or (key in PART and not is_true(value)):
            to_port[key] = value
        elif ADDRESS.fullmatch(key):
            _put(to_bridge, key, value, host, problems)
        elif not OURS.fullmatch(key) and key not in PART:
            problems.append(_unknown(host.uplink, key, value))
    if "MTU" in uplink and "MTU" not in to_bridge:
        to_bridge["MTU"] = uplink["MTU"]
    if dynamic(host) or (not static(host) and not host.uplink):
        for key in (k for k in uplink if k.startswith("GATEWAY") and dynamic(host)):
            _put(to_bridge, key, uplink[key], host, problems)
    else:
        for number, one in enumerate((addresses(uplink) or addresses(bridge))[1:], start=1):
            ip, _, prefix = one.partition("/")
            to_bridge |= {f"IPADDR{number}": ip, f"PREFIX{number}": prefix}
    return Carried(bridge=to_bridge, port=to_port), problems


def _of_bridge(host: Host, bridge: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    found = {}
    for key, value in bridge.items():
        known = LINK.fullmatch(key) or ADDRESS.fullmatch(key) or SWITCH.fullmatch(key)
        if key == "OVS_EXTRA" and "datapath_type=" in value:
            if value != extra(host):
                problems.append(
                    Problem(
                        what=f"{path(host.bridge)} says OVS_EXTRA={value!r}, and the inventory "
                        f"the {host.datapath} datapath",
                        fix=f"set `datapath` for {host.name} in the inventory to what the host "
                        "has, or take `datapath_type=` out of OVS_EXTRA there",
                    )
                )
        elif known or (key in PART and not is_true(value)) or (key == "GATEWAY" and dynamic(host)):
            found[key] = value
        elif not OURS.fullmatch(key) and key not in PART:
            problems.append(_unknown(host.bridge, key, value))
    if "OVS_EXTRA" in found and extra(host):
        problems.append(
            Problem(
                what=f"{path(host.bridge)} says OVS_EXTRA={found.pop('OVS_EXTRA')!r}, and the "
                f"{host.datapath} datapath needs OVS_EXTRA={extra(host)!r}",
                fix="make those settings of Open vSwitch persistent with `ovs-vsctl set` once, and "
                "remove OVS_EXTRA there",
            )
        )
    return found


def extra(host: Host) -> str:
    """Return the value of OVS_EXTRA in the bridge's new file."""
    if host.datapath == "system":
        return ""
    return f"set bridge {host.bridge} datapath_type={host.datapath}"


def _put(
    to_bridge: dict[str, str], key: str, value: str, host: Host, problems: list[Problem]
) -> None:
    other = to_bridge.setdefault(key, value)
    if other != value:
        problems.append(
            Problem(
                what=f"{path(host.uplink)} says {key}={value!r} and {path(host.bridge)} "
                f"{key}={other!r}; only the bridge's would count",
                fix=f"remove {key} from one of them",
            )
        )


def _unknown(interface: str, key: str, value: str) -> Problem:
    return Problem(
        what=f"{path(interface)} says {key}={value!r}, and it is not known whether that belongs "
        "to the port or to the bridge",
        fix=f"if it may go, put a # before {key} in {path(interface)}",
    )


def dynamic(host: Host) -> bool:
    """Tell whether the bridge gets its address by DHCP over its uplink."""
    return bool(host.uplink) and host.bridge_address == "dhcp"


def static(host: Host) -> ipaddress.IPv4Interface | None:
    """Return the bridge's static address."""
    if host.bridge_address in {"", "dhcp"}:
        return None
    return ipaddress.IPv4Interface(host.bridge_address)


def addresses(values: Mapping[str, str]) -> list[str]:
    """Return a file's IPv4 addresses with their prefixes, in the order of el6's ifup-eth.

    It takes IPADDR, IPADDR0, IPADDR1 …; a gap after the second number ends them. Raises nothing: an
    address or mask that is none is returned as it is.
    """
    found: list[str] = []
    for number in itertools.chain([""], map(str, itertools.count())):
        value = values.get(f"IPADDR{number}", "")
        if not value:
            if number.isdigit() and int(number) >= 2:
                return found
            continue
        mask = values.get(f"PREFIX{number}") or values.get(f"NETMASK{number}") or _class(value)
        try:
            found.append(str(ipaddress.IPv4Interface(f"{value}/{mask}")))
        except ValueError:
            found.append(f"{value}/{mask}")
    return found


def _class(value: str) -> str:
    """Return the prefix of an address without a mask, as el6's ipcalc does: by its class."""
    first = value.partition(".")[0]
    number = int(first) if first.isdigit() else 0
    return "8" if number < 128 else "16" if number < 192 else "24"


def gateway(values: Mapping[str, str]) -> str:
    """Return a file's first gateway."""
    keys = sorted(key for key in values if re.fullmatch(r"GATEWAY[0-9]*", key))
    return next((values[key] for key in keys if values[key]), "")
