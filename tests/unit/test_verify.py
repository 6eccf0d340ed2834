"""A run of the verification: what counts as a pass, and what never does."""

import io
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import factories
import pytest
from rich.console import Console

from sheepvirt.bootstrap import host_lock
from sheepvirt.cli import report as display
from sheepvirt.cli import report as report_
from sheepvirt.core import paths
from sheepvirt.core.errors import ConfigError, VerifyError
from sheepvirt.core.progress import Progress, Stage, quiet
from sheepvirt.core.settings import from_environment
from sheepvirt.model.enums import Stop
from sheepvirt.model.hosts import Host
from sheepvirt.ssh import client
from sheepvirt.verify import guests, junit_reports, verification
from tests.here import SETTINGS, PlayedRun, run_in, silent

GUEST = factories.guest()
HOST = factories.host(guests=(GUEST,))

GOOD = '<testcase classname="tests.host.test_networks" name="{}" time="0.25" />'
BAD = (
    '<testcase classname="host.test_networks" name="test_bridge_exists[ssh://tahiti]" time="1">'
    '<failure message="AssertionError: bridge ovsbr0 does not exist&#10;assert 2 == 0">x</failure>'
    "</testcase>"
)
BROKEN = (
    '<testcase classname="host.test_guests" name="test_a[ssh://tahiti-papeete]" time="1">'
    '<error message="failed on setup with &quot;RuntimeError: 255&quot;">x</error></testcase>'
)
RECORD = (
    '<testcase classname="host.test_guests" name="test_c[ssh://tahiti-papeete]" time="1">'
    '<properties><property name="boot record" value="papeete {} 5f3a" /></properties></testcase>'
)
EDITED = (
    '<testcase classname="host.test_packages" name="test_d[ssh://tahiti-libvirt]" time="1">'
    "<properties>{}</properties></testcase>"
)
EDIT = '<property name="edited configuration" value="/etc/{} (content)&#10;-a=[1]&#10;+a=2" />'
SKIPPED = (
    '<testcase classname="host.test_libvirt" name="test_b[x-ssh://tahiti]" time="0">'
    '<skipped type="pytest.skip" message="too old">x</skipped></testcase>'
)


def report(path: Path, *cases: str) -> Path:
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return path


