"""el's network files: the bridge, which Open vSwitch's scripts bring up at boot, and its uplink.

They change the link over which sheepvirt connects. So the settings are checked for contradictions
first, the former files are kept, and no interface is brought up or down now: the files take effect
with the reboot that follows anyway. A host without /etc/sysconfig/network-scripts has its bridge
only in Open vSwitch's database; step ``bridge`` handles it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import ifcfg_conflicts, ifcfg_files, ifcfg_settings
from sheepvirt.bootstrap.facts.system import REBOOT_WANTED
from sheepvirt.bootstrap.steps import guard
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.hosts import Change, Host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

FOLDER, path = ifcfg_settings.FOLDER, ifcfg_settings.path
NAME = "network files"
SEEN = "network files seen"  # the host was reached after the reboot
IFUP = f"{FOLDER}/ifup-ovs"  # from Open vSwitch's RPM
# The suffix of a file that is being written; el6's network script ignores such a file.
SUFFIX = ".sheepvirt~"
KEEP = r"""
set -e
kept=$1; shift
mkdir -p "$kept"
chmod 700 "$kept"
stamp=$(date +%Y%m%d-%H%M%S)
for file; do
  to=$kept/${file##*/}.$stamp
  [ ! -e "$file" ] || cp -p "$file" "$to" || { rm -f "$to"; exit 1; }
done
"""


def files(wanted: DesiredState, facts: Facts | None = None) -> dict[str, str]:
    """Return the host's files: path to content, with what former files say besides. Pure."""
    host, render = wanted.host, wanted.host_files.render
    address = ifcfg_settings.static(host)
    found = {
        path(host.bridge): render(
            "ifcfg-bridge.j2",
            bridge=host.bridge,
            uplink=host.uplink,
            datapath=host.datapath,
            ip=str(address.ip) if address else "",
            netmask=str(address.netmask) if address else "",
            gateway=host.gateway,
        )
    }
    if host.uplink:
        found[path(host.uplink)] = render("ifcfg-port.j2", uplink=host.uplink, bridge=host.bridge)
    if facts is None:
        return found
    carried, _ = ifcfg_settings.carry(host, *_former(host, facts))
    found[path(host.bridge)] += _lines(carried.bridge)
    if host.uplink:
        found[path(host.uplink)] += _lines(carried.port)
    return found


def _lines(values: Mapping[str, str]) -> str:
    lines = [ifcfg_files.assignment(key, value) for key, value in sorted(values.items())]
    return "".join(["# Kept from former files.\n", *lines]) if lines else ""


def _former(host: Host, facts: Facts) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values of the uplink's and the bridge's files that the host has."""
    read, _ = ifcfg_conflicts.read_all(facts.network_files)
    uplink = read.get(f"ifcfg-{host.uplink}", {}) if host.uplink else {}
    return uplink, read.get(f"ifcfg-{host.bridge}", {})


def check(wanted: DesiredState, facts: Facts, earlier: Sequence[Change]) -> list[Change]:
    """The files have the right content. Raises BootstrapError: they would cut the host off."""
    host = wanted.host
    if not facts.boot and not facts.network_scripts:
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
    return [
        Change(
            step=NAME,
            what=f"{name} written; {later}",
            diff=_diff(name, _text(facts, name), content),
            reboots=True,
        )
        for name, content in found.items()
    ]


def _text(facts: Facts, name: str) -> str | None:
    file = facts.network_files.get(name.removeprefix(f"{FOLDER}/"))
    return file.text if file and file.whole else None


def _diff(name: str, former: str | None, content: str) -> str:
    old, new = ((text or "").splitlines() for text in (former, content))
    origin = name if former is not None else "/dev/null"
    return "\n".join(difflib.unified_diff(list(old), list(new), origin, name, lineterm=""))


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Keep the former files, write the new ones, and note that the host must reboot."""
    host = wanted.host
    context.connection.write(REBOOT_WANTED, f"{facts.boot}\n".encode())
    found = differing(wanted, facts)
    context.run("sh", "-c", KEEP, "sh", guard.KEPT, *found)
    guard.arm_for_boot(wanted, facts, context, tuple(found))
    for name, content in found.items():
        context.connection.write(name, content.encode(), suffix=SUFFIX)
    if host.uplink:
        context.progress.say(
            f"  {host.name}: {host.uplink} becomes a port of {host.bridge} with the reboot. If "
            f"sheepvirt cannot log in within {guard.BOOT_SECONDS // 60} minutes after it, the "
            f"former files, which are in {guard.KEPT} there, come back with another reboot"
        )


def differing(wanted: DesiredState, facts: Facts) -> dict[str, str]:
    """Return the files to write on a host with network scripts: path to content."""
    if not facts.network_scripts:
        return {}
    return {
        name: content
        for name, content in files(wanted, facts).items()
        if _text(facts, name) != content
    }


def _refuse(host: Host, facts: Facts, *, installing: bool) -> None:
    """Raise BootstrapError with all that is missing or contradicts the new files."""
    if IFUP not in facts.hashes and not installing:
        raise BootstrapError(
            f"{host.name} has no {IFUP}: nothing would bring {host.bridge} up at boot",
            hint="install the RPM `openvswitch` there, which has it",
        )
    if host.uplink and host.uplink not in facts.interfaces:
        raise BootstrapError(
            f"{host.name} has no network interface {host.uplink}, {host.bridge}'s uplink",
            hint=f"it has: {', '.join(sorted(facts.interfaces - {host.bridge, 'lo'}))}",
        )
    read, problems = ifcfg_conflicts.read_all(facts.network_files)
    problems += ifcfg_conflicts.conflicts(host, facts, read)
    problems += ifcfg_settings.carry(host, *_former(host, facts))[1]
    if not problems:
        return
    what = "\n".join(f"  {problem.what}" for problem in problems)
    if len(problems) == 1:
        what = f" {problems[0].what}"
    else:
        what = f" its network files cannot be written:\n{what}"
    raise BootstrapError(
        f"{host.name}:{what}. No file was changed",
        hint="\n".join(dict.fromkeys(problem.fix for problem in problems)),
    )


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
