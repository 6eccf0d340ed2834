"""Programs are run to their end, and none is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sheepvirt.core import processes

if TYPE_CHECKING:
    from pathlib import Path


def runs(pid: int) -> bool:
    """Tell whether a process has not ended yet."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


def gone(pid: int) -> bool:
    """Tell whether a process has ended, within 5 s."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not runs(pid):
            return True
        time.sleep(0.02)
    return False


def test_output_arrives_by_lines_and_whole() -> None:
    lines: list[str] = []
    done = processes.run(["sh", "-c", "echo one; echo two >&2; exit 3"], on_line=lines.append)
    assert done == processes.Result(code=3, stdout="one\n", stderr="two\n")
    assert sorted(lines) == ["one", "two"]


def test_standard_error_can_come_in_order() -> None:
    done = processes.run(["sh", "-c", "echo a; echo b >&2; echo c"], merged=True)
    assert done == processes.Result(code=0, stdout="a\nb\nc\n")


def test_standard_input_is_bytes_or_a_file(tmp_path: Path) -> None:
    assert processes.run(["cat"], stdin=b"x" * 1_000_000).stdout == "x" * 1_000_000
    (tmp_path / "a").write_bytes(b"from a file")
    with (tmp_path / "a").open("rb") as handle:
        assert processes.run(["cat"], stdin=handle).stdout == "from a file"
    assert processes.run(["cat"]).stdout == ""  # never the terminal


def test_a_program_that_does_not_exist_is_no_exception() -> None:
    done = processes.run(["/nowhere/program"])
    assert done.code == processes.ABSENT
    assert "/nowhere/program" in done.stderr


def test_the_environment_is_this_ones_with_what_is_added_and_without_what_is_not_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "k")
    monkeypatch.setenv("GIT_DIR", "g")
    script = ["sh", "-c", "echo $A $KEPT $GIT_DIR; pwd"]
    done = processes.run(script, env={"A": "b"}, without={"GIT_DIR"}.__contains__, cwd=tmp_path)
    assert done.stdout == f"b k\n{tmp_path}\n"


def test_a_program_that_hangs_is_killed_with_its_children() -> None:
    script = "sleep 60 & echo $!; wait"
    done = processes.run(["sh", "-c", script], seconds=0.5)
    assert done.code == -signal.SIGKILL
    assert gone(int(done.stdout))


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_an_interrupted_call_leaves_no_program(trap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "END_SECONDS", 0.2)
    seen: list[str] = []

    def interrupt(line: str) -> None:
        seen.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.run(["sh", "-c", f"{trap}echo $$; sleep 60"], on_line=interrupt)
    assert gone(int(seen[0]))


def test_what_a_program_leaves_running_keeps_nobody_waiting(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        started = time.monotonic()
        code = processes.run_leaving(["sh", "-c", "sleep 30 & echo $!; exit 4"], log)
        assert time.monotonic() - started < 10
    assert code == 4
    processes.run(["kill", (tmp_path / "log").read_text().strip()])


def test_one_program_feeds_another() -> None:
    with processes.producer(["sh", "-c", "echo fed; echo said >&2; exit 2"]) as made:
        assert processes.run(["cat"], stdin=made.stdout).stdout == "fed\n"
    assert (made.code, made.stderr) == (2, "said")


def test_a_feeder_whose_reader_stops_early_ends() -> None:
    with processes.producer([sys.executable, "-c", "while True: print('x' * 1000)"]) as made:
        assert processes.run(["head", "-c", "3"], stdin=made.stdout).stdout == "xxx"
    assert made.code != 0
    assert threading.active_count() < 20


def test_memory_is_bounded_whatever_a_program_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs to its end, and what is kept is whole up to the limit."""
    monkeypatch.setattr(processes, "KEPT", 1 << 20)
    lines: list[str] = []
    script = "yes | head -c 50000000; echo last >&2; exit 3"
    done = processes.run(["sh", "-c", script], on_line=lines.append)
    assert (done.code, len(done.stdout), done.stderr) == (3, 1 << 20, "last\n")
    assert done.dropped == 50_000_000 - (1 << 20)
    assert len(lines) == (1 << 19) + 1


def test_a_line_without_an_end_is_shown_in_pieces() -> None:
    lines: list[str] = []
    done = processes.run(["head", "-c", "1000000", "/dev/zero"], on_line=lines.append)
    assert done.stdout == "".join(lines) == "\0" * 1_000_000
    assert max(map(len, lines)) <= processes.LINE + processes.CHUNK


def test_a_program_that_prints_without_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "KEPT", 1 << 10)
    monkeypatch.setattr(processes, "ENDLESS", 1 << 20)
    done = processes.run(["yes"])
    assert (done.code, len(done.stdout)) == (-signal.SIGKILL, 1 << 10)


def test_an_interrupt_does_not_wait_for_a_pipe_that_another_process_holds() -> None:
    """As ssh's shared connection does: it has the pipes until the remote command ends."""
    script = "setsid sh -c 'echo $$; exec sleep 60' & wait"
    seen: list[int] = []

    def interrupt(line: str) -> None:
        seen.append(int(line))
        raise KeyboardInterrupt

    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            processes.run(["sh", "-c", script], on_line=interrupt)
        assert time.monotonic() - started < 10
        assert runs(seen[0])
    finally:
        os.kill(seen[0], signal.SIGKILL)
