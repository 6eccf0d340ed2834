"""The inventory: hosts with their guests, and the dependencies of a host (``host/``)."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

from sheepvirt.config import catalog, host_values
from sheepvirt.core.errors import ConfigError
from sheepvirt.core.tables import Table, pick, read_toml
from sheepvirt.model.enums import Datapath, Disk, Init
from sheepvirt.model.hosts import Dependencies, Guest, Host

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import Target

DISK_HINT = "use 'sheepdog' (a VDI of the host's cluster) or 'file' (a raw file on the host)"
DATAPATH_HINT = "use 'system' (the kernel's) or 'netdev' (userspace, where the kernel has none)"
INIT_HINT = "use systemd or sysv on a rehearsal host; remove it for a real machine"
VDI_LIMIT = 2**42  # sheepdog's limit: a VDI's map has 2**20 objects of 4 MiB


def _guest(name: str, table: Table) -> Guest:
    guest = Guest(
        name=host_values.name(table, "name", name),
        title=host_values.visible(table, "title", table.get("title", str, name)),
        memory_mb=table.get("memory_mb", int),
        vcpus=table.get("vcpus", int, 1),
        network=host_values.name(table, "network", table.get("network", str)),
        console_marker=host_values.visible(table, "line", table.get("line", str)),
        disk=table.one_of("disk", Disk, Disk.SHEEPDOG, hint=DISK_HINT),
        disk_gb=table.get("disk_gb", int, 1),
    )
    table.done()
    for key in ("memory_mb", "vcpus", "disk_gb"):
        if getattr(guest, key) < 1:
            table.refuse(key, f"is {getattr(guest, key)}", hint="give at least 1")
    if guest.disk_bytes > VDI_LIMIT:
        table.refuse(
            "disk_gb",
            f"is {guest.disk_gb}: a VDI has at most {VDI_LIMIT} bytes",
            hint=f"give at most {VDI_LIMIT // 10**9}",
        )
    return guest


def _alias(table: Table) -> str:
    """Return the host's ssh alias. Raises ConfigError: a key contradicts it."""
    alias = table.get("ssh", str, "")
    if not alias:
        return ""
    for key, place in (("address", "HostName"), ("port", "Port"), ("user", "User")):
        if key in table.names():
            table.refuse(
                "ssh",
                f"and {key!r} are both set, and an alias has its own",
                hint=f"remove `{key}` (and set {place} for {alias!r} in ~/.ssh/config), or `ssh`",
            )
    if table.get("rehearsal", bool, False):
        table.refuse(
            "ssh",
            "and 'rehearsal' are both set",
            hint="remove `ssh`: the engine knows how to reach a rehearsal host",
        )
    return host_values.word(
        table,
        "ssh",
        alias,
        r"[A-Za-z0-9_][A-Za-z0-9._:-]*",
        "a Host of your ~/.ssh/config, or a host name, without user and port",
    )


def _host(name: str, table: Table) -> Host:
    rehearsal = table.get("rehearsal", bool, False)
    alias = _alias(table)
    host = Host(
        name=host_values.name(table, "name", name),
        target=host_values.name(table, "target", table.get("target", str)),
        rehearsal=rehearsal,
        address="" if alias else host_values.address(table),
        port=table.get("port", int, 0 if rehearsal else 22),
        user="" if alias else host_values.name(table, "user", table.get("user", str, "root")),
        bridge=host_values.bridge(table, "bridge", table.get("bridge", str)),
        network=host_values.name(table, "network", table.get("network", str)),
        guests=tuple(_guest(n, t) for n, t in table.tables("guests")),
        language=host_values.word(
            table,
            "language",
            table.get("language", str, ""),
            r"[A-Za-z0-9._@-]*",
            "a locale such as ja_JP.UTF-8",
        ),
        datapath=table.one_of(
            "datapath",
            Datapath,
            Datapath.NETDEV if rehearsal else Datapath.SYSTEM,
            hint=DATAPATH_HINT,
        ),
        pool=host_values.name(table, "pool", table.get("pool", str, "sheepdog")),
        kversion=host_values.word(
            table,
            "kversion",
            table.get("kversion", str, ""),
            r"([0-9][A-Za-z0-9._-]*)?",
            "what `uname -r` prints there: 2.6.32-754.el6.x86_64",
        ),
        uplink=host_values.interface(table, "uplink", ""),
        bridge_address=table.get("bridge_address", str, "dhcp"),
        gateway=table.get("gateway", str, ""),
        init=table.one_of("init", Init, None, hint=INIT_HINT),
        sheepdog_listen=table.strings("sheepdog_listen", Host.sheepdog_listen),
        old_ssh=table.get("old_ssh", bool, False),
        treat_as_real=table.get("treat_as_real", bool, False),
        ssh=alias,
        sudo_password_command=table.strings("sudo_password_command"),
        guest_shutdown_seconds=table.get("guest_shutdown_seconds", int, 10 if rehearsal else 300),
    )
    table.done()
    _check_host(host, table)
    return host


