"""What one run sends to hosts: every command in the log, and which ones may not have ended."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.core.errors import ConnectionBrokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sheepvirt.core.clock import Clock

SHOWN = 100  # characters of a command in a message; the log has all of it


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that was sent to a host."""

    host: str
    line: str  # as a POSIX shell reads it, printable, in one line
    since: float  # time of day, in seconds since 1970 UTC

    def sentence(self, now: float) -> str:
        """Return one line: the command, where it runs and since when."""
        started = time.strftime("%H:%M:%S", time.localtime(self.since))
        line = self.line if len(self.line) <= SHOWN else f"{self.line[:SHOWN]}…"
        return f"{self.host}, since {started} ({now - self.since:.0f} s): {line}"


class Sent:
    """The commands of one run. Standard input is never kept: it may be a file's content."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self.unfinished: list[Command] = []
        self.used = False  # something was sent

    @contextmanager
    def command(self, host: str, line: str, clock: Clock) -> Iterator[Callable[[int], None]]:
        """Log a command with its exit code and duration; the caller passes the exit code.

        A command that is interrupted, or whose connection breaks, stays in ``unfinished``: it may
        go on at the host.
        """
        one = Command(host=host, line=printable(line), since=clock.now())
        start = clock.monotonic()
        codes: list[int] = []
        self.unfinished.append(one)
        self.used = True
        try:
            yield codes.append
        except ConnectionBrokenError:
            raise
        except Exception:  # it could not be run
            self.unfinished.remove(one)
            raise
        else:
            self.unfinished.remove(one)
        finally:
            ended = f"exit code {codes[0]}" if codes else "not ended"
            seconds = clock.monotonic() - start
            self._log(f"{host} $ {one.line}  # {ended}, {seconds:.1f} s")

    def forget(self, host: str) -> None:
        """Forget the commands that may go on at ``host``: it has rebooted."""
        self.unfinished = [one for one in self.unfinished if one.host != host]


def printable(line: str) -> str:
    """Return a line of text: what is not printable as Python escapes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
