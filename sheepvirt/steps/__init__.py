"""Bootstrap steps, in order. Each is wanted state, check (pure) and apply."""

from __future__ import annotations

from sheepvirt.steps import (
    bridge,
    dependencies,
    disk,
    domain,
    network,
    packages,
    port,
    reboot,
    repository,
    services,
)
from sheepvirt.steps.base import Step

STEPS: tuple[Step, ...] = (
    dependencies.STEP,
    repository.STEP,
    packages.STEP,
    services.STEP,
    bridge.STEP,
    reboot.STEP,
    network.STEP,
    disk.STEP,
    domain.STEP,
    port.STEP,
)
