"""A way back from new network files, on a host with SysV init: its own init script puts the former
ones back and reboots, unless we have come in after the reboot and let them go.

The init script is ``host/files/sheepvirt-network-guard.init``. systemd's hosts with network scripts
(el7) have no such guard.
"""

from __future__ import annotations

from collections.abc import Sequence

from sheepvirt.bootstrap.services import commands
from sheepvirt.bootstrap.steps.base import STATE, StepContext
from sheepvirt.core import paths
from sheepvirt.model.hosts import SYSV, Facts

KEPT = f"{STATE}/kept"
SERVICE = "sheepvirt-network-guard"
PLACE = f"/etc/init.d/{SERVICE}"
PENDING = f"{KEPT}/pending"  # the former files; an empty one for a file that was not there
BOOT = f"{PENDING}/boot"  # during which the new ones were written
# What waits already is older than what is there now: a run was cut off before its reboot.
SET = r"""
pending=$1 boot=$2; shift 2
mkdir -p "$pending"
for file; do
  former=$pending/${file##*/}
  if [ -e "$former" ]; then :
  elif [ -e "$file" ]; then cp -p "$file" "$former"
  else : >"$former"; fi
done
echo "$boot" >"$pending/boot"
"""


def set_up(facts: Facts, context: StepContext, files: Sequence[str]) -> None:
    """Let the guard wait for the next boot, with what is in ``files`` now."""
    if facts.init != SYSV:
        return
    script = paths.HOST / "files" / f"{SERVICE}.init"
    context.connection.write(PLACE, script.read_bytes(), mode=0o755)
    for argv in commands(facts.init, "enable", SERVICE):
        context.run(*argv)
    context.run("sh", "-c", SET, "sh", PENDING, facts.boot, *files)


def let_go(context: StepContext) -> None:
    """Tell the guard that the host has been seen with its new files."""
    context.run("rm", "-rf", PENDING)
