"""sheepvirt's own units or init script on the host: start order, and late autostarts.

libvirt starts its pools and guests once per boot (``virDriverShouldAutostart``). sheepdog may not
have joined its cluster by then. ``host/files/autostart.sh`` explains the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps import owned_files
from sheepvirt.model.enums import Init

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.host_files import HostFiles
    from sheepvirt.bootstrap.steps.base import DesiredState, StepContext
    from sheepvirt.model.hosts import Change

AUTOSTART = "sheepvirt-autostart"
SCRIPT = ("autostart.sh", "/usr/local/lib/sheepvirt/autostart.sh")
SYSTEM = "/etc/systemd/system"
RELOAD = ("systemctl", "daemon-reload")
# Files of host/files and their paths on a host, with systemd and without.
SYSTEMD_PLACES = (
    SCRIPT,
    ("sheepvirt-autostart.service", f"{SYSTEM}/{AUTOSTART}.service"),
    ("libvirtd.conf", f"{SYSTEM}/libvirtd.service.d/10-sheepvirt.conf"),
    ("wants-autostart.conf", f"{SYSTEM}/sheepdog.service.d/10-sheepvirt.conf"),
)
# /etc/init.d is a link to /etc/rc.d/init.d on el6.
SYSV_PLACES = (SCRIPT, ("sheepvirt-autostart.init", f"/etc/init.d/{AUTOSTART}"))
FILES = tuple(dict.fromkeys(place for _, place in (*SYSTEMD_PLACES, *SYSV_PLACES)))
EXECUTABLE = "/etc/init.d/"


def wanted_files(host_files: HostFiles, init: Init = Init.SYSTEMD) -> dict[str, bytes]:
    """Return the files for a host with this init: path to content."""
    places = SYSV_PLACES if init == Init.SYSV else SYSTEMD_PLACES
    return {place: host_files.files[name] for name, place in places}


def check(name: str, wanted: DesiredState, facts: Facts) -> list[Change]:
    """Every file of sheepvirt exists."""
    contents = wanted_files(wanted.host_files, facts.init)
    return owned_files.changes(name, wanted, facts, contents)


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Write the files that differ, and make systemd read them."""
    contents = wanted_files(wanted.host_files, facts.init)
    then = () if facts.init == Init.SYSV else RELOAD
    owned_files.write(wanted, facts, context, contents, executable=EXECUTABLE, then=then)
