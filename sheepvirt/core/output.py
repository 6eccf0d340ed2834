"""Output of small commands. A closed pipe, a full disk or a closed output ends in no traceback."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, TextIO

from sheepvirt.core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

# The exit status that a shell reports when SIGPIPE (13) ended a program: `cat FILE | head -1`.
READER_GONE = 128 + 13


def write(content: bytes) -> None:
    """Write to standard output, unbuffered. Raises OutputError, also if it is closed already."""
    if sys.stdout is None:
        raise OutputError(f"standard output: {os.strerror(errno.EBADF)}")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        _silence(sys.stdout)
        raise OutputError(f"standard output: {error.strerror}", number=error.errno) from error


def say(*lines: object) -> None:
    """Write lines to standard output; a file name may have any bytes. Raises OutputError."""
    if lines:
        write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))


def complain(line: object) -> None:
    """Write a line to standard error; do nothing if it is closed."""
    if sys.stderr is None:  # print() would write to standard output instead
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def status(main: Callable[[], int]) -> int:
    """Run a command and return its exit status; 2 if its output could not be written.

    When the reader closes the pipe (``| head -1``), the command ends silently.
    """
    try:
        try:
            return main()
        finally:  # argparse's help, too
            if sys.stdout is not None:
                write(b"")
    except OutputError as error:
        if error.number == errno.EPIPE:
            return READER_GONE
        complain(f"error: {error}")
        return error.exit_code


def _silence(stream: TextIO) -> None:
    """Redirect a stream to /dev/null: Python flushes it again at exit and would report that."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
