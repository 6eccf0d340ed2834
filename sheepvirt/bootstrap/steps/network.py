"""libvirt's networks: the bridge's, and libvirt's ``default``; active now and after every boot."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from ipaddress import IPv4Network
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.steps import marking, power, restarting
from sheepvirt.bootstrap.steps.base import LIBVIRTD, STATE, DesiredState, Step, StepContext
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
NONE_LEFT = "the guests that an interrupted run had shut down run again"
DEFAULT_RPM = "libvirt-daemon-config-network"
# Exists from before that RPM is installed until its network is set up. On a real machine a
# ``default`` without it is left as it is: it may be gone, or off, on purpose.
NEW = f"{STATE}/default-network-is-new"


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
    """Both networks are defined, started and autostarted; the bridge's runs from its definition.

    Raises BootstrapError: a guest that it would cut off could not be started again.
    """
    one = wanted_network(wanted, facts)
    state = facts.networks.get(one.name)
    needed = restarting.todo(wanted, one, state, facts)
    former = restarting.runs_from_the_former(one, state, facts)
    restart = restarting.changes(NAME, wanted, one.name, needed, former)
    changes = marking.changes(NAME, wanted, one, state, facts, more=restart)
    if _is_new(wanted, facts):
        changes += _default(facts)
    if power.STOPPED in facts.texts:
        names = ", ".join(power.left_off(wanted.host, facts))
        what = f"{names} started: an interrupted run had shut it down" if names else NONE_LEFT
        changes.append(Change(step=NAME, what=what))
    if NEW in facts.texts and not changes:
        return [Change(step=NAME, what=f"{DEFAULT} left as it is from now on")]
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Define, restart, start and autostart the networks that need it."""
    one = wanted_network(wanted, facts)
    name = one.name
    state = facts.networks.get(name)
    active = [n for n, s in facts.networks.items() if s.active]
    needed = restarting.todo(wanted, one, state, facts)
    if needed.defined:
        mark = marking.define(one, state, facts, context)
        running = state.live_xml if state and state.active else ""
        marking.note(context, [replace(mark, live=running)])
    off = power.left_off(wanted.host, facts)
    if needed.restarted:
        guests, given = [*needed.cut_off], wanted.consent
        with power.off_meanwhile(wanted.host, given, guests, context, off=off):
            # What an interrupted run has sent may be done only now.
            context.virsh("net-destroy", name, check=False)
            context.virsh("net-start", name)
    new = _is_new(wanted, facts)
    if new and DEFAULT not in facts.networks:
        context.virsh("net-define", DEFAULT_XML)
    for network in active:
        kept = facts.networks[network].persistent or (network == name and needed.defined)
        if not kept and (new or network != DEFAULT):
            text = facts.networks[network].xml
            marking.define_as_it_runs(ObjectKind.NETWORK, network, text, context)
    for network in (DEFAULT, name) if new else (name,):
        now = facts.networks.get(network)
        if network not in active and not (network == DEFAULT and in_use(facts)):
            context.virsh("net-start", network)
        if now is None or not now.autostart:
            context.virsh("net-autostart", network)
    if power.STOPPED in facts.texts:
        power.start_stopped(off, context)
    if NEW in facts.texts:
        context.run("rm", "-f", NEW)


def _is_new(wanted: DesiredState, facts: Facts) -> bool:
    """Tell whether ``default`` is to be set up: on a real machine, once, with its RPM."""
    installing = DEFAULT_RPM not in facts.packages and DEFAULT_RPM in wanted.rpms
    return not wanted.host.real or NEW in facts.texts or installing


def _default(facts: Facts) -> list[Change]:
    """Return what ``default`` needs; it is not started where its addresses are in use."""
    changes = []
    state = facts.networks.get(DEFAULT)
    if state is None:
        changes.append(Change(step=NAME, what=f"{DEFAULT} defined as libvirt ships it"))
    changes += lifecycle(NAME, DEFAULT, state)
    if in_use(facts):
        changes = [change for change in changes if change.what != f"{DEFAULT} started"]
    return changes


def in_use(facts: Facts) -> str:
    """Return which interface has the addresses of ``default``, which does not run; "" if none.

    libvirt looks at the same routes (``networkCheckRouteCollision``).
    """
    state = facts.networks.get(DEFAULT)
    if state is None or state.active:
        return ""
    for own in _ranges(state.xml):
        for route in facts.routes:
            if own.overlaps(route.network):
                return f"{own} is in use by {route.interface}"
    return ""


def _ranges(text: str) -> list[IPv4Network]:
    """Return the IPv4 networks of a network's definition."""
    found = []
    for ip in ElementTree.fromstring(text).findall("ip"):
        with contextlib.suppress(ValueError):
            mask = ip.get("netmask") or ip.get("prefix", "")
            found.append(IPv4Network(f"{ip.get('address', '')}/{mask}", strict=False))
    return found


def notes(facts: Facts) -> list[str]:
    """Return a line if ``default`` cannot run: another interface has its addresses."""
    state, why = facts.networks.get(DEFAULT), in_use(facts)
    if not why or state is None or not state.autostart:
        return []
    return [f"network {DEFAULT} does not run: {why}; guests of this inventory do not use it"]


STEP = Step(name=NAME, check=check, apply=apply, asks=(LIBVIRTD,))
