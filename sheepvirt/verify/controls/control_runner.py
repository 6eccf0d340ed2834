"""Negative controls: break one thing at a time on a rehearsal host.

Exactly the checks for that thing must fail. A check that cannot fail is a defect.

``bootstrap`` repairs what a control breaks. The checks that failed must pass again before the next
control starts. What no bootstrap step looks at is undone by a script, which is put on the host
before anything is broken (``bootstrap/steps/undo.py``). So after an interrupted run the next
bootstrap restores the host; every run of the controls begins with a bootstrap.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import desired, host_lock, runner
from sheepvirt.bootstrap.steps import undo
from sheepvirt.config import catalog, inventory
from sheepvirt.core import locks, signals
from sheepvirt.core.errors import ConfigError, VerifyError
from sheepvirt.model import standin
from sheepvirt.model.enums import CheckResult
from sheepvirt.ssh import client
from sheepvirt.verify import model, verification
from sheepvirt.verify.controls import claim_controls, gate_controls, host_controls
from sheepvirt.verify.model import Control, ControlContext, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.bootstrap.steps.base import DesiredState
    from sheepvirt.model.hosts import Check, Host
    from sheepvirt.run import Run
    from sheepvirt.ssh.client import Connection
    from sheepvirt.verify.display import Display

# The first of these names whose RPM can be removed: no other one requires it.
REMOVABLE = """
for name; do
  ! rpm -e --test "$name" >/dev/null 2>&1 || { echo "$name"; exit 0; }
