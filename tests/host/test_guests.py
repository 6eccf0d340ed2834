"""Guests: defined as wanted, running, on the bridge, and alive: the console says so, now."""

from __future__ import annotations

from sheepvirt import readings
from sheepvirt.model import Guest

from .conftest import Wanted
from .probe import Probe

# The guest repeats its line every 5 s; two of them, and what a busy machine adds.
CONSOLE_SECONDS = 45


def test_guest_is_running(probe: Probe, guest: Guest) -> None:
    state = probe.info("dominfo", "--domain", guest.name)["State"]
    assert state == "running", f"guest {guest.name} is {state}"


def test_guest_is_persistent(probe: Probe, guest: Guest) -> None:
    persistent = probe.info("dominfo", "--domain", guest.name)["Persistent"]
    assert persistent == "yes", f"guest {guest.name} is not persistent ({persistent})"


def test_guest_starts_by_itself(probe: Probe, guest: Guest) -> None:
    autostart = probe.info("dominfo", "--domain", guest.name)["Autostart"]
    assert autostart == "enable", f"guest {guest.name} does not start by itself ({autostart})"


def test_guest_is_defined_as_wanted(probe: Probe, guest: Guest) -> None:
    domain = probe.xml("dumpxml", "--inactive", "--domain", guest.name)
    said = (domain.findtext("title"), readings.memory_kib(domain), domain.findtext("vcpu"))
    want = (guest.title, -(-guest.memory_mb * 10**6 // 1024), str(guest.vcpus))
    assert said == want, f"(title, memory in KiB, vcpus) are {said}, wanted {want}"


def test_port_of_the_guest_is_on_the_bridge(probe: Probe, guest: Guest, wanted: Wanted) -> None:
    domain = probe.xml("dumpxml", "--domain", guest.name)
    ports = [t.get("dev", "") for t in domain.findall("devices/interface/target")]
    assert any(ports), f"guest {guest.name} has no port (is it running?)"
    for port in ports:
        found = probe.run("ovs-vsctl", "--timeout=10", "port-to-br", port)
        bridge = found.stdout.strip() or f"none ({found.stderr.strip()})"
        assert bridge == wanted.host.bridge, f"port {port} of {guest.name} is on bridge {bridge}"
        # A port that Open vSwitch was told of and could not open has -1 or [].
        number = probe.read("ovs-vsctl", "--timeout=10", "get", "Interface", port, "ofport")
        assert number.strip().isdigit(), f"port {port} is not connected: ofport {number.strip()}"


def test_guest_prints_its_line_on_the_console(probe: Probe, guest: Guest) -> None:
    """Two lines with a growing uptime, printed while we listen: the guest lives now."""
    seen = probe.console(guest.name, guest.line, seconds=CONSOLE_SECONDS)
    uptimes = readings.uptimes(seen, guest.line)
    if len(uptimes) < 2:
        other = probe.any_output(guest.name)
        raise AssertionError(
            f"console of {guest.name}: {len(uptimes)} of 2 lines {guest.line!r} within "
            f"{CONSOLE_SECONDS} s; its last output: {other}"
        )
    assert uptimes[0] < uptimes[1], f"the guest's uptime does not grow: {uptimes}"