class Recorder:
    """Stands in for pytest: each planned run writes a report (or none) and ends with a code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(host_lock, "held", lambda *_: nullcontext())
        self.calls: list[str] = []
        self.more: list[list[str]] = []
        self.options: list[Sequence[str]] = []
        self.sends = ""
        self.plan: list[tuple[int, tuple[str, ...] | None]] = []
        self.folder = tmp_path
        monkeypatch.setattr(client, "write_config", lambda *_: tmp_path / "config")
        monkeypatch.setattr(verification, "run_pytest", self.run)
        monkeypatch.setattr(verification, "reboot_host", self.reboot)
        monkeypatch.setattr(guests, "require_autostart", self.require)
        monkeypatch.setattr(guests, "others", self.others)
        monkeypatch.setattr(guests, "stop", self.stop)
        monkeypatch.setattr(guests, "wait", self.wait)

    def run_with(self, progress: Progress | None = None) -> PlayedRun:
        return run_in(self.folder, peer=self, progress=progress or silent())

    def open(self) -> None:
        self.calls.append("open")

    def run(
        self, _settings: object, argv: Sequence[str], stage: Stage, **_: object
    ) -> verification.Ended:
        path = Path(next(a for a in argv if a.startswith("--junitxml=")).partition("=")[2])
        self.calls.append(path.name)
        assert str(paths.CHECKS) in argv
        self.more.append([a for a in argv if a.startswith("--before")])
        self.options.append(argv)
        path.with_suffix(".commands").write_text(self.sends)
        code, cases = self.plan.pop(0)
        if cases is not None:
            report(path, *cases)
        return verification.Ended(code, "the last lines")

    def reboot(self, _run: object, host: Host, stage: Stage) -> str:
        self.calls.append("reboot")
        return "boot a, then boot b"

    def require(self, _run: object, host: Host) -> None:
        self.calls.append("require autostart")

    def others(self, _run: object, host: Host) -> list[str]:
        return []

    def stop(self, _run: object, host: Host, how: Stop, others: object, stage: Stage) -> str:
        self.calls.append(f"guests {how}")
        return "papeete"

    def wait(self, _run: object, host: Host, others: object, stage: Stage) -> str:
        self.calls.append("wait")
        return "papeete"


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    return Recorder(monkeypatch, tmp_path)


def test_names_read_well_and_leave_the_host_out(tmp_path: Path) -> None:
    name = "test_network_is_active[ssh://tahiti-default]"
    path = report(tmp_path / "r.xml", GOOD.format(name), BAD, BROKEN, SKIPPED)
    checks = junit_reports.read_junit(path, HOST)
    assert [(c.title, c.result, c.message) for c in checks] == [
        ("networks: network is active [default]", "passed", ""),
        ("networks: bridge exists", "failed", "bridge ovsbr0 does not exist"),
        ("guests: a [papeete]", "failed", 'failed on setup with "RuntimeError: 255"'),
        ("libvirt: b [x]", "skipped", "too old"),
    ]
    assert checks[0].seconds == 0.25
    assert checks[0].node == f"{paths.CHECKS}/test_networks.py::{name}"


def test_a_report_cut_short_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text("<testsuites><testsui")
    with pytest.raises(VerifyError, match="is not a JUnit report"):
        junit_reports.read_junit(tmp_path / "r.xml", HOST)


@pytest.mark.parametrize(
    ("code", "cases"),
    [
        (0, None),  # ended well, so it says, and left no report
        (0, ()),  # nothing ran
        (0, (SKIPPED,)),  # nothing ran either
        (5, ()),  # pytest: no tests collected
        (2, (GOOD.format("test_a"),)),  # interrupted after a good one
        (3, (GOOD.format("test_a"),)),  # pytest broke
        (4, None),  # wrong options
        (-9, (GOOD.format("test_a"),)),  # killed
        (1, (GOOD.format("test_a"),)),  # failed, and the report does not say what
        (0, (GOOD.format("test_a"), BAD)),  # all is well, and the report says otherwise
    ],
)
def test_what_never_is_a_pass(recorder: Recorder, code: int, cases: tuple[str, ...] | None) -> None:
    recorder.plan = [(code, cases)]
    with pytest.raises(VerifyError, match="the verification itself failed") as caught:
        verification.verify(recorder.run_with(), HOST, stop=Stop.POWER_CUT, display=display)
    assert "the last lines" in str(caught.value)
    assert caught.value.exit_code == 10
    assert recorder.calls == ["open", "1-before-reboot.xml"]


def test_both_passes_are_counted(recorder: Recorder) -> None:
    good = GOOD.format("test_a")
    recorder.plan = [(0, (good, good, SKIPPED)), (0, (good, good, SKIPPED))]
    outcome = verification.verify(recorder.run_with(), HOST, stop=Stop.POWER_CUT, display=display)
    assert (outcome.passed, outcome.failed) == (4, 0)
    assert recorder.calls == [
        "open",
        "1-before-reboot.xml",
        "guests destroyed",
        "reboot",
        "wait",
        "open",
        "2-after-reboot.xml",
    ]
    # The second pass judges the guests' data by the report of the first.
    assert recorder.more == [[], [f"--before={outcome.junit_folder / '1-before-reboot.xml'}"]]
    assert len(list(outcome.junit_folder.glob("*.xml"))) == 2


def test_the_guests_data_is_said(recorder: Recorder) -> None:
    recorder.plan = [(0, (RECORD.format(2),)), (0, (RECORD.format(3),))]
    out = io.StringIO()
    progress = Progress(console=Console(file=out, width=200))
    outcome = verification.verify(
        recorder.run_with(progress), HOST, stop=Stop.POWER_CUT, display=display
    )
    report_.verified(progress, HOST, outcome)
    said = out.getvalue()
    assert "marker 5f3a after boot 2, destroyed, host rebooted; marker 5f3a after boot 3" in said


def test_old_reports_are_gone_and_no_reboot_means_none(recorder: Recorder) -> None:
    folder = recorder.run_with().settings.dist / "verify" / "tahiti"
    folder.mkdir(parents=True)
    report(folder / "2-after-reboot.xml", GOOD.format("test_old"))
    recorder.plan = [(0, (GOOD.format("test_a"),))]
    verification.verify(recorder.run_with(), HOST, stop=Stop.NOTHING, display=display)
    assert recorder.calls == ["open", "1-before-reboot.xml"]
    assert [p.name for p in folder.glob("*.xml")] == ["1-before-reboot.xml"]


def test_a_failure_is_named_and_stops_before_the_reboot(recorder: Recorder) -> None:
    recorder.plan = [(1, (GOOD.format("test_a"), BAD))]
    out = io.StringIO()
    progress = Progress(console=Console(file=out, width=160, highlight=False))
    with pytest.raises(VerifyError) as caught:
        verification.verify(recorder.run_with(progress), HOST, stop=Stop.POWER_CUT, display=display)
    said = str(caught.value)
    assert "1 of 2 checks failed" in said
    assert "networks: bridge exists: bridge ovsbr0 does not exist" in said
    assert "1-before-reboot.xml" in said
    assert "invoke bootstrap tahiti" in said
    assert recorder.calls == ["open", "1-before-reboot.xml"]
    assert "networks: 1 check passed, 1 failed" in out.getvalue()


def test_a_failure_after_the_reboot_says_so(recorder: Recorder) -> None:
    recorder.plan = [(0, (GOOD.format("test_a"),)), (1, (BAD,))]
    with pytest.raises(VerifyError, match="after the reboot") as caught:
        verification.verify(recorder.run_with(), HOST, stop=Stop.POWER_CUT, display=display)
    assert "does not start by itself" in caught.value.hint


def test_names_in_brackets_survive_the_table(recorder: Recorder) -> None:
    recorder.plan = [(0, (GOOD.format("test_a[ssh://tahiti-default]"),))]
    out = io.StringIO()
    progress = Progress(console=Console(file=out, width=100, highlight=False), verbose=True)
    verification.verify(recorder.run_with(progress), HOST, stop=Stop.NOTHING, display=display)
    assert "[default]" in out.getvalue()


def test_output_streams_and_options_of_another_pytest_stay_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    code = "import os; print('one'); print('PYTEST_ADDOPTS' in os.environ); raise SystemExit(3)"
    stage = Stage("s", quiet())
    ended = verification.run_pytest(SETTINGS, [sys.executable, "-c", code], stage)
    assert ended == verification.Ended(3, "one\nFalse")
    assert stage.last == "False"


def test_the_checks_look_for_results_where_the_command_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = from_environment({"HOME": "/home/taro", "SHEEPVIRT_DIST": "results"})
    code = (
        "import os; from sheepvirt.core import settings; "
        "print(settings.from_environment(os.environ).dist)"
    )
    ended = verification.run_pytest(chosen, [sys.executable, "-c", code], Stage("s", quiet()))
    assert ended == verification.Ended(0, str(tmp_path / "results"))


def test_a_run_that_hangs_is_ended() -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    ended = verification.run_pytest(SETTINGS, argv, Stage("s", quiet()), seconds=0.5)
    assert ended.code == -9
    assert "it was killed" in ended.tail


def test_pytest_gets_the_host_and_the_report(tmp_path: Path) -> None:
    argv = verification.pytest_argv(HOST, tmp_path / "config", tmp_path / "r.xml")
    assert "--hosts=ssh://tahiti" in argv
    assert f"--ssh-config={tmp_path / 'config'}" in argv
    assert f"--junitxml={tmp_path / 'r.xml'}" in argv


def test_edited_configuration_is_told_once_and_fails_nothing(recorder: Recorder) -> None:
    first, second = EDIT.format("a.conf"), EDIT.format("b.conf")
    recorder.plan = [(0, (EDITED.format(first),)), (0, (EDITED.format(first + second),))]
    out = io.StringIO()
    progress = Progress(console=Console(file=out, width=120), verbose=True)
    assert (
        verification.verify(
            recorder.run_with(progress), HOST, stop=Stop.POWER_CUT, display=display
        ).failed
        == 0
    )
    said = [line.strip() for line in out.getvalue().splitlines()]
    for name in ("a", "b"):
        at = said.index(f"/etc/{name}.conf (content) [diff: +1 -1 lines]")
        assert said[at - 1] == "tahiti: 1 configuration file was edited, which is no damage:"
        assert said[at + 1 : at + 3] == ["-a=[1]", "+a=2"]
    assert sum("/etc/a.conf (content)" in line for line in said) == 1


def test_edited_configuration_is_told_where_a_check_fails_as_well(recorder: Recorder) -> None:
    recorder.plan = [(1, (BAD, EDITED.format(EDIT.format("a.conf"))))]
    out = io.StringIO()
    with pytest.raises(VerifyError):
        verification.verify(
            recorder.run_with(Progress(console=Console(file=out, width=120))),
            HOST,
            stop=Stop.NOTHING,
            display=display,
        )
    assert "/etc/a.conf (content)" in out.getvalue()


@pytest.mark.parametrize(
    ("options", "on_rehearsal", "on_real"),
    [
        ({}, Stop.POWER_CUT, Stop.NOTHING),
        ({"no_reboot": True}, Stop.NOTHING, Stop.NOTHING),
        ({"reboot": True}, Stop.POWER_CUT, Stop.SHUT_DOWN),
        ({"reboot": True, "power_cut": True}, Stop.POWER_CUT, Stop.POWER_CUT),
    ],
)
def test_a_real_machine_is_only_read_unless_asked(
    options: dict[str, bool], on_rehearsal: Stop, on_real: Stop
) -> None:
    real = factories.host(rehearsal=False)
    assert verification.stop_of(HOST, **options) == on_rehearsal
    assert verification.stop_of(real, **options) == on_real
    assert verification.stop_of(replace(HOST, treat_as_real=True), **options) == on_real


def test_options_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ConfigError, match="--no-reboot contradicts"):
        verification.stop_of(HOST, reboot=True, no_reboot=True)
    with pytest.raises(ConfigError, match="--power-cut destroys the guests of tahiti") as caught:
        verification.stop_of(factories.host(rehearsal=False), power_cut=True)
    assert "--reboot" in caught.value.hint


def test_on_a_real_machine_one_pass_leaves_the_consoles_alone(recorder: Recorder) -> None:
    real = replace(HOST, treat_as_real=True)
    good = (0, (GOOD.format("test_a"),))
    for consoles, wanted in ((False, True), (True, False)):
        recorder.plan = [good]
        verification.verify(
            recorder.run_with(), real, stop=Stop.NOTHING, consoles=consoles, display=display
        )
        assert ("--no-consoles" in recorder.options.pop()) is wanted
    recorder.plan, recorder.calls = [good, good], []
    verification.verify(recorder.run_with(), real, stop=Stop.SHUT_DOWN, display=display)
    assert recorder.calls == [
        "require autostart",
        "open",
        "1-before-reboot.xml",
        "guests shut down",
        "reboot",
        "wait",
        "open",
        "2-after-reboot.xml",
    ]
    assert not any("--no-consoles" in argv for argv in recorder.options)


def test_the_commands_of_the_checks_are_in_the_log(recorder: Recorder, tmp_path: Path) -> None:
    recorder.plan = [(0, (GOOD.format("test_a"),))]
    recorder.sends = "virsh list  # exit code 0, 0.1 s\n"
    progress = Progress(tmp_path / "run.log", Console(file=io.StringIO()))
    verification.verify(recorder.run_with(progress), HOST, stop=Stop.NOTHING, display=display)
    assert "tahiti $ virsh list  # exit code 0, 0.1 s" in (tmp_path / "run.log").read_text()
