"""Put back what a run has kept: definitions, files, a bridge's datapath, and the notes about them.

What is there now is kept first, so a restore can be taken back. It needs neither a published repo
nor the inventory's guests: all that it knows is in the folder. What the run had created stays.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import host_lock, kept, marks
from sheepvirt.bootstrap.facts.fact import FactQuery
from sheepvirt.bootstrap.facts.gather import gather
from sheepvirt.bootstrap.steps import restarting
from sheepvirt.bootstrap.steps.base import StepContext
from sheepvirt.bootstrap.steps.power import off_meanwhile, stop_guest
from sheepvirt.core import locks
from sheepvirt.core.errors import BootstrapError
from sheepvirt.core.tables import pick
from sheepvirt.model.enums import Datapath, ObjectKind
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sheepvirt.bootstrap.consent import Consent
    from sheepvirt.bootstrap.facts.attached import Attached
    from sheepvirt.model.hosts import Host
    from sheepvirt.run import Run
    from sheepvirt.ssh.client import Connection

NAME = "restore"
LIST = f"cd {kept.FOLDER} 2>/dev/null || exit 0; find . -path './{kept.PATTERN}/*' -type f"
# Prints what is there now of the thing with this kind and name.
NOW = r"""
show() { virsh -q -c qemu:///system "$@" 2>/dev/null; }
case $1 in
network) show net-dumpxml --inactive "$2" ;;
pool) show pool-dumpxml --inactive "$2" ;;
domain) show dumpxml --inactive --security-info "$2" ;;
bridge) ovs-vsctl --timeout=10 get bridge "$2" datapath_type ;;
*) cat "$2" ;;
esac
exit 0
"""
# The former file stays where the copy is not whole (a full disk).
COPY = r"""
cp -p "$1" "$2.sheepvirt~" && mv -f "$2.sheepvirt~" "$2" || { rm -f "$2.sheepvirt~"; exit 1; }
"""
COPY_NOTES = r"""
for note in "$1"/*.json; do
  [ -e "$note" ] || continue
  new=$2/${note##*/}.new
  cp -p "$note" "$new" && mv -f "$new" "${new%.new}" || { rm -f "$new"; exit 1; }
done
"""
# Prints the addresses and ports of a bridge.
USES = r"""
ip -o addr show dev "$1" scope global 2>/dev/null | awk '{print $4}'
ovs-vsctl --timeout=10 list-ports "$1"
"""
# kind: virsh's commands to define, stop, start, and mark a thing for the boot; its information.
VERBS = {
    ObjectKind.NETWORK: ("net-define", "net-destroy", "net-start", "net-autostart", "net-info"),
    ObjectKind.POOL: ("pool-define", "pool-destroy", "pool-start", "pool-autostart", "pool-info"),
    ObjectKind.DOMAIN: ("define", "", "start", "autostart", "dominfo"),
}
ITEM = re.compile(
    r"(?P<kind>network|pool|domain)-(?P<name>.+)\.xml|(?P<bridge>bridge)-(?P<bridge_name>.+)"
    r"\.datapath|(?P<file>files)(?P<path>/.+)"
)
ORDER = (ObjectKind.FILE, ObjectKind.BRIDGE, *VERBS)
ACTIVE = re.compile(r"(?m)^(Active: +yes|State: +(running|idle|paused|in shutdown|pmsuspended))$")
AUTOSTART = re.compile(r"(?m)^Autostart: +(yes|enable)$")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that was kept."""

    kind: ObjectKind
    name: str
    path: str  # on the host

    @property
    def title(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, kw_only=True)
class Todo:
    """What has to be done for one thing. ``restart``: it is active now."""

    item: Item
    diff: str
    restart: bool
    cut_off: Mapping[str, Attached] = field(default_factory=dict)  # guests, by its restart


def parse(listing: str) -> dict[str, list[Item]]:
    """Return the kept times, the oldest first, each with its things in the order of restoring."""
    found: dict[str, list[Item]] = {}
    for line in sorted(listing.splitlines()):
        time, _, rest = line.removeprefix("./").partition("/")
        match = ITEM.fullmatch(rest)
        if not match or rest.endswith(".new"):
            continue
        path = f"{kept.FOLDER}/{time}/{rest}"
        if match["file"]:
            item = Item(kind=ObjectKind.FILE, name=match["path"], path=path)
        elif match["bridge"]:
            item = Item(kind=ObjectKind.BRIDGE, name=match["bridge_name"], path=path)
        else:
            item = Item(kind=ObjectKind(match["kind"]), name=match["name"], path=path)
        found.setdefault(time, []).append(item)
    return {t: sorted(i, key=lambda one: ORDER.index(one.kind)) for t, i in found.items()}


def times(connection: Connection) -> dict[str, list[Item]]:
    """Return what is kept on a host, by time."""
    return parse(connection.run(["sh", "-c", LIST]).stdout)


def restore(run: Run, host: Host, time: str, given: Consent, *, plan: bool) -> list[Change]:
    """Put back what was kept at ``time``; return the changes. With ``plan`` change nothing.

    Raises UnknownNameError (no such time), BootstrapError, SshError and its kinds, LockedError.
    """
    connection = run.connect(host)
    if plan:
        return _changes(host, _todo(connection, time), given)
    with (
        locks.lock(run.settings, f"host-{host.name}", run.progress, clock=run.clock),
        host_lock.held(run, connection, f"restore {host.name} {time}"),
    ):
        todo = _todo(connection, time)
        changes = _changes(host, todo, given)
        if not todo:
            return []
        with run.progress.stage(f"{host.name}: restore {time}") as stage:
            context = StepContext(run, connection, stage)
            context.keep(*((one.item.kind, one.item.name) for one in todo))
            for one in todo:
                _put_back(host, one, given, context)
            _put_back_notes(time, context)
        return changes


