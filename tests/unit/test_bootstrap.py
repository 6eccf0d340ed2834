"""Running the steps: look, change, look again; a plan touches nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import factories
import pytest

from sheepvirt.bootstrap import desired, readiness, rehearsal, runner
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.planned import CAME_ALONG
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.core import locks
from sheepvirt.core.errors import BootstrapError, ConfigError, RemoteCommandError
from sheepvirt.core.processes import OnLine, Result
from sheepvirt.model.enums import Init
from sheepvirt.model.hosts import Change
from sheepvirt.run import Run
from sheepvirt.ssh import client
from sheepvirt.ssh.route import by_config
from tests.here import SETTINGS, run_in

HOST = factories.host()
WANTED = factories.desired_state(host=HOST)


def refuse(*args: Any, **_kwargs: Any) -> Any:
    raise AssertionError(f"nobody planned {args}")


def never(argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None) -> Result:
    raise AssertionError(f"nobody planned {argv}")


CONNECTION = client.Connection(SETTINGS, HOST, by_config(HOST, Path("/config")), never)


def looks(monkeypatch: pytest.MonkeyPatch, *views: Facts) -> list[Facts]:
    left = list(views)
    monkeypatch.setattr(readiness, "settle", lambda _connection, clock: None)
    monkeypatch.setattr(runner, "gather", lambda *_: left.pop(0))
    return left


def step(name: str, log: list[str], *, done_at: str, fail: Exception | None = None) -> Step:
    """A step whose state is reached where the facts' os is ``done_at``."""

    def check(_wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
        return [] if facts.os >= done_at else [Change(step=name, what=f"{name} repaired")]

    def apply(_wanted: DesiredState, _facts: Facts, context: StepContext) -> None:
        log.append(name)
        context.line(f"{name} said this")
        if fail:
            raise fail

    return Step(name=name, check=check, apply=apply)


def test_a_rehearsal_host_has_the_init_that_its_rpms_want() -> None:
    old, new = (factories.record(version=v) for v in ("1.0.3", "7.0.0"))
    sysv = replace(HOST, init=Init.SYSV)
    machine = replace(HOST, rehearsal=False)
    for host, records, init in (
        (HOST, [new], Init.SYSTEMD),
        (HOST, [new, old], Init.SYSV),
        (sysv, [new], Init.SYSV),
        (sysv, [old], Init.SYSV),
        (machine, [old], None),
    ):
        assert desired._with_init(SETTINGS, host, records).init == init
    with pytest.raises(ConfigError, match=r"libvirt 1\.0\.3 has init scripts") as caught:
        desired._with_init(SETTINGS, replace(HOST, init=Init.SYSTEMD), [new, old])
    assert 'init = "sysv"' in caught.value.hint


def test_a_host_that_was_made_with_another_init_is_not_entered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rehearsal, "made_with", lambda _engine, _host: Init.SYSTEMD)
    desired._refuse_another_init(run_in(), replace(HOST, init=Init.SYSTEMD))
    desired._refuse_another_init(run_in(), replace(HOST, rehearsal=False))
    with pytest.raises(ConfigError, match="made with systemd") as caught:
        desired._refuse_another_init(run_in(), replace(HOST, init=Init.SYSV))
    assert "invoke destroy tahiti" in caught.value.hint


def test_only_what_differs_is_applied(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    log: list[str] = []
    steps = (step("a", log, done_at="0"), step("b", log, done_at="1"), step("c", log, done_at="1"))
    monkeypatch.setattr(runner, "STEPS", steps)
    left = looks(monkeypatch, Facts(os="0"), Facts(os="1"))
    changes = runner.converge(run, WANTED, CONNECTION)
    assert [(c.what, c.note) for c in changes] == [
        ("b repaired", ""),
        ("c repaired", CAME_ALONG),  # it was true once b was; the plan has it, so the run does
    ]
    assert (log, left) == (["b"], [])


def test_a_step_that_does_not_reach_its_state_is_an_error(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(runner, "STEPS", (step("bridge", [], done_at="1"),))
    looks(monkeypatch, Facts(os="0"), Facts(os="0"))
    with pytest.raises(BootstrapError) as caught:
        runner.converge(run, WANTED, CONNECTION)
    for word in ("tahiti", "'bridge'", "bridge repaired", "bridge said this"):
        assert word in caught.value.message
    assert caught.value.exit_code == 9


def test_a_failed_command_names_step_and_host(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    failure = RemoteCommandError("`dnf` failed on tahiti with exit code 1:\nnothing provides x")
    monkeypatch.setattr(runner, "STEPS", (step("packages", [], done_at="1", fail=failure),))
    looks(monkeypatch, Facts(os="0"))
    with pytest.raises(BootstrapError, match="nothing provides x") as caught:
        runner.converge(run, WANTED, CONNECTION)
    assert "tahiti: step 'packages'" in caught.value.message
    assert "then run `invoke bootstrap tahiti` again" in caught.value.hint


def test_a_plan_of_an_absent_host_creates_nothing(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(desired, "desired_state", lambda _run, _host, _given: WANTED)
    monkeypatch.setattr(rehearsal, "exists", lambda _engine, _host: False)
    for module, name in ((rehearsal, "ensure"), (locks, "lock")):
        monkeypatch.setattr(module, name, refuse)
    changes = runner.bootstrap(run, HOST, plan=True)
    assert changes[0] == Change(step="host", what="tahiti created, a rehearsal host")
    assert {"repo", "bridge", "network"} <= {c.step for c in changes}


def test_a_plan_of_an_absent_host_knows_its_init(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(rehearsal, "exists", lambda _engine, _host: False)
    old = replace(WANTED, host=replace(HOST, init=Init.SYSV))
    said = [change.what for change in runner.make_plan(run, old)]
    assert any("/etc/init.d/sheepvirt-autostart" in what for what in said)
    assert any("ifcfg-ovsbr0 written" in what for what in said)  # its image has network scripts
    assert not any("systemd" in what for what in said)


def test_a_plan_of_a_stopped_host_starts_nothing(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(rehearsal, "exists", lambda _engine, _host: True)
    monkeypatch.setattr(rehearsal, "running", lambda _engine, _host: False)
    changes = runner.make_plan(run, WANTED)
    assert [c.step for c in changes] == ["host"]


def test_without_a_repo_nothing_is_started(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(rehearsal, "ensure", refuse)
    with pytest.raises(ConfigError, match="no repo is published"):
        runner.bootstrap(run, HOST, plan=False)