def _check_host(host: Host, table: Table) -> None:
    _check_addresses(host, table)
    _check_listening(host, table)
    if host.init and (host.init == Init.OTHER or not host.rehearsal):
        table.refuse("init", f"is {host.init.value!r}", hint=INIT_HINT)
    if not 0 <= host.port <= 65535 or (host.port == 0 and not host.rehearsal):
        table.refuse("port", f"is {host.port}", hint="give a TCP port, 1 to 65535")
    if host.network == "default":
        table.refuse("network", "is libvirt's 'default'", hint="choose another network name")
    for guest in host.guests:
        if guest.network != host.network:
            table.refuse(
                "guests",
                f"{guest.name!r} is on network {guest.network!r}",
                hint=f"put it on the host's network, {host.network!r}",
            )


def _check_listening(host: Host, table: Table) -> None:
    for word in host.sheepdog_listen:
        try:
            ipaddress.ip_address(word)
        except ValueError:
            table.refuse(
                "sheepdog_listen",
                f"names {word!r}",
                hint="give IP addresses of the host; 0.0.0.0 is every IPv4 one, :: every IPv6 one",
            )


def _check_addresses(host: Host, table: Table) -> None:
    if host.uplink == host.bridge:
        table.refuse("uplink", "is the bridge itself", hint="name a network interface: eth0")
    if host.bridge_address == "dhcp":
        if host.gateway:
            table.refuse(
                "gateway",
                "is set, and bridge_address is 'dhcp'",
                hint="remove it, or give a static bridge_address",
            )
        return
    try:
        address = ipaddress.IPv4Interface(host.bridge_address)
        whole = "/" in host.bridge_address
    except ValueError:
        whole = False
    if not whole:
        table.refuse(
            "bridge_address",
            f"is {host.bridge_address!r}",
            hint="use 'dhcp', or an IPv4 address with its prefix: 192.0.2.7/24",
        )
    said = f"bridge_address is {host.bridge_address!r}"
    _check_usable("bridge_address", address.ip, address.network, said, table)
    if not host.gateway:
        return
    try:
        gateway = ipaddress.IPv4Address(host.gateway)
    except ValueError:
        table.refuse(
            "gateway", f"is {host.gateway!r}", hint=f"give an address in {address.network}"
        )
    if gateway not in address.network:
        table.refuse(
            "gateway",
            f"is {host.gateway!r}, and {said}",
            hint=f"give an address in {address.network}",
        )
    if gateway == address.ip:
        table.refuse(
            "gateway",
            f"is {host.gateway!r}, the host's own address: {said}",
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


def load_hosts(settings: Settings) -> dict[str, Host]:
    """Read the inventory; return its hosts by name. Raises ConfigError."""
    table = read_toml(settings.inventory)
    hosts = {name: _host(name, t) for name, t in table.tables("hosts")}
    table.done()
    return hosts


def load_host(settings: Settings, name: str) -> Host:
    """Read one host of the inventory. Raises UnknownNameError, ConfigError."""
    hosts = load_hosts(settings)
    return hosts[pick("host", name, hosts)]


def load_target(settings: Settings, name: str) -> Target:
    """Return a target with the macros that its hosts set (``host_macros`` of its target.toml).

    All hosts of a target get the same RPMs. Raises ConfigError (their values differ),
    UnknownNameError.
    """
    target = catalog.read_target(settings, name)
    return for_hosts(target, load_hosts(settings).values()) if target.host_macros else target


def for_hosts(target: Target, hosts: Iterable[Host]) -> Target:
    """Return ``target`` with the macros that ``hosts`` set; see load_target. Pure."""
    given: dict[str, str] = {}
    for macro in target.host_macros:
        said = {getattr(h, macro): h.name for h in hosts if h.target == target.name}
        said.pop("", None)
        if len(said) > 1:
            rows = ", ".join(f"{name} {value!r}" for value, name in said.items())
            raise ConfigError(
                f"the hosts of {target.name} differ in {macro}: {rows}",
                hint="give them one value, or use an inventory for each ($SHEEPVIRT_INVENTORY): "
                "all hosts of a target get the same RPMs",
            )
        if said:
            given[macro] = next(iter(said))
    return replace(target, macros={**target.macros, **given})


def load_dependencies(settings: Settings) -> Dependencies:
    """Read ``host/dependencies.toml``. Raises ConfigError."""
    table = read_toml(settings.host / "dependencies.toml")
    found = Dependencies(
        packages=table.strings("packages"),
        services=table.strings("services"),
        optional=frozenset(table.strings("optional_services")),
    )
    table.done()
    unknown = sorted(found.optional - set(found.services))
    if unknown:
        table.refuse(
            "optional_services",
            f"names {', '.join(unknown)}, which is not in services",
            hint="add it to services, at its place in the start order",
        )
    return found