def _todo(connection: Connection, time: str) -> list[Todo]:
    """Return what differs from what was kept."""
    found = times(connection)
    host = connection.host.name
    if not found:
        raise BootstrapError(
            f"nothing is kept on {host}: no run has replaced anything there",
            hint=f"`invoke bootstrap {host} --plan` says what a run would replace, and keep",
        )
    items = found[pick("kept time", time, found)]
    rows = []
    for item in items:
        before = connection.run(["cat", item.path]).stdout
        now = connection.run(["sh", "-c", NOW, "sh", item.kind, item.name]).stdout
        diff = _diff(now, before)
        if diff and item.kind == ObjectKind.BRIDGE:
            _refuse_used_bridge(connection, item, _datapath(before))
        if diff:
            active = _active(connection, item)
            guests = _cut_off(connection, item) if active else {}
            rows.append(Todo(item=item, diff=diff, restart=active, cut_off=guests))
    return rows


def _cut_off(connection: Connection, item: Item) -> dict[str, Attached]:
    """Return the guests that a restart would cut off, if the thing is a network."""
    if item.kind != ObjectKind.NETWORK:
        return {}
    names = (item.name,)
    facts = gather(connection, FactQuery(networks=names, changed_networks=names))
    return restarting.cut_off(item.name, facts.networks.get(item.name), facts)


def _datapath(kept_text: str) -> str:
    """Return the datapath that Open vSwitch's text means; "" is its default."""
    return kept_text.strip().strip('"') or Datapath.SYSTEM


def _refuse_used_bridge(connection: Connection, item: Item, datapath: str) -> None:
    """Refuse to move a bridge of a real machine that has an address or a port: it is recreated."""
    host = connection.host
    uses = connection.run(["sh", "-c", USES, "sh", item.name]).stdout.split()
    if host.real and uses:
        raise BootstrapError(
            f"{host.name}: the bridge {item.name} is in use ({', '.join(uses)}). On the {datapath} "
            "datapath it would be recreated, and lose them for a time or for good. Nothing was "
            "changed",
            hint=f"`ovs-vsctl set bridge {item.name} datapath_type={datapath}` on its console, "
            "when that suits; then run this again for the rest",
        )


def _active(connection: Connection, item: Item) -> bool:
    if item.kind not in VERBS:
        return False
    info = VERBS[item.kind][4]
    said = connection.run(["virsh", "-q", "-c", "qemu:///system", info, item.name], check=False)
    return bool(ACTIVE.search(said.stdout))


def _diff(now: str, before: str) -> str:
    rows = difflib.unified_diff(
        now.strip().splitlines(),
        before.strip().splitlines(),
        "on the host now",
        "as it was kept",
        lineterm="",
        n=2,
    )
    return "\n".join(rows)


def _waits(item: Item, given: Consent) -> str:
    """Return what a restart waits for. Guests use their disks without the pool."""
    return "" if item.kind == ObjectKind.POOL else given.waits_for_restart()


def _changes(host: Host, todo: list[Todo], given: Consent) -> list[Change]:
    changes = []
    for one in todo:
        what = f"{one.item.title} as it was kept"
        changes.append(Change(step=NAME, what=what, diff=one.diff))
        if one.restart:
            what = f"{one.item.title} restarted; until then it runs as it did"
            waits = _waits(one.item, given)
            if one.cut_off and not waits:
                restarting.refuse_transient(host, one.item.name, one.cut_off)
            if one.cut_off:
                what += f"; it cuts off {restarting.told(host, one.cut_off)}"
            changes.append(Change(step=NAME, what=what, waits_for=waits))
    return changes


def _put_back(host: Host, one: Todo, given: Consent, context: StepContext) -> None:
    item = one.item
    if item.kind == ObjectKind.FILE:
        context.run("sh", "-c", COPY, "sh", item.path, item.name)
        reload = "! command -v systemctl >/dev/null 2>&1 || systemctl daemon-reload"
        context.run("sh", "-c", reload, check=False)
    elif item.kind == ObjectKind.BRIDGE:
        datapath = _datapath(context.connection.run(["cat", item.path]).stdout)
        setting = f"datapath_type={datapath}"
        context.run("ovs-vsctl", "--timeout=30", "set", "bridge", item.name, setting)
    else:
        _define(host, one, given, context)


def _define(host: Host, one: Todo, given: Consent, context: StepContext) -> None:
    item = one.item
    define, stop, start, autostart, _ = VERBS[item.kind]
    info = context.connection.run(["cat", item.path.removesuffix(".xml") + ".info"]).stdout
    context.virsh(define, item.path)
    context.virsh(autostart, item.name, *([] if AUTOSTART.search(info) else ["--disable"]))
    if not one.restart or _waits(item, given):
        return
    with off_meanwhile(host, given, [*one.cut_off], context):
        if stop:
            context.virsh(stop, item.name)
        else:
            stop_guest(host, given, item.name, context)
        context.virsh(start, item.name)


def _put_back_notes(time: str, context: StepContext) -> None:
    context.run("sh", "-c", COPY_NOTES, "sh", f"{kept.FOLDER}/{time}/owned", marks.FOLDER)
