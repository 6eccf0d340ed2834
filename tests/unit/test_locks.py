"""One run at a time per host: the second waits, says for whom, and gives up in the end."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from sheepvirt.core.errors import LockedError
from sheepvirt.core.locks import lock
from sheepvirt.core.progress import Progress
from sheepvirt.core.settings import Settings

HOLD = """
import sys, io
from rich.console import Console
from sheepvirt.core.locks import lock
from sheepvirt.core.progress import Progress
from sheepvirt.core.settings import from_environment
settings = from_environment({"SHEEPVIRT_STATE": sys.argv[1]})
with lock(settings, "host-tahiti", Progress(console=Console(file=io.StringIO()))):
    print("held", flush=True)
    sys.stdin.read()
"""


def plain() -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(console=Console(file=out, width=200)), out


def test_a_second_run_says_who_holds_the_host(settings: Settings) -> None:
    progress, out = plain()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(settings.state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        says = f"in use by process {other.pid}"
        with (
            pytest.raises(LockedError, match=says) as caught,
            lock(settings, "host-tahiti", progress, wait=1),
        ):
            pass
        assert caught.value.exit_code == 11
        assert f"waiting: host-tahiti is in use by process {other.pid}" in out.getvalue()
        other.kill()  # a killed run leaves no stale lock
    with lock(settings, "host-tahiti", progress, wait=0.0):
        pass


def test_another_host_is_free(settings: Settings) -> None:
    progress, _ = plain()
    with lock(settings, "host-tahiti", progress), lock(settings, "host-moorea", progress, wait=0.0):
        pass
