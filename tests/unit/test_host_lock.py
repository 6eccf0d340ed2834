"""The lock on a host: one run gets it, says who it is, gives it up, and is taken over if gone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, NoReturn

import factories
import pytest

from sheepvirt.bootstrap import host_lock
from sheepvirt.bootstrap.facts.system import BOOT_IDENTITY
from sheepvirt.core import processes
from sheepvirt.core.errors import HostUnreachableError, LockedError
from sheepvirt.ssh import client, route
from tests.here import SETTINGS, FakeClock, run_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.processes import OnLine, Result

HERE = host_lock.own_process()
ELSEWHERE = replace(HERE, machine="other/1", boot="x")


class Peer:
    """A host that is a folder of this machine; its boot is what ``boot`` says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lock = folder / "state" / "lock"
        self.boot = folder / "boot"
        self.boot.write_text("b1\n2\n")
        self.connection = client.Connection(
            SETTINGS,
            factories.host(),
            route.by_config(factories.host(), folder / "config"),
            self,
            FakeClock(),
        )
        monkeypatch.setattr(self.connection, "_alive", lambda: True)

    def __call__(
        self, argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None
    ) -> Result:
        argv = shlex.split(argv[-1].partition(" env LC_ALL=C ")[2])
        sent = (stdin.read() if stdin else b"").decode()
        return processes.run(
            [self._here(word) for word in argv],
            stdin=self._here(sent).encode(),
            env={"SSH_CONNECTION": "192.0.2.9 1 2 3"},
        )

    def _here(self, text: str) -> str:
        text = text.replace(host_lock.LOCK, str(self.lock))
        return text.replace(BOOT_IDENTITY.strip(), f"cat {self.boot}")


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Peer:
    return Peer(tmp_path, monkeypatch)


def held_by(peer: Peer, process: host_lock.Process) -> None:
    """Leave the lock of another run on the host."""
    peer.lock.parent.mkdir(exist_ok=True)
    text = host_lock.record("other", "bootstrap tahiti", process, 0)
    peer.lock.write_text(f"{text}from 192.0.2.1\nboot b1 2\n")


def test_the_lock_says_who_holds_it_and_goes_with_its_run(peer: Peer) -> None:
    with host_lock.held(run_in(), peer.connection, "bootstrap tahiti"):
        found = host_lock.read(peer.lock.read_text())
        assert found.process == HERE
        assert (found.boot, found.reboots) == ("b1/2", False)
        who = rf"\S+@\S+ \(process {os.getpid()}, from 192\.0\.2\.9\) since .*: bootstrap tahiti"
        assert re.fullmatch(who, found.title)
    assert not peer.lock.exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_run_that_fails_gives_the_lock_up(peer: Peer, error: type[BaseException]) -> None:
    with pytest.raises(error), host_lock.held(run_in(), peer.connection, "x"):
        raise error
    assert not peer.lock.exists()


def test_another_run_waits_says_for_whom_and_gives_up(
    peer: Peer,
) -> None:
    held_by(peer, ELSEWHERE)
    before = peer.lock.read_text()
    run = run_in()
    with (
        pytest.raises(LockedError, match=r"tahiti is locked by .*from 192\.0\.2\.1") as caught,
        host_lock.held(run, peer.connection, "x", seconds=5),
    ):
        pass
    assert "invoke unlock tahiti" in caught.value.hint
    assert peer.lock.read_text() == before


def test_a_host_that_cannot_be_reached_is_an_error_at_once(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_args: object, **_options: object) -> NoReturn:
        raise HostUnreachableError("nobody answers")

    monkeypatch.setattr(peer.connection, "run", gone)
    monkeypatch.setattr(peer.connection, "wait", lambda _: pytest.fail("it waited"))
    with (
        pytest.raises(HostUnreachableError, match="nobody answers"),
        host_lock.held(run_in(), peer.connection, "x"),
    ):
        pass


