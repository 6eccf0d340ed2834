"""Facts of services, under systemd or SysV init."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.fact import Fact, Fragment, of_kind
from sheepvirt.bootstrap.facts.system import SET_INIT
from sheepvirt.bootstrap.facts.sysv import RUNLEVEL, listed

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.fact import Sections

# `state` parses these properties of `systemctl show`, or the SysV output that `_SERVICE` prints.
PROPERTIES = ("LoadState", "ActiveState", "UnitFileState")


@dataclass(frozen=True, kw_only=True)
class ServiceState:
    """A service as its init reports it; true if it holds for the unit or for its socket."""

    active: bool
    enabled: bool


_SERVICE = Fragment(
    name="service",
    shell=SET_INIT
    + r"""
if [ $init = systemd ]; then
  systemctl show PROPERTIES "$value.service" "$value.socket"
elif [ $init = sysv ] && [ -x "/etc/init.d/$value" ]; then
  chkconfig --list "$value" 2>/dev/null
  service "$value" status >/dev/null 2>&1
  printf 'status %s\n' $?
fi
""".replace("PROPERTIES", " ".join(f"-p {name}" for name in PROPERTIES)),
    arguments=lambda query: query.services,
)


def state(text: str, runlevel: str) -> ServiceState | None:
    """Parse the state of a service; None if there is no such service.

    ``text`` is `systemctl show` of the service and its socket, or chkconfig's line and the script's
    exit code for "status" (LSB: 0 is running). A service that its socket starts is "indirect": it
    is enabled if the socket is. A service that exits when idle (libvirtd's --timeout) is active as
    long as its socket listens.
    """
    sysv = re.search(r"(?m)^status (\d+)$", text)
    if sysv:
        on = runlevel in listed(text)
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


def _states(sections: Sections) -> dict[str, ServiceState]:
    runlevel = RUNLEVEL.parse(sections)
    texts = of_kind(sections, _SERVICE.name).items()
    found = {name: state(text, runlevel) for name, text in texts}
    return {name: one for name, one in found.items() if one is not None}


SERVICES = Fact((*RUNLEVEL.fragments, _SERVICE), _states)
