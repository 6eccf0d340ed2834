"""One tree of errors: what happened, what to do next, and the exit code.

Raised anywhere, caught once (``cli/commands.py``): no mistake of a user ends in a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SheepvirtError(Exception):
    """Base of all errors a user can meet.

    ``message`` says what happened and to what, ``hint`` what to do next; ``exit_code`` is the
    process's exit status.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  what to do: {self.hint}" if self.hint else self.message


class ConfigError(SheepvirtError):
    """A TOML file is wrong: unknown key, missing key, wrong type."""

    exit_code = 2


class OutputError(SheepvirtError):
    """What a command printed could not be written; ``number``: the error's errno."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", number: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.number = number


class UnknownNameError(ConfigError):
    """A host, target or package that does not exist was named."""


class SourceError(SheepvirtError):
    """A source could not be had as declared."""

    exit_code = 3


class SourceHashError(SourceError):
    """A source's content is not what its sha256 says."""


class SourceUnreachableError(SourceError):
    """None of a source's locations answered."""


class WebError(SourceError):
    """An address did not give what was asked for; ``tls``: because it is not trusted."""

    def __init__(self, message: str, *, hint: str = "", tls: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.tls = tls


class SpecError(SheepvirtError):
    """A spec could not be patched or did not prove what the patch promised."""

    exit_code = 4


class RuleMismatchError(SpecError):
    """An intent rule does not fit the spec: names the rule, the line and what was found there."""


class NotProvenError(SpecError):
    """No rpm was at hand that could judge a patched spec, and a proof was asked for."""


class EngineError(SheepvirtError):
    """The container engine failed."""

    exit_code = 5


class EngineUnavailableError(EngineError):
    """No container engine answers."""


class RegistryError(EngineError):
    """An image could not be had from a registry: which, and the engine's own ``words``."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(f"{name}: {words}", hint="")
        self.name = name
        self.words = words


class BuildError(SheepvirtError):
    """A package did not build."""

    exit_code = 6


class CompileError(BuildError):
    """rpmbuild failed: carries the first real error, the log's path and how to open a shell."""


class ContractError(SheepvirtError):
    """A gate found no evidence for a declared feature; ``claims`` has those that were not seen."""

    exit_code = 7

    def __init__(self, message: str, *, hint: str = "", claims: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.claims = claims


class SshError(SheepvirtError):
    """A host could not be reached or a remote command could not be run."""

    exit_code = 8


class HostKeyChangedError(SshError):
    """The host presented another key than the pinned one."""


class HostKeyUnknownError(SshError):
    """No key of the host is pinned yet: the first contact is the user's to judge."""


class HostUnreachableError(SshError):
    """Nothing answers at the host's address, or the connection broke: it may answer later."""


class RemoteCommandError(SshError):
    """A command on the host failed."""


class BootstrapError(SheepvirtError):
    """A bootstrap step could not reach its wanted state."""

    exit_code = 9


class VerifyError(SheepvirtError):
    """Verification ran and found the host wanting."""

    exit_code = 10


class NotShownError(VerifyError):
    """A file's content cannot or must not be shown; the message says why."""


class LockedError(SheepvirtError):
    """Another run holds the lock of this target or host."""

    exit_code = 11


class PreflightError(SheepvirtError):
    """This machine or its network lacks what a target needs; found before anything was begun."""

    exit_code = 12


class BundleError(SheepvirtError):
    """A bundle is cut short, changed, or not for this target or checkout."""

    exit_code = 13


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the nearest of ``known``, else the list of what is known."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + (", ".join(choices) if choices else "(none)")