def test_a_host_that_its_locks_run_reboots_is_waited_for(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_by(peer, ELSEWHERE)
    ask, asked = peer.connection.run, []

    def run(argv: Sequence[str], **options: Any) -> Result:
        if "-c" in argv:
            asked.append(argv)
            if len(asked) == 2:
                raise HostUnreachableError("it reboots")
            if len(asked) == 3:
                peer.lock.unlink()  # that run has ended
        return ask(argv, **options)

    waits: list[float] = []
    monkeypatch.setattr(peer.connection, "run", run)
    monkeypatch.setattr(peer.connection, "wait", waits.append)
    with host_lock.held(run_in(), peer.connection, "x"):
        assert waits == [host_lock.SECONDS]
    assert not peer.lock.exists()


def test_of_two_runs_that_take_it_at_once_one_gets_it(tmp_path: Path) -> None:
    """Real shells, many at once: they count how many are in."""
    script = host_lock.TAKE + f'[ -z "$(ls {tmp_path}/in)" ] || echo two; touch {tmp_path}/in/$$\n'
    script += f"sleep 0.02; rm {tmp_path}/in/$$; exec 9>&-\n"
    (tmp_path / "in").mkdir()
    lock = str(tmp_path / "state" / "lock")
    tries = [
        subprocess.Popen(
            ["sh", "-c", script, "sh", lock, ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(12)
    ]
    said = [one.communicate(f"token t{n}\n")[0] for n, one in enumerate(tries)]
    codes = [one.returncode for one in tries]
    assert "two" not in "".join(said)
    assert codes.count(0) == 1
    assert codes.count(host_lock.HELD) == 11


@pytest.mark.parametrize(
    ("process", "boot", "reboots", "gone"),
    [
        (HERE, "b1/2", False, ""),  # it is alive
        (HERE, "b9/9", False, ""),  # and what happens on the host is its business
        (replace(HERE, started="1"), "b1/2", False, "that process has ended"),  # not its pid's now
        (replace(HERE, pid=2**22 + 1), "b1/2", False, "that process has ended"),
        (replace(HERE, boot="x"), "b1/2", False, "the machine of that run"),
        (replace(HERE, namespace="x", pid=2**22 + 1), "b1/2", False, ""),  # another container
        (ELSEWHERE, "b1/2", False, ""),
        (ELSEWHERE, "b9/9", False, "the host has booted since"),
        (ELSEWHERE, "b9/9", True, ""),  # its own reboot
        (replace(ELSEWHERE, pid=2**22 + 1), "b1/2", False, ""),  # its pids say nothing
    ],
)
def test_a_lock_whose_run_is_certainly_gone_is_stale(
    process: host_lock.Process, boot: str, reboots: bool, gone: str
) -> None:
    text = host_lock.record("t", "x", process, 0) + "boot b1 2\n" + "reboots\n" * reboots
    why = host_lock.stale(host_lock.read(text), HERE, boot, host_lock.started)
    assert bool(why) is bool(gone)
    assert gone in why


def test_a_stale_lock_is_taken_over(peer: Peer) -> None:
    held_by(peer, replace(HERE, started="1"))
    with host_lock.held(run_in(), peer.connection, "x", seconds=0):
        assert host_lock.read(peer.lock.read_text()).process == HERE
    assert not peer.lock.exists()


def test_the_lock_survives_the_reboot_of_its_run_and_no_other(peer: Peer) -> None:
    run = run_in()
    with ExitStack() as stack:
        stack.enter_context(host_lock.held(run, peer.connection, "x"))
        for boot in ("b2", "b3"):
            peer.connection.run(["sh", "-c", host_lock.REBOOTS])
            assert host_lock.read(peer.lock.read_text()).reboots
            peer.boot.write_text(f"{boot}\n7\n")
            peer.connection.run(["sh", "-s"], stdin=host_lock.REBOOTED.encode())
            found = host_lock.read(peer.lock.read_text())
            assert (found.boot, found.reboots) == (f"{boot}/7", False)
    assert not peer.lock.exists()
    peer.connection.run(["sh", "-c", host_lock.REBOOTS])  # nobody holds it
    peer.connection.run(["sh", "-s"], stdin=host_lock.REBOOTED.encode())
    assert not peer.lock.exists()


def test_a_run_does_not_give_up_the_lock_of_another(peer: Peer) -> None:
    with host_lock.held(run_in(), peer.connection, "x"):
        held_by(peer, ELSEWHERE)  # somebody removed ours by hand, and another run took it
    assert host_lock.read(peer.lock.read_text()).token == "other"


def test_unlock_removes_the_lock_of_a_run_that_may_be_gone(peer: Peer) -> None:
    assert host_lock.remove(peer.connection) == ""
    held_by(peer, ELSEWHERE)
    assert "bootstrap tahiti" in host_lock.remove(peer.connection)
    assert not peer.lock.exists()
    with (
        host_lock.held(run_in(), peer.connection, "x"),
        pytest.raises(LockedError, match="that process runs on this machine") as caught,
    ):
        host_lock.remove(peer.connection)
    assert f"kill {os.getpid()}" in caught.value.hint


def test_a_broken_lock_is_held_by_somebody_or_nobody(peer: Peer) -> None:
    """Whatever is in the file: it is shown, and removed by hand; an empty one is nobody's."""
    assert host_lock.read("\0garbage\n\npid x\n").title.startswith("somebody")
    peer.lock.parent.mkdir()
    peer.lock.write_text("")
    with host_lock.held(run_in(), peer.connection, "x", seconds=0):
        pass
    assert not peer.lock.exists()


def test_a_process_is_known_by_its_start() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        assert host_lock.started(other.pid)
        other.kill()
    time.sleep(0.1)
    assert host_lock.started(other.pid) == ""
