"""Negative controls of a host: what is broken, and exactly which checks must fail then. Pure.

A check has the name that ``verify`` shows (``Check.title``), without the label of a stand-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.facts.sheepdog import PORT
from sheepvirt.model.enums import Disk
from sheepvirt.verify.controls import el_controls, rpm_controls
from sheepvirt.verify.model import Command, Control, ControlContext, each, switch, virsh, volumes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sheepvirt.model.guests import Guest
    from sheepvirt.model.hosts import Host

MISSPELT = "obsbr0"  # a misspelling in the how-to, which libvirt accepts silently
OTHER_CLUSTER = "127.0.0.2"
# Checks that no control makes fail, and the reason. Any other check without a control is a defect.
UNTRIED: Mapping[str, str] = {}

# Another program listens on the port, on the host's first address of global scope.
OPENED = "/var/lib/sheepvirt/prove-port"
OPEN = """
address=$(ip -o -4 addr show scope global | sed -n '1s/.* inet \\([^/ ]*\\).*/\\1/p')
setsid nc -lk "$address" "$1" </dev/null >/dev/null 2>&1 &
echo $! >"$2"
"""
CLOSE = """
[ -e "$1" ] || exit 0
kill "$(cat "$1")" || true
rm "$1"
"""

# A guest's boot record is the first sector of its disk's second partition. The MBR has the start of
# that partition at byte 470. The record is moved away, and the guest starts as on an empty disk.
KEPT = "/var/lib/sheepvirt/prove-boot-record"
FORGET = """
set -e
at=$(($(dog vdi read "$1" 470 4 | od -An -tu4) * 512))
virsh -q destroy --domain "$1"
dog vdi read "$1" $at 512 > "$2.new"
mv "$2.new" "$2"
head -c 512 /dev/zero | dog vdi write "$1" $at 512
virsh -q start --domain "$1"
"""
REMEMBER = """
[ -e "$2" ] || exit 0
set -e
at=$(($(dog vdi read "$1" 470 4 | od -An -tu4) * 512))
virsh -q destroy --domain "$1" || true
dog vdi write "$1" $at 512 < "$2"
rm "$2"
virsh -q start --domain "$1"
"""

# The tag of the first port of a guest, which is kept as `vnet0 10`, or `vnet0 []` for none.
VLAN_KEPT = "/var/lib/sheepvirt/prove-vlan"
MOVE = """
set -e
port=$(virsh -q domiflist "$1" | awk 'NF && $1 != "-" { print $1; exit }')
echo "$port $(ovs-vsctl --timeout=10 get Port "$port" tag)" >"$2"
ovs-vsctl --timeout=10 set Port "$port" tag=4094
"""
MOVE_BACK = """
[ -e "$1" ] || exit 0
set -e
read -r port tag <"$1"
ovs-vsctl --timeout=10 --if-exists clear Port "$port" tag
[ "$tag" = "[]" ] || ovs-vsctl --timeout=10 --if-exists set Port "$port" "tag=$tag"
rm "$1"
"""


def on_host(context: ControlContext) -> tuple[Control, ...]:
    """Return the controls of a host, in order."""
    host = context.host
    return (
        *_sheepdog(host),
        *el_controls.on_host(host),
        *_pool(host, context.pool_xml),
        *rpm_controls.of(context),
        *_network(host, context.network_xml),
        # One guest for each kind of disk: the same checks cover the others.
        *(
            c
            for guest in {g.disk: g for g in reversed(host.guests)}.values()
            for c in _guest(guest)
        ),
    )


def _sheepdog(host: Host) -> tuple[Control, ...]:
    living = [g.name for g in host.guests if g.disk == Disk.SHEEPDOG]
    return (
        # libvirt still calls the pool active, and the guest running.
        Control(
            name="sheepdog stopped",
            breaks=switch(host, "stop", "sheepdog"),
            fails=each(
                ["sheepdog"],
                "services: service is running",
                "sheepdog: cluster answers and is formatted",
                "sheepdog: node has joined",
            )
            | each(
                volumes(host),
                "sheepdog: volume is in the pool",
                "sheepdog: guest boots through the driver",
            )
            | each(
                living,
                "guests: guest prints its line on the console",
                "guests: guest counts its boots on its disk",
            ),
        ),
        Control(
            name=f"port {PORT} open on another address of the host",
            breaks=(Command(("sh", "-c", OPEN, "sh", str(PORT), OPENED)),),
            fails=each(["sheepdog"], "sheepdog: port is open only where wanted"),
            undo=(Command(("sh", "-c", CLOSE, "sh", OPENED)),),
        ),
        Control(
            name="sheepdog not started at boot",
            breaks=switch(host, "disable", "sheepdog"),
            fails=each(["sheepdog"], "services: service starts at boot"),
        ),
    )


def _renamed(xml: str, tag: str, name: str) -> bytes:
    """Return ``xml`` with the attribute ``name`` of each ``tag`` changed."""
    root = ElementTree.fromstring(xml)
    for element in root.iter(tag):
        element.set("name", name)
    return ElementTree.tostring(root)


def _pool(host: Host, pool_xml: str) -> tuple[Control, ...]:
    other = _renamed(pool_xml, "host", OTHER_CLUSTER)
    return (
        Control(
            name="pool stopped",
            breaks=(virsh("pool-destroy", host.pool),),
            fails=each([host.pool], "sheepdog: pool is active")
            | each(volumes(host), "sheepdog: volume is in the pool"),
        ),
        Control(
            name="autostart of the pool undefined",
            breaks=(virsh("pool-autostart", host.pool, "--disable"),),
            fails=each([host.pool], "sheepdog: pool starts by itself"),
        ),
        Control(
            name="pool names another cluster",
            breaks=(virsh("pool-define", "/dev/stdin", stdin=other),),
            fails=each([host.pool], "sheepdog: pool is of the local cluster"),
        ),
        # libvirt does not undefine an active pool.
        Control(
            name="pool undefined, and started for this once",
            breaks=(
                virsh("pool-destroy", host.pool),
                virsh("pool-undefine", host.pool),
                virsh("pool-create", "/dev/stdin", stdin=pool_xml.encode()),
            ),
            fails=each(
                [host.pool],
                "sheepdog: pool is persistent",
                "sheepdog: pool starts by itself",
            ),
        ),
    )


def _network(host: Host, network_xml: str) -> tuple[Control, ...]:
    network, bridge = host.network, host.bridge
    wrong = _renamed(network_xml, "bridge", MISSPELT)
    return (
        Control(
            name="bridge deleted",
            breaks=(Command(("ovs-vsctl", "--timeout=30", "del-br", bridge)),),
            fails=each([network], "networks: bridge of the network is there")
            | {"networks: bridge exists in openvswitch"}
            | el_controls.without_bridge(host)
            | each(
                [g.name for g in host.guests],
                "guests: port of the guest is on the bridge",
                "guests: port of the guest has its vlan",
            ),
        ),
        # libvirt defines and starts it, and calls it active.
        Control(
            name=f"network names {MISSPELT}, which does not exist",
            breaks=(
                virsh("net-define", "/dev/stdin", stdin=wrong),
                virsh("net-destroy", network),
                virsh("net-start", network),
            ),
            fails=each([network], "networks: bridge of the network is there")
            | {"networks: network names the bridge of openvswitch"},
        ),
        Control(
            name="network stopped",
            breaks=(virsh("net-destroy", network),),
            fails=each([network], "networks: network is active"),
        ),
        Control(
            name="autostart of the network undefined",
            breaks=(virsh("net-autostart", network, "--disable"),),
            fails=each([network], "networks: network starts by itself"),
        ),
        Control(
            name="network undefined",
            breaks=(virsh("net-undefine", network),),
            fails=each(
                [network],
                "networks: network is persistent",
                "networks: network starts by itself",
            ),
        ),
    )


def _guest(guest: Guest) -> tuple[Control, ...]:
    name = guest.name
    on_sheepdog = [f"{name} on sheepdog"] if guest.disk == Disk.SHEEPDOG else []
    script = ("sh", name, KEPT)
    data = Control(
        name=f"data of {name} lost",
        breaks=(Command(("sh", "-c", FORGET, *script)),),
        fails=each([name], "guests: data outlives the reboot"),
        undo=(Command(("sh", "-c", REMEMBER, *script)),),
        data=True,
    )
    return (
        *([data] if on_sheepdog else []),
        Control(
            name=f"title of {name} changed",
            breaks=(virsh("desc", name, "--config", "--title", "another"),),
            fails=each([name], "guests: guest is defined as wanted"),
        ),
        Control(
            name=f"autostart of {name} undefined",
            breaks=(virsh("autostart", name, "--disable"),),
            fails=each([name], "guests: guest starts by itself"),
        ),
        # libvirt does not see it, nor does a second bootstrap.
        Control(
            name=f"{name} on another VLAN",
            breaks=(Command(("sh", "-c", MOVE, "sh", name, VLAN_KEPT)),),
            fails=each([name], "guests: port of the guest has its vlan"),
            undo=(Command(("sh", "-c", MOVE_BACK, "sh", VLAN_KEPT)),),
        ),
        # It keeps running, and is gone when it stops.
        Control(
            name=f"{name} undefined",
            breaks=(virsh("undefine", name),),
            fails=each([name], "guests: guest is persistent", "guests: guest starts by itself"),
        ),
        Control(
            name=f"{name} destroyed",
            breaks=(virsh("destroy", name),),
            fails=each(
                [name],
                "guests: guest is running",
                "guests: port of the guest is on the bridge",
                "guests: port of the guest has its vlan",
                "guests: guest prints its line on the console",
                "guests: guest counts its boots on its disk",
            )
            | each(
                on_sheepdog,
                "sheepdog: guest runs from its volume",
                "sheepdog: guest boots through the driver",
            ),
        ),
    )
