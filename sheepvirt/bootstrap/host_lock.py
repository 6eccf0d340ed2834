"""The lock on a host: one run at a time changes it, from whichever machine.

It is a file on the host, which says who holds it, since when, from where and for what. It is taken
and given up under flock(1), so that of two runs one gets it. It survives the reboot that its run
makes. One whose run is certainly gone is taken over: its process has ended on this machine, or the
host has booted and the run had no part in that.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import full_disk, readiness
from sheepvirt.bootstrap.facts.system import BOOT_IDENTITY, boot_identity
from sheepvirt.bootstrap.steps.base import STATE
from sheepvirt.core import signals
from sheepvirt.core.errors import HostUnreachableError, LockedError, SshError
from sheepvirt.core.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sheepvirt.run import Run
    from sheepvirt.ssh.client import Connection

LOCK = f"{STATE}/lock"
HELD = 75  # exit code of `TAKE`: another run has it (EX_TEMPFAIL of sysexits.h)
SECONDS = 1800.0  # to wait for another run
# Another run takes or gives up the lock meanwhile, or flock waits for it. Their arguments are the
# lock, and the token that it must have ("" for none).
_GUARDED = """
lock=$1 expected=$2
mkdir -p "${lock%/*}" && exec 9>"$lock.guard" && flock -w 20 9 || exit 1
held=$(sed -n 's/^token //p' "$lock" 2>/dev/null)
"""
# Its standard input is the new lock, read before anybody has to wait for it. It prints the other
# one, and what the host's boot is now.
TAKE = f"""own=$(cat)
{_GUARDED}
boot=$({{ {BOOT_IDENTITY.strip()}
}} | tr '\\n' ' ')
if [ -n "$held" ] && [ "$held" != "$expected" ]; then
  cat "$lock"; echo "now $boot"
  exit {HELD}
fi
{{ echo "$own" && echo "from ${{SSH_CONNECTION%% *}}" && echo "boot $boot"; }} >"$lock.new" &&
mv -f "$lock.new" "$lock" || {{ rm -f "$lock.new"; exit 1; }}
"""
RELEASE = f"""{_GUARDED}
[ "$held" != "$expected" ] || rm -f "$lock"
"""
# For the reboot that a run makes: before it, and after it.
REBOOTS = f"[ ! -e {LOCK} ] || echo reboots >>{LOCK}"
REBOOTED = f"""
[ "$(tail -n 1 {LOCK} 2>/dev/null)" != reboots ] || {{
  boot=$({{ {BOOT_IDENTITY.strip()}
  }} | tr '\\n' ' ')
  echo "boot $boot" >>{LOCK}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of one boot of one machine."""

    machine: str  # its name and id
    boot: str  # the kernel's boot_id
    namespace: str  # of its pid
    pid: int
    started: str  # clock ticks after the boot: another process may get its pid later


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What the lock says of the run that holds it."""

    token: str
    title: str  # who, since when, from where, which command
    process: Process
    boot: str  # the host's, when it was taken or its run had rebooted the host
    reboots: bool  # its run is rebooting the host


def own_process() -> Process:
    """Return this process."""
    pid = os.getpid()
    return Process(
        machine=f"{socket.gethostname()}/{_line('/etc/machine-id')}",
        boot=_line("/proc/sys/kernel/random/boot_id"),
        namespace=str(Path("/proc/self/ns/pid").readlink()),
        pid=pid,
        started=started(pid),
    )


def started(pid: int) -> str:
    """Return when a process of this machine started; "" if there is none. See proc(5), stat."""
    fields = _line(f"/proc/{pid}/stat").rpartition(") ")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def record(token: str, command: str, process: Process, now: float) -> str:
    """Return the content of the lock of this run; the host adds where it is from, and its boot."""
    since = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))
    user = f"{getpass.getuser()}@{socket.gethostname()}"
    return (
        f"token {token}\nwho {user}\nsince {since}\ncommand {command}\nmachine {process.machine}\n"
        f"machine-boot {process.boot}\nnamespace {process.namespace}\npid {process.pid}\n"
        f"started {process.started}\n"
    )


def read(text: str) -> Holder:
    """Parse the lock. Pure."""
    rows = [line.partition(" ") for line in text.splitlines()]
    found = {key: value.strip() for key, _, value in rows}
    last = [key for key, _, _ in rows if key in {"boot", "reboots"}][-1:]
    where = f", from {found['from']}" if found.get("from") else ""
    pid = found.get("pid", "")
    return Holder(
        token=found.get("token", ""),
        title=f"{found.get('who', 'somebody')} (process {pid or '?'}{where}) since "
        f"{found.get('since', '?')}: {found.get('command', '?')}",
        process=Process(
            machine=found.get("machine", ""),
            boot=found.get("machine-boot", ""),
            namespace=found.get("namespace", ""),
            pid=int(pid) if pid.isdigit() else 0,
            started=found.get("started", ""),
        ),
        boot=boot_identity(found.get("boot", "")),
        reboots=last == ["reboots"],
    )


