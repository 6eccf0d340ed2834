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
    HostUnreachableError,
    OutputLimitError,
    RemoteCommandError,
    SshError,
)
from sheepvirt.core.waiting import wait_until
from sheepvirt.ssh import hostkeys, login
from sheepvirt.ssh import route as routes
from sheepvirt.ssh.marked import Marking, marked
from sheepvirt.ssh.sent import Sent
from sheepvirt.ssh.sudo import ENGLISH, Sudo, recognise

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.processes import OnLine, Result
    from sheepvirt.core.secret import Secret
    from sheepvirt.core.settings import Settings
    from sheepvirt.model.hosts import Host
    from sheepvirt.ssh.route import Route
    from sheepvirt.ssh.sudo import Root

SAID = 1 << 16  # bytes of ssh's own output that are looked at
SSH_FAILED = 255  # ssh(1): the exit code for an error of ssh itself


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
        self,
        settings: Settings,
        host: Host,
        route: Route,
        runner: Runner,
        clock: Clock = SYSTEM,
        *,
        sudo: Sudo | None = None,
        sent: Sent | None = None,
    ) -> None:
        self.host = host
        self._sent = sent or Sent(lambda _line: None)
        self._settings = settings
        self._clock = clock
        self._route = route
        self._runner = runner
        self._sudo = sudo or Sudo()
        self._start_line = f"@@{secrets.token_hex(8)}"
        self.marking = Marking()

    def rebooted(self) -> None:
        """Note that the host has rebooted: what may have been going on there is not."""
        self.marking.rebooted()
        self._sent.forget(self.host.name)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | IO[bytes] = b"",
        check: bool = True,
        on_line: OnLine | None = None,
    ) -> Result:
        """Run ``argv`` on the host as root under ``LC_ALL=C``; ``on_line`` gets each output line.

        Raises RemoteCommandError (a non-zero exit, with ``check``), SshError and its kinds (the
        command could not be run).
        """
        self.marking.end_leftovers()
        root = self.open()
        with tempfile.TemporaryFile() as scratch:
            if isinstance(stdin, bytes):
                scratch.write(stdin)
                scratch.seek(0)
                stdin = scratch
            line, words = quote(argv), marked(root.words(argv), self.marking.mark)
            if first := root.first:
                with processes.following(first, stdin) as both:
                    result = self._there(words, both, on_line, line)
            else:
                result = self._there(words, stdin, on_line, line)
        if check and result.code:
            raise self._failed(argv, result, root)
        return result

    def _plainly(self, words: Sequence[str], stdin: Secret) -> Result:
        """Run ``words`` as the user who logs in, with ``stdin`` as their standard input."""
        with tempfile.TemporaryFile() as rest, processes.following(stdin, rest) as given:
            return self._there(words, given, None, quote(words))

    def _there(
        self, words: Sequence[str], stdin: IO[bytes], on_line: OnLine | None, logged: str
    ) -> Result:
        """Run ``words`` on the host, as the user who logs in. Raises SshError: ssh failed.

        ``logged`` is what the log says of it.
        """
        # This line ends what the login shell printed first; exec leaves it no time for last words.
        line = f"echo {self._start_line}; exec {quote(words)}"
        command = self._ssh("-o", "ControlMaster=no", command=line)
        with self._sent.command(self.host.name, logged, self._clock) as ended:
            result = self._runner(command, stdin, on_line and self._without_start(on_line))
            # 255 may be the command's exit code. It is ssh's if the shared connection is gone as
            # well.
            if result.code < 0 or (result.code == SSH_FAILED and not self._alive()):
                self.marking.broke()
                raise self._broken(result)
            ended(result.code)
        result = replace(result, stdout=self._after_start(result.stdout))
        if result.dropped:
            raise _too_much(self.host, words, result)
        return result

    def _broken(self, result: Result) -> SshError:
        """Return the error for an ssh that failed, or was ended here by a signal."""
        if result.code < 0:
            return login.broke(self._route, _killed(result.code))
        if self._start_line in result.stdout:
            # What is on standard error is the command's as well as ssh's.
            return login.broke(self._route, "a command was running")
        return explain(self._settings, self.host, self._route, result.stderr)

    def _after_start(self, text: str) -> str:
        before, mark, after = text.partition(f"{self._start_line}\n")
        return after if mark else before

    def _without_start(self, on_line: OnLine) -> OnLine:
        def show(text: str) -> None:
            shown = text.removesuffix(self._start_line)
            if shown or text != self._start_line:
                on_line(shown)

        return show

    def write(self, path: str, content: bytes, *, mode: int = 0o644, suffix: str = ".new") -> None:
        """Write a small file, owned by root; make its folder.

        It is written to ``path`` with ``suffix``, then renamed; a failure leaves the former file.
        """
        script = (
            'mkdir -p "$(dirname "$1")" && cat > "$1$3" && chmod "$2" "$1$3" && mv -f "$1$3" "$1" '
            '|| { rm -f "$1$3"; exit 1; }'
        )
        self.run(["sh", "-c", script, "sh", path, f"{mode:o}", suffix], stdin=content)

    def put(self, source: Path, path: str, *, on_line: OnLine | None = None) -> None:
        """Copy the file ``source`` to ``path``, sparse, and whole or not at all."""
        script = (
            'rm -rf "$1.new" && mkdir -p "$1.new" && tar -xSf - -C "$1.new" '
            '&& mv -f "$1.new/$2" "$1" && rmdir "$1.new" || { rm -rf "$1.new"; exit 1; }'
        )
        self._send(
            source.parent, [source.name], ["sh", "-c", script, "sh", path, source.name], on_line
        )

    def put_tree(
        self, root: Path, files: Sequence[str], path: str, *, on_line: OnLine | None = None
    ) -> None:
        """Replace the folder ``path`` by ``files`` of ``root``, by renaming."""
        script = (
            'rm -rf "$1.new" "$1.old" && mkdir -p "$1.new" && tar -xf - -C "$1.new" '
            '&& { test ! -e "$1" || mv "$1" "$1.old"; } && mv "$1.new" "$1" && rm -rf "$1.old" '
            '|| { test -e "$1" || test ! -e "$1.old" || mv "$1.old" "$1"; '
            'rm -rf "$1.new"; exit 1; }'
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

    def open(self) -> Root:
        """Start the shared connection if there is none; return how commands become root's.

        A password for sudo is asked for, once a run. Raises SshError and its kinds.
        """
        if not self._alive():
            self._start()
        return self._sudo.root(self.host, self._route.user, self._plainly)

    def _start(self) -> None:
        # The first ssh leaves the master running in the background. ssh reports a missing common
        # algorithm only at level INFO.
        code, said = self._login("-o", "LogLevel=INFO")
        if code == SSH_FAILED and self._route.jump:
            # A master throws away what its jump host's ssh says.
            alone = ("-o", "ControlPath=none", "-o", "ControlPersist=no")
            again, more = self._login("-o", "LogLevel=INFO", *alone)
            said = more if again == SSH_FAILED else said
        if code == SSH_FAILED:
            raise explain(self._settings, self.host, self._route, said)
        if code < 0:
            raise login.broke(self._route, _killed(code))
        if code:
            self.close()
            raise login.no_shell(self.host, self._route, said)

    def _login(self, *options: str) -> tuple[int, str]:
        """Log in once; return ssh's exit code and what it printed."""
        with tempfile.TemporaryFile() as output:
            code = processes.run_leaving([*ENGLISH, *self._ssh(*options, command="true")], output)
            output.seek(max(0, output.seek(0, os.SEEK_END) - SAID))
            return code, output.read().decode(errors="replace")

    def close(self) -> None:
        """End the shared connection, if there is one."""
        self._control("exit")

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until the host answers. Raises the last HostUnreachableError: it does not."""

        def connected() -> bool:
            self.open()
            return True

        wait_until(
            connected,
            bool,
            clock=self._clock,
            seconds=seconds,
            every=0.3,
            tolerate=(HostUnreachableError,),
        )

    def _alive(self) -> bool:
        return self._control("check") == 0

    def _control(self, command: str) -> int:
        return processes.run(self._ssh("-O", command)).code

    def _ssh(self, *options: str, command: str = "") -> list[str]:
        """Return ssh's command line. Of an option that comes twice, ssh takes the first."""
        route = self._route
        line = ["ssh", *options, *route.options, route.destination]
        return [*line, "--", command] if command else line

    def _failed(self, argv: Sequence[str], result: Result, root: Root) -> SshError:
        if root.sudo and (
            error := recognise(
                self.host, self._route.user, result.stderr, tried=root.password is not None
            )
        ):
            return error
        tail = "\n".join((result.stdout + result.stderr).splitlines()[-8:])
        return RemoteCommandError(
            f"`{quote(argv)}` failed on {self.host.name} with exit code {result.code}:\n{tail}",
            hint="fix what these last lines say, then run this again",
        )


def _killed(code: int) -> str:
    return f"ssh was ended here, by signal {-code}"


def _too_much(host: Host, words: Sequence[str], result: Result) -> OutputLimitError:
    return OutputLimitError(
        f"`{quote(words)[:200]}` on {host.name} printed {result.dropped >> 20} MiB more than the "
        f"{processes.KEPT >> 20} MiB that are kept, and ended with exit code {result.code}",
        hint="look at what it prints there; does the login shell print without end (.bashrc)?",
    )


def write_config(settings: Settings, host: Host) -> Path | None:
    """Write an OpenSSH configuration with the alias ``host.name`` for ``host``; return its path.

    None: the host is reached by an alias of the user's own configuration. Raises
    HostKeyUnknownError, HostUnreachableError (see hostkeys.write_config).
    """
    return None if host.ssh else hostkeys.write_config(settings, host)


def connect(
    settings: Settings,
    host: Host,
    clock: Clock = SYSTEM,
    *,
    sudo: Sudo | None = None,
    sent: Sent | None = None,
) -> Connection:
    """Return a connection to ``host``; its first command opens it. Raises as route.find.

    ``sent`` gets every command.
    """
    route = routes.find(settings, host)
    return Connection(settings, host, route, execute, clock, sudo=sudo, sent=sent)


def execute(argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None) -> Result:
    """Run ssh here; ``on_line`` gets each line of standard output and standard error."""
    return processes.run(argv, stdin=stdin or b"", on_line=on_line)


def explain(settings: Settings, host: Host, route: Route, said: str) -> SshError:
    """Turn ssh's standard error into an error with a hint."""
    if host.ssh:
        return login.explain(host, route, said)
    if "host key is known for" in said:
        return hostkeys.unknown(settings, host)
    key = hostkeys.public_key(settings, host) if "Permission denied" in said else ""
    known = hostkeys.known_hosts(settings, host)
    return login.explain(host, route, said, key=key, known=known)
