"""Setting this machine up: what is done, and what is said where it cannot be done."""

from pathlib import Path
from typing import Any

import pytest

from sheepvirt.core import processes
from sheepvirt.core.errors import EngineUnavailableError
from sheepvirt.core.processes import Result
from sheepvirt.core.progress import quiet
from sheepvirt.engine import machine
from tests.here import SETTINGS


def refuse(*_args: Any, **_kwargs: Any) -> None:
    raise AssertionError("no command was planned")


def test_nothing_is_done_where_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "engine_answers", lambda: True)
    monkeypatch.setattr(machine, "missing_packages", list)
    monkeypatch.setattr(processes, "run", refuse)
    machine.ensure(SETTINGS, quiet())


def test_a_plain_user_is_told_the_two_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "engine_answers", lambda: False)
    monkeypatch.setattr(machine, "missing_packages", lambda: ["docker.io"])
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("getpass.getuser", lambda: "taro")
    monkeypatch.setattr(processes, "run", refuse)
    with pytest.raises(EngineUnavailableError) as caught:
        machine.ensure(SETTINGS, quiet())
    assert "`make engine`" in caught.value.hint
    assert "`usermod -aG docker taro`" in caught.value.hint
    assert "docker.io" in caught.value.message


def test_a_failed_installation_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_argv: list[str], **_options: Any) -> Result:
        return Result(code=100, stderr="E: no mirror\n")

    monkeypatch.setattr(machine, "engine_answers", lambda: False)
    monkeypatch.setattr(machine, "missing_packages", lambda: ["docker.io"])
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(processes, "run", fail)
    with pytest.raises(EngineUnavailableError, match="apt-get update -q") as caught:
        machine.ensure(SETTINGS, quiet())
    assert "E: no mirror" in caught.value.message


def test_no_socket_means_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(machine, "SOCKET", tmp_path / "docker.sock")
    assert not machine.engine_answers()
