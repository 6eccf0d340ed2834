"""The daemons run, start at boot, and start in order, as the host's init reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sheepvirt.bootstrap import boot_order, service_commands
from sheepvirt.bootstrap.facts import services, sysv
from sheepvirt.bootstrap.steps import units
from sheepvirt.model.enums import Init

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.services import ServiceState

    from .conftest import Expected
    from .probe import Probe


def found(probe: Probe, expected: Expected, service: str) -> ServiceState:
    """Return the state of a service and of the socket that starts it."""
    if service not in service_commands.asked(probe.init(), [service], expected.optional):
        pytest.skip(f"{service} is required only with systemd, where a socket starts it")
    state = services.state(probe.service(service), probe.runlevel())
    if state is None and service in expected.optional:
        pytest.skip(f"this host's libvirt has no {service}")
    assert state is not None, f"there is no service {service}"
    return state


def test_service_is_running(probe: Probe, expected: Expected, service: str) -> None:
    # virtlogd and virtlockd start on demand, by their sockets.
    state = found(probe, expected, service)
    assert state.active, f"service {service} does not run and no socket would start it"


def test_service_starts_at_boot(probe: Probe, expected: Expected, service: str) -> None:
    # systemd calls a unit "indirect" if its socket is the one to enable.
    state = found(probe, expected, service)
    assert state.enabled, f"service {service} would not start at boot, nor its socket"


def test_services_start_in_order(probe: Probe, expected: Expected) -> None:
    """SysV init starts by the numbers of links; systemd by its units' dependencies."""
    if probe.init() != Init.SYSV:
        pytest.skip("systemd orders its units itself")
    level = probe.runlevel()
    there = sysv.links(probe.read("ls", f"/etc/rc{level}.d").split())
    asked = service_commands.asked(Init.SYSV, expected.services, expected.optional)
    names = [n for n in (*asked, units.AUTOSTART) if n in there]
    order = [n for n in boot_order.boot_order(there) if n in names]
    assert order == names, f"runlevel {level} starts {', '.join(order)}; wanted {', '.join(names)}"
