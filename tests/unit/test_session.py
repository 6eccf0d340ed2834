"""How a command ends: on the screen, in its log, and as a JSON document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import factories
import pytest
from invoke import Exit

from sheepvirt.cli import json_output
from sheepvirt.cli.session import Session, command
from sheepvirt.core.errors import BootstrapError, ConnectionBrokenError
from sheepvirt.model.enums import CheckResult, Stop
from sheepvirt.model.hosts import Change, DataProof, Link, VerifyOutcome
from sheepvirt.model.targets import Finding
from tests.here import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Golden

HOST = factories.host()


def end_of(end: Callable[[Session], None], *, as_json: bool = False) -> Exit | None:
    """Run a command that ends with ``end``; return how it left."""

    @command
    def bootstrap(session: Session, json: bool = False) -> None:
        run = session.start()
        with run.sent.command("tahiti", "true", run.clock) as ended:
            ended(0)
        end(session)

    try:
        bootstrap(None, json=as_json)
    except Exit as left:
        return left
    return None


def fails(_session: Session) -> None:
    raise BootstrapError("it broke", hint="repair it")


def is_interrupted(session: Session) -> None:
    run = session.start()
    with run.sent.command("tahiti", "dnf -y install libvirt", run.clock):
        raise KeyboardInterrupt


def is_cut_off(session: Session) -> None:
    run = session.start()
    with run.sent.command("tahiti", "dnf -y install libvirt", run.clock):
        raise ConnectionBrokenError("it broke", hint="run it again")


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Results are in the test's folder; return a reader of the logs there."""
    monkeypatch.setenv("SHEEPVIRT_DIST", str(tmp_path))
    return lambda: "\n".join(p.read_text() for p in (tmp_path / "logs").glob("*.log"))


def test_an_error_is_in_the_log_with_its_hint(logs: Callable[[], str]) -> None:
    left = end_of(fails)
    assert left is not None
    assert (left.code, left.message) == (9, "\nerror: it broke\n  what to do: repair it")
    assert "error: it broke\n  what to do: repair it" in logs()
    assert "tahiti $ true  # exit code 0" in logs()
    assert "bootstrap: exit code 9" in logs()


def test_an_interrupt_says_what_still_runs_where(logs: Callable[[], str]) -> None:
    left = end_of(is_interrupted)
    assert left is not None
    assert left.code == 130
    for words in ("An interrupt ends nothing on a host", "dnf -y install libvirt", "tahiti, since"):
        assert words in str(left.message)
        assert words in logs()
    assert "`invoke bootstrap tahiti --plan` shows what is left" in str(left.message)


def test_a_broken_connection_says_what_may_still_run_where(logs: Callable[[], str]) -> None:
    left = end_of(is_cut_off)
    assert left is not None
    assert left.code == 8
    for words in ("it broke\nThis may still be running there", "tahiti, since", "dnf -y install"):
        assert words in str(left.message)
        assert words in logs()
    assert str(left.message).endswith("what to do: run it again")


def test_an_interrupt_between_two_commands_says_so(logs: Callable[[], str]) -> None:
    def interrupt(_session: Session) -> None:
        raise KeyboardInterrupt

    left = end_of(interrupt)
    assert left is not None
    assert "none of this run is running on a host" in str(left.message)
    assert "interrupted" in logs()


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [
        (fails, 9, "it broke"),
        (is_cut_off, 8, "it broke"),
        (is_interrupted, 130, "interrupted. An interrupt ends nothing"),
    ],
)
def test_with_json_an_end_is_one_document(
    end: Callable[[Session], None],
    code: int,
    message: str,
    logs: Callable[[], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = end_of(end, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert left is not None
    assert left.code == found["exit_code"] == code
    assert found["format"] == 1
    assert found["error"]["message"].startswith(message)
    assert found["error"]["hint"]
    assert [row["command"] for row in found["still_running"]] == (
        [] if code == 9 else ["dnf -y install libvirt"]
    )
    assert logs()


def test_with_json_nothing_else_is_on_standard_output(
    logs: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    def talks(session: Session) -> None:
        run = session.start()
        run.progress.say("one [line]")
        with run.progress.stage("stage"):
            pass
        session.fields["host"] = "tahiti"

    assert end_of(talks, as_json=True) is None
    said = capsys.readouterr()
    assert json.loads(said.out)["host"] == "tahiti"
    assert "one [line]" in said.err
    assert "exit code 0" in logs()


def test_a_defect_is_in_the_log_too(logs: Callable[[], str]) -> None:
    def breaks(_session: Session) -> None:
        raise ZeroDivisionError("by nought")

    with pytest.raises(ZeroDivisionError):
        end_of(breaks)
    assert "ZeroDivisionError: by nought" in logs()


def shown() -> json_output.Shown:
    seen = json_output.Shown()
    rows = [
        factories.check(subject="default", seconds=0.25),
        factories.check(
            subject="ovsbr0", result=CheckResult.SKIPPED, seconds=0.0, message="no bridge here"
        ),
    ]
    progress = silent()
    seen.checks(progress, "verify tahiti", rows)
    seen.edited(progress, HOST, ["/etc/a.conf (content)\n-a\n+b"])
    return seen


def outcome(tmp_path: str = "dist/verify/tahiti") -> VerifyOutcome:
    return VerifyOutcome(
        passed=1,
        failed=0,
        junit_folder=Path(tmp_path),
        stopped=Stop.SHUT_DOWN,
        data=(DataProof(guest="papeete", boots=(1, 2), markers=("5f3a", "5f3a")),),
    )


ENDS: dict[str, Any] = {
    "log": "dist/logs/20261128-090000-NAME.log",
    "report": None,
    "still_running": [],
}
CHANGES = [
    Change(step="network", what="ovsbr0 defined", diff="-<a/>\n+<b/>"),
    Change(step="reboot", what="due", waits_for="--allow-reboot", note="a note"),
]
DOCUMENTS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "bootstrap": (
        "bootstrap", 21, json_output.bootstrap(HOST, CHANGES, plan=False, ended=True)
    ),
    "plan": ("bootstrap", 20, json_output.bootstrap(HOST, CHANGES, plan=True, ended=True)),
    "doctor": (
        "doctor", 12,
        {
            "targets": [
                json_output.doctor(
                    factories.target(),
                    [
                        Finding(what="disk", ok=True, detail="9 GB"),
                        Finding(what="network", ok=False, detail="none", fix="plug it in"),
                    ],
                )
            ]
        },
    ),
    "verify": ("verify", 0, json_output.verify(HOST, shown().passes, outcome())),
    "why": (
        "why", 0,
        json_output.why(HOST, "libvirt", [Link(what="spec", found="x", ok=True, detail="+1")]),
    ),
}  # fmt: skip  # a table


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documents_are_as_documented(name: str, golden: Golden) -> None:
    command_name, code, fields = DOCUMENTS[name]
    made = json_output.document(command_name, code, error=None, fields={**fields, **ENDS})
    golden(f"json-{name}.json", json_output.text(made))


def test_an_error_is_a_document_as_documented(golden: Golden) -> None:
    fields = {**json_output.bootstrap(HOST, CHANGES[:1], plan=False, ended=False), **ENDS}
    error = json_output.error("it broke", "repair it")
    made = json_output.document("bootstrap", 9, error=error, fields=fields)
    golden("json-error.json", json_output.text(made))
