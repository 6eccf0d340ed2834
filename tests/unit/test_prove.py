"""A run of the negative controls: order, restoring, and what it takes to pass."""

import io
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest
from rich.console import Console

from sheepvirt.bootstrap import desired, host_lock, runner
from sheepvirt.bootstrap.steps import undo
from sheepvirt.cli import report
from sheepvirt.config import inventory
from sheepvirt.core.errors import ConfigError, VerifyError
from sheepvirt.core.processes import Result
from sheepvirt.core.progress import Progress
from sheepvirt.model.enums import CheckResult
from sheepvirt.model.hosts import Change, Check, Dependencies, Host
from sheepvirt.verify import verification
from sheepvirt.verify.controls import claim_controls, control_runner, gate_controls, host_controls
from sheepvirt.verify.model import Command, Control, Outcome
from tests.here import run_in

GUEST = factories.guest()
HOST = factories.host(guests=(GUEST,))
CHECKS = ("networks: network is active", "guests: guest is running", "packages: good")
STOP = Control(
    name="network stopped",
    breaks=(Command(("break", "it")),),
    fails=frozenset({"networks: network is active [n]"}),
)
FILE = Control(
    name="file away",
    breaks=(Command(("break", "file"), b"x"),),
    fails=frozenset({"guests: guest is running [g]"}),
    undo=(Command(("undo", "a file")),),
    data=True,
)


class DesiredState:
    """What bootstrap would want of the host."""

    def __init__(self) -> None:
        self.host = HOST
        self.records = ()
        self.dependencies = Dependencies(packages=("dep",), services=())
        self.stand_ins = frozenset({"sheepdog"})


