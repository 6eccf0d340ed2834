"""The README's way from the rehearsal to the first real machine, line by line as it is written.

The machine is a rehearsal host that is treated as real: it has no guest, and no alias of ssh.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from commands import environment
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.config import inventory
from sheepvirt.core import paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.core.settings import Settings

pytestmark = pytest.mark.engine
NAME = "makemo"
LINES = re.findall(
    r"^    (printf .*|invoke .*)$",
    (paths.ROOT / "README.md").read_text(encoding="utf-8").partition("your first real machine")[2],
    re.MULTILINE,
)[:5]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the user's inventory, and `invoke` on its PATH; the host is removed later."""
    own = tmp_path / "host" / "inventory.toml"
    own.parent.mkdir()
    own.write_text((paths.ROOT / "host" / "inventory.toml").read_text(encoding="utf-8"))
    program = tmp_path / "bin" / "invoke"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m invoke --search-root {paths.ROOT} "$@"\n'
    )
    program.chmod(0o755)
    yield tmp_path
    if NAME in own.read_text(encoding="utf-8"):
        rehearsal.remove(RUN, inventory.load_host(within(own), NAME))


def within(path: Path) -> Settings:
    return replace(SETTINGS, inventory=path)


def shell(line: str, folder: Path, code: int) -> str:
    """Run a line in the user's folder; return its output; its exit code must be ``code``."""
    own = environment(folder / "host" / "inventory.toml")
    own["PATH"] = f"{folder / 'bin'}:{own['PATH']}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=own, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip  # a table
    assert done.returncode == code, done.stdout
    return done.stdout


def here(line: str) -> str:
    """Return a line of the README for the host of this test."""
    played = "'rehearsal = true' 'treat_as_real = true'"
    line = line.replace("'ssh = \"papara\"'", played)
    return line.replace("papara", NAME).replace("el6", "rehearsal")


def test_a_real_machine_without_guests_is_five_lines_away(folder: Path) -> None:
    assert [line.split()[:2] for line in LINES][1:] == [
        ["invoke", "inventory"],
        ["invoke", "build-rpms"],
        ["invoke", "bootstrap"],
        ["invoke", "bootstrap"],
    ]
    write, check, build, plan, bootstrap = map(here, LINES)
    shell(write, folder, 0)
    said = shell(check, folder, 0)
    assert f"{NAME}: rehearsal host, target rehearsal; guests: none" in said
    shell(build, folder, 0)
    planned = shell(plan, folder, 20)
    assert "nothing was changed" in planned
    assert "it is as the inventory wants it" in shell(bootstrap, folder, 0)
    again = shell(bootstrap, folder, 0)
    assert "no change" in again
    verified = shell(f"invoke verify {NAME}", folder, 0)
    assert "none failed (read-only" in verified
    assert re.search(r"skipped \(\d+\): the inventory gives the host no guest\n", verified)
