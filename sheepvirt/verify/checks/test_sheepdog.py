"""Sheepdog: the cluster, its pool in libvirt, and the guests that run from its volumes.

libvirt calls a pool active even after its cluster is gone, so the cluster is checked, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sheepvirt.bootstrap import virsh
from sheepvirt.bootstrap.facts import sheepdog

from .conftest import SHEEPDOG, Expected, Hear

if TYPE_CHECKING:
    from sheepvirt.model.guests import Guest

    from .probe import Probe

# libvirt lists a sheepdog pool's volumes since 1.2.2 (its commit 974100633).
VOLUMES_LISTED = (1, 2, 2)
RUNNING = "running"  # the real one says "running, auto-recovery enabled"


def test_cluster_answers_and_is_formatted(probe: Probe, cluster: str) -> None:
    status = sheepdog.cluster_status(probe.read("dog", "cluster", "info"))
    assert status.startswith(RUNNING), f"the {cluster} cluster says {status!r}"


def test_node_has_joined(probe: Probe, cluster: str) -> None:
    said = probe.read("dog", "node", "info", "-r")
    assert sheepdog.nodes(said) >= 1, f"no node has joined the {cluster} cluster: {said.strip()!r}"


def test_port_is_open_only_where_wanted(probe: Probe, cluster: str, expected: Expected) -> None:
    """sheep has no authentication: anyone who reaches its port can read and write every disk."""
    table = probe.run("cat", "/proc/net/tcp", "/proc/net/tcp6").stdout  # tcp6 may not be there
    found = sheepdog.listeners(table)
    wrong = [one.address for one in sheepdog.unwanted(found, expected.host.sheepdog_listen)]
    assert not wrong, (
        f"port {sheepdog.PORT} of {cluster} is open on {', '.join(wrong)}; the inventory wants "
        f"{', '.join(expected.host.sheepdog_listen)} (sheepdog_listen)"
    )


def listed(probe: Probe, *filters: str) -> dict[str, str]:
    """Return libvirt's list of pools: name to state. (pool-info fails without the backend.)"""
    return virsh.states(probe.virsh("pool-list", "--all", *filters))


def test_pool_is_active(probe: Probe, pool: str) -> None:
    """libvirtd reports "unknown" for a pool that was active and whose backend is gone."""
    state = listed(probe).get(pool, "not there")
    assert state == "active", f"pool {pool} is {state}"


def test_pool_is_persistent(probe: Probe, pool: str) -> None:
    found = listed(probe, "--persistent")
    assert pool in found, f"pool {pool} is not persistent, only: {', '.join(found)}"


def test_pool_starts_by_itself(probe: Probe, pool: str) -> None:
    found = listed(probe, "--autostart")
    assert pool in found, f"pool {pool} does not start by itself, only: {', '.join(found)}"


def test_pool_is_of_the_local_cluster(probe: Probe, pool: str) -> None:
    found = probe.xml("pool-dumpxml", "--inactive", "--pool", pool)
    host = found.find("source/host")
    where = ("", "") if host is None else (host.get("name", ""), host.get("port", "7000"))
    said = (found.get("type"), *where)
    want = (SHEEPDOG, "127.0.0.1", "7000")
    assert said == want, f"pool {pool} is (type, host, port) {said}, wanted {want}"


def test_volume_is_in_the_pool(probe: Probe, vdi: Guest, expected: Expected) -> None:
    """The list is from libvirt's memory; for the volume's size it queries the cluster."""
    if probe.libvirt() < VOLUMES_LISTED:
        pytest.skip("this libvirt lists only volumes that it made since its start")
    pool = expected.host.pool
    names = virsh.states(probe.virsh("vol-list", "--pool", pool))
    assert vdi.name in names, f"pool {pool} has no volume {vdi.name}, only: {', '.join(names)}"
    probe.virsh("vol-info", "--pool", pool, "--vol", vdi.name)


def test_guest_runs_from_its_volume(probe: Probe, vdi: Guest) -> None:
    """Check the running domain, not the stored definition."""
    domain = probe.xml("dumpxml", "--domain", vdi.name)
    assert domain.get("id"), f"guest {vdi.name} does not run"
    disks = virsh.network_disks(domain)
    assert disks == [(SHEEPDOG, vdi.name)], f"disks of {vdi.name} over a network: {disks}"
    files = domain.findall("devices/disk[@type='file']/source")
    assert not files, f"guest {vdi.name} has a disk in a file: {[f.get('file') for f in files]}"


def test_guest_boots_through_the_driver(probe: Probe, vdi: Guest, hear: Hear) -> None:
    """Gate "host" of QEMU's driver: QEMU opened the volume, and a guest booted from it.

    `qemu-img --help` may list a driver that the emulator refuses: only a guest proves it.
    """
    words = probe.command_line(f"/var/run/libvirt/qemu/{vdi.name}.pid")
    opened = virsh.opens_vdi(words, vdi.name)
    drives = [word for word in words if "file=" in word or '"driver"' in word]
    assert opened, f"QEMU opens no {SHEEPDOG} volume {vdi.name}, but: {' '.join(drives)}"
    booted = [beat for beat in hear(vdi) if beat.boot and not beat.trouble]
    assert booted, f"guest {vdi.name} does not report a boot from its {SHEEPDOG} volume"
