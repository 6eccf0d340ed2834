"""A password in memory: its text never gets into a message, a log or a traceback."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Secret:
    """A text that no ``repr`` shows. It leaves this process through a pipe alone."""

    text: str = field(repr=False)

    def encode(self) -> bytes:
        """Return it as bytes, for a pipe."""
        return self.text.encode(errors="surrogateescape")
