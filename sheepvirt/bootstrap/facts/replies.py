"""Whether a service answers. One that does not is not "absent": what it has is not known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reply(StrEnum):
    """How a service reacted when it was asked."""

    ABSENT = "absent"  # its client program is not installed
    ANSWERS = "answers"
    STOPPED = "stopped"  # it refuses
    HUNG = "hung"  # it says nothing in time


@dataclass(frozen=True, kw_only=True)
class ServiceReply:
    """A service's reply, and the client's last words if it is not an answer."""

    reply: Reply = Reply.ABSENT
    words: str = ""

    @property
    def silent(self) -> bool:
        """Whether what the service has is not known."""
        return self.reply in {Reply.STOPPED, Reply.HUNG}


def service_reply(text: str) -> ServiceReply:
    """Parse the output of a fragment: a `Reply`, then the client's words."""
    word, _, rest = text.strip().partition("\n")
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    found = Reply(word) if word in set(Reply) else Reply.ABSENT
    return ServiceReply(reply=found, words=lines[-1] if lines else "")
