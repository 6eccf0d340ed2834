"""One tree of errors: what happened, what to do next, and the exit code.

Errors are raised anywhere and end in an entry point: ``cli/session.py`` for the commands,
``core/output.py`` for ``python -m``. So a user's mistake never ends in a traceback.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class SheepvirtError(Exception):
    """Base of all errors that a user can see.

    ``message`` says what happened, ``hint`` what to do next; ``exit_code`` is the process's exit
    status.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  what to do: {self.hint}" if self.hint else self.message


class ConfigError(SheepvirtError):
    """A TOML file, an option or a selector is wrong: unknown, missing, of a wrong type."""

    exit_code = 2


class ConfigErrors(ConfigError):
    """Several things in a TOML file are wrong; ``problems`` has an error for each."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        rows = (f"  {row.message}\n    {row.hint}".rstrip() for row in problems)
        super().__init__(
            f"{len(problems)} things are wrong:\n" + "\n".join(rows),
            hint="correct each as the line below it says",
        )
        self.problems = tuple(problems)


class OutputError(SheepvirtError):
    """A command's output could not be written; ``number`` is the errno."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", number: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.number = number


class UnknownNameError(ConfigError):
    """There is no host, target or package of this name."""


class SourceError(SheepvirtError):
    """A source is not available as declared."""

    exit_code = 3


class SourceHashError(SourceError):
    """A source's content does not match its sha256."""


class SourceUnreachableError(SourceError):
    """None of a source's locations answered."""


class WebError(SourceError):
    """A request over HTTP failed; ``tls``: because the server's certificate is not trusted."""

    def __init__(self, message: str, *, hint: str = "", tls: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.tls = tls


class SpecError(SheepvirtError):
    """A spec could not be patched, or the patched spec failed its proof."""

    exit_code = 4


class RuleMismatchError(SpecError):
    """An intent rule does not fit the spec. Names the rule, the line and what was found there."""


class NotProvenError(SpecError):
    """A proof of a patched spec was requested, and no available rpm could give it."""


class EngineError(SheepvirtError):
    """The container engine failed."""

    exit_code = 5


class EngineUnavailableError(EngineError):
    """No container engine answers."""


class RegistryError(EngineError):
    """An image could not be pulled: its name, and the engine's message (``words``)."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(f"{name}: {words}", hint="")
        self.name = name
        self.words = words


class BuildError(SheepvirtError):
    """A package did not build."""

    exit_code = 6


class CompileError(BuildError):
    """rpmbuild failed. Says the first real error, the log's path and how to open a shell."""


class ContractError(SheepvirtError):
    """A gate found no evidence for a declared feature; ``claims`` has the missing claims."""

    exit_code = 7

    def __init__(self, message: str, *, hint: str = "", claims: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.claims = claims


class SshError(SheepvirtError):
    """A host could not be reached, or a remote command could not run."""

    exit_code = 8


class HostKeyChangedError(SshError):
    """The host's key is not the pinned one."""


class HostKeyUnknownError(SshError):
    """No key of the host is pinned yet; the user must confirm the first one."""


class HostUnreachableError(SshError):
    """Nothing answers at the host's address, or the connection broke. It may answer later."""


class ConnectionBrokenError(HostUnreachableError):
    """The connection broke while a command ran, which may go on there."""


class HostNameError(HostUnreachableError):
    """The host's name has no address here."""


class JumpHostError(HostUnreachableError):
    """A jump host of the user's ssh alias failed, or cannot reach the host."""


class LoginRefusedError(SshError):
    """The host's sshd refused the login: wrong user, or wrong key."""


class NoShellError(SshError):
    """The login succeeded, and the account runs no commands."""


class SudoError(SshError):
    """sudo on the host did not run a command as root."""


class SudoPasswordError(SudoError):
    """sudo wants a password: nobody can be asked for it, or it is wrong."""


class NoSudoRightsError(SudoError):
    """sudo does not let this user run commands as root."""


class NoSudoError(SudoError):
    """There is no sudo on the host."""


class SudoTerminalError(SudoError):
    """sudo refuses to run without a terminal."""


class RemoteCommandError(SshError):
    """A command on the host failed."""


class OutputLimitError(SshError):
    """A command on the host printed more than is kept, so its answer is not whole."""


class BootstrapError(SheepvirtError):
    """A bootstrap step could not reach its desired state."""

    exit_code = 9


class NoSpaceError(BootstrapError):
    """A filesystem of the host is full, or has too little space for what was to be written."""


class BrokenXmlError(BootstrapError):
    """libvirt's XML of an object cannot be read, so nothing can be said about the object."""


class VerifyError(SheepvirtError):
    """Verification ran, and a check failed."""

    exit_code = 10


class NotShownError(VerifyError):
    """A file's content cannot or may not be shown; the message says why."""


class LockedError(SheepvirtError):
    """Another run holds the lock of this target or host."""

    exit_code = 11


class PreflightError(SheepvirtError):
    """This machine or its network lacks what a target needs. Found before any work started."""

    exit_code = 12


class BundleError(SheepvirtError):
    """A bundle is truncated, changed, or not for this target or checkout."""

    exit_code = 13


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the nearest of ``known``, else the list of ``known``."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + (", ".join(choices) if choices else "(none)")
