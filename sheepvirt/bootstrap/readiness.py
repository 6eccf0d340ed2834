"""Wait until a host is ready: nothing that an earlier run began is going on there.

A run that is killed, or whose connection breaks, leaves its last command running on the host. So
do the transaction and the reboot that it began. Facts gathered meanwhile would not last, and two
writers would meet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.core.clock import SYSTEM, Clock
from sheepvirt.core.errors import BootstrapError, HostUnreachableError, SshError
from sheepvirt.core.waiting import wait_until
from sheepvirt.ssh.marked import VARIABLE

if TYPE_CHECKING:
    from sheepvirt.ssh.client import Connection

# Exists until the machine goes down (/var/run is empty after every boot; el6 has no /run).
REBOOTING = "/var/run/sheepvirt-rebooting"
# How to handle commands of a run that is gone: look only, end the session of sshd that they were
# sent over, kill them.
LOOK, CLOSE, KILL = "look", "close", "kill"
# Prints the commands of other runs, and handles them as $how says. $own is the mark of this run's.
COMMANDS = rf"""
# Field 2 of proc(5)'s stat is the name, 4 the parent.
name() {{ sed 's/^[0-9]* (\(.*\)) .*/\1/' "/proc/$1/stat" 2>/dev/null; }}
parent() {{ sed 's/^.*) . \([0-9]*\) .*/\1/' "/proc/$1/stat" 2>/dev/null; }}
session() {{
  one=$1
  while [ "${{one:-0}}" -gt 1 ]; do
    case $(name "$one") in sshd*) echo "$one"; return ;; esac
    one=$(parent "$one")
  done
}}
for file in $(grep -als '{VARIABLE}=' /proc/[0-9]*/environ); do
  pid=${{file#/proc/}} pid=${{pid%/environ}}
  case $(tr '\0' '\n' <"$file" 2>/dev/null | sed -n 's/^{VARIABLE}=//p') in
  "$own".*) continue ;;
  *".$pid") ;;
  *) continue ;;
  esac
  line=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | tr -cd '[:print:]' | cut -c 1-80)
  [ -n "$line" ] || continue
  echo "a command of another run is going on: $line"
  case $how in
  {CLOSE}) # its input ends with it
    theirs=$(session "$pid") mine=$(session $$)
    [ -z "$theirs" ] || [ "$theirs" = "$mine" ] || kill "$theirs" ;;
  {KILL}) # sshd makes each command the leader of its session
    pkill -KILL -s "$pid" || kill -KILL "$pid" ;;
  esac
done
"""
# Prints what the host is busy with. Its arguments are $own and $how. A mark of a reboot that never
# came expires after two minutes. A transaction of RPMs is never ended.
BUSY = rf"""
own=$1 how=$2
if [ -d /run/systemd/system ]; then
  state=$(systemctl is-system-running)
  case $state in running|degraded) ;; *) echo "systemd is $state" ;; esac
elif pgrep -f '^(/bin/[a-z]*sh )?/etc/(rc.d/|init.d/)?rc( |$)' >/dev/null; then
  echo "its init scripts are still being started"
fi
[ -z "$(find {REBOOTING} -mmin -2 2>/dev/null)" ] || echo "a reboot was requested"
if pgrep -x 'dnf|yum|rpm' >/dev/null 2>&1; then
  echo "a transaction of RPMs is running"
  how={LOOK}
fi
{COMMANDS}
exit 0
"""
SECONDS = 600.0  # the firmware of a machine with much memory takes minutes
CLOSE_SECONDS, KILL_SECONDS = 3.0, 120.0  # a DHCP client may take 60 of them
PLAN_SECONDS = 10.0


def settle(connection: Connection, seconds: float = SECONDS, *, clock: Clock = SYSTEM) -> None:
    """Wait until the host is up and nothing of an earlier run is going on.

    Where this run holds the host's lock, the run that began it is gone: its commands are ended.
    Raises BootstrapError (it does not end), SshError.
    """
    seconds = max(seconds, 10.0)
    start = clock.monotonic()

    def ask() -> str:
        try:
            return _busy(connection, clock.monotonic() - start)
        except HostUnreachableError:  # on its way down, or sshd is not up yet
            connection.close()
            connection.wait(max(1.0, start + seconds - clock.monotonic()))
            return "it does not answer"

    left = wait_until(ask, _is_quiet, clock=clock, seconds=seconds, every=0.3)
    if left:
        raise BootstrapError(
            f"{connection.host.name} is not ready: {left}",
            hint="wait for that or stop it there, then run this again",
        )


def recover(connection: Connection, *, clock: Clock = SYSTEM) -> None:
    """End what this run's own commands still do after their connection broke.

    Raises SshError: it does not end.
    """
    start, seconds = clock.monotonic(), KILL_SECONDS + 10
    left = wait_until(
        lambda: _busy(connection, clock.monotonic() - start),
        _is_quiet,
        clock=clock,
        seconds=seconds,
        every=0.3,
    )
    if left:
        raise SshError(
            f"{connection.host.name}: after the connection broke, {left}",
            hint="wait for that or stop it there, then run this again",
        )


def busy(connection: Connection, *, clock: Clock = SYSTEM) -> str:
    """Return what the host is still busy with after a moment, for a plan; "" if it is ready."""
    return wait_until(
        lambda: _busy(connection, 0.0), _is_quiet, clock=clock, seconds=PLAN_SECONDS, every=0.3
    )


def _busy(connection: Connection, passed: float) -> str:
    """Return what the host is busy with; end commands of a run that is gone, after some seconds.

    They may be waiting for input from a connection that nobody else will ever end.
    """
    how = LOOK
    if connection.marking.mark and passed > CLOSE_SECONDS:
        how = KILL if passed > KILL_SECONDS else CLOSE
    argv = ["sh", "-s", "--", connection.marking.mark, how]
    return connection.run(argv, stdin=BUSY.encode()).stdout.strip()


def _is_quiet(said: str) -> bool:
    return not said