done
"""


def prove(run: Run, host: Host, display: Display) -> tuple[Outcome, ...]:
    """Run every control of the gates and of ``host``; show the results with ``display``.

    Raises ConfigError (not a rehearsal host), VerifyError (a control did not make exactly its
    checks fail, a check has no control, or the host was not restored), and what bootstrap and
    verify raise.
    """
    if host.real:
        raise ConfigError(
            f"{host.name} is a real machine: negative controls run on rehearsal hosts only",
            hint="name a host with `rehearsal = true` and without `treat_as_real` in the inventory",
        )
    wanted = desired.desired_state(run, host)
    with (
        locks.lock(run.settings, f"host-{host.name}", run.progress, clock=run.clock),
        host_lock.held(run, run.connect(host), f"verify {host.name} --prove"),
        signals.terminate_as_exception(),
    ):
        trial = Trial(run, wanted)
        trial.restore("what an earlier run may have left")
        table = trial.controls()
        every = trial.all_pass("before")
        target = inventory.load_target(run.settings, host.target)
        outcomes = gate_controls.try_each(run, target)
        outcomes += claim_controls.try_each(run, target, wanted.records)
        claims = claim_controls.untried(wanted.records, outcomes)
        outcomes += [trial.run(control) for control in table]
        trial.all_pass("after")
    reasons = {**host_controls.UNTRIED, **claims}
    untried = [*_untried(every, outcomes), *sorted(claims)]
    display.controls(run.progress, outcomes, untried, reasons, wanted.stand_ins)
    wrong = [o for o in outcomes if not o.ok]
    if wrong:
        raise VerifyError(
            f"{host.name}: {len(wrong)} of {len(outcomes)} controls did not make exactly their "
            f"checks fail: {'; '.join(o.control for o in wrong)}",
            hint="fix the check (in sheepvirt/verify/checks or sheepvirt/builds/contract.py), or "
            "what the control expects",
        )
    if unexcused := [name for name in untried if not reasons.get(name)]:
        raise VerifyError(
            f"{host.name}: no control made these fail: {', '.join(unexcused)}",
            hint="add a control that breaks what the check looks at (host_controls.py or "
            "claim_controls.py in verify/controls/), or give the reason in UNTRIED there",
        )
    return tuple(outcomes)


class Trial:
    """A host on which controls break things."""

    def __init__(self, run: Run, wanted: DesiredState) -> None:
        self._run = run
        self._wanted = wanted
        self._host = wanted.host
        self._progress = run.progress
        self._connection: Connection = run.connect(wanted.host)
        self._folder = run.settings.dist / "verify" / wanted.host.name / "prove"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._skipped: set[str] = set()  # checks that this host always skips
        self._reports: list[Path] = []  # the first has all checks, before the controls

    def controls(self) -> tuple[Control, ...]:
        """Return the controls of this host. Raises RemoteCommandError: no network or pool."""
        features = [
            (record.package, feature)
            for record in self._wanted.records
            for feature in catalog.load_package(
                self._run.settings, record.package, record.version
            ).features
            if feature.host_line
        ]
        network, pool = (
            self._connection.run(["virsh", verb, "--inactive", kind, name]).stdout
            for verb, kind, name in (
                ("net-dumpxml", "--network", self._host.network),
                ("pool-dumpxml", "--pool", self._host.pool),
            )
        )
        names = self._wanted.dependencies.packages
        found = self._connection.run(["sh", "-c", REMOVABLE, "sh", *names]).stdout.strip()
        context = ControlContext(
            host=self._host,
            records=self._wanted.records,
            features=tuple(features),
            network_xml=network,
            pool_xml=pool,
            removable=found,
        )
        stand_ins = self._wanted.stand_ins
        return tuple(
            replace(c, name=standin.label(c.name, stand_ins))
            for c in host_controls.on_host(context)
        )

    def restore(self, what: str) -> str:
        """Restore the host with a bootstrap; return what that changed."""
        with self._progress.stage(f"restore {what}") as stage:
            changes = runner.converge(self._run, self._wanted, self._connection)
            stage.note = f"{len(changes)} changes by bootstrap"
        return "; ".join(f"{c.step}: {c.what}" for c in changes) or "nothing to restore"

    def run(self, control: Control) -> Outcome:
        """Break, check, restore, check again. Raises VerifyError: the host was not restored."""
        started = self._run.clock.monotonic()
        name = f"control: {control.name}"
        try:
            with self._progress.stage(name) as stage:
                if control.undo:
                    self._connection.write(undo.SCRIPT, undo_script(control))
                for command in control.breaks:
                    self._connection.run(command.argv, stdin=command.stdin, on_line=stage.line)
                checks = self._look(name, data=control.data)
                failed = [c for c in checks if c.result == CheckResult.FAILED]
                skipped = {model.plain(c.title) for c in checks if c.result == CheckResult.SKIPPED}
                stage.note = f"{len(failed)} checks failed"
        finally:  # interrupted or not
            restored = self.restore(control.name)
        if failed:
            nodes = [c.node for c in failed]
            again = self._look(f"{control.name}: restored?", nodes, data=control.data)
            _require(self._host, again, f"after the control {control.name!r} was restored")
        return Outcome(
            control=control.name,
            expected=control.fails - (skipped & self._skipped),
            seen=frozenset(model.plain(c.title) for c in failed),
            restored=restored,
            seconds=self._run.clock.monotonic() - started,
        )

    def all_pass(self, when: str) -> tuple[Check, ...]:
        """Require that every check passes ``when`` ("before" or "after" the controls)."""
        checks = self._look(f"verify {self._host.name} {when} the controls")
        self._skipped = {model.plain(c.title) for c in checks if c.result == CheckResult.SKIPPED}
        _require(self._host, checks, f"{when} the controls")
        return checks

    def _look(
        self, title: str, nodes: Sequence[str] = (), *, data: bool = False
    ) -> tuple[Check, ...]:
        self._reports.append(self._folder / f"{len(self._reports) + 1:02}.xml")
        before = self._reports[0] if data else None
        return verification.one_pass(
            self._run,
            self._host,
            self._reports[-1],
            title,
            before=before,
            nodes=nodes,
            consoles=True,
        )


def undo_script(control: Control) -> bytes:
    """Return the shell script that undoes a control on its host."""
    return "".join(f"{client.quote(c.argv)}\n" for c in control.undo).encode()


def _require(host: Host, checks: Sequence[Check], when: str) -> None:
    failed = [c for c in checks if c.result == CheckResult.FAILED]
    if failed:
        lines = "\n".join(f"  {c.title}: {c.message}" for c in failed)
        raise VerifyError(
            f"{host.name}: {len(failed)} checks fail {when}:\n{lines}",
            hint=f"run `invoke bootstrap {host.name}` and `invoke verify {host.name}` first",
        )


def _untried(checks: Sequence[Check], outcomes: Sequence[Outcome]) -> list[str]:
    """Return the names of checks that no control made fail, whatever their subject."""
    tried = {title.partition(" [")[0] for outcome in outcomes for title in outcome.seen}
    return sorted({c.name for c in checks if c.result == CheckResult.PASSED} - tried)
