"""The daemons run, and will after the next boot: the unit itself, or the socket that starts it."""

from __future__ import annotations

from typing import Any


def state(unit: Any) -> str:
    """Return systemd's UnitFileState; "" where there is another init."""
    try:
        return str(unit.systemd_properties.get("UnitFileState", ""))
    except NotImplementedError:
        return ""


def test_service_is_running(host: Any, service: str) -> None:
    # virtlogd and virtlockd wait on their sockets until libvirtd has work for them.
    socket = host.service(f"{service}.socket")
    running = host.service(service).is_running or (socket.exists and socket.is_running)
    assert running, f"service {service} does not run and no socket would start it"


def test_service_starts_at_boot(host: Any, service: str) -> None:
    unit, socket = host.service(service), host.service(f"{service}.socket")
    assert unit.is_enabled, f"service {service} would not start at boot"
    # `systemctl is-enabled` is content with "indirect": its socket is what must be enabled then.
    if state(unit) == "indirect":
        assert socket.exists, f"service {service} would not start at boot: it has no socket"
        assert state(socket) == "enabled", f"socket of {service} would not listen after a boot"
