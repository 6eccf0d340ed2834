"""Run commands on a host over ssh. Only this module runs ssh and quotes for a remote shell.

Each host has one shared connection (OpenSSH's ControlMaster). Its master is started separately and
detached: a master that an ordinary command leaves behind could keep that command's pipes open.
"""

from __future__ import annotations

import os
import secrets
import shlex
import tempfile
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Protocol

from sheepvirt.core import processes
from sheepvirt.core.clock import SYSTEM, Clock
from sheepvirt.core.errors import (
    HostKeyChangedError,
    HostUnreachableError,
    OutputLimitError,
    RemoteCommandError,
    SshError,
)
from sheepvirt.core.waiting import wait_until
from sheepvirt.ssh import hostkeys

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.processes import OnLine, Result
    from sheepvirt.core.settings import Settings
    from sheepvirt.model.hosts import Host

SSH_FAILED = 255  # ssh(1): the exit code for an error of ssh itself
SAID = 1 << 16  # bytes of ssh's output that are looked at
# A part of ssh's message, what happened, and what to do.
UNREACHABLE = (
    ("Could not resolve hostname", "has no such address", "correct its address in the inventory"),
    (
        "Connection refused",
        "refused the SSH connection: no sshd listens there",
        "start sshd there, or correct the port in the inventory",
    ),
    (
        "kex_exchange_identification",
        "has no sshd that answers",
        "start sshd there, or correct the port in the inventory",
    ),
    (
        "timed out",
        "does not answer",
        "check that the machine is up and that no firewall blocks its address",
    ),
    ("No route to host", "cannot be reached", "check its address in the inventory"),
)


class Runner(Protocol):
    """Runs a local command. Tests pass a recorder that refuses unplanned commands."""

    def __call__(
        self, argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None
    ) -> Result:
        """Run ``argv``; pass each output line to ``on_line`` and return the whole output."""


def quote(argv: Sequence[str]) -> str:
    """Quote ``argv`` as one line for a POSIX shell. Nothing else quotes."""
    return shlex.join(argv)


