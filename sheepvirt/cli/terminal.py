"""Ask the user on the terminal, where there is one."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sheepvirt.core.progress import Progress
    from sheepvirt.ssh.sudo import Ask


def there() -> bool:
    """Tell whether somebody at a terminal can be asked."""
    return sys.stdin.isatty()


def passwords(progress: Progress) -> Ask:
    """Return a function that asks for a password without an echo."""

    def ask(prompt: str) -> str | None:
        if not there():
            return None
        with progress.paused():
            try:
                return getpass.getpass(prompt)
            except EOFError:
                return None

    return ask


def confirmed(question: str) -> bool:
    """Ask ``question``; only ``yes`` agrees. False where nobody can be asked."""
    if not there():
        return False
    try:
        return input(f"{question} [yes/no] ").strip().lower() == "yes"
    except EOFError:
        return False
