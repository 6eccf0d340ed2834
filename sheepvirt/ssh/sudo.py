"""Become root on a host by sudo, with a password where its policy wants one.

The password goes to ``sudo -S`` as the first line of standard input, and the command's own input
follows. Whether sudo reads that line is up to sudo: not where it has just seen the password, or
where a rule needs none. So a mark follows the password, and a small script, started by sudo, drops
all lines up to the mark before the command runs. Neither sudo nor a shell reads more from a pipe
than its line.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.core import processes
from sheepvirt.core.errors import (
    NoSudoError,
    NoSudoRightsError,
    SudoError,
    SudoPasswordError,
    SudoTerminalError,
)
from sheepvirt.core.secret import Secret

if TYPE_CHECKING:
    from sheepvirt.core.processes import Result
    from sheepvirt.model.hosts import Host

# Asks the user for a password, given the prompt; None: there is nobody to ask.
Ask = Callable[[str], str | None]
# Runs words on a host, with a secret as its standard input.
RunThere = Callable[[Sequence[str], Secret], "Result"]

ENGLISH = ("env", "LC_ALL=C")
# What is left out by ``-k``: a password that sudo has just seen. So the answer is the policy's, and
# does not change in the middle of a run.
PROBE = (*ENGLISH, "sudo", "-k", "-n", *ENGLISH, "true")
TRIAL = (*ENGLISH, "sudo", "-k", "-S", "-p", "", *ENGLISH, "true")
DROP = 'for n in 1 2; do IFS= read -r l; [ "$l" = "$0" ] && exec "$@"; done; exit 125'
TRIES = 3  # on a terminal, as sudo's own default
COMMAND_SECONDS = 120.0  # for sudo_password_command: somebody may have to touch a key

# Names, for a child process, an open file from which a password is read once.
PASSWORD_FILE = "SHEEPVIRT_PASSWORD_FILE"

NO_RIGHTS = ("is not in the sudoers file", "is not allowed to execute", "may not run sudo")
NO_PASSWORD = (
    "a password is required",
    "no password was provided",
    "incorrect password attempt",
    "no tty present and no askpass program",  # sudo 1.8
    "a terminal is required to read the password",  # sudo 1.9
)
NO_TERMINAL = "must have a tty"
ABSENT = 127  # the exit code for a program that is not there, in whatever language env says so


@dataclass(frozen=True, kw_only=True)
class Root:
    """How commands of one host become root's."""

    sudo: bool
    password: Secret | None = None
    mark: str = ""  # the line between the password and the command's own input

    def words(self, argv: Sequence[str]) -> list[str]:
        """Return the words that run ``argv`` as root under ``LC_ALL=C``."""
        if not self.sudo:
            return [*ENGLISH, *argv]
        if self.password is None:
            return [*ENGLISH, "sudo", "-n", *ENGLISH, *argv]
        return [*ENGLISH, "sudo", "-S", "-p", "", *ENGLISH, "sh", "-c", DROP, self.mark, *argv]

    @property
    def first(self) -> Secret | None:
        """What standard input must start with."""
        return Secret(f"{self.password.text}\n{self.mark}\n") if self.password else None


ROOT = Root(sudo=False)


