"""Guests: defined as wanted, running, on the bridge, and alive (their console shows it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sheepvirt.bootstrap import virsh
from sheepvirt.verify import junit_reports

from .conftest import CONSOLE_SECONDS, Expected, Hear

if TYPE_CHECKING:
    from collections.abc import Callable

    from sheepvirt.model.guests import Guest
    from sheepvirt.verify.heartbeats import Heartbeat

    from .probe import Probe


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
    said = (domain.findtext("title"), virsh.memory_kib(domain), domain.findtext("vcpu"))
    want = (guest.title, -(-guest.memory // 1024), str(guest.vcpus))
    assert said == want, f"(title, memory in KiB, vcpus) are {said}, wanted {want}"
    macs = [mac.get("address", "") for mac in domain.findall("devices/interface/mac")]
    wanted = [nic.mac or mac for nic, mac in zip(guest.nics, macs, strict=False)]
    assert (macs, len(macs)) == (wanted, len(guest.nics)), (
        f"MACs are {macs}, wanted {[nic.mac or 'any' for nic in guest.nics]}"
    )


def test_port_of_the_guest_is_on_the_bridge(probe: Probe, guest: Guest, expected: Expected) -> None:
    domain = probe.xml("dumpxml", "--domain", guest.name)
    ports = [t.get("dev", "") for t in domain.findall("devices/interface/target")]
    assert any(ports), f"guest {guest.name} has no port (is it running?)"
    for port in ports:
        found = probe.run("ovs-vsctl", "--timeout=10", "port-to-br", port)
        bridge = found.stdout.strip() or f"none ({found.stderr.strip()})"
        assert bridge == expected.host.bridge, f"port {port} of {guest.name} is on bridge {bridge}"
        # A port that Open vSwitch could not open has -1 or [].
        number = probe.read("ovs-vsctl", "--timeout=10", "get", "Interface", port, "ofport")
        assert number.strip().isdigit(), f"port {port} is not connected: ofport {number.strip()}"


def test_port_of_the_guest_has_its_vlan(probe: Probe, guest: Guest) -> None:
    """Open vSwitch says `[]` for a port without a tag."""
    domain = probe.xml("dumpxml", "--domain", guest.name)
    ports = [t.get("dev", "") for t in domain.findall("devices/interface/target")]
    tags = [
        probe.read("ovs-vsctl", "--timeout=10", "get", "Port", port, "tag").strip()
        for port in ports
    ]
    want = [str(nic.vlan or "[]") for nic in guest.nics]
    assert tags == want, f"ports {', '.join(ports)} of {guest.name} have {tags}, wanted {want}"


def test_guest_prints_its_line_on_the_console(
    probe: Probe, guest: Guest, beats: list[Heartbeat]
) -> None:
    """Two lines with a growing uptime, read from now on, prove that the guest is alive."""
    if len(beats) < 2:
        other = probe.any_output(guest.name)
        raise AssertionError(
            f"console of {guest.name}: {len(beats)} of 2 lines {guest.console_marker!r} within "
            f"{CONSOLE_SECONDS} s; its last output: {other}"
        )
    uptimes = [beat.uptime for beat in beats]
    assert uptimes[0] < uptimes[1], f"the guest's uptime does not grow: {uptimes}"


def test_guest_counts_its_boots_on_its_disk(
    guest: Guest, beats: list[Heartbeat], record_property: Callable[[str, object], None]
) -> None:
    """The guest prints what it has just read back from its disk: boots and first marker."""
    assert beats, f"guest {guest.name} printed no heartbeat"
    trouble = sorted({beat.trouble for beat in beats if beat.trouble})
    assert not trouble, f"guest {guest.name} says: {'; '.join(trouble)}"
    records = {(beat.boot, beat.marker) for beat in beats}
    assert len(records) == 1, f"the boot record of {guest.name} is not constant: {records}"
    boot, marker = records.pop()
    assert boot >= 1, f"the disk of {guest.name} has no boot record"
    record_property(junit_reports.BOOT_RECORD, f"{guest.name} {boot} {marker}")


def test_data_outlives_the_reboot(
    guest: Guest, hear: Hear, before: dict[str, tuple[int, str]] | None
) -> None:
    """The guest was stopped and the host rebooted; the guest must read what it wrote."""
    if before is None:
        pytest.skip("no earlier pass to compare with: a verification with a reboot has one")
    assert guest.name in before, f"the pass before the reboot has no boot record of {guest.name}"
    beats = hear(guest)
    assert beats, f"guest {guest.name} printed no heartbeat"
    boots, marker = before[guest.name]
    now = beats[-1]
    assert now.marker == marker, f"{guest.name} reads marker {now.marker!r} and wrote {marker!r}"
    assert now.boot > boots, f"{guest.name} counts {now.boot} boots; before, it counted {boots}"
