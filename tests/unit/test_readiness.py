"""What an earlier run has left running on a host is found, waited for and ended.

With real shells and processes of this machine in place of the host's.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, cast

import factories
import pytest

from sheepvirt.bootstrap import readiness
from sheepvirt.core.errors import BootstrapError, HostUnreachableError, SshError
from sheepvirt.core.processes import Result
from sheepvirt.ssh.marked import Marking, marked
from tests.here import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sheepvirt.ssh.client import Connection

OTHER = "other-0"  # the mark of somebody else's commands


@pytest.fixture
def number() -> str:
    """A number that no other process of this machine has in its command line."""
    return f"9{secrets.randbelow(10**8):08}"


@contextlib.contextmanager
def left(*words: str, mark: str = OTHER) -> Iterator[subprocess.Popen[str]]:
    """Run a command as sshd starts it, as the leader of a session."""
    with subprocess.Popen(
        marked(words, mark), start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def commands(own: str, how: str = readiness.LOOK) -> str:
    """Return what a host says of commands that are going on."""
    script = f"own=$1 how=$2\n{readiness.COMMANDS}"
    argv = ["sh", "-s", "--", own, how]
    return subprocess.run(argv, input=script, capture_output=True, text=True).stdout


def wait_for(text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in commands("mine-0"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_command_of_another_run_is_found_and_an_own_one_is_not(number: str) -> None:
    with left("sleep", number):
        wait_for(f"a command of another run is going on: sleep {number}")
        assert number not in commands(OTHER)
        assert number in commands("other-1"), "it is from before the connection broke"
    assert number not in commands("mine-0")


def test_a_command_is_killed_with_all_that_it_has_started(number: str) -> None:
    with left("sh", "-c", f"sleep {number}; echo never") as process:
        wait_for(number)
        commands("mine-0", readiness.KILL)
        assert process.wait(20) == -signal.SIGKILL
    assert subprocess.run(["pgrep", "-f", number]).returncode == 1


def test_a_daemon_that_a_command_has_started_is_none(number: str) -> None:
    with left("sh", "-c", f"setsid sleep {number} >/dev/null 2>&1 & echo $!") as process:
        assert process.stdout
        daemon = process.stdout.readline().strip()
        process.wait(20)
        try:
            assert number not in commands("mine-0")
        finally:
            subprocess.run(["kill", "-KILL", daemon], check=True)


class Peer:
    """A host that answers what it was told to, and whose clock goes on by a second each time."""

    host = factories.host()

    def __init__(self, *answers: str | Exception, mark: str = "") -> None:
        self.clock, self.marking = FakeClock(), Marking()
        self.marking.hold(mark.removesuffix("-0"))
        self.answers = list(answers)
        self.asked: list[Sequence[str]] = []
        self.closed = 0

    def run(self, argv: Sequence[str], **_options: Any) -> Result:
        self.clock.time += 1
        self.asked.append(argv[3:])
        answer = self.answers.pop(0) if self.answers[1:] else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Result(code=0, stdout=answer)

    def close(self) -> None:
        self.closed += 1

    def wait(self, _seconds: float) -> None:
        pass

    @property
    def connection(self) -> Connection:
        return cast("Connection", self)


def test_a_run_waits_until_nothing_is_going_on() -> None:
    peer = Peer("systemd is starting\n", HostUnreachableError("gone"), "")
    readiness.settle(peer.connection, clock=peer.clock)
    assert (len(peer.asked), peer.closed) == (3, 1)


@pytest.mark.parametrize("mark", ["", "mine-0"])
def test_only_a_run_with_the_lock_ends_what_another_has_left(mark: str) -> None:
    peer = Peer("a command is going on", mark=mark)
    with pytest.raises(BootstrapError, match="is not ready: a command is going on"):
        readiness.settle(peer.connection, clock=peer.clock)
    hows = list(dict.fromkeys(how for _, how in peer.asked))
    assert hows == (["look", "close", "kill"] if mark else ["look"])
    assert {own for own, _ in peer.asked} == {mark}


def test_after_a_broken_connection_a_run_ends_its_own_command() -> None:
    peer = Peer("a command is going on", mark="mine-0")
    with pytest.raises(SshError, match="after the connection broke, a command is going on"):
        readiness.recover(peer.connection, clock=peer.clock)
    assert "kill" in {how for _, how in peer.asked}


def test_a_plan_waits_a_moment_and_ends_nothing() -> None:
    peer = Peer("a transaction of RPMs is running\n")
    assert readiness.busy(peer.connection, clock=peer.clock) == "a transaction of RPMs is running"
    assert 10 <= peer.clock.time < 14
    assert {how for _, how in peer.asked} == {"look"}
