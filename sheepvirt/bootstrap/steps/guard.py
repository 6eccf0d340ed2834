"""Guard of new network files on a host with SysV init.

Its init script restores the former files and reboots, unless sheepvirt could connect after the
reboot and disarmed it. The script is ``host/files/sheepvirt-network-guard.init``. Hosts with
systemd and network scripts (el7) have no such guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.service_commands import commands
from sheepvirt.bootstrap.steps.base import STATE, DesiredState, StepContext
from sheepvirt.model.enums import Init

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

KEPT = f"{STATE}/kept"
SERVICE = "sheepvirt-network-guard"
PLACE = f"/etc/init.d/{SERVICE}"
PENDING = f"{KEPT}/pending"  # the former files; an empty one for a file that did not exist
BOOT = f"{PENDING}/boot"  # the boot during which the new ones were written
# A pending file is older than the current one (a run was interrupted before its reboot): keep it.
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


def set_up(wanted: DesiredState, facts: Facts, context: StepContext, files: Sequence[str]) -> None:
    """Arm the guard for the next boot, with the current content of ``files``."""
    if facts.init != Init.SYSV:
        return
    script = wanted.host_files.files[f"{SERVICE}.init"]
    context.connection.write(PLACE, script, mode=0o755)
    for argv in commands(facts.init, "enable", SERVICE):
        context.run(*argv)
    context.run("sh", "-c", SET, "sh", PENDING, facts.boot, *files)


def let_go(context: StepContext) -> None:
    """Disarm the guard: the host was reached with its new files."""
    context.run("rm", "-rf", PENDING)
