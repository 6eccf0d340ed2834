"""Commands and states of services, for systemd and for el6's SysV init. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import initscripts
from sheepvirt.model.enums import Init
from sheepvirt.model.hosts import ServiceState

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

# `state` parses these properties of `systemctl show`, or the SysV output described below.
PROPERTIES = ("LoadState", "ActiveState", "UnitFileState")
INITDEFAULT = r"s/^[^#:]*:\([0-6]\):initdefault:.*/\1/p"  # for sed -n, on /etc/inittab
LAST_LINES = "12"
Argv = tuple[str, ...]


def commands(init: Init | None, verb: str, name: str) -> tuple[Argv, ...]:
    """Return the commands for ``verb``: start, stop, restart, enable or disable.

    Enabling names the runlevels: a script with "-" for them in its header (such as upstream's
    sheepdog) would be added and never started. Raises KeyError for another verb.
    """
    if init != Init.SYSV:
        return (("systemctl", verb, name),)
    return {
        "start": (("service", name, "start"),),
        "stop": (("service", name, "stop"),),
        "restart": (("service", name, "restart"),),
        "enable": (("chkconfig", "--add", name), ("chkconfig", "--level", "2345", name, "on")),
        "disable": (("chkconfig", "--level", "2345", name, "off"),),
    }[verb]


def asked(init: Init, names: Iterable[str], optional: Container[str]) -> tuple[str, ...]:
    """Return the services that a host with this init must have, in their order.

    Optional ones are required only under systemd, where sockets start them. Upstream's SysV script
    of virtlockd has libvirtd's number, so it starts after it. Its "status" reads a pid file that
    7.0.0's daemon does not write (1.0.3's: unverified). Only a lock manager in qemu.conf needs it.
    """
    return tuple(name for name in names if init != Init.SYSV or name not in optional)


def log_hint(init: Init, name: str) -> str:
    """Return the commands that show why a service fails."""
    if init == Init.SYSV:
        return f"`service {name} status` and /var/log/messages"
    return f"`systemctl status {name}` and `journalctl -u {name}`"


def last_words(init: Init, name: str) -> Argv:
    """Return the command that prints a service's last log lines; it may print nothing."""
    if init == Init.SYSV:
        return ("tail", "-n", LAST_LINES, "/var/log/messages")
    return ("journalctl", "--quiet", "--no-pager", "-o", "cat", "-n", LAST_LINES, "-u", name)


def state(text: str, runlevel: str) -> ServiceState | None:
    """Parse the state of a service; None if there is no such service.

    ``text`` is `systemctl show` of the service and its socket, or chkconfig's line and the script's
    exit code for "status" (LSB: 0 is running). A service that its socket starts is "indirect": it
    is enabled if the socket is. A service that exits when idle (libvirtd's --timeout) is active as
    long as its socket listens.
    """
    sysv = re.search(r"(?m)^status (\d+)$", text)
    if sysv:
        on = runlevel in initscripts.listed(text)
        return ServiceState(active=sysv[1] == "0", enabled=on)
    units = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in re.split(r"\n\s*\n", text.strip())
    ]
    units = [unit for unit in units if unit.get("LoadState") == "loaded"]
    if not units:
        return None
    service, *socket = units
    files = [unit.get("UnitFileState", "") for unit in units]
    enabled = files[0] in {"enabled", "static"} or (
        files[0] == "indirect" and any(f == "enabled" for f in files[1:])
    )
    active = any(u.get("ActiveState") == "active" for u in (service, *socket))
    return ServiceState(active=active, enabled=enabled)
