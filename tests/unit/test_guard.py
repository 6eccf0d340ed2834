"""A change of the running switch counts only after a login over a new connection."""

import pytest
from finished import KEPT, WANTED, Planned, context, done

from sheepvirt.bootstrap.steps import bridge, guard
from sheepvirt.bootstrap.steps.base import StepContext
from sheepvirt.core.errors import BootstrapError, HostUnreachableError, RemoteCommandError

ARMED = (
    (guard.SCRIPT, 0, ""),
    ("sheepvirt-network-guard.service", 0, ""),
    ("daemon-reload", 0, ""),
    ("enable sheepvirt-network-guard", 0, ""),
    (f"sh {guard.SCRIPT} arm 120 ovsbr0", 0, ""),
)


def host(
    monkeypatch: pytest.MonkeyPatch, *plan: tuple[str, int, str], answers: bool = True
) -> tuple[StepContext, Planned, list[str]]:
    """Return what a step works with; ``answers``: the host can be reached after the change."""
    worker, planned = context(monkeypatch, *ARMED, *plan)
    noted: list[str] = []

    def wait(_seconds: float = 0) -> None:
        noted.append("waited")
        if not answers and len(noted) < 4:
            raise HostUnreachableError("gone")

    monkeypatch.setattr(worker.connection, "close", lambda: noted.append("closed"))
    monkeypatch.setattr(worker.connection, "wait", wait)
    return worker, planned, noted


def test_it_is_disarmed_over_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned, noted = host(monkeypatch, ("change", 0, ""), ("disarm", 0, ""))
    with guard.watched(WANTED, done(), worker):
        worker.run("change")
    assert planned.plan == []
    assert noted == ["closed", "waited"]


def test_a_change_that_fails_goes_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned, noted = host(monkeypatch, ("change", 1, ""), ("put-back", 0, ""))
    with pytest.raises(RemoteCommandError), guard.watched(WANTED, done(), worker):
        worker.run("change")
    assert planned.plan == []
    assert noted == []


def test_a_login_that_comes_too_late_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, _, _ = host(monkeypatch, ("disarm", guard.TOO_LATE, ""))
    with (
        pytest.raises(BootstrapError, match="it has put its former switch"),
        guard.watched(WANTED, done(), worker),
    ):
        pass


def test_a_host_that_is_cut_off_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned, _ = host(monkeypatch, (f"test ! -e {guard.LIVE}", 0, ""), answers=False)
    with (
        pytest.raises(BootstrapError, match="it has put its former switch") as caught,
        guard.watched(WANTED, done(), worker),
    ):
        raise HostUnreachableError("the change cut the connection")
    assert planned.plan == []
    assert guard.LOG in caught.value.hint


def test_what_an_interrupted_run_left_armed_is_disarmed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = done()
    facts = type(facts)(**{**vars(facts), "texts": {**facts.texts, guard.LIVE: "120"}})
    (change,) = bridge.check(WANTED, facts, ())
    assert "guard of the switch disarmed" in change.what
    worker, planned = context(
        monkeypatch, ("disarm", 0, ""), KEPT, ("add-br", 0, ""), ("test -e", 0, "")
    )
    monkeypatch.setattr(worker.connection, "close", lambda: None)
    bridge.apply(WANTED, facts, worker)
    assert planned.plan == []
