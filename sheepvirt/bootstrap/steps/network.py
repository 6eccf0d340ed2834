"""libvirt's networks: the bridge's, and libvirt's ``default``; active now and after every boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps import marking
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.bootstrap.steps.definition import identity, lifecycle
from sheepvirt.bootstrap.steps.three_way import canonical
from sheepvirt.model.enums import ObjectKind
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "network"
DEFAULT = "default"
DEFAULT_XML = "/usr/share/libvirt/networks/default.xml"  # from libvirt-daemon-config-network


def wanted_network(wanted: DesiredState, facts: Facts) -> marking.Wanted:
    """Return the bridge's network as it is wanted, with its current identity."""
    host = wanted.host
    state = facts.networks.get(host.network)
    uuid = identity(state.xml if state else "")["uuid"]
    values = {"network": host.network, "bridge": host.bridge}
    return marking.Wanted(
        kind=ObjectKind.NETWORK,
        name=host.network,
        xml=wanted.xml("network", f"network {host.network}", **values, uuid=uuid),
        sent=canonical(wanted.text("network", **values, uuid="")),
    )


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Both networks are defined, started and autostarted; the bridge's has its definition."""
    name = wanted.host.network
    state = facts.networks.get(name)
    one = wanted_network(wanted, facts)
    found = marking.compared(wanted, one, state, facts)
    changes, waits_for = [], marking.waits(wanted, name, found)
    if found.diff:
        again = "defined, and restarted" if state and state.active else "defined"
        what = marking.said(one, state, found, again)
        changes.append(Change(step=NAME, what=what, diff=found.diff, waits_for=waits_for))
    if DEFAULT not in facts.networks:
        changes.append(Change(step=NAME, what=f"{DEFAULT} defined as libvirt ships it"))
    changes += lifecycle(NAME, DEFAULT, facts.networks.get(DEFAULT))
    return changes + lifecycle(NAME, name, state, redefined=bool(found.diff) and not waits_for)


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Define, start and autostart the networks that need it."""
    one = wanted_network(wanted, facts)
    name = one.name
    state = facts.networks.get(name)
    active = [n for n, s in facts.networks.items() if s.active]
    found = marking.compared(wanted, one, state, facts)
    defined = bool(found.diff) and not marking.waits(wanted, name, found)
    if defined:
        marking.note(context, [marking.define(one, state, facts, context)])
        if name in active:
            context.virsh("net-destroy", name)
            active.remove(name)
    if DEFAULT not in facts.networks:
        context.virsh("net-define", DEFAULT_XML)
    for network in active:
        if not facts.networks[network].persistent:
            text = facts.networks[network].xml
            marking.define_as_it_runs(ObjectKind.NETWORK, network, text, context)
    for network in (DEFAULT, name):
        now = facts.networks.get(network)
        if network not in active:
            context.virsh("net-start", network)
        if now is None or not now.autostart:
            context.virsh("net-autostart", network)


STEP = Step(name=NAME, check=check, apply=apply)
