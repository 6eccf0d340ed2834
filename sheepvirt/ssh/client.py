"""The only runner of ssh; the only place that quotes for a remote shell.

One shared connection a host (OpenSSH's ControlMaster). Its master is started by us, detached: a
master that an ordinary command leaves behind could keep that command's pipes open.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from sheepvirt.core.errors import (
    HostKeyChangedError,
    HostUnreachableError,
    RemoteCommandError,
    SshError,
)
from sheepvirt.model.hosts import Host
from sheepvirt.ssh import hostkeys

OnLine = Callable[[str], None]
SSH_FAILED = 255  # ssh(1): its own exit code for an error of its own
# What ssh says -> what happened, and what to do.
UNREACHABLE = (
    ("Could not resolve hostname", "has no such address", "mend its address in the inventory"),
    (
        "Connection refused",
        "refused the SSH connection: no sshd listens there",
        "is sshd started, and is the port in the inventory right?",
    ),
    (
        "kex_exchange_identification",
        "has no sshd that answers",
        "is sshd started on the host, and is this its port?",
    ),
    (
        "timed out",
        "does not answer",
        "is the machine up, and is its address reachable from here (firewall)?",
    ),
    ("No route to host", "cannot be reached", "is its address in the inventory right?"),
)


@dataclass(frozen=True)
class Result:
    """What a command on a host came to: exit code and decoded output."""

    code: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """Runs a local command; a test puts a recorder here that refuses what was not planned."""

    def __call__(
        self, argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None
    ) -> Result:
        """Run ``argv``; hand its output to ``on_line`` line by line and return it whole."""


def quote(argv: Sequence[str]) -> str:
    """Return ``argv`` as one line for a POSIX shell: the one place where that is done."""
    return shlex.join(argv)


class Connection:
    """A host that commands can be run on, over the shared connection."""

    def __init__(self, host: Host, config: Path, runner: Runner) -> None:
        self.host = host
        self._config = config
        self._runner = runner

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | IO[bytes] = b"",
        check: bool = True,
        on_line: OnLine | None = None,
    ) -> Result:
        """Run ``argv`` on the host as root under ``LC_ALL=C``; ``on_line`` gets lines as they come.

        Raises RemoteCommandError with ``check`` and a non-zero exit; SshError and its kinds where
        the command could not be run at all.
        """
        self.open()
        words = ["env", "LC_ALL=C", *argv]
        if self.host.user != "root":
            words = ["sudo", "-n", *words]
        command = self._ssh("-o", "ControlMaster=no", self.host.name, "--", quote(words))
        with tempfile.TemporaryFile() as scratch:
            if isinstance(stdin, bytes):
                scratch.write(stdin)
                scratch.seek(0)
                stdin = scratch
            result = self._runner(command, stdin, on_line)
        # 255 may be the command's own: it is ssh's where the shared connection is gone as well.
        if result.code == SSH_FAILED and not self._alive():
            raise explain(self.host, result.stderr)
        if check and result.code:
            raise _failed(self.host, argv, result)
        return result

    def write(self, path: str, content: bytes, *, mode: int = 0o644, beside: str = ".new") -> None:
        """Write a small file, owned by root; its folder is made.

        It is written as ``path`` with ``beside`` behind it, then renamed.
        """
        script = (
            'mkdir -p "$(dirname "$1")" && cat > "$1$3" && chmod "$2" "$1$3" && mv -f "$1$3" "$1"'
        )
        self.run(["sh", "-c", script, "sh", path, f"{mode:o}", beside], stdin=content)

    def put(self, source: Path, path: str, *, on_line: OnLine | None = None) -> None:
        """Copy the file ``source`` to ``path``: holes stay holes; beside, then renamed."""
        script = (
            'rm -rf "$1.new" && mkdir -p "$1.new" && tar -xSf - -C "$1.new" '
            '&& mv -f "$1.new/$2" "$1" && rmdir "$1.new"'
        )
        self._send(source.parent, [source.name], ["sh", "-c", script, "sh", path, source.name],
                   on_line)  # fmt: skip

    def put_tree(
        self, root: Path, files: Sequence[str], path: str, *, on_line: OnLine | None = None
    ) -> None:
        """Make the folder ``path`` hold exactly ``files`` of ``root``, switched by renaming."""
        script = (
            'rm -rf "$1.new" "$1.old" && mkdir -p "$1.new" && tar -xf - -C "$1.new" '
            '&& { test ! -e "$1" || mv "$1" "$1.old"; } && mv "$1.new" "$1" && rm -rf "$1.old"'
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
        with subprocess.Popen(
            [*pack, *files], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as tar:  # fmt: skip
            assert tar.stdout is not None
            assert tar.stderr is not None
            self.run(argv, stdin=tar.stdout, on_line=on_line)
            said = tar.stderr.read().decode(errors="replace").strip()
        if tar.returncode:
            raise SshError(f"tar could not read {root} for {self.host.name}: {said}", hint="")

    def open(self) -> None:
        """Start the shared connection where none is. Raises SshError and its kinds."""
        if self._alive():
            return
        # The first ssh becomes the master and goes to the background, out of our session. Its
        # standard error is a file: a pipe that it kept would have no end. That no algorithm is in
        # common is said at level INFO only.
        argv = self._ssh("-o", "LogLevel=INFO", self.host.name, "--", "true")
        with tempfile.TemporaryFile() as errors:
            code = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                start_new_session=True,
            ).returncode  # fmt: skip
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if code:
            raise explain(self.host, said)

    def close(self) -> None:
        """End the shared connection; nothing where there is none."""
        self._control("exit")

    def wait(self, seconds: float = 60.0) -> None:
        """Wait until the host answers; the last HostUnreachableError where it does not."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.open()
            except HostUnreachableError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.3)

    def _alive(self) -> bool:
        return self._control("check") == 0

    def _control(self, command: str) -> int:
        return subprocess.run(
            self._ssh("-O", command, self.host.name), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ).returncode  # fmt: skip

    def _ssh(self, *words: str) -> list[str]:
        return ["ssh", "-F", str(self._config), *words]


