"""The sheepdog cluster: it has a node and is formatted before anything uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts import sheepdog
from sheepvirt.bootstrap.service_commands import log_hint
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.core.errors import BootstrapError
from sheepvirt.core.waiting import wait_until
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "cluster"
RUNNING = "running"
UNFORMATTED = "waiting for cluster to be formatted"
SECONDS = 60.0  # a sheep may need 12 s to join (sheepdog#175)


def ready(facts: Facts) -> bool:
    """Tell whether guests' disks are usable: the cluster runs, has a node and lists its VDIs."""
    now = facts.cluster
    return now is not None and now.status.startswith(RUNNING) and now.nodes > 0 and now.listed


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The cluster is formatted and runs."""
    if ready(facts):
        return []
    status = facts.cluster.status if facts.cluster else ""
    now = f"now it says {status!r}" if status else "it does not answer yet"
    what = "sheepdog's cluster waited for, and formatted with one copy if it never was"
    return [Change(step=NAME, what=what, note=now)]


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Wait until sheepdog answers. Format only a cluster that is not formatted."""
    why = log_hint(facts.init, "sheepdog")
    status = _wait(context, (RUNNING, UNFORMATTED), why)
    if status.lower().startswith(UNFORMATTED):
        context.run("dog", "cluster", "format", "-c", "1")
        _wait(context, (RUNNING,), why)


def _wait(context: StepContext, states: tuple[str, ...], why: str) -> str:
    """Return the cluster's status once it is one of ``states``. Raises BootstrapError.

    ``why`` names the commands that show the reason if it does not get there.
    """

    def ask() -> tuple[str, str]:
        said = context.run("timeout", "5", "dog", "cluster", "info", check=False)
        return sheepdog.cluster_status(said.stdout), said.stderr.strip()

    def ready(answer: tuple[str, str]) -> bool:
        return answer[0].lower().startswith(states)

    answer = wait_until(ask, ready, clock=context.work.clock, seconds=SECONDS, every=0.5)
    if not ready(answer):
        raise BootstrapError(
            f"{context.connection.host.name}: sheepdog's cluster is not ready after "
            f"{SECONDS:.0f} s: {' '.join(filter(None, answer)) or 'it says nothing'}",
            hint=f"read {why} on the host; only a cluster that says {UNFORMATTED!r} is formatted",
        )
    return answer[0]


STEP = Step(name=NAME, check=check, apply=apply)
