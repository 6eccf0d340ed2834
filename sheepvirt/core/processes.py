"""Run programs on this machine. Nothing else starts a process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.core.secret import Secret

OnLine = Callable[[str], None]
ABSENT = 127  # the exit code that a shell gives for a program that does not exist
END_SECONDS = 5.0  # for a program to end after SIGTERM
KEPT = 32 << 20  # bytes of each of a program's two outputs; what comes later is not kept or shown
ENDLESS = 1 << 30  # a program that prints more is killed
CHUNK = 1 << 16
LINE = 1 << 16  # a longer line is shown in pieces


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a command, here, on a host or in a container: exit code and decoded output.

    A negative code is the number of the signal that ended the command. ``dropped`` is how many
    bytes of output are missing at the end of ``stdout`` or ``stderr``.
    """

    code: int
    stdout: str = ""
    stderr: str = ""
    dropped: int = 0


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | IO[bytes] = b"",
    on_line: OnLine | None = None,
    env: Mapping[str, str] | None = None,
    without: Callable[[str], bool] = lambda _name: False,
    cwd: Path | str | None = None,
    seconds: float | None = None,
    merged: bool = False,
    keep: Sequence[int] = (),
) -> Result:
    """Run a program to its end; ``on_line`` gets each line of its output immediately.

    Its environment is this process's, without the variables whose name ``without`` accepts, and
    with ``env`` added. It gets the open files ``keep``. ``merged`` puts standard error into
    standard output, in order. After ``seconds`` the program is killed with its children (SIGKILL).
    It is in a session of its own, so it never asks on the terminal; if this call is interrupted, it
    is ended. A program that does not exist gives the code 127. Of each output
    ``KEPT`` bytes are kept: memory is bounded.
    """
    with tempfile.TemporaryFile() as given:
        if isinstance(stdin, bytes):
            given.write(stdin)
            given.seek(0)
            stdin = given
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                env=_environment(env, without),
                cwd=cwd,
                start_new_session=True,
                pass_fds=keep,
            )
        except FileNotFoundError as error:
            return Result(code=ABSENT, stderr=f"{error.filename}: {error.strerror}")
        return _finish(process, on_line, seconds)


def _environment(
    added: Mapping[str, str] | None, without: Callable[[str], bool] = lambda _name: False
) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not without(name)}
    return {**kept, **(added or {})}


def _finish(
    process: subprocess.Popen[bytes], on_line: OnLine | None, seconds: float | None
) -> Result:
    assert process.stdout is not None
    out, err = _Output(process, on_line), _Output(process, on_line)
    timer = threading.Timer(seconds or 0.0, _kill, [process])
    readers = []
    if process.stderr is not None:
        # A daemon: what ssh's shared connection was given of this pipe stays open there until the
        # remote command ends, and an interrupt must not wait for that.
        readers.append(threading.Thread(target=_drain, args=(process.stderr, err), daemon=True))
    try:
        if seconds is not None:
            timer.start()
        for reader in readers:
            reader.start()
        _drain(process.stdout, out)
        for reader in readers:
            reader.join()
        code = process.wait()
        for stream in filter(None, (process.stdout, process.stderr)):
            stream.close()
    except BaseException:
        _end(process)
        process.stdout.close()  # standard error is the reader's, which may never end
        raise
    finally:
        timer.cancel()
    return Result(
        code=code,
        stdout=out.kept.decode(errors="replace"),
        stderr=err.kept.decode(errors="replace"),
        dropped=out.dropped + err.dropped,
    )


class _Output:
    """One output of a program: its first bytes are kept, and its lines shown."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: OnLine | None) -> None:
        self.kept = bytearray()
        self.dropped = 0
        self._process = process
        self._on_line = on_line
        self._line = b""  # that has not ended yet

    def take(self, chunk: bytes) -> None:
        fits = chunk[: KEPT - len(self.kept)]
        self.kept += fits
        self.dropped += len(chunk) - len(fits)
        if self.dropped > ENDLESS:
            _kill(self._process)
        if self._on_line is None:
            return
        *lines, self._line = (self._line + fits).split(b"\n")
        for line in lines:
            self._show(line)
        if len(self._line) > LINE:
            self.end()

    def end(self) -> None:
        if self._line:
            self._show(self._line)
        self._line = b""

    def _show(self, line: bytes) -> None:
        if self._on_line is not None:
            self._on_line(line.decode(errors="replace"))


def _drain(stream: IO[bytes], output: _Output) -> None:
    while chunk := os.read(stream.fileno(), CHUNK):
        output.take(chunk)
    output.end()


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Its session is the group: the program and all that it has started.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def run_leaving(
    argv: Sequence[str], output: IO[bytes], env: Mapping[str, str] | None = None
) -> int:
    """Run a program that leaves another one running, such as a daemon; return its exit code.

    Its output goes to the open file ``output``: a pipe would stay open as long as what it leaves.
    ``env`` is added to its environment.
    """
    return subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=_environment(env),
        cwd="/",
        start_new_session=True,
    ).returncode


def run_on_terminal(
    argv: Sequence[str], cwd: Path, without: Callable[[str], bool] = lambda _name: False
) -> int:
    """Run a program on this process's own terminal, or pipes; return its exit code.

    Its environment lacks the variables whose name ``without`` accepts.
    """
    return subprocess.run(list(argv), cwd=cwd, env=_environment(None, without)).returncode


@contextmanager
def following(first: Secret, rest: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a pipe to give to ``run`` as ``stdin``: ``first``, then all of ``rest``.

    ``first`` is in memory and in the pipe alone, in no file. A reader that stops early is no error.
    """
    reader, writer = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(writer, "wb") as sink:
            sink.write(first.encode())
            sink.flush()
            shutil.copyfileobj(rest, sink)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        with os.fdopen(reader, "rb") as pipe:
            yield pipe
    finally:
        feeder.join()


@contextmanager
def handed(secret: Secret) -> Iterator[int]:
    """Yield the number of an open file to ``keep``, from which a program reads ``secret`` once."""
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as sink:
            sink.write(secret.encode())  # a pipe holds far more
        yield reader
    finally:
        os.close(reader)


@dataclass
class Producer:
    """A program whose standard output another one reads."""

    stdout: IO[bytes]
    code: int = 0  # once the block of ``producer`` has ended
    stderr: str = field(default="")


@contextmanager
def producer(argv: Sequence[str]) -> Iterator[Producer]:
    """Yield a running program, to give its ``stdout`` to ``run``; wait for it at the end."""
    with subprocess.Popen(
        list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        made = Producer(process.stdout)
        yield made
        process.stdout.close()  # a reader that stopped early ends it by SIGPIPE
        made.stderr = process.stderr.read().decode(errors="replace").strip()
    made.code = process.returncode
