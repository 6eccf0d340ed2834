"""Negative controls of hosts like el6's: the boot order, the bridge's uplink. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.model.enums import Init
from sheepvirt.verify.model import Command, Control

if TYPE_CHECKING:
    from sheepvirt.model.hosts import Host

# Renames a start link to another number in every runlevel that has it, unless it has that number.
RENUMBER = """
for link in /etc/rc?.d/S[0-9][0-9]"$1"; do
  [ ! -e "$link" ] || [ "$link" = "${link%/*}/S$2$1" ] || mv "$link" "${link%/*}/S$2$1"
done
"""
PLUGGED = "networks: uplink is a port of the bridge"
ADDRESSED = "networks: bridge has the address of the host"
# File with the bridge's addresses while the bridge has none.
KEPT = "/var/lib/sheepvirt/prove-addresses"
FLUSH = """
ip -o -4 addr show dev "$1" | sed -n 's/.* inet \\([^ ]*\\) .*/\\1/p' >"$2.new"
[ ! -s "$2.new" ] || mv "$2.new" "$2"
ip -4 addr flush dev "$1"
"""
RESTORE = """
[ -e "$2" ] || exit 0
while read -r address; do ip addr replace "$address" dev "$1"; done <"$2"
rm "$2"
"""


def without_bridge(host: Host) -> frozenset[str]:
    """Return the checks of an uplink that fail if the bridge is gone."""
    return frozenset({PLUGGED, ADDRESSED} if host.uplink else ())


def on_host(host: Host) -> tuple[Control, ...]:
    """Return the controls that apply to ``host``."""
    return (
        *(_boot_order() if host.init == Init.SYSV else ()),
        *(_uplink(host) if host.uplink else ()),
    )


def _boot_order() -> tuple[Control, ...]:
    """Start libvirtd before the services that it depends on; its own number is 97."""
    return (
        Control(
            name="libvirtd first at boot",
            breaks=(Command(("sh", "-c", RENUMBER, "sh", "libvirtd", "01")),),
            fails=frozenset({"services: services start in order"}),
            undo=(Command(("sh", "-c", RENUMBER, "sh", "libvirtd", "97")),),
        ),
    )


def _uplink(host: Host) -> tuple[Control, ...]:
    """Unplug the uplink; remove the bridge's address. Bootstrap checks only files, not these."""
    vsctl = ("ovs-vsctl", "--timeout=30")
    plug = Command((*vsctl, "--may-exist", "add-port", host.bridge, host.uplink))
    return (
        Control(
            name=f"{host.uplink} unplugged",
            breaks=(Command((*vsctl, "--if-exists", "del-port", host.bridge, host.uplink)),),
            fails=frozenset({PLUGGED}),
            undo=(plug,),
        ),
        Control(
            name=f"{host.bridge} without its address",
            breaks=(Command(("sh", "-c", FLUSH, "sh", host.bridge, KEPT)),),
            fails=frozenset({ADDRESSED}),
            undo=(Command(("sh", "-c", RESTORE, "sh", host.bridge, KEPT)),),
        ),
    )