def stale(holder: Holder, here: Process, boot: str, started_at: Callable[[int], str]) -> str:
    """Return why the run of a lock is certainly gone; "" if it may still be there. Pure.

    ``boot`` is what the host's boot is now. Of another machine's process nothing is known.
    """
    process = holder.process
    if process.machine == here.machine and process.boot != here.boot:
        return "the machine of that run, this one, has booted since"
    if (process.machine, process.namespace) == (here.machine, here.namespace):
        gone = started_at(process.pid) != process.started
        return "that process has ended" if gone else ""
    if holder.boot != boot and not holder.reboots:
        return "the host has booted since, and that run had no part in it"
    return ""


@contextmanager
def held(
    run: Run, connection: Connection, command: str, *, seconds: float = SECONDS
) -> Iterator[None]:
    """Hold the lock of a host for this block, which may reboot it; SIGTERM gives it up as well.

    Waits at most ``seconds`` for another run. Raises LockedError, SshError, NoSpaceError (what
    failed, failed because a filesystem of the host is full).
    """
    own = own_process()
    token = secrets.token_hex(8)
    with full_disk.explained(connection):
        _take(run, connection, (token, command, own), seconds)
        connection.marking.hold(token, lambda: readiness.recover(connection, clock=run.clock))
        try:
            with signals.terminate_as_exception():
                yield
        finally:
            connection.marking.hold("")  # this need not wait for what a broken connection left
            _release(run, connection, token)


def _release(run: Run, connection: Connection, token: str) -> None:
    try:
        connection.run(["sh", "-s", "--", LOCK, token], stdin=RELEASE.encode())
    except SshError as error:
        run.progress.say(
            f"  {connection.host.name} is still locked by this run ({error.message}); the next "
            "one from this machine takes the lock over"
        )


def _take(run: Run, connection: Connection, own: tuple[str, str, Process], seconds: float) -> None:
    token, command, process = own
    name, said = connection.host.name, [""]
    content = record(token, command, process, run.clock.now()).encode()

    def ask(expected: str = "") -> str:
        """Return who holds the lock; "" if this run does now."""
        try:
            done = connection.run(
                ["sh", "-c", TAKE, "sh", LOCK, expected], stdin=content, check=False
            )
        except HostUnreachableError:
            if not said[0]:
                raise
            connection.close()  # the run that holds the lock may be rebooting the host
            connection.wait(seconds)
            return "a host that does not answer"
        if done.code == 0:
            return ""
        if done.code != HELD:
            raise SshError(
                f"{name}: the lock {LOCK} cannot be taken: {(done.stdout + done.stderr).strip()}",
                hint="is its disk read-only? it needs flock (util-linux)",
            )
        holder = read(done.stdout)
        now = next(line for line in done.stdout.splitlines() if line.startswith("now "))
        why = stale(holder, process, boot_identity(now.removeprefix("now ")), started)
        if why and not expected:
            run.progress.say(f"  {name}: the lock of {holder.title} is taken over: {why}")
            return ask(holder.token)
        if said[0] != holder.title:
            said[0] = holder.title
            run.progress.say(
                f"  waiting: {name} is locked by {holder.title} (if that run is gone: "
                f"`invoke unlock {name}`)"
            )
        return holder.title

    holder = wait_until(ask, "".__eq__, clock=run.clock, seconds=seconds, every=2.0)
    if holder:
        raise LockedError(
            f"{name} is locked by {holder}",
            hint="wait for that run to end, then run this again; if it is gone: `invoke unlock "
            f"{name}`",
        )


def remove(connection: Connection) -> str:
    """Remove the lock of a run that is gone; return what it said, "" if there was none.

    Raises LockedError: that run is alive on this machine. SshError.
    """
    name = connection.host.name
    text = connection.run(["sh", "-c", 'cat "$1" 2>/dev/null || :', "sh", LOCK]).stdout
    if not text.strip():
        return ""
    holder = read(text)
    if not stale(holder, own_process(), holder.boot, started) and _is_here(holder):
        raise LockedError(
            f"{name} is locked by {holder.title}, and that process runs on this machine",
            hint=f"let it end, or end it (Ctrl-C, or `kill {holder.process.pid}`)",
        )
    connection.run(["sh", "-s", "--", LOCK, holder.token], stdin=RELEASE.encode())
    return holder.title


def _is_here(holder: Holder) -> bool:
    here = own_process()
    there = holder.process
    return (there.machine, there.boot, there.namespace) == (here.machine, here.boot, here.namespace)
