"""Services: enabled for every boot, and started now; our own units beside them."""

from __future__ import annotations

from collections.abc import Sequence

from sheepvirt.errors import BootstrapError
from sheepvirt.host_model import Change, Facts, ServiceState
from sheepvirt.steps import units
from sheepvirt.steps.base import Hands, Step, Wanted

NAME = "services"
ABSENT = ServiceState(active=False, enabled=False)


def check(wanted: Wanted, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Our units are there; every service is enabled and active."""
    changes = units.check(NAME, facts)
    for name in wanted.dependencies.services:
        state = facts.services.get(name, ABSENT)
        verbs = [*([] if state.enabled else ["enabled"]), *([] if state.active else ["started"])]
        if verbs:
            changes.append(Change(NAME, f"{name} {' and '.join(verbs)}"))
    return changes


def apply(wanted: Wanted, facts: Facts, hands: Hands) -> None:
    """Enable and start what is not. Raises BootstrapError on a host without systemd."""
    if facts.init != "systemd":
        raise BootstrapError(
            f"{wanted.host.name} runs no systemd ({facts.init or 'unknown init'})",
            hint="hosts with SysV services come with the el6 target, which is not there yet",
        )
    units.apply(facts, hands)
    for name in wanted.dependencies.services:
        state = facts.services.get(name, ABSENT)
        if not state.enabled:
            hands.run("systemctl", "enable", name)
        if not state.active:
            hands.run("systemctl", "start", name)


STEP = Step(NAME, check, apply)
