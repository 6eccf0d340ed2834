"""Our own units on the host: what starts when, and what starts again what did not.

libvirt tries its pools and guests once a boot (``virDriverShouldAutostart``); sheepdog may not have
joined its cluster by then. ``host/files/autostart.sh`` says the rest.
"""

from __future__ import annotations

import hashlib

from sheepvirt import paths
from sheepvirt.host_model import Change, Facts
from sheepvirt.steps.base import Hands

SYSTEM = "/etc/systemd/system"
# File of host/files to its places on a host.
PLACES = (
    ("autostart.sh", "/usr/local/lib/sheepvirt/autostart.sh"),
    ("sheepvirt-autostart.service", f"{SYSTEM}/sheepvirt-autostart.service"),
    ("libvirtd.conf", f"{SYSTEM}/libvirtd.service.d/10-sheepvirt.conf"),
    ("wants-autostart.conf", f"{SYSTEM}/sheepdog.service.d/10-sheepvirt.conf"),
)
FILES = tuple(place for _, place in PLACES)


def wanted_files() -> dict[str, bytes]:
    """Return path on a host to content."""
    return {place: (paths.HOST / "files" / name).read_bytes() for name, place in PLACES}


def differing(facts: Facts) -> dict[str, bytes]:
    """Return the files that the host has not, or not as they are here."""
    return {
        place: content
        for place, content in wanted_files().items()
        if facts.hashes.get(place) != hashlib.sha256(content).hexdigest()
    }


def check(name: str, facts: Facts) -> list[Change]:
    """Every file of ours is there."""
    return [Change(name, f"{place} written") for place in differing(facts)]


def apply(facts: Facts, hands: Hands) -> None:
    """Write what differs, and let systemd read it."""
    files = differing(facts)
    for place, content in files.items():
        hands.connection.write(place, content)
    if files:
        hands.run("systemctl", "daemon-reload")
