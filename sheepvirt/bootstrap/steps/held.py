"""Keep services running, as they are, while RPMs are installed or replaced.

Scriptlets of RPMs restart services: sheepdog's own does, under guests whose disks it has; others'
do so with Open vSwitch, and with libvirt-guests, which suspends all guests. libvirt's reload
virtlogd, and that of 7.0.0 dies of it (seen; fixed in 7.1.0: virNetDaemonQuitExecRestart), so what
running guests still print is lost. What was replaced counts from the next reboot, here as well.

The command is not ended by a connection that breaks: a program that dies of a broken pipe in the
middle of a transaction leaves half of it. So its output is passed on by a relay, which outlives its
reader.

Under systemd a unit that refuses a stop by hand is neither stopped nor restarted by a scriptlet;
shutting the machine down still stops it. Under SysV init sheepdog's own script looks for a file.
Both are in memory or emptied by a boot, and go when the transaction ends, whatever ends it.
"""

from __future__ import annotations

# libvirtd is none of them: guests run on while it restarts, and what replaced it is to be used.
UNITS = (
    "sheepdog",
    "openvswitch",
    "ovs-vswitchd",
    "ovsdb-server",
    "libvirt-guests",
    "virtlogd",
    "virtlockd",
)
FILE = "/var/run/sheepvirt-upgrade"  # specs/sheepdog/sheepdog.init looks for it
# For `sh -s -- COMMAND…`. It is read whole before it starts. Without ExecReload a reload is a
# restart, which is refused.
SCRIPT = r"""
units='UNITS' file=FILE
let_go() {
  rm -f "$file"
  [ -d /run/systemd/system ] || return 0
  for unit in $units; do
    rm -f "/run/systemd/system/$unit.service.d/99-sheepvirt-upgrade.conf"
    rmdir "/run/systemd/system/$unit.service.d" 2>/dev/null
  done
  systemctl daemon-reload
}
hold() {
  : >"$file" || return
  [ -d /run/systemd/system ] || return 0
  for unit in $units; do
    mkdir -p "/run/systemd/system/$unit.service.d" || return
    printf '[Unit]\nRefuseManualStop=yes\n[Service]\nExecReload=\n' \
      >"/run/systemd/system/$unit.service.d/99-sheepvirt-upgrade.conf" || return
  done
  systemctl daemon-reload
}
relay() {
  trap '' PIPE
  while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line" 2>/dev/null; done
}
main() {
  trap let_go EXIT
  trap 'exit 1' HUP INT PIPE TERM
  hold || exit
  exec 4>&1
  code=$({ { "$@" 2>&1 </dev/null 3>&- 4>&-; echo $? >&3; } | relay >&4; } 3>&1)
  exit "${code:-1}"
}
main "$@"
""".replace("UNITS", " ".join(UNITS)).replace("FILE", FILE)


def through(*command: str) -> tuple[str, ...]:
    """Return ``command`` with its services held; its standard input is SCRIPT."""
    return ("sh", "-s", "--", *command)
