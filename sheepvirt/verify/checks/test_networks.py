"""Networks in libvirt and in the kernel: libvirt calls a network active without its bridge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Expected
    from .probe import Probe


@pytest.fixture(autouse=True)
def _default_is_its_owners(
    request: pytest.FixtureRequest, probe: Probe, expected: Expected
) -> None:
    """Skip libvirt's own network on a real machine where it is gone or off, maybe on purpose."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if parameters.get("network") != "default" or not expected.host.real:
        return
    if "default" not in probe.virsh("net-list", "--name").split():
        pytest.skip("network default does not run, and bootstrap leaves it as it is here")


def test_network_is_active(probe: Probe, network: str) -> None:
    active = probe.info("net-info", "--network", network).get("Active")
    assert active == "yes", f"network {network} is not active ({active})"


def test_network_is_persistent(probe: Probe, network: str) -> None:
    persistent = probe.info("net-info", "--network", network).get("Persistent")
    assert persistent == "yes", f"network {network} is not persistent ({persistent})"


def test_network_starts_by_itself(probe: Probe, network: str) -> None:
    autostart = probe.info("net-info", "--network", network).get("Autostart")
    assert autostart == "yes", f"network {network} does not start by itself ({autostart})"


def test_bridge_of_the_network_is_there(probe: Probe, network: str) -> None:
    bridge = probe.info("net-info", "--network", network).get("Bridge")
    assert bridge, f"network {network} names no bridge"
    there = probe.run("test", "-e", f"/sys/class/net/{bridge}").rc == 0
    assert there, f"bridge {bridge} of network {network} is not an interface of the host"


def test_bridge_exists_in_openvswitch(probe: Probe, expected: Expected) -> None:
    bridge = expected.host.bridge
    there = probe.run("ovs-vsctl", "--timeout=10", "br-exists", bridge)
    assert there.rc in {0, 2}, f"`ovs-vsctl br-exists`: {there.stderr.strip()}"
    assert there.rc == 0, f"bridge {bridge} does not exist in Open vSwitch"


def test_network_names_the_bridge_of_openvswitch(probe: Probe, expected: Expected) -> None:
    network = probe.xml("net-dumpxml", "--network", expected.host.network)
    attributes = {"bridge": "name", "forward": "mode", "virtualport": "type"}
    said = {
        tag: None if (found := network.find(tag)) is None else found.get(attribute)
        for tag, attribute in attributes.items()
    }
    want = {"bridge": expected.host.bridge, "forward": "bridge", "virtualport": "openvswitch"}
    assert said == want, f"network {expected.host.network} says {said}, wanted {want}"


def test_uplink_is_a_port_of_the_bridge(probe: Probe, expected: Expected) -> None:
    uplink, bridge = expected.host.uplink, expected.host.bridge
    if not uplink:
        pytest.skip("the inventory gives the bridge no uplink")
    found = probe.run("ovs-vsctl", "--timeout=10", "port-to-br", uplink)
    on = found.stdout.strip() or f"none ({found.stderr.strip()})"
    assert on == bridge, f"uplink {uplink} is on bridge {on}, wanted {bridge}"


def test_bridge_has_the_address_of_the_host(probe: Probe, expected: Expected) -> None:
    """With an uplink, the bridge has the host's address: from DHCP, or the inventory's."""
    if not expected.host.uplink:
        pytest.skip("the inventory gives the bridge no uplink")
    said = probe.read("ip", "-o", "-4", "addr", "show", "dev", expected.host.bridge)
    addresses = re.findall(r" inet (\S+)", said)
    want = expected.host.bridge_address
    good = bool(addresses) if want == "dhcp" else want in addresses
    assert good, f"{expected.host.bridge} has {', '.join(addresses) or 'no address'}, wanted {want}"