class Stage:
    """A host: what is done to it is noted; each planned pass names the checks that fail in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(host_lock, "held", lambda *_: nullcontext())
        self.log: list[str] = []
        self.plan: list[set[str] | BaseException] = []
        self.before: list[Path | None] = []
        self.table: tuple[Control, ...] = (STOP,)
        self.claims: dict[str, str] = {}
        self.gates = [
            Outcome(
                control="gate",
                expected=frozenset({"x"}),
                seen=frozenset({"x"}),
                restored="",
                seconds=0,
            )
        ]
        self.folder = tmp_path
        monkeypatch.setattr(desired, "desired_state", lambda _run, _host: DesiredState())
        monkeypatch.setattr(runner, "converge", self.bootstrap)
        monkeypatch.setattr(verification, "one_pass", self.one_pass)
        monkeypatch.setattr(inventory, "load_target", lambda _settings, name: name)
        monkeypatch.setattr(gate_controls, "try_each", lambda _run, _target: list(self.gates))
        monkeypatch.setattr(claim_controls, "try_each", lambda *_args: [])
        monkeypatch.setattr(claim_controls, "untried", lambda *_args: dict(self.claims))
        monkeypatch.setattr(host_controls, "on_host", lambda _ground: self.table)
        monkeypatch.setattr(host_controls, "UNTRIED", dict.fromkeys(CHECKS, "a test's excuse"))

    def run(self, argv: Sequence[str], **_options: Any) -> Result:
        if argv[0] not in {"virsh", "sh"}:  # what controls are made from
            self.log.append(" ".join(argv))
        return Result(code=0, stdout="<x/>", stderr="")

    def write(self, path: str, content: bytes) -> None:
        self.log.append(f"write {path}: {content.decode().strip()}")

    def bootstrap(self, *_args: object) -> list[Change]:
        self.log.append("bootstrap")
        return [Change(step="network", what="n started")] if "break it" in self.log else []

    def one_pass(
        self,
        _run: object,
        _host: Host,
        junit: Path,
        _title: str,
        *,
        before: Path | None,
        nodes: Sequence[str],
        consoles: bool,
    ) -> tuple[Check, ...]:
        assert consoles
        self.log.append(f"look at {', '.join(nodes)}" if nodes else "look")
        self.before.append(before)
        failing = self.plan.pop(0)
        if isinstance(failing, BaseException):
            raise failing
        subjects = dict(zip(CHECKS, ("n (stand-in)", "g", ""), strict=True))
        names = [n for n in CHECKS if not nodes or any(n in node for node in nodes)]
        return tuple(
            factories.check(
                name=n,
                subject=subjects[n],
                result=CheckResult.FAILED if n in failing else CheckResult.PASSED,
                seconds=1,
                message="m",
                node=f"::{n}",
            )
            for n in names
        )

    def prove(self) -> str:
        out = io.StringIO()
        progress = Progress(console=Console(file=out, width=160, highlight=False))
        try:
            control_runner.prove(run_in(self.folder, peer=self, progress=progress), HOST, report)
        finally:
            self.said = out.getvalue()
        return self.said


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    return Stage(monkeypatch, tmp_path)


def test_a_real_machine_is_not_touched(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="tahiti is a real machine") as caught:
        control_runner.prove(run_in(), replace(HOST, rehearsal=False), report)
    assert caught.value.exit_code == 2
    assert not stage.log


def test_break_look_restore_and_look_again(stage: Stage) -> None:
    stage.plan = [set(), {CHECKS[0]}, set(), set()]
    said = stage.prove()
    assert stage.log == [
        "bootstrap",
        "look",  # as found
        "break it",
        "look",
        "bootstrap",
        f"look at ::{CHECKS[0]}",
        "look",
    ]
    assert "2 of 2 controls made exactly their checks fail" in said
    assert "network: n started" in said
    assert "no control made this fail: guests: guest is running (a test's excuse)" in said
    assert "no control made this fail: packages: good (a test's excuse)" in said


def test_each_line_about_a_stand_in_says_so(stage: Stage) -> None:
    stage.table = (replace(STOP, name="sheepdog stopped"),)
    stage.plan = [set(), {CHECKS[0]}, set(), set()]
    assert "control: sheepdog stopped (stand-in)" in stage.prove()
    rows = (
        Outcome(
            control="sheepdog stopped",
            expected=frozenset({"rpm: Requires: sheepdog"}),
            seen=frozenset(),
            restored="",
            seconds=0,
        ),
        Outcome(
            control="no storage_backend_sheepdog.so",
            expected=frozenset({"x"}),
            seen=frozenset({"x"}),
            restored="",
            seconds=0,
        ),
    )
    out = io.StringIO()
    wide = Progress(console=Console(file=out, width=400, highlight=False))
    report.controls(wide, rows, ["a: sheepdog"], {}, {"sheepdog"})
    said = out.getvalue()
    assert "sheepdog stopped (stand-in)" in said
    assert "DID NOT FAIL: rpm: Requires: sheepdog (stand-in)" in said
    assert "no control made this fail: a: sheepdog (stand-in) (and none says why)" in said
    assert "sheepdog.so (stand-in)" not in said


def test_a_check_without_a_control_is_a_defect(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_controls, "UNTRIED", {CHECKS[1]: "a guest that cannot be stopped"})
    stage.plan = [set(), {CHECKS[0]}, set(), set()]
    with pytest.raises(VerifyError, match="no control made these fail: packages: good\n") as caught:
        stage.prove()
    assert caught.value.exit_code == 10
    assert "packages: good (and none says why)" in stage.said


@pytest.mark.parametrize("reason", ["", "a reason"])
def test_a_claim_of_a_gate_without_a_control_is_a_defect_as_well(stage: Stage, reason: str) -> None:
    stage.claims = {"libvirt: rpm: it is good": reason}
    stage.plan = [set(), {CHECKS[0]}, set(), set()]
    if reason:
        assert "libvirt: rpm: it is good (a reason)" in stage.prove()
        return
    with pytest.raises(VerifyError, match="no control made these fail: libvirt: rpm: it is good"):
        stage.prove()


def test_what_bootstrap_does_not_see_is_undone_by_a_script_that_is_there_before(
    stage: Stage,
) -> None:
    stage.table = (FILE,)
    stage.plan = [set(), {CHECKS[1]}, set(), set()]
    stage.prove()
    assert stage.log == [
        "bootstrap",
        "look",  # an earlier run may have been cut off
        f"write {undo.SCRIPT}: undo 'a file'",
        "break file",
        "look",
        "bootstrap",
        f"look at ::{CHECKS[1]}",
        "look",
    ]
    # A control of data is judged by the pass before all controls; the others by nothing.
    first = stage.before[1]
    assert first is not None
    assert first.name == "01.xml"
    assert stage.before == [None, first, first, None]


@pytest.mark.parametrize(
    ("failing", "says"),
    [
        (set(), "DID NOT FAIL: networks: network is active [n]"),
        ({CHECKS[0], CHECKS[1]}, "FAILED AS WELL: guests: guest is running [g]"),
    ],
)
def test_a_control_that_makes_others_fail_or_nothing(
    stage: Stage, failing: set[str], says: str
) -> None:
    stage.plan = [set(), failing, set(), set()]
    with pytest.raises(VerifyError, match="1 of 2 controls") as caught:
        stage.prove()
    assert caught.value.exit_code == 10
    assert says in stage.said
    assert stage.log.count("bootstrap") == 2


def test_a_gate_that_stops_nothing(stage: Stage) -> None:
    stage.gates = [
        Outcome(
            control="stock spec",
            expected=frozenset({"spec: x"}),
            seen=frozenset(),
            restored="",
            seconds=0,
        )
    ]
    stage.plan = [set(), {CHECKS[0]}, set(), set()]
    with pytest.raises(VerifyError, match="stock spec"):
        stage.prove()
    assert "DID NOT FAIL: spec: x" in stage.said


def test_a_host_that_is_not_well_is_not_broken_further(stage: Stage) -> None:
    stage.plan = [{CHECKS[2]}]
    with pytest.raises(VerifyError, match="1 checks fail before the controls"):
        stage.prove()
    assert stage.log == ["bootstrap", "look"]


def test_what_stays_broken_stops_the_run(stage: Stage) -> None:
    stage.plan = [set(), {CHECKS[0]}, {CHECKS[0]}]
    with pytest.raises(VerifyError, match="after the control 'network stopped' was restored"):
        stage.prove()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), VerifyError("pytest broke")])
def test_an_interrupted_control_is_restored(stage: Stage, stop: BaseException) -> None:
    stage.table = (FILE,)
    stage.plan = [set(), stop]
    with pytest.raises(type(stop)):
        stage.prove()
    assert stage.log[-3:] == ["break file", "look", "bootstrap"]
