"""The rehearsal host's function library for init scripts, against el6's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sheepvirt.core import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent / "data" / "sysv" / "functions.toml"
CASES: list[dict[str, Any]] = tomllib.loads(DATA.read_text(encoding="utf-8"))["case"]
ROOT = paths.ROOT / "containers" / "rehearsal" / "host-sysv" / "root"
ALIVE = """
alive() {
  sleep 0.05
  if [ -d /proc/$live ]; then echo alive; else echo gone; fi
}
"""


class Machine:
    """A folder that stands for /var, and the processes of a test."""

    def __init__(self, folder: Path):
        self.run, self.lock = folder / "run", folder / "lock"
        self.run.mkdir()
        self.lock.mkdir()
        self.program = folder / f"probe-{os.getpid()}"
        shutil.copy("/bin/sleep", self.program)
        self.started: list[subprocess.Popen[bytes]] = []
        self.live = self.start(str(self.program), "60")
        text = (ROOT / "etc" / "init.d" / "functions").read_text(encoding="utf-8")
        self.functions = folder / "functions"
        self.functions.write_text(
            text.replace("/var/run", str(self.run)).replace("/var/lock/subsys", str(self.lock)),
            encoding="utf-8",
        )

    def start(self, *argv: str) -> int:
        # What a run under nohup ignores (SIGHUP), its children would ignore as well.
        process = subprocess.Popen(["env", "--default-signal=HUP", *argv])
        self.started.append(process)
        threading.Thread(target=process.wait, daemon=True).start()  # or it stays in /proc, dead
        return process.pid

    def script(self, text: str) -> str:
        words = {
            "run": self.run,
            "lock": self.lock,
            "live": self.live,
            "dead": 4194999,  # the kernel's numbers end below
            "program": self.program.name,
            "path": self.program,
        }
        told = "".join(f"{name}={value}\n" for name, value in words.items())
        return f"{told}{ALIVE}. {self.functions}\n{text}\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    yield found
    for process in found.started:
        process.kill()
    for process in found.started:  # the next test's program has the same name
        process.wait()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_function_does_as_el6s(machine: Machine, case: dict[str, Any]) -> None:
    if case.get("root") and os.geteuid():
        pytest.skip("only root changes its user")
    text = case["script"]
    if case.get("stubborn"):
        pid = machine.start("bash", "-c", 'trap "" TERM; while :; do sleep 0.1; done')
        time.sleep(0.2)
        (machine.run / "stubborn.pid").write_text(f"{pid}\n", encoding="utf-8")
        text = f"stubborn={pid}\n{text}"
    shell = subprocess.Popen(
        ["bash"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
    out, _ = shell.communicate(machine.script(text).encode())
    names = ((machine.program.name, "PROGRAM"), (machine.live, "LIVE"), (shell.pid, "SHELL"))
    said = out.decode()
    for real, name in names:
        said = said.replace(str(real), name)
    assert (said, shell.returncode) == (case["out"], case.get("code", 0))
