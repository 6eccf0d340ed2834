"""Mark the commands of one run on a host.

A command outlives its connection, and the run that sent it. By its mark another run finds it. The
mark is a variable of its environment: the run's token and its own process id. What it starts has
the same variable, and another process id: a daemon is not taken for the command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VARIABLE = "SHEEPVIRT_COMMAND"
_EXEC = f'exec env {VARIABLE}="$0.$$" "$@"'


def marked(words: Sequence[str], token: str) -> list[str]:
    """Return the words that run ``words`` with the mark of ``token``; "" for none."""
    return ["sh", "-c", _EXEC, token, *words] if token else list(words)


class Marking:
    """The marks of one connection's commands, and what to do after it broke."""

    def __init__(self) -> None:
        self._token = ""  # of the host's lock, while this run holds it
        self._recover: Callable[[], None] | None = None
        self._breaks = 0
        self._recovered = 0  # breaks after which nothing of this run is going on

    def hold(self, token: str, recover: Callable[[], None] | None = None) -> None:
        """Mark the commands with the ``token`` of the host's lock from now on; "": not any more.

        ``recover`` is called before the first command after the connection broke, to end what it
        has left.
        """
        self._token, self._recover = token, recover

    @property
    def mark(self) -> str:
        """The mark of the commands; another one each time that the connection broke; or ""."""
        return f"{self._token}-{self._breaks}" if self._token else ""

    def broke(self) -> None:
        """Note that the connection broke while a command ran."""
        self._breaks += 1

    def rebooted(self) -> None:
        """Note that the host has rebooted: what was going on there is not any more."""
        self._recovered = self._breaks

    def end_leftovers(self) -> None:
        """End what was going on when the connection broke. Raises what ``recover`` does."""
        breaks, recover = self._breaks, self._recover
        if recover is None or breaks == self._recovered:
            return
        self._recover = None  # it runs commands itself
        try:
            recover()
        finally:
            self._recover = recover
        self._recovered = breaks