class Connection:
    """A host on which commands are run over the shared connection."""

    def __init__(
        self, settings: Settings, host: Host, config: Path, runner: Runner, clock: Clock = SYSTEM
    ) -> None:
        self.host = host
        self._settings = settings
        self._clock = clock
        self._config = config
        self._runner = runner
        self._mark = f"@@{secrets.token_hex(8)}"

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | IO[bytes] = b"",
        check: bool = True,
        on_line: OnLine | None = None,
    ) -> Result:
        """Run ``argv`` on the host as root under ``LC_ALL=C``; ``on_line`` gets each output line.

        What the login shell prints by itself is not in the result. Raises RemoteCommandError (a
        non-zero exit, with ``check``), OutputLimitError, SshError and its kinds (the command could
        not be run).
        """
        self.open()
        words = ["env", "LC_ALL=C", *argv]
        if self.host.user != "root":
            words = ["sudo", "-n", *words]
        # The mark ends what the login shell printed first; exec leaves it no time for last words.
        line = f"echo {self._mark}; exec {quote(words)}"
        command = self._ssh("-o", "ControlMaster=no", self.host.name, "--", line)
        with tempfile.TemporaryFile() as scratch:
            if isinstance(stdin, bytes):
                scratch.write(stdin)
                scratch.seek(0)
                stdin = scratch
            result = self._runner(command, stdin, on_line and self._unmarked(on_line))
        result = replace(result, stdout=self._after_mark(result.stdout))
        # 255 may be the command's exit code. It is ssh's if the shared connection is gone as well.
        if result.code == SSH_FAILED and not self._alive():
            raise explain(self._settings, self.host, result.stderr)
        if result.dropped:
            raise _too_much(self.host, argv, result)
        if check and result.code:
            raise _failed(self.host, argv, result)
        return result

    def _after_mark(self, text: str) -> str:
        before, mark, after = text.partition(f"{self._mark}\n")
        return after if mark else before

    def _unmarked(self, on_line: OnLine) -> OnLine:
        def show(text: str) -> None:
            shown = text.removesuffix(self._mark)
            if shown or text != self._mark:
                on_line(shown)

        return show

    def write(self, path: str, content: bytes, *, mode: int = 0o644, suffix: str = ".new") -> None:
        """Write a small file, owned by root; make its folder.

        It is written to ``path`` with ``suffix``, then renamed.
        """
        script = (
            'mkdir -p "$(dirname "$1")" && cat > "$1$3" && chmod "$2" "$1$3" && mv -f "$1$3" "$1"'
        )
        self.run(["sh", "-c", script, "sh", path, f"{mode:o}", suffix], stdin=content)

    def put(self, source: Path, path: str, *, on_line: OnLine | None = None) -> None:
        """Copy the file ``source`` to ``path``, sparse, and whole or not at all."""
        script = (
            'rm -rf "$1.new" && mkdir -p "$1.new" && tar -xSf - -C "$1.new" '
            '&& mv -f "$1.new/$2" "$1" && rmdir "$1.new" || { rm -rf "$1.new"; exit 1; }'
        )
        self._send(source.parent, [source.name], ["sh", "-c", script, "sh", path, source.name],
                   on_line)  # fmt: skip

    def put_tree(
        self, root: Path, files: Sequence[str], path: str, *, on_line: OnLine | None = None
    ) -> None:
        """Replace the folder ``path`` by ``files`` of ``root``, by renaming."""
        script = (
            'rm -rf "$1.new" "$1.old" && mkdir -p "$1.new" && tar -xf - -C "$1.new" '
            '&& { test ! -e "$1" || mv "$1" "$1.old"; } && mv "$1.new" "$1" && rm -rf "$1.old" '
            '|| { rm -rf "$1.new"; exit 1; }'
        )
        self._send(root, files, ["sh", "-c", script, "sh", path], on_line)

    def _send(
        self, root: Path, files: Sequence[str], argv: Sequence[str], on_line: OnLine | None
    ) -> None:
        pack = [
            "tar",
            "--sparse",
            "--owner=root",
            "--group=root",
            "-C",
            str(root),
            "-cf",
            "-",
            "--",
        ]
        with processes.producer([*pack, *files]) as tar:
            self.run(argv, stdin=tar.stdout, on_line=on_line)
        if tar.code:
            raise SshError(f"tar could not read {root} for {self.host.name}: {tar.stderr}")

    def open(self) -> None:
        """Start the shared connection if there is none. Raises SshError and its kinds."""
        if self._alive():
            return
        # The first ssh leaves the master running in the background. ssh reports a missing common
        # algorithm only at level INFO.
        argv = self._ssh("-o", "LogLevel=INFO", self.host.name, "--", "true")
        with tempfile.TemporaryFile() as output:
            code = processes.run_leaving(argv, output)
            output.seek(max(0, output.seek(0, os.SEEK_END) - SAID))
            said = output.read().decode(errors="replace")
        if code:
            raise explain(self._settings, self.host, said)

    def close(self) -> None:
        """End the shared connection, if there is one."""
        self._control("exit")

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until the host answers. Raises the last HostUnreachableError: it does not."""

        def connected() -> bool:
            self.open()
            return True

        wait_until(
            connected, bool, clock=self._clock, seconds=seconds, every=0.3,
            tolerate=(HostUnreachableError,),
        )  # fmt: skip

    def _alive(self) -> bool:
        return self._control("check") == 0

    def _control(self, command: str) -> int:
        return processes.run(self._ssh("-O", command, self.host.name)).code

    def _ssh(self, *words: str) -> list[str]:
        return ["ssh", "-F", str(self._config), *words]


def write_config(settings: Settings, host: Host) -> Path:
    """Write an OpenSSH configuration with the alias ``host.name`` for ``host``; return its path.

    Raises HostKeyUnknownError, HostUnreachableError (see hostkeys.write_config).
    """
    return hostkeys.write_config(settings, host)


def connect(settings: Settings, host: Host, clock: Clock = SYSTEM) -> Connection:
    """Return a connection to ``host``; its first command opens it. Raises as write_config."""
    return Connection(settings, host, hostkeys.write_config(settings, host), execute, clock)


def execute(argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None) -> Result:
    """Run ssh here; ``on_line`` gets each line of standard output and standard error."""
    return processes.run(argv, stdin=stdin or b"", on_line=on_line)


def explain(settings: Settings, host: Host, said: str) -> SshError:
    """Turn ssh's standard error into an error with a hint."""
    where = f"{host.name} ({host.user}@{host.address})"
    known = hostkeys.folder(settings, host) / "known_hosts"
    last = said.strip().splitlines()[-1] if said.strip() else "ssh printed nothing"
    if "host key is known for" in said:
        return hostkeys.unknown(settings, host)
    if "IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said:
        return HostKeyChangedError(
            f"{where} presents another host key than the pinned one, so nothing was sent to it",
            hint="find out whether another machine answers at this address. If the host was "
            f"reinstalled, remove {known} and run this again",
        )
    if "Unable to negotiate" in said:
        hint = (
            f"set `old_ssh = true` for {host.name} in the inventory if its sshd is as old as el6's"
        )
        if host.old_ssh:
            hint = (
                "update its sshd: `old_ssh` allows el6's algorithms, and this one needs older ones"
            )
        return SshError(f"{where} and this machine's ssh have no algorithm in common: {last}",
                        hint=hint)  # fmt: skip
    if "Permission denied" in said:
        return SshError(
            f"{where} refused sheepvirt's key: {last}",
            hint=f"append this line to ~{host.user}/.ssh/authorized_keys there: "
            f"{hostkeys.public_key(settings, host)}",
        )
    for sign, what, hint in UNREACHABLE:
        if sign in said:
            return HostUnreachableError(f"{where} {what}: {last}", hint=hint)
    return HostUnreachableError(
        f"the SSH connection to {where} broke: {last}",
        hint="check that the machine is up, then run this again",
    )


def _too_much(host: Host, argv: Sequence[str], result: Result) -> OutputLimitError:
    return OutputLimitError(
        f"`{quote(argv)[:200]}` on {host.name} printed {result.dropped >> 20} MiB more than the "
        f"{processes.KEPT >> 20} MiB that are kept, and ended with exit code {result.code}",
        hint="look at what it prints there; does the login shell print without end (.bashrc)?",
    )


def _failed(host: Host, argv: Sequence[str], result: Result) -> RemoteCommandError:
    tail = "\n".join((result.stdout + result.stderr).splitlines()[-8:])
    if "must have a tty" in tail:  # el6's sudoers says so; there is no terminal here
        return RemoteCommandError(
            f"sudo on {host.name} refuses to run without a terminal:\n{tail}",
            hint=f"add this line there with visudo: `Defaults:{host.user} !requiretty`",
        )
    return RemoteCommandError(
        f"`{quote(argv)}` failed on {host.name} with exit code {result.code}:\n{tail}",
        hint="fix what these last lines say, then run this again",
    )