def write_config(host: Host) -> Path:
    """Return an OpenSSH configuration in which the alias ``host.name`` is ``host``.

    Raises HostKeyUnknownError, HostUnreachableError (see hostkeys.write_config).
    """
    return hostkeys.write_config(host)


def connect(host: Host) -> Connection:
    """Return a connection to ``host``, opened by its first command. Raises as write_config."""
    return Connection(host, hostkeys.write_config(host), execute)


def execute(argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None) -> Result:
    """Run a local command; ``on_line`` gets each line of both outputs as it comes."""
    with subprocess.Popen(
        list(argv), stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = bytearray(), bytearray()
        reader = threading.Thread(target=_drain, args=(process.stderr, err, on_line))
        reader.start()
        try:
            _drain(process.stdout, out, on_line)
        except BaseException:
            process.terminate()  # else leaving here would wait for the command's end
            raise
        reader.join()
    return Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def _drain(stream: IO[bytes], sink: bytearray, on_line: OnLine | None) -> None:
    for line in stream:
        sink.extend(line)
        if on_line is not None:
            on_line(line.decode(errors="replace").rstrip("\n"))


def explain(host: Host, said: str) -> SshError:
    """Turn what ssh said on its standard error into the error that tells what to do."""
    where = f"{host.name} ({host.user}@{host.address})"
    last = said.strip().splitlines()[-1] if said.strip() else "it said nothing"
    if "host key is known for" in said:
        return hostkeys.unknown(host)
    if "IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said:
        return HostKeyChangedError(
            f"{where} presents another host key than the pinned one, so nothing was sent to it",
            hint=f"another machine at this address, or one in between? Find out first. If the host "
            f"was reinstalled, remove {hostkeys.folder(host) / 'known_hosts'} and run this again",
        )
    if "Unable to negotiate" in said:
        hint = (
            f"set `old_ssh = true` for {host.name} in the inventory if its sshd is as old as el6's"
        )
        if host.old_ssh:
            hint = (
                "`old_ssh` allows what el6's sshd speaks; this one wants something older: mend it"
            )
        return SshError(f"{where} and this machine's ssh have no algorithm in common: {last}",
                        hint=hint)  # fmt: skip
    if "Permission denied" in said:
        return SshError(
            f"{where} refused our key: {last}",
            hint=f"append this line to ~{host.user}/.ssh/authorized_keys there: "
            f"{hostkeys.public_key(host)}",
        )
    for sign, what, hint in UNREACHABLE:
        if sign in said:
            return HostUnreachableError(f"{where} {what}: {last}", hint=hint)
    return HostUnreachableError(
        f"the SSH connection to {where} broke: {last}",
        hint="is the machine up? Then run this again: what was done stays done",
    )


def _failed(host: Host, argv: Sequence[str], result: Result) -> RemoteCommandError:
    tail = "\n".join((result.stdout + result.stderr).splitlines()[-8:])
    if "must have a tty" in tail:  # el6's sudoers says so; there is no terminal here
        return RemoteCommandError(
            f"sudo on {host.name} refuses to run without a terminal:\n{tail}",
            hint=f"there, by visudo: `Defaults:{host.user} !requiretty`",
        )
    return RemoteCommandError(
        f"`{quote(argv)}` failed on {host.name} with exit code {result.code}:\n{tail}",
        hint="the lines above are its last ones; mend what they say and run this again",
    )
