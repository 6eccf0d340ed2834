"""The commands of ``python -m``: whatever becomes of their output, they end without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sheepvirt.core import paths

DATA = Path(__file__).parent / "data"
COMPAT = ["sheepvirt.compat", "--target", "el6", str(DATA / "compat")]
COMPARE = ["sheepvirt.rpm_compare", *(str(DATA / "compat" / f"old-tools-{n}.rpm") for n in
           ("xz", "1-1.el6.noarch"))]  # fmt: skip  # a table
SPEC = ["sheepvirt.spec", "--target", "el6", str(DATA / "spec" / "plugin.spec.in")]
COMMANDS = pytest.mark.parametrize("command", [COMPAT, COMPARE, SPEC], ids=lambda c: str(c[0]))


# Buffered: who has PYTHONUNBUFFERED set would see another status (argparse ignores an EPIPE).
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(command: list[str], *, out: int, err: int = subprocess.PIPE) -> tuple[int, str]:
    argv = [sys.executable, "-m", *command]
    done = subprocess.run(argv, stdout=out, stderr=err, cwd=paths.ROOT, env=BUFFERED)
    return done.returncode, (done.stderr or b"").decode()


def without_reader() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("command", [COMPAT, COMPARE], ids=lambda c: str(c[0]))
def test_a_reader_that_has_seen_enough_ends_it_without_a_word(command: list[str]) -> None:
    writing = without_reader()
    assert run(command, out=writing) == (141, "")  # as `cat` ends in `cat FILE | head -1`
    os.close(writing)


@COMMANDS
def test_a_reader_of_help_may_go_away(command: list[str]) -> None:
    writing = without_reader()
    assert run([command[0], "--help"], out=writing) == (141, "")
    os.close(writing)


@pytest.mark.parametrize(
    ("command", "status"),
    [(COMPAT, 141), (COMPARE, 141), (SPEC, 2)],  # for SPEC, any failed write is an error
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_nobody_reads_standard_error_either(command: list[str], status: int) -> None:
    writing = without_reader()
    argv = [sys.executable, "-m", *command]
    with subprocess.Popen(argv, stdout=writing, stderr=writing, cwd=paths.ROOT) as process:
        assert process.wait() == status
    wrong = (
        [*argv[:3], "--target", "el66", "x"] if command is not COMPARE else [*argv[:3], "x", "y"]
    )
    assert subprocess.run(wrong, stderr=writing, cwd=paths.ROOT).returncode == 2
    os.close(writing)


@COMMANDS
def test_a_full_disk_is_named(command: list[str]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    assert run(command, out=full) == (2, "error: standard output: No space left on device\n")
    os.close(full)


@COMMANDS
def test_a_closed_standard_output_is_named(command: list[str]) -> None:
    argv = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", *command]
    done = subprocess.run(argv, stderr=subprocess.PIPE, cwd=paths.ROOT)
    assert done.returncode == 2
    assert done.stderr == b"error: standard output: Bad file descriptor\n"


def test_a_file_name_that_is_not_utf8_is_printed_as_it_is(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.rpm"
    sample = DATA / "compat" / "new-tools-1-rc1.rpm"
    Path(os.fsdecode(name)).write_bytes(sample.read_bytes())
    argv: list[str | bytes] = [sys.executable, "-m", *COMPAT[:3], name]
    done = subprocess.run(argv, capture_output=True, cwd=paths.ROOT)
    assert done.returncode == 1
    assert done.stdout.startswith(name)
    assert done.stderr == b""
