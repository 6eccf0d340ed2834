"""sheepvirt commands as a user runs them, on the inventory of these tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from world import INVENTORY, RUN

from sheepvirt.core import paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.model.hosts import Host


def environment(inventory: Path = INVENTORY) -> dict[str, str]:
    """Return the environment for a sheepvirt command."""
    return {**os.environ, "SHEEPVIRT_INVENTORY": str(inventory), "COLUMNS": "200"}


def start(*args: str, inventory: Path = INVENTORY) -> subprocess.Popen[str]:
    """Start one sheepvirt command, as a user would, its output in one pipe."""
    return subprocess.Popen(
        # What a shell starts in the background ignores SIGINT, and so would this command.
        ["env", "--default-signal=INT", sys.executable, "-u", "-m", "invoke", *args],
        cwd=paths.ROOT,
        env=environment(inventory),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def invoke(*args: str, code: int = 0, inventory: Path = INVENTORY) -> str:
    """Run one sheepvirt command; return its output; its exit code must be ``code``."""
    process = start(*args, inventory=inventory)
    out, _ = process.communicate(timeout=1800)
    assert process.returncode == code, out
    return out


def document(*args: str, code: int | None = 0, inventory: Path = INVENTORY) -> Any:
    """Run a command with --json; return what it printed on standard output, which is all of it.

    Its exit code must be ``code``; with None any that it says itself.
    """
    argv = [sys.executable, "-m", "invoke", *args, "--json"]
    env = environment(inventory)
    done = subprocess.run(argv, cwd=paths.ROOT, env=env, capture_output=True, text=True)
    assert code in {None, done.returncode}, done.stdout + done.stderr
    made = json.loads(done.stdout)
    assert made["format"] == 1
    assert made["exit_code"] == done.returncode
    return made


def read_until(process: subprocess.Popen[str], text: str, *, seconds: float = 300) -> str:
    """Return the lines that a command prints up to the first one with ``text``."""
    lines: list[str] = []
    assert process.stdout
    with killed_after(process, seconds):
        for line in process.stdout:
            lines.append(line)
            if text in line:
                return "".join(lines)
    raise AssertionError(f"{text!r} is not in:\n{''.join(lines)}")


def finish(process: subprocess.Popen[str], *, code: int = 0, seconds: float = 600) -> str:
    """Return the rest of what a command prints; its exit code must be ``code``.

    Popen.communicate with a timeout would leave out what `read_until` has read ahead.
    """
    assert process.stdout
    with killed_after(process, seconds):
        out = process.stdout.read()
        process.wait()
    assert process.returncode == code, out
    return out


@contextmanager
def killed_after(process: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    """Kill a command that takes longer, so that a test cannot hang."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shell(host: Host, script: str) -> str:
    """Run a line of shell on a host, over the SSH that bootstrap uses; return what it printed."""
    return RUN.connect(host).run(["sh", "-c", script]).stdout.strip()
