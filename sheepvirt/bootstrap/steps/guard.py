"""Guard of changes that could cut a host off: they count only once the host was reached again.

Before such a change the former state is kept on the host, and a program there waits. The next
login over a new connection disarms it. If none comes, the former state comes back by itself:

- network files, which count from the next boot: a service puts them back and reboots;
- the running switch: a process of its own, which outlives the connection, puts it back.

The program is ``host/files/network-guard.sh``. It runs under systemd and SysV init.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.service_commands import commands
from sheepvirt.bootstrap.steps.base import STATE, DesiredState, StepContext
from sheepvirt.core.errors import BootstrapError, HostUnreachableError, SheepvirtError
from sheepvirt.model.enums import Init

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.model.hosts import Host

KEPT = f"{STATE}/kept"
SERVICE = "sheepvirt-network-guard"
SCRIPT = "/usr/local/lib/sheepvirt/network-guard.sh"
LOG = f"/var/log/{SERVICE}.log"
PLACES = {
    Init.SYSV: (f"{SERVICE}.init", f"/etc/init.d/{SERVICE}", 0o755),
    Init.SYSTEMD: (f"{SERVICE}.service", f"/etc/systemd/system/{SERVICE}.service", 0o644),
}
PENDING = f"{KEPT}/pending"  # the former files; an empty one for a file that did not exist
BOOT = f"{PENDING}/boot"  # the boot during which the new ones were written
LIVE = f"{KEPT}/live/seconds"  # exists as long as a change of the switch is being watched
BOOT_SECONDS = 240  # of network-guard.sh
LIVE_SECONDS = 120  # an interface's DHCP client may take 60 of them
TOO_LATE = 3  # network-guard.sh disarm
# A pending file is older than the current one (a run was interrupted before its reboot): keep it.
# A copy that is not whole (a full disk) must not be there: it would be put back.
SET = r"""
set -e
pending=$1 boot=$2; shift 2
mkdir -p "$pending"
rm -f "$pending"/*.new
for file; do
  former=$pending/${file##*/}
  if [ -e "$former" ]; then :
  elif [ -e "$file" ]; then
    cp -p "$file" "$former.new" || { rm -f "$former.new"; exit 1; }
    mv "$former.new" "$former"
  else : >"$former"; fi
done
echo "$boot" >"$pending/boot.new" || { rm -f "$pending/boot.new"; exit 1; }
mv "$pending/boot.new" "$pending/boot"
"""
KEEP_SWITCH = f'[ -s "$1/switch" ] || sh {SCRIPT} keep-switch "$@" || true'


def arm_for_boot(
    wanted: DesiredState, facts: Facts, context: StepContext, files: Sequence[str]
) -> None:
    """Arm the guard for the next boot, with the current content of ``files``."""
    _install(wanted, facts, context)
    context.run("sh", "-c", SET, "sh", PENDING, facts.boot, *files)
    host = wanted.host
    context.run("sh", "-c", KEEP_SWITCH, "sh", PENDING, host.bridge, host.uplink)


def let_go(context: StepContext) -> None:
    """Disarm the guard of network files: the host was reached with its new files."""
    context.connection.close()  # an older connection may live on over the former path
    context.run("rm", "-rf", PENDING)


def let_live_go(context: StepContext) -> None:
    """Disarm the guard of a switch that an interrupted run has left armed."""
    context.connection.close()
    context.run("sh", SCRIPT, "disarm", check=False)


def _install(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    files = wanted.host_files.files
    source, place, mode = PLACES[Init.SYSV if facts.init == Init.SYSV else Init.SYSTEMD]
    context.connection.write(SCRIPT, files["network-guard.sh"])
    context.connection.write(place, files[source], mode=mode)
    if facts.init != Init.SYSV:
        context.run("systemctl", "daemon-reload")
    for argv in commands(facts.init, "enable", SERVICE):
        context.run(*argv)


@contextlib.contextmanager
def watched(wanted: DesiredState, facts: Facts, context: StepContext) -> Iterator[None]:
    """Change the running switch in the body, such that the host cannot be lost.

    Afterwards the host must be reached over a new connection. Else, or if the body fails, it puts
    its former switch, addresses and routes back. Raises BootstrapError, and what the body raises.
    """
    host, clock = wanted.host, context.work.clock
    _install(wanted, facts, context)
    deadline = clock.monotonic() + LIVE_SECONDS
    context.run("sh", SCRIPT, "arm", str(LIVE_SECONDS), host.bridge, host.uplink)
    try:
        yield
    except HostUnreachableError:
        pass  # the change itself has cut the connection: it may still be for good
    except SheepvirtError:
        with contextlib.suppress(SheepvirtError):  # else its own watch does it
            context.run("sh", SCRIPT, "put-back")
        raise
    context.connection.close()
    try:
        context.connection.wait(max(1.0, deadline - clock.monotonic() - 5))
        result = context.run("sh", SCRIPT, "disarm", check=False)
    except HostUnreachableError as error:
        raise _lost(host, context, max(0.0, deadline - clock.monotonic())) from error
    if result.code:
        raise _put_back(host)


def _lost(host: Host, context: StepContext, seconds: float) -> BootstrapError:
    """Wait until the host has put its former switch back; return the error that says so."""
    context.progress.say(
        f"  {host.name} does not answer after the change of its switch; it puts the former one "
        f"back within {seconds:.0f} s"
    )
    context.connection.close()
    try:
        context.work.clock.sleep(seconds)
        context.connection.wait(60.0)
        context.run("test", "!", "-e", LIVE)
    except SheepvirtError:
        return BootstrapError(
            f"{host.name} does not answer since {host.bridge} was changed",
            hint=f"look at its console: {LOG} there says whether the former switch came back",
        )
    return _put_back(host)


def _put_back(host: Host) -> BootstrapError:
    return BootstrapError(
        f"{host.name} could not be reached with the changed {host.bridge} within {LIVE_SECONDS} s: "
        "it has put its former switch, addresses and routes back",
        hint="check the uplink, its cable and the address (DHCP or static) in the inventory; "
        f"{LOG} there has the times",
    )
