"""The commands about the inventory itself. They touch no host.

Thin, as commands.py, which collects them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke import task

from sheepvirt.cli import json_output
from sheepvirt.cli.host_commands import JSON
from sheepvirt.cli.session import Session, command
from sheepvirt.config import inventory, schema
from sheepvirt.core import sizes
from sheepvirt.core.errors import ConfigError, ConfigErrors
from sheepvirt.core.tables import pick
from sheepvirt.model.enums import Disk

if TYPE_CHECKING:
    from sheepvirt.model.guests import Guest
    from sheepvirt.model.hosts import Host
    from sheepvirt.model.networks import Bridge

ACTIONS = ("check", "schema")


@task(
    name="inventory",
    positional=["action"],
    help={
        "action": "check: say what the inventory has, or all that is wrong in it (exit code 2); "
        "schema: print its JSON schema, for editors",
        "host": "with check: say it of this host only",
        "json": JSON,
    },
)
@command
def inventory_command(session: Session, action: str, host: str = "", json: bool = False) -> None:
    """Check the inventory, or print its JSON schema; no host is touched (docs/inventory.md)."""
    session.name = "inventory"
    pick("action", action, ACTIONS)
    if action == "check":
        _check(session, host)
        return
    if host or json:
        option = "host" if host else "json"
        raise ConfigError(
            f"`schema` takes no --{option}: it is one JSON document, the same for every host",
            hint=f"remove --{option}",
        )
    json_output.write(schema.document(inventory.SECTION))


def _check(session: Session, host: str) -> None:
    run = session.start()
    path = str(run.settings.inventory)
    session.fields |= {"inventory": path, "hosts": [], "problems": []}
    try:
        found = inventory.check(run.settings)
    except ConfigError as error:
        problems = error.problems if isinstance(error, ConfigErrors) else (error,)
        session.fields["problems"] = [json_output.error(p.message, p.hint) for p in problems]
        raise
    chosen = [found[pick("host", host, found)]] if host else list(found.values())
    session.fields["hosts"] = [json_output.inventory_host(one) for one in chosen]
    for one in chosen:
        run.progress.say(line(one))
    run.progress.say(f"{path}: the inventory is fine")


def line(host: Host) -> str:
    """Return what the inventory says of a host, in one line. Pure."""
    kind = "rehearsal host" if host.rehearsal else f"real machine {_where(host)}"
    networks = ", ".join(f"{network.name} on {network.bridge}" for network in host.networks)
    parts = [
        f"{host.name}: {kind}, target {host.target}",
        f"guests: {', '.join(map(_guest, host.guests)) or 'none'}",
        f"networks: {networks}",
        f"bridges: {', '.join(map(_bridge, host.bridges))}",
    ]
    return "; ".join(parts)


def _where(host: Host) -> str:
    address = f"[{host.address}]" if ":" in host.address else host.address
    return f"ssh {host.ssh}" if host.ssh else f"{host.user}@{address}:{host.port}"


def _guest(guest: Guest) -> str:
    disks = (
        f"VDI of {sizes.text(disk.size)}" if disk.kind == Disk.SHEEPDOG else "file"
        for disk in guest.disks
    )
    nics = []
    if len(guest.nics) > 1 or any(nic.vlan for nic in guest.nics):
        tags = (f"VLAN {nic.vlan}" if nic.vlan else "untagged" for nic in guest.nics)
        nics = [f"on {nic.network} ({tag})" for nic, tag in zip(guest.nics, tags, strict=True)]
    return ", ".join((f"{guest.name} ({sizes.text(guest.memory)}", *disks, *nics)) + ")"


def _bridge(bridge: Bridge) -> str:
    static = bridge.address != "dhcp"
    address = bridge.address if static or bridge.uplink else ""
    parts = (
        f"{bridge.datapath} datapath",
        f"uplink {bridge.uplink}" if bridge.uplink else "no uplink",
        address,
        f"gateway {bridge.gateway}" if bridge.gateway else "",
    )
    return f"{bridge.name} ({', '.join(filter(None, parts))})"
