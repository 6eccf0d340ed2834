"""el's network files: the bridge that Open vSwitch's own scripts bring up at boot, and its uplink.

They change the very link that we come in by. So the pieces are held against one another first, the
former files are kept, nothing is brought up or down now, and the reboot that comes anyway is when
they count. A host without /etc/sysconfig/network-scripts has its bridge in Open vSwitch's database
alone, which ``bridge`` sees to.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence

from sheepvirt.bootstrap.facts import REBOOT_WANTED
from sheepvirt.bootstrap.steps import guard
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.bootstrap.steps.templates import render
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.hosts import Change, Facts, Host

NAME = "network files"
SEEN = "network files seen"  # by us, after the reboot
FOLDER = "/etc/sysconfig/network-scripts"
IFUP = f"{FOLDER}/ifup-ovs"  # Open vSwitch's RPM brings it
# What el6's network script passes over when it lists interfaces: a file still being written.
BESIDE = ".sheepvirt~"
KEEP = r"""
kept=$1; shift
mkdir -p "$kept" && chmod 700 "$kept"
stamp=$(date +%Y%m%d-%H%M%S)
for file; do
  [ ! -e "$file" ] || cp -p "$file" "$kept/${file##*/}.$stamp"
done
"""
# Keys by which an interface is part of something else (initscripts' sysconfig.txt).
TAKEN = ("BRIDGE", "MASTER", "SLAVE", "VLAN", "TEAM_MASTER")


def path(interface: str) -> str:
    """Return an interface's file."""
    return f"{FOLDER}/ifcfg-{interface}"


def paths_of(host: Host) -> tuple[str, ...]:
    """Return the paths of the host's files, the bridge's first."""
    return tuple(path(name) for name in (host.bridge, host.uplink) if name)


def files(host: Host) -> dict[str, str]:
    """Return path to content. Pure."""
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
    """The files are as they should be. Raises BootstrapError where they would cut the host off."""
    host = wanted.host
    if not facts.boot:
        return []  # nobody has looked at the host: it may have no such files
    if not facts.network_scripts:
        if host.uplink:
            raise BootstrapError(
                f"{host.name} has no {FOLDER}, and the inventory gives {host.bridge} the uplink "
                f"{host.uplink}",
                hint="set the uplink up there in the host's own way (`ovs-vsctl add-port` puts it "
                "on the bridge) and take the key out of the inventory",
            )
        return []
    found = differing(host, facts)
    if found:
        _refuse(host, facts, installing=any(c.step == "packages" for c in earlier))
    return [Change(NAME, f"{name} written; it counts from the reboot on") for name in found]


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Keep the former files, write the new ones, note that the host must reboot."""
    host = wanted.host
    context.connection.write(REBOOT_WANTED, f"{facts.boot}\n".encode())
    found = differing(host, facts)
    context.run("sh", "-c", KEEP, "sh", guard.KEPT, *found)
    guard.set_up(facts, context, tuple(found))
    for name, content in found.items():
        context.connection.write(name, content.encode(), beside=BESIDE)
    if host.uplink:
        context.progress.say(
            f"  {host.name}: {host.uplink} becomes a port of {host.bridge} with the reboot. Should "
            f"it not come back, the former files are in {guard.KEPT} there"
        )


def differing(host: Host, facts: Facts) -> dict[str, str]:
    """Return path to content of the files that a host with network scripts has not like that."""
    if not facts.network_scripts:
        return {}
    return {
        name: content
        for name, content in files(host).items()
        if facts.hashes.get(name) != hashlib.sha256(content.encode()).hexdigest()
    }


def _refuse(host: Host, facts: Facts, *, installing: bool) -> None:
    """Raise BootstrapError where a piece is missing or another one says otherwise."""
    if IFUP not in facts.hashes and not installing:
        raise BootstrapError(
            f"{host.name} has no {IFUP}: nothing would bring {host.bridge} up at boot",
            hint="it comes with Open vSwitch's own RPM: is `openvswitch` among what is installed?",
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
            hint="free it there first, or name another uplink in the inventory",
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
    """Return the keys of an ifcfg file: assignments of the shell, quotes taken off."""
    rows = re.findall(r"(?m)^\s*([A-Z][A-Z0-9_]*)=(.*?)\s*$", text)
    return {key: value.strip("\"'") for key, value in rows}


def check_seen(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """No former files wait for us. Raises BootstrapError: the guard has put them back."""
    note = facts.texts.get(guard.BOOT, "")
    if note and note != facts.boot:
        return [Change(SEEN, "the former ones let go: the host came back with the new ones")]
    planned = any(change.step == NAME for change in earlier)
    if facts.boot and not note and not planned and differing(wanted.host, facts):
        raise BootstrapError(
            f"{wanted.host.name} booted with the new network files and could not be reached: it "
            "has put the former ones back and booted again",
            hint=f"is the uplink the right one, and does DHCP (or the static address) reach it? "
            f"{guard.KEPT} there has both, {guard.SERVICE}.log in /var/log says when",
        )
    return []


def apply_seen(_wanted: DesiredState, _facts: Facts, context: StepContext) -> None:
    """Let go."""
    guard.let_go(context)


STEP = Step(NAME, check, apply)
SEEN_STEP = Step(SEEN, check_seen, apply_seen)
