"""Refuse a bootstrap before its first step if the host is not suitable. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap import ownership, space
from sheepvirt.bootstrap.facts.replies import Reply
from sheepvirt.bootstrap.facts.sheepdog import PORT
from sheepvirt.bootstrap.planned import NOT_KNOWN
from sheepvirt.bootstrap.service_commands import log_hint
from sheepvirt.bootstrap.steps import disk, repository
from sheepvirt.bootstrap.steps.base import DATAPATH_MODULE, LIBVIRTD, OPENVSWITCH
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Datapath

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.replies import ServiceReply
    from sheepvirt.bootstrap.steps.base import DesiredState, Step

SHEEPDOG = "sheepdog"


def require(wanted: DesiredState, facts: Facts) -> None:
    """Raise BootstrapError if the host has something that this run must not or cannot handle."""
    require_answers(wanted, facts)
    _same_provider(wanted, facts)
    _free_port(wanted, facts)
    _kernel_modules(wanted, facts)
    _datapath(wanted, facts)
    ownership.require(wanted, facts)
    space.require(wanted, facts, [*repository.needs(wanted, facts), *disk.needs(wanted, facts)])


def require_answers(wanted: DesiredState, facts: Facts) -> None:
    """Raise BootstrapError if a service hangs, or is up and refuses: what it has is not known.

    One that is stopped is started by its step.
    """
    said = []
    for name, found in _replies(facts).items():
        if found.reply == Reply.HUNG:
            said.append(f"{name} hangs: it does not answer in time")
        elif _is_up_and_refuses(name, facts):
            said.append(f"{name} is up and refuses: {found.words or 'it does not say why'}")
    if said:
        names = [line.partition(" ")[0] for line in said]
        raise BootstrapError(
            f"{wanted.host.name}: {'; '.join(said)}. What it has is not known, so nothing is "
            "compared or changed",
            hint=f"look at {' and '.join(log_hint(facts.init, name) for name in names)} there, "
            "restart it (guests run on while libvirtd restarts), then run this again",
        )


def may_answer_soon(facts: Facts) -> bool:
    """Tell whether a service is up and refuses, as it does while it starts."""
    return any(_is_up_and_refuses(name, facts) for name in _replies(facts))


def unknown(step: Step, facts: Facts) -> str:
    """Return why nothing can be compared in ``step``; "" if it can."""
    states = {Reply.STOPPED: "stopped", Reply.HUNG: "hung"}
    words = [
        f"{name} is {states[found.reply]}: {NOT_KNOWN}"
        for name, found in _replies(facts).items()
        if name in step.asks and found.silent
    ]
    return "; ".join(words)


def _is_up_and_refuses(name: str, facts: Facts) -> bool:
    service = facts.services.get(name)
    refuses = _replies(facts)[name].reply == Reply.STOPPED
    return refuses and service is not None and service.active


def _replies(facts: Facts) -> dict[str, ServiceReply]:
    return {LIBVIRTD: facts.libvirt, OPENVSWITCH: facts.switch}


def _same_provider(wanted: DesiredState, facts: Facts) -> None:
    """Refuse to replace a package by its stand-in, or a stand-in by the package.

    Each has its own store. The guests' disks would stay in the former one, and new disks would take
    their names.
    """
    host = wanted.host.name
    for installed, published in wanted.rejected_rpms.items():
        if installed not in facts.packages:
            continue
        again = f"run `invoke destroy {host}`, then `invoke bootstrap {host}`: it starts empty"
        raise BootstrapError(
            f"{host} has {facts.packages[installed]}, and the published repo has {published} "
            f"in its place. The guests' disks are in the store of {installed}, which {published} "
            "cannot read. Nothing was changed",
            hint=again
            if wanted.host.rehearsal
            else f"publish {installed} again (`invoke build-rpms --package`, docs/sheepdog.md), or "
            "move the guests' disks off this host first",
        )


def _free_port(wanted: DesiredState, facts: Facts) -> None:
    """Refuse if sheepdog must start and another process has its port."""
    state = facts.services.get(SHEEPDOG)
    wants = SHEEPDOG in wanted.dependencies.services
    if not wants or (state and state.active):
        return
    taken = [one for one in facts.listeners if one.address in {"0.0.0.0", "::", "127.0.0.1"}]
    if taken:
        raise BootstrapError(
            f"{wanted.host.name}: TCP port {PORT} is taken by {taken[0].title}, and the service "
            f"{SHEEPDOG} does not run. Nothing was changed",
            hint=f"stop that process, or let it use another port; sheepdog needs port {PORT}",
        )


def _kernel_modules(wanted: DesiredState, facts: Facts) -> None:
    """Refuse if neither the kernel nor the repo has a module that a service needs."""
    host, made = wanted.host, {record.kernel_module for record in wanted.records}
    for module, package in wanted.module_packages.items():
        # The kernel is unknown before the first look at a host.
        if facts.kernel and module not in made and not facts.modules.get(module):
            raise BootstrapError(
                f"{host.name}: its kernel {facts.kernel} has no {module} module, and the repo has "
                "no RPM of it. Nothing was changed",
                hint="update its kernel, since later ones have it; or set `kversion = "
                f'"{facts.kernel}"` for it in the inventory, then `invoke build-rpms --target '
                f"{host.target} --package {package}`",
            )


def _datapath(wanted: DesiredState, facts: Facts) -> None:
    """Refuse the kernel's datapath where the kernel has none and no RPM of the repo brings it."""
    host, made = wanted.host, {record.kernel_module for record in wanted.records}
    if host.datapath != Datapath.SYSTEM or not facts.kernel:
        return
    works = any(b.device and b.datapath == Datapath.SYSTEM for b in facts.bridges.values())
    there = facts.kernel_datapath or works or facts.modules.get(DATAPATH_MODULE)
    if not there and DATAPATH_MODULE not in made:
        raise BootstrapError(
            f"{host.name}: its kernel {facts.kernel} has no {DATAPATH_MODULE} module, which the "
            f"system datapath of {host.bridge} needs. Nothing was changed",
            hint=f'set `datapath = "netdev"` for {host.name} in the inventory, or install that '
            "module",
        )
