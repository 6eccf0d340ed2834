"""libvirt's networks: the bridge's, and libvirt's ``default``; active now and after every boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps.base import STATE, DesiredState, Step, StepContext
from sheepvirt.bootstrap.steps.definition import difference, identity, lifecycle
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.libvirt import Definition

NAME = "network"
DEFAULT = "default"
DEFAULT_XML = "/usr/share/libvirt/networks/default.xml"  # from libvirt-daemon-config-network


def xml(wanted: DesiredState, state: Definition | None) -> str:
    """Return the definition of the bridge's network, with its current identity."""
    host = wanted.host
    uuid = identity(state.xml if state else "")["uuid"]
    return wanted.xml(
        "network", f"network {host.network}",
        network=host.network, bridge=host.bridge, uuid=uuid,
    )  # fmt: skip


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Both networks are defined, started and autostarted; the bridge's has its definition."""
    name = wanted.host.network
    state = facts.networks.get(name)
    diff = difference(state.xml if state else "", xml(wanted, state))
    changes = []
    if diff:
        again = ", and restarted" if state and state.active else ""
        changes.append(Change(step=NAME, what=f"{name} defined{again}", diff=diff))
    if DEFAULT not in facts.networks:
        changes.append(Change(step=NAME, what=f"{DEFAULT} defined as libvirt ships it"))
    changes += lifecycle(NAME, DEFAULT, facts.networks.get(DEFAULT))
    return changes + lifecycle(NAME, name, state, redefined=bool(diff))


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Define, start and autostart the networks that need it."""
    name = wanted.host.network
    state = facts.networks.get(name)
    active = [n for n, s in facts.networks.items() if s.active]
    text = xml(wanted, state)
    if difference(state.xml if state else "", text):
        _define(name, text, context)
        if name in active:
            context.virsh("net-destroy", name)
            active.remove(name)
    if DEFAULT not in facts.networks:
        context.virsh("net-define", DEFAULT_XML)
    for network in active:
        if not facts.networks[network].persistent:
            _define(network, facts.networks[network].xml, context)  # as it runs
    for network in (DEFAULT, name):
        now = facts.networks.get(network)
        if network not in active:
            context.virsh("net-start", network)
        if now is None or not now.autostart:
            context.virsh("net-autostart", network)


def _define(name: str, text: str, context: StepContext) -> None:
    path = f"{STATE}/network-{name}.xml"
    context.connection.write(path, text.encode())
    context.virsh("net-define", path)


STEP = Step(name=NAME, check=check, apply=apply)
