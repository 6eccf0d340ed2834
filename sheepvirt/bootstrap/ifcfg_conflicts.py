"""What on a host contradicts new network files for a bridge and its uplink. Pure.

All files of network-scripts are looked at, and what the kernel and Open vSwitch have now: an
interface may be part of something else by a file of another name, or by no file at all.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import ifcfg_files, ifcfg_settings
from sheepvirt.bootstrap.ifcfg_settings import DHCP, FOLDER, PART, Problem, is_true, path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.interfaces import NetworkFile
    from sheepvirt.model.hosts import Host

# el6's network script passes these over (__sed_discard_ignored_files).
IGNORED = re.compile(r"(~|\.bak|\.orig|\.rpmnew|\.rpmorig|\.rpmsave)$")
TYPES = {"", "ethernet", "ovsport"}
SWITCHES = {"ovs-system", "ovs-netdev"}  # Open vSwitch's own, above each of its ports
Values = dict[str, dict[str, str]]


def read_all(files: Mapping[str, NetworkFile]) -> tuple[Values, list[Problem]]:
    """Read all ifcfg files, and `network`; return their values by name, and what is unreadable."""
    found: Values = {}
    problems: list[Problem] = []
    for name, file in sorted(files.items()):
        if IGNORED.search(name) or name == "ifcfg-lo":
            continue
        where = f"{FOLDER}/{name}" if name != "network" else "/etc/sysconfig/network"
        if not file.whole or name == "unreadable-name":
            why = "is too large" if name.startswith(("ifcfg-", "r")) else "is odd"
            if name == "too-many":
                where, why = FOLDER, "has too many files"
            elif name == "unreadable-name":
                where, why = FOLDER, "has a file whose name has other characters than a name has"
            problems.append(
                Problem(what=f"{where} {why}, and was not read", fix=f"tidy {FOLDER} up first")
            )
        elif name == "network" or name.startswith("ifcfg-"):
            read = ifcfg_files.read(file.text)
            found[name] = dict(read.values)
            if read.unreadable:
                problems.append(
                    Problem(
                        what=f"{where}, line {read.unreadable.line}: {read.unreadable.what}. Only "
                        "running the file would tell what it says",
                        fix=f"write plain values there (NAME=value), or move {where} away",
                    )
                )
    return found, problems


def device(name: str, values: Mapping[str, str], facts: Facts) -> str:
    """Return the interface that a file is for: by DEVICE, else by HWADDR, else by its name."""
    if values.get("DEVICE"):
        return values["DEVICE"]
    mac = values.get("HWADDR", "").lower()
    by_mac = (n for n, d in facts.devices.items() if mac and d.mac.lower() == mac)
    return next(by_mac, name.removeprefix("ifcfg-"))


def conflicts(host: Host, facts: Facts, files: Values) -> list[Problem]:
    """Return what contradicts the new files, all at once."""
    problems: list[Problem] = []
    for name, values in files.items():
        if name != "network":
            problems += _other_file(host, name, values, device(name, values, facts))
    problems += _bridge_file(host, files.get(f"ifcfg-{host.bridge}", {}))
    if host.uplink:
        problems += _uplink_file(host, files.get(f"ifcfg-{host.uplink}", {}))
        problems += _routes(host, facts, files.get("network", {}))
        problems += _live(host, facts)
    problems += _addresses(host, facts, files)
    return problems


def _other_file(host: Host, name: str, values: Mapping[str, str], of: str) -> Iterator[Problem]:
    uplink, bridge, where = host.uplink, host.bridge, f"{FOLDER}/{name}"
    for interface in filter(None, (uplink, bridge)):
        own = f"ifcfg-{interface}"
        if of == interface and name != own:
            yield Problem(
                what=f"{where} is for {interface} as well as {path(interface)}",
                fix=f"keep one: `mv '{where}' {path(interface)}`, with the settings of both in it",
            )
        if name.startswith((f"{own}:", f"{own}-range")) or of.startswith(f"{interface}:"):
            yield Problem(
                what=f"{where} gives {interface} another address",
                fix=f"write it as IPADDR1 and PREFIX1 into {path(interface)}, and remove {where}",
            )
    if values.get("BRIDGE") == bridge and name != f"ifcfg-{uplink}":
        yield Problem(
            what=f"{where} puts {of} into a bridge of the kernel that is called {bridge}",
            fix=f"name another bridge for {host.name} in the inventory",
        )
    if not uplink:
        return
    below = values.get("PHYSDEV") == uplink and is_true(values.get("VLAN", ""))
    if below or re.fullmatch(rf"{re.escape(uplink)}\.\d+", of):
        yield Problem(
            what=f"{of} ({where}) is a VLAN on {uplink}, which Open vSwitch would cut off",
            fix=f"name another uplink in the inventory; or make {of} a port of {bridge} that is "
            "tagged (TYPE=OVSIntPort, OVS_OPTIONS=tag=…) there",
        )
    members = f"{values.get('BOND_IFACES', '')} {values.get('OVSDHCPINTERFACES', '')}".split()
    for key in ("MASTER", "TEAM_MASTER", "BRIDGE"):
        if values.get(key) == uplink:
            yield Problem(
                what=f"{uplink} is made of others: {where} says {key}={uplink}",
                fix="name another uplink in the inventory",
            )
    if uplink in members and name != f"ifcfg-{bridge}":
        yield Problem(
            what=f"{where} has {uplink} for {of}",
            fix=f"remove {uplink} there, or name another uplink in the inventory",
        )


def _uplink_file(host: Host, values: Mapping[str, str]) -> Iterator[Problem]:
    uplink = host.uplink
    taken = [f"{key}={values[key]}" for key in PART if is_true(values.get(key, ""))]
    kind, bridge = values.get("TYPE", ""), values.get("OVS_BRIDGE", "")
    if kind.lower() not in TYPES or values.get("DEVICETYPE", "").lower().startswith("team"):
        taken += [f"{key}={values[key]}" for key in ("TYPE", "DEVICETYPE") if values.get(key)]
    if bridge not in {"", host.bridge}:
        taken.append(f"OVS_BRIDGE={bridge}")
    if taken:
        yield Problem(
            what=f"{uplink} is part of something else: {path(uplink)} says {' '.join(taken)}",
            fix="remove those keys there, or name another uplink in the inventory",
        )
    yield from _boot_protocol(uplink, values.get("BOOTPROTO", ""))


def _boot_protocol(interface: str, value: str) -> Iterator[Problem]:
    if value.lower() not in {"", "none", "static", *DHCP}:
        yield Problem(
            what=f"{path(interface)} says BOOTPROTO={value!r}",
            fix="use dhcp, none or static there",
        )


def _bridge_file(host: Host, values: Mapping[str, str]) -> Iterator[Problem]:
    bridge, kind = host.bridge, values.get("TYPE", "OVSBridge")
    taken = [f"{key}={values[key]}" for key in PART if is_true(values.get(key, ""))]
    if kind != "OVSBridge" or taken:
        said = " ".join([f"TYPE={kind}", *taken])
        yield Problem(
            what=f"{path(bridge)} is not for a bridge of Open vSwitch: it says {said}",
            fix=f"name another bridge for {host.name} in the inventory",
        )
    over = set(values.get("OVSDHCPINTERFACES", "").split()) - {host.uplink}
    if over:
        first = sorted(over)[0]
        yield Problem(
            what=f"{path(bridge)} gets its address over {' '.join(sorted(over))}, which would be "
            "forgotten",
            fix=f'set `uplink = "{first}"` for {host.name} in the inventory'
            if not host.uplink
            else f"remove {' '.join(sorted(over))} from OVSDHCPINTERFACES there",
        )
    yield from _boot_protocol(bridge, values.get("BOOTPROTO", ""))


def _routes(host: Host, facts: Facts, network: Mapping[str, str]) -> Iterator[Problem]:
    for kind in ("route", "route6", "rule", "rule6"):
        file = facts.network_files.get(f"{kind}-{host.uplink}")
        if file and (file.text.strip() or not file.whole):
            former, later = (f"{FOLDER}/{kind}-{name}" for name in (host.uplink, host.bridge))
            yield Problem(
                what=f"{former} would be without effect: {host.uplink} has no address then",
                fix=f"`sed -i 's/\\b{host.uplink}\\b/{host.bridge}/g' {former} && mv {former} "
                f"{later}` there; it counts from the next boot, as the bridge does",
            )
    if network.get("GATEWAYDEV") == host.uplink:
        yield Problem(
            what=f"/etc/sysconfig/network says GATEWAYDEV={host.uplink}, so there would be no "
            "default route",
            fix=f"write GATEWAYDEV={host.bridge} there; it counts from the next boot",
        )


def _live(host: Host, facts: Facts) -> Iterator[Problem]:
    uplink = host.uplink
    known = facts.devices.get(uplink)
    if known and known.master and known.master not in SWITCHES:
        yield Problem(
            what=f"{uplink} is part of {known.master} now",
            fix=f"take it out of {known.master}, or name another uplink in the inventory",
        )
    above = [] if known is None else [n for n in known.above if n not in SWITCHES]
    master = known.master if known else ""
    for name in (n for n in above if n not in {master, host.bridge}):
        yield Problem(
            what=f"{name} is on top of {uplink} now, and Open vSwitch would cut it off",
            fix=f"remove {name}, or name another uplink in the inventory",
        )
    for name, bridge in facts.bridges.items():
        if name != host.bridge and uplink in bridge.ports:
            yield Problem(
                what=f"{uplink} is a port of {name}, another bridge of Open vSwitch",
                fix=f"`ovs-vsctl del-port {name} {uplink}` there if it may go, or name another "
                "uplink in the inventory",
            )


def _addresses(host: Host, facts: Facts, files: Values) -> Iterator[Problem]:
    wanted = ifcfg_settings.static(host)
    later = str(wanted) if wanted else "DHCP's" if ifcfg_settings.dynamic(host) else "none"
    for interface in filter(None, (host.uplink, host.bridge)):
        values = files.get(f"ifcfg-{interface}", {})
        listed = ifcfg_settings.addresses(values)
        by_dhcp = values.get("BOOTPROTO", "").lower() in DHCP or "OVSBOOTPROTO" in values
        live = _live_addresses(facts, interface)
        gateway = ifcfg_settings.gateway(values)
        if listed and by_dhcp:
            yield Problem(
                what=f"{path(interface)} says both DHCP and IPADDR {listed[0]}",
                fix=f"remove one of them in {path(interface)}",
            )
        elif listed and later != listed[0]:
            yield _changes(host, interface, listed[0], later, gateway)
        elif not listed and by_dhcp and not ifcfg_settings.dynamic(host):
            if not live or later not in live:
                yield _changes(host, interface, "DHCP's", later, gateway)
        elif not listed and not by_dhcp and live and interface == host.uplink and later not in live:
            yield _changes(host, interface, live[0], later, gateway)
        if wanted and listed and gateway not in {"", host.gateway}:
            yield Problem(
                what=f"{path(interface)} says the gateway {gateway}, and the inventory "
                f"{host.gateway or 'none'}",
                fix=f'set `gateway = "{gateway}"` for {host.name} in the inventory',
            )


def _live_addresses(facts: Facts, interface: str) -> list[str]:
    known = facts.devices.get(interface)
    found = [] if known is None else [ipaddress.ip_interface(a) for a in known.addresses]
    return [str(one) for one in found if one.version == 4]


def _changes(host: Host, interface: str, now: str, later: str, gateway: str) -> Problem:
    if now == "DHCP's":
        fix = 'set `bridge_address = "dhcp"` in the inventory'
        if not host.uplink:
            fix = f"set `uplink` for {host.name} in the inventory, or a static `bridge_address`"
    else:
        fix = f'set `bridge_address = "{now}"` in the inventory'
        fix += f' and `gateway = "{gateway}"`' if gateway else ""
    return Problem(
        what=f"it would change its address with the reboot: {interface} has {now}, "
        f"{host.bridge} would get {later}",
        fix=f"{fix}; to change the address, change it in {path(interface)} there first",
    )
