"""Guests with several network interfaces on VLANs of one bridge, on a real switch.

Which guest a frame reaches is asked of Open vSwitch (`ofproto/trace`), not of the guests.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.config import inventory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.model.hosts import Host


pytestmark = pytest.mark.engine
NAME = "taenga"
BEFORE = f"""
[hosts.{NAME}]
target = "rehearsal"
rehearsal = true
bridge = "ovsbr0"
network = "ovsbr0"
[hosts.{NAME}.guests.fare]
memory_mb = 256
network = "ovsbr0"
line = "fare is up"
[hosts.{NAME}.guests.moana]
memory_mb = 256
network = "ovsbr0"
disk = "file"
line = "moana is up"
"""
NAMED = "52:54:00:12:34:56"
UNITS = BEFORE.replace("memory_mb = 256\nnetwork", 'memory = "256 MB"\n# network')
AFTER = UNITS.replace("up", 'up"\nnics = [{ vlan = 10 }]\n# "', 1) + (
    f'nics = [{{ vlan = 10, mac = "{NAMED}" }}, {{ vlan = 20 }}]\n'
)
PORTS = """
for port in $(ovs-vsctl list-ports ovsbr0); do
  echo "$port $(ovs-vsctl get Port "$port" tag) $(ovs-vsctl get Interface "$port" external_ids)"
done
"""


class Taenga:
    """The host, by an inventory that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "inventory.toml"

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    def host(self) -> Host:
        return inventory.load_host(replace(SETTINGS, inventory=self.path), NAME)

    def bootstrap(self) -> str:
        return invoke("bootstrap", NAME, inventory=self.path)


@pytest.fixture
def taenga(tmp_path: Path) -> Iterator[Taenga]:
    """The host, bootstrapped with guests that have one interface each; it is removed later."""
    played = Taenga(tmp_path)
    played.write(BEFORE)
    try:
        played.bootstrap()
        yield played
    finally:
        played.write(BEFORE)
        rehearsal.remove(RUN, played.host())


def ports(host: Host) -> dict[str, tuple[str, str]]:
    """Return the VLAN tag and identity of each guest's port, by its MAC."""
    found = re.findall(r'(?m)^\S+ (\S+) (.*attached-mac="([^"]+)".*)$', shell(host, PORTS))
    return {mac: (tag, identity) for tag, identity, mac in found}


def reached(host: Host, mac: str) -> set[str]:
    """Return the MACs of the guests that a broadcast from the interface with ``mac`` reaches."""
    names = dict(re.findall(r'(?m)^(vnet\d+) \S+ .*attached-mac="([^"]+)"', shell(host, PORTS)))
    numbers = dict(re.findall(r"(vnet\d+) \d+/(\d+):", shell(host, "ovs-appctl dpif/show")))
    (port,) = [name for name, address in names.items() if address == mac]
    flow = f"in_port={port},dl_src={mac},dl_dst=ff:ff:ff:ff:ff:ff"
    said = shell(host, f"ovs-appctl ofproto/trace ovsbr0 {flow}")
    actions = said.rpartition("Datapath actions: ")[2].split(",")
    return {address for name, address in names.items() if numbers[name] in actions}


def test_guests_get_vlans_and_a_second_interface(taenga: Taenga) -> None:
    host = taenga.host()
    (first,) = ports_of(host, "fare")
    taenga.write(UNITS)
    assert "no change" in taenga.bootstrap(), "another spelling of a size is no change"
    taenga.write(AFTER)
    assert "moana restarted" in taenga.bootstrap()
    assert "no change" in taenga.bootstrap()
    found = ports(host)
    (second,) = set(found) - {first, NAMED}
    assert {mac: tag for mac, (tag, _) in found.items()} == {first: "10", NAMED: "10", second: "20"}
    assert reached(host, first) == {NAMED}
    assert reached(host, NAMED) == {first}
    assert reached(host, second) == set()

    # A bridge that was deleted has lost the ports: each comes back as itself.
    shell(host, "ovs-vsctl del-br ovsbr0")
    out = taenga.bootstrap()
    assert out.count("of moana plugged into ovsbr0") == 2
    assert ports(host) == found
    said = invoke("verify", NAME, "--no-reboot", inventory=taenga.path)
    assert "none failed" in said


def ports_of(host: Host, guest: str) -> list[str]:
    """Return the MACs of a guest, as libvirt has them."""
    return re.findall(r"([0-9a-f:]{17})", shell(host, f"virsh -q domiflist {guest}"))
