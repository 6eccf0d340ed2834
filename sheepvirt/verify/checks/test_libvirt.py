"""The feature that the distribution lacks is in the client and in the running daemon."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sheepvirt.bootstrap import virsh

if TYPE_CHECKING:
    from sheepvirt.model.builds import Feature

    from .probe import Probe

BACKEND = re.compile(r"libvirt_storage_backend_(\w+)\.so$")


def test_virsh_lists_the_feature(probe: Probe, feature: Feature) -> None:
    listed = virsh.compiled_in(probe.read("virsh", "-V"), "Storage")
    assert feature.host_line in listed, f"`virsh -V` lists under Storage only {' '.join(listed)}"


def test_daemon_has_loaded_the_storage_backend(probe: Probe, feature: Feature) -> None:
    """virsh -V is about virsh. This queries libvirtd, which loads the backend at its start."""
    backend = BACKEND.search(feature.rpm_file)
    if backend is None:
        pytest.skip(f"{feature.name} is not a storage backend in a separate file")
    if probe.libvirt() < (5, 2):
        pytest.skip("this virsh has no pool-capabilities (it came with 5.2)")
    pool = probe.xml("pool-capabilities").find(f"pool[@type='{backend[1]}']")
    assert pool is not None, f"libvirtd knows no pool type {backend[1]}"
    assert pool.get("supported") == "yes", f"libvirtd has no backend for {backend[1]} pools"
