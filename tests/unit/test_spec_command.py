"""The command ``python -m sheepvirt.spec``: streams, exit codes, messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sheepvirt.cli.spec import main
from sheepvirt.core import paths

DATA = Path(__file__).parent / "data" / "spec"
PLUGIN = DATA / "plugin.spec.in"
MODULE = [sys.executable, "-m", "sheepvirt.spec", "--target"]


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs by an engine's image are tested in test_spec_proof.py; here they would cost time."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def run(*arguments: str, content: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    argv = [*MODULE, *arguments]
    return subprocess.run(argv, capture_output=True, input=content or b"", cwd=paths.ROOT)


def test_the_command_prints_the_patched_spec(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "libvirt.spec.in"
    text = PLUGIN.read_text(encoding="utf-8").replace("A text.", "Caf\xe9.")
    path.write_bytes(text.encode("latin-1"))  # not UTF-8: must come through
    assert main(["--target", "rehearsal", str(path)]) == 0
    first = capfdbinary.readouterr()
    assert first.out.count(b"Caf\xe9.") == 3
    assert b"already enabled" not in first.err
    path.write_bytes(first.out)
    assert main(["--target", "rehearsal", str(path)]) == 0
    second = capfdbinary.readouterr()
    assert second.out == first.out
    assert b"already enabled" in second.err


@pytest.mark.parametrize("target", ["el6", "rehearsal"])
@pytest.mark.parametrize("name", ["daemon.spec", "plugin.spec.in"])
def test_a_pipe_into_itself_changes_nothing_more(name: str, target: str) -> None:
    once = run(target, "-", content=(DATA / name).read_bytes())
    assert (once.returncode, once.stdout) == (0, run(target, str(DATA / name)).stdout)
    again = run(target, "-", content=once.stdout)
    assert (again.returncode, again.stdout) == (0, once.stdout)
    assert again.stderr.endswith(b"standard input: already enabled\n")


@pytest.mark.parametrize("name", ["a b & $(c);'.spec", "-dash.spec", "\u6c34.spec"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PLUGIN.read_bytes())
    argv = [*MODULE, "el6", "--", name]
    env = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    done = subprocess.run(argv, capture_output=True, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (0, run("el6", str(PLUGIN)).stdout)


@pytest.mark.parametrize(
    ("target", "name", "code", "said"),
    [
        ("rehearsal", "foreign.spec", 1, "line 1: nothing defines with_storage_sheepdog"),
        ("rehearsal", "old.spec", 1, "0.10.0 to 8.7; this spec's version is 0.9.12,"),
        (
            "rehearsal",
            "empty.spec",
            1,
            "line 1: nothing defines with_storage_sheepdog; found: an e",
        ),
        (
            "rehearsal",
            "binary.spec",
            1,
            r"line 1: nothing defines with_storage_sheepdog; found: \x",
        ),
        ("rehersal", "foreign.spec", 2, "did you mean 'rehearsal'?"),
        ("rehearsal", "absent.spec", 2, "absent.spec: No such file"),
        ("rehearsal", ".", 2, "directory"),
    ],
)
def test_the_command_fails_readably(
    tmp_path: Path, target: str, name: str, code: int, said: str
) -> None:
    (tmp_path / "foreign.spec").write_text("Name: zsh\n", encoding="utf-8")
    (tmp_path / "old.spec").write_text("Name: libvirt\nVersion: 0.9.12\n", encoding="utf-8")
    (tmp_path / "empty.spec").write_bytes(b"")
    (tmp_path / "binary.spec").write_bytes(b"\x1b[2J" + bytes(range(256)) * 40)
    done = run(target, str(tmp_path / name))
    message = done.stderr.decode()
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in message
    assert "Traceback" not in message
    assert message.replace("\n", "").isprintable()
    assert len(message) < 600


@pytest.mark.parametrize("to", ["/dev/full", "closed", "broken pipe"])
def test_what_cannot_be_written_is_no_success(to: str) -> None:
    argv = [*MODULE, "el6", str(PLUGIN)]
    reading, writing = os.pipe()
    os.close(reading)
    out = os.open("/dev/full", os.O_WRONLY) if to == "/dev/full" else writing
    if to == "closed":
        argv = ["sh", "-c", 'exec "$@" >&-', "sh", *argv]
    done = subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, cwd=paths.ROOT)
    os.close(writing)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: standard output: ")
    assert done.stderr.count(b"\n") == 1


def test_the_help_tells_the_exit_codes() -> None:
    done = run("el6", "--help")
    assert done.returncode == 0
    assert b"exit status: 0 done or already enabled, 1 " in done.stdout