class Sudo:
    """The hosts' ways to root, each learnt once a run; passwords stay in memory."""

    def __init__(
        self, ask: Ask = lambda _: None, passwords: Mapping[str, Secret] | None = None
    ) -> None:
        """Ask for passwords by ``ask``; ``passwords`` are known already, by the host's name."""
        self._ask = ask
        self._given = dict(passwords or {})
        self._roots: dict[str, Root] = {}

    def root(self, host: Host, user: str, run: RunThere) -> Root:
        """Return how ``user`` becomes root on ``host``. Raises SudoError and its kinds."""
        if user == "root":
            return ROOT
        if host.name not in self._roots:
            self._roots[host.name] = self._learn(host, user, run)
        return self._roots[host.name]

    def password(self, host: Host) -> Secret | None:
        """Return the password that sudo wants on ``host``, once it is known."""
        return self._roots.get(host.name, ROOT).password

    def _learn(self, host: Host, user: str, run: RunThere) -> Root:
        done = run(PROBE, Secret(""))
        if done.code == 0:
            return Root(sudo=True)
        error = explain(host, user, done)
        if not isinstance(error, SudoPasswordError):
            raise error
        for password in self._passwords(host, user):
            done = run(TRIAL, Secret(f"{password.text}\n"))
            if done.code == 0:
                return Root(sudo=True, password=password, mark=f"mark-{secrets.token_hex(16)}")
            error = explain(host, user, done, tried=True)
            if not isinstance(error, SudoPasswordError):
                break
        raise error

    def _passwords(self, host: Host, user: str) -> Iterator[Secret]:
        if host.name in self._given:
            yield self._given[host.name]
        elif host.sudo_password_command:
            yield from_command(host)
        else:
            for _ in range(TRIES):
                answer = self._ask(f"password of {user} for sudo on {host.name}: ")
                if answer is None:
                    return
                yield Secret(answer)


def from_command(host: Host) -> Secret:
    """Return the first line that the host's ``sudo_password_command`` prints.

    It runs on this machine, without a terminal. Raises SudoPasswordError.
    """
    argv = host.sudo_password_command
    done = processes.run(argv, seconds=COMMAND_SECONDS)
    password = Secret(done.stdout.partition("\n")[0])
    if done.code or not password.text:
        said = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise SudoPasswordError(
            f"`{argv[0]}`, the first word of {host.name}'s sudo_password_command, gave no "
            f"password (exit code {done.code}): {said}",
            hint="make the command print the password as its first line; it has no terminal",
        )
    return password


def explain(host: Host, user: str, done: Result, *, tried: bool = False) -> SudoError:
    """Return the error for a probe; ``tried``: sudo was given a password. Pure."""
    if done.code == ABSENT:
        place = f"User root for {host.ssh!r} in ~/.ssh/config" if host.ssh else '`user = "root"`'
        return NoSudoError(
            f"there is no sudo on {host.name}, and {user!r} is not root",
            hint=f"install sudo there, or set {place}",
        )
    error = recognise(host, user, done.stderr, tried=tried)
    if error is None:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        error = SudoError(
            f"sudo on {host.name} did not run a command for {user!r} (exit code {done.code}): "
            f"{said[-1] if said else 'it printed nothing'}",
            hint=f"make `ssh {host.ssh or host.name}` and `sudo true` there succeed",
        )
    return error


def recognise(host: Host, user: str, said: str, *, tried: bool = False) -> SudoError | None:
    """Return the error for sudo's own message in ``said``; None if there is none. Pure."""

    def line(*signs: str) -> str:
        return next((x.strip() for x in said.splitlines() if any(s in x for s in signs)), "")

    rule = f"add this line there with visudo: `{user} ALL=(ALL) ALL`"
    if found := line(*NO_RIGHTS):
        return NoSudoRightsError(
            f"sudo on {host.name} gives {user!r} no right to run commands as root: {found}",
            hint=rule,
        )
    if line(NO_TERMINAL):
        return SudoTerminalError(
            f"sudo on {host.name} refuses to run without a terminal",
            hint=f"add this line there with visudo: `Defaults:{user} !requiretty`",
        )
    if line(*NO_PASSWORD) and tried:
        return SudoPasswordError(
            f"sudo on {host.name} did not accept the password of {user!r}",
            hint=f"run `sudo -k true` there as {user} to see which password it accepts",
        )
    if line(*NO_PASSWORD):
        return SudoPasswordError(
            f"sudo on {host.name} wants a password of {user!r}, and there is no terminal to ask "
            "for it",
            hint=f'set `sudo_password_command = ["pass", "show", "{host.name}"]` (a command that '
            f"prints it) for {host.name} in the inventory, or run the command on a terminal",
        )
    return None
