"""Pure: negative controls of a host: what is broken, and exactly which checks must fail then.

A check is named as ``verify`` names it (``Check.title``), without the word that marks a stand-in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from sheepvirt.host_model import Host
from sheepvirt.model import Feature
from sheepvirt.services import SYSV, commands

MISSPELT = "obsbr0"  # the how-to's own slip, which libvirt takes without a word
OTHER_CLUSTER = "127.0.0.2"
BACKEND = re.compile(r"/libvirt_storage_backend_\w+\.so$")
ASIDE = ".sheepvirt-prove"  # what a file is called while it is "removed"


@dataclass(frozen=True)
class Command:
    """A command on the host; must succeed."""

    argv: tuple[str, ...]
    stdin: bytes = b""


@dataclass(frozen=True)
class Control:
    """One thing that is broken. ``undo`` is for what a bootstrap does not see and thus not mend."""

    name: str
    breaks: tuple[Command, ...]
    fails: frozenset[str]
    undo: tuple[Command, ...] = ()  # does nothing where nothing is broken
    data: bool = False  # judge the guests' data by the pass before the controls


@dataclass(frozen=True)
class Outcome:
    """What came of a control: what had to fail and what failed, and what brought all back."""

    control: str
    expected: frozenset[str]
    seen: frozenset[str]
    mended: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether exactly that failed which had to."""
        return bool(self.expected) and self.expected == self.seen


# A guest's boot record is the first sector of its disk's second partition, whose start is at byte
# 470 (of the MBR). It is kept aside, and the guest starts as on an empty disk.
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


def title(name: str, subject: str = "") -> str:
    """Return a check's title."""
    return f"{name} [{subject}]" if subject else name


def plain(title: str) -> str:
    """Return a check's title without the words that mark a stand-in or what is unpinned."""
    return title.replace(" (stand-in)", "").replace(" (unpinned)", "")


def on_host(
    host: Host, features: Sequence[tuple[str, Feature]], network_xml: str, pool_xml: str
) -> tuple[Control, ...]:
    """Return the controls of ``host``, in order.

    ``features`` are (package, feature) of what is published; the XML is libvirt's, of the host's
    network and pool.
    """
    return (
        *_sheepdog(host),
        *(_boot_order() if host.init == SYSV else ()),
        *_pool(host, pool_xml),
        *_backends(host, features),
        *_network(host, network_xml),
        *_guest(host),
    )


def _virsh(*argv: str, stdin: bytes = b"") -> Command:
    return Command(("virsh", "-q", "-c", "qemu:///system", *argv), stdin)


def _switch(host: Host, verb: str, service: str) -> tuple[Command, ...]:
    return tuple(Command(argv) for argv in commands(host.init, verb, service))


def _each(subjects: Iterable[str], *names: str) -> frozenset[str]:
    return frozenset(title(name, subject) for subject in subjects for name in names)


def _volumes(host: Host) -> list[str]:
    return [f"{g.name} on sheepdog" for g in host.guests if g.disk == "sheepdog"]


def _sheepdog(host: Host) -> tuple[Control, ...]:
    living = [g.name for g in host.guests if g.disk == "sheepdog"]
    return (
        # libvirt goes on calling the pool active, and the guest running.
        Control(
            "sheepdog stopped",
            _switch(host, "stop", "sheepdog"),
            _each(
                ["sheepdog"],
                "services: service is running",
                "sheepdog: cluster answers and is formatted",
                "sheepdog: node has joined",
            )
            | _each(
                _volumes(host),
                "sheepdog: volume is in the pool",
                "sheepdog: guest boots through the driver",
            )
            | _each(
                living,
                "guests: guest prints its line on the console",
                "guests: guest counts its boots on its disk",
            ),
        ),
        Control(
            "sheepdog not started at boot",
            _switch(host, "disable", "sheepdog"),
            _each(["sheepdog"], "services: service starts at boot"),
        ),
    )


# Moves a start link to another number in every runlevel that has it; nothing where it is there.
RENUMBER = """
for link in /etc/rc?.d/S[0-9][0-9]"$1"; do
  [ ! -e "$link" ] || [ "$link" = "${link%/*}/S$2$1" ] || mv "$link" "${link%/*}/S$2$1"
done
"""


def _boot_order() -> tuple[Control, ...]:
    """On a host with SysV init, libvirtd before all that it stands on; 97 is its own number."""
    return (
        Control(
            "libvirtd first at boot",
            (Command(("sh", "-c", RENUMBER, "sh", "libvirtd", "01")),),
            frozenset({"services: services start in order"}),
            undo=(Command(("sh", "-c", RENUMBER, "sh", "libvirtd", "97")),),
        ),
    )


