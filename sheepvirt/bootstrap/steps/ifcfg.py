"""el's network files: the bridge, which Open vSwitch's scripts bring up at boot, and its uplink.

They change the link over which sheepvirt connects. So the settings are checked for contradictions
first, the former files are kept, and no interface is brought up or down now: the files take effect
with the reboot that follows anyway. A host without /etc/sysconfig/network-scripts has its bridge
only in Open vSwitch's database; step ``bridge`` handles it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.system import REBOOT_WANTED
from sheepvirt.bootstrap.steps import guard
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.hosts import Change, Host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "network files"
SEEN = "network files seen"  # the host was reached after the reboot
FOLDER = "/etc/sysconfig/network-scripts"
IFUP = f"{FOLDER}/ifup-ovs"  # from Open vSwitch's RPM
# The suffix of a file that is being written; el6's network script ignores such a file.
SUFFIX = ".sheepvirt~"
KEEP = r"""
kept=$1; shift
mkdir -p "$kept" && chmod 700 "$kept"
stamp=$(date +%Y%m%d-%H%M%S)
for file; do
  [ ! -e "$file" ] || cp -p "$file" "$kept/${file##*/}.$stamp"
done
"""
# Keys that make an interface part of another one (initscripts' sysconfig.txt).
TAKEN = ("BRIDGE", "MASTER", "SLAVE", "VLAN", "TEAM_MASTER")


def path(interface: str) -> str:
    """Return the path of an interface's file."""
    return f"{FOLDER}/ifcfg-{interface}"


def paths_of(host: Host) -> tuple[str, ...]:
    """Return the paths of the host's files, the bridge's first."""
    return tuple(path(name) for name in (host.bridge, host.uplink) if name)


def files(wanted: DesiredState) -> dict[str, str]:
    """Return the host's files: path to content. Pure."""
    host, render = wanted.host, wanted.host_files.render
    static = host.bridge_address not in {"", "dhcp"}
    address = ipaddress.IPv4Interface(host.bridge_address) if static else None
    found = {
        path(host.bridge): render(
            "ifcfg-bridge.j2", bridge=host.bridge, uplink=host.uplink, datapath=host.datapath,
            ip=str(address.ip) if address else "",
            netmask=str(address.netmask) if address else "",
            gateway=host.gateway,
        )
    }  # fmt: skip
    if host.uplink:
        found[path(host.uplink)] = render("ifcfg-port.j2", uplink=host.uplink, bridge=host.bridge)
    return found


def check(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """The files have the right content. Raises BootstrapError: they would cut the host off."""
    host = wanted.host
    if not facts.boot:
        return []  # the host is unknown yet: it may have no such files
    if not facts.network_scripts:
        if host.uplink:
            raise BootstrapError(
                f"{host.name} has no {FOLDER}, and the inventory gives {host.bridge} the uplink "
                f"{host.uplink}",
                hint="add the uplink to the bridge with the host's own tools (`ovs-vsctl "
                "add-port`), and remove `uplink` from the inventory",
            )
        return []
    found = differing(wanted, facts)
    if found:
        _refuse(host, facts, installing=any(c.step == "packages" for c in earlier))
    later = "it takes effect with the reboot"
    return [Change(step=NAME, what=f"{name} written; {later}", reboots=True) for name in found]


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Keep the former files, write the new ones, and note that the host must reboot."""
    host = wanted.host
    context.connection.write(REBOOT_WANTED, f"{facts.boot}\n".encode())
    found = differing(wanted, facts)
    context.run("sh", "-c", KEEP, "sh", guard.KEPT, *found)
    guard.set_up(wanted, facts, context, tuple(found))
    for name, content in found.items():
        context.connection.write(name, content.encode(), suffix=SUFFIX)
    if host.uplink:
        context.progress.say(
            f"  {host.name}: {host.uplink} becomes a port of {host.bridge} with the reboot. If the "
            f"host does not come back, the former files are in {guard.KEPT} there"
        )


def differing(wanted: DesiredState, facts: Facts) -> dict[str, str]:
    """Return the files to write on a host with network scripts: path to content."""
    if not facts.network_scripts:
        return {}
    return {
        name: content
        for name, content in files(wanted).items()
        if facts.hashes.get(name) != hashlib.sha256(content.encode()).hexdigest()
    }


def _refuse(host: Host, facts: Facts, *, installing: bool) -> None:
    """Raise BootstrapError if something is missing or contradicts the new files."""
    if IFUP not in facts.hashes and not installing:
        raise BootstrapError(
            f"{host.name} has no {IFUP}: nothing would bring {host.bridge} up at boot",
            hint="install the RPM `openvswitch` there, which has it",
        )
    if not host.uplink:
        return
    if host.uplink not in facts.interfaces:
        raise BootstrapError(
            f"{host.name} has no network interface {host.uplink}, {host.bridge}'s uplink",
            hint=f"it has: {', '.join(sorted(facts.interfaces - {host.bridge, 'lo'}))}",
        )
    former = keys(facts.texts.get(path(host.uplink), ""))
    taken = [f"{key}={former[key]}" for key in TAKEN if former.get(key, "no") != "no"]
    if taken:
        raise BootstrapError(
            f"{host.uplink} of {host.name} is part of something else: {path(host.uplink)} says "
            f"{' '.join(taken)}",
            hint="remove those keys there, or name another uplink in the inventory",
        )
    _refuse_another_address(host, former)


def _refuse_another_address(host: Host, former: dict[str, str]) -> None:
    static = host.bridge_address != "dhcp"
    now = former.get("IPADDR", "")
    later = str(ipaddress.IPv4Interface(host.bridge_address).ip) if static else "DHCP's"
    if now and now != later:
        prefix = former.get("PREFIX", "")
        if not prefix and former.get("NETMASK"):
            prefix = str(ipaddress.IPv4Network(f"0.0.0.0/{former['NETMASK']}").prefixlen)
        raise BootstrapError(
            f"{host.name} would change its address with the reboot: {host.uplink} has {now}, "
            f"{host.bridge} would get {later}",
            hint=f'set `bridge_address = "{now}/{prefix or 24}"` in the inventory'
            + (f' and `gateway = "{former["GATEWAY"]}"`' if former.get("GATEWAY") else ""),
        )


def keys(text: str) -> dict[str, str]:
    """Parse an ifcfg file: shell assignments, without quotes."""
    rows = re.findall(r"(?m)^\s*([A-Z][A-Z0-9_]*)=(.*?)\s*$", text)
    return {key: value.strip("\"'") for key, value in rows}


def check_seen(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """The guard is not armed. Raises BootstrapError: it has restored the former files."""
    note = facts.texts.get(guard.BOOT, "")
    if note and note != facts.boot:
        return [Change(step=SEEN, what="guard disarmed: the host came back with the new files")]
    planned = any(change.step == NAME for change in earlier)
    if facts.boot and not note and not planned and differing(wanted, facts):
        raise BootstrapError(
            f"{wanted.host.name} booted with the new network files and could not be reached: it "
            "has restored the former ones and booted again",
            hint="check the uplink and the address (DHCP or static) in the inventory; "
            f"{guard.KEPT} there has both sets of files, /var/log/{guard.SERVICE}.log the times",
        )
    return []


def apply_seen(_wanted: DesiredState, _facts: Facts, context: StepContext) -> None:
    """Disarm the guard."""
    guard.let_go(context)


STEP = Step(name=NAME, check=check, apply=apply)
SEEN_STEP = Step(name=SEEN, check=check_seen, apply=apply_seen)
