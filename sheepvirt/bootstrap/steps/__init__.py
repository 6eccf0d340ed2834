"""Bootstrap steps, in order. Each has a check (pure) and an apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps import (
    bridge,
    cluster,
    dependencies,
    disk,
    domain,
    ifcfg,
    kvm,
    network,
    own,
    packages,
    pool,
    port,
    reboot,
    repository,
    services,
    undo,
)

if TYPE_CHECKING:
    from sheepvirt.bootstrap.steps.base import Step

STEPS: tuple[Step, ...] = (
    undo.STEP,
    own.STEP,
    dependencies.STEP,
    repository.STEP,
    packages.STEP,
    services.STEP,
    ifcfg.STEP,
    bridge.STEP,
    reboot.STEP,
    ifcfg.SEEN_STEP,
    cluster.STEP,
    own.STEP,  # once more: libvirt, sheepdog and the bridge may be seen only now
    network.STEP,
    pool.STEP,
    disk.STEP,
    kvm.STEP,
    domain.STEP,
    port.STEP,
)
