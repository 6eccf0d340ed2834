"""Every command that a run sends to a host is in its log; an interrupt tells which goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished import HOST, Planned

from sheepvirt.core.errors import ConnectionBrokenError, HostUnreachableError
from sheepvirt.ssh import client
from sheepvirt.ssh.route import by_config
from sheepvirt.ssh.sent import Command, Sent
from tests.here import SETTINGS, FakeClock


def test_command_exit_code_and_duration_are_logged_and_no_standard_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    planned = Planned(("cat", 3, "out"))
    connection = client.Connection(
        SETTINGS,
        HOST,
        by_config(HOST, Path("/config")),
        planned,
        FakeClock(),
        sent=Sent(log.append),
    )
    monkeypatch.setattr(connection, "_alive", lambda: True)
    connection.run(["cat", "a b\n\x1b"], stdin=b"secret", check=False)
    assert log == ["tahiti $ cat 'a b\\n\\x1b'  # exit code 3, 0.0 s"]


def test_an_interrupted_command_is_remembered() -> None:
    log: list[str] = []
    sent, clock = Sent(log.append), FakeClock(100.0)

    def interrupt() -> None:
        clock.sleep(4.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), sent.command("tahiti", "dnf -y install x", clock):
        interrupt()
    assert log == ["tahiti $ dnf -y install x  # not ended, 4.0 s"]
    (left,) = sent.unfinished
    assert "(4 s): dnf -y install x" in left.sentence(clock.now())
    assert left.sentence(clock.now()).startswith("tahiti, since ")


def test_a_command_that_could_not_be_run_is_not() -> None:
    sent = Sent(lambda _line: None)
    with pytest.raises(HostUnreachableError), sent.command("tahiti", "x", FakeClock()):
        raise HostUnreachableError("gone")
    assert sent.unfinished == []
    assert sent.used


def test_a_command_whose_connection_broke_may_go_on_until_the_host_has_rebooted() -> None:
    sent = Sent(lambda _line: None)
    for host in ("tahiti", "moorea"):
        with pytest.raises(ConnectionBrokenError), sent.command(host, "x", FakeClock()):
            raise ConnectionBrokenError("gone")
    sent.forget("tahiti")
    assert [one.host for one in sent.unfinished] == ["moorea"]


def test_a_long_command_is_cut_in_a_message() -> None:
    assert len(Command(host="h", line="x" * 500, since=0).sentence(1)) < 140