def _pool(host: Host, pool_xml: str) -> tuple[Control, ...]:
    other = ElementTree.fromstring(pool_xml)
    for element in other.iter("host"):
        element.set("name", OTHER_CLUSTER)
    return (
        Control(
            "pool stopped",
            (_virsh("pool-destroy", host.pool),),
            _each([host.pool], "sheepdog: pool is active")
            | _each(_volumes(host), "sheepdog: volume is in the pool"),
        ),
        Control(
            "autostart of the pool undefined",
            (_virsh("pool-autostart", host.pool, "--disable"),),
            _each([host.pool], "sheepdog: pool starts by itself"),
        ),
        Control(
            "pool names another cluster",
            (_virsh("pool-define", "/dev/stdin", stdin=ElementTree.tostring(other)),),
            _each([host.pool], "sheepdog: pool is of the local cluster"),
        ),
    )


def _backends(host: Host, features: Sequence[tuple[str, Feature]]) -> tuple[Control, ...]:
    """Take away the file of each storage backend; `virsh -V` goes on listing it."""
    found = []
    for package, feature in features:
        path = feature.rpm_file
        if not BACKEND.search(path):  # libvirt 1.0.3 has all of them in its storage driver
            continue
        (restart,) = _switch(host, "restart", "libvirtd")
        back = 'test ! -e "$1$2" || { mv -f "$1$2" "$1" && shift 2 && "$@"; }'
        found.append(
            Control(
                f"{package}: {path.rpartition('/')[2]} removed",
                (Command(("mv", path, f"{path}{ASIDE}")), restart),
                _each(
                    [f"{package}-{feature.name}"], "libvirt: daemon has loaded the storage backend"
                )
                | _each([package], "packages: files are as packaged")
                | _each([host.pool], "sheepdog: pool is active")
                | _each(_volumes(host), "sheepdog: volume is in the pool"),
                undo=(Command(("sh", "-c", back, "sh", path, ASIDE, *restart.argv)),),
            )
        )
    return tuple(found)


def _network(host: Host, network_xml: str) -> tuple[Control, ...]:
    network, bridge = host.network, host.bridge
    wrong = ElementTree.fromstring(network_xml)
    for element in wrong.iter("bridge"):
        element.set("name", MISSPELT)
    return (
        Control(
            "bridge deleted",
            (Command(("ovs-vsctl", "--timeout=30", "del-br", bridge)),),
            _each([network], "networks: bridge of the network is there")
            | {"networks: bridge exists in openvswitch"}
            | _each((g.name for g in host.guests), "guests: port of the guest is on the bridge"),
        ),
        # libvirt defines and starts it, and calls it active.
        Control(
            f"network names {MISSPELT}, which does not exist",
            (
                _virsh("net-define", "/dev/stdin", stdin=ElementTree.tostring(wrong)),
                _virsh("net-destroy", network),
                _virsh("net-start", network),
            ),
            _each([network], "networks: bridge of the network is there")
            | {"networks: network names the bridge of openvswitch"},
        ),
        Control(
            "network stopped",
            (_virsh("net-destroy", network),),
            _each([network], "networks: network is active"),
        ),
        Control(
            "autostart of the network undefined",
            (_virsh("net-autostart", network, "--disable"),),
            _each([network], "networks: network starts by itself"),
        ),
    )


def _guest(host: Host) -> tuple[Control, ...]:
    found: list[Control] = []
    for guest in host.guests[:1]:  # the others are looked at by the same checks
        on_sheepdog = [f"{guest.name} on sheepdog"] if guest.disk == "sheepdog" else []
        if on_sheepdog:
            script = ("sh", guest.name, KEPT)
            found.append(
                Control(
                    f"data of {guest.name} lost",
                    (Command(("sh", "-c", FORGET, *script)),),
                    _each([guest.name], "guests: data outlives destruction and reboot"),
                    undo=(Command(("sh", "-c", REMEMBER, *script)),),
                    data=True,
                )
            )
        found += [
            Control(
                f"title of {guest.name} changed",
                (_virsh("desc", guest.name, "--config", "--title", "another"),),
                _each([guest.name], "guests: guest is defined as wanted"),
            ),
            Control(
                f"autostart of {guest.name} undefined",
                (_virsh("autostart", guest.name, "--disable"),),
                _each([guest.name], "guests: guest starts by itself"),
            ),
            Control(
                f"{guest.name} destroyed",
                (_virsh("destroy", guest.name),),
                _each(
                    [guest.name],
                    "guests: guest is running",
                    "guests: port of the guest is on the bridge",
                    "guests: guest prints its line on the console",
                    "guests: guest counts its boots on its disk",
                )
                | _each(
                    on_sheepdog,
                    "sheepdog: guest runs from its volume",
                    "sheepdog: guest boots through the driver",
                ),
            ),
        ]
    return tuple(found)
