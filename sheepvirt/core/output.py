"""What small commands print: a reader that goes away, a full disk or no output is no traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import TextIO

from sheepvirt.core.errors import OutputError

# What a shell reports of a program that SIGPIPE (13) ended, such as cat in `cat FILE | head -1`.
READER_GONE = 128 + 13


def write(content: bytes) -> None:
    """Write to standard output at once. Raises OutputError, also where it was closed beforehand."""
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
    """Write a line to standard error, where somebody still reads it: there is no other place."""
    if sys.stderr is None:  # print() would take standard output for it
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def status(main: Callable[[], int]) -> int:
    """Run a command and return its exit status; 2 where its output could not be written.

    A reader that has seen enough (``| head -1``) ends it without a word.
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
    """Let a stream end nowhere: Python tries once more as it ends, and complains in its words."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
