"""What chkconfig does when it is called with --add, --del, --override, --list, on, off …"""

from __future__ import annotations

import subprocess

from headers import NO_START, NO_STOP, Service, parse
from links import LEVELS, Host, Refused

EVERY_BIT = frozenset(range(32))


def add(host: Host, name: str) -> int:
    """Give a script a link in each runlevel where it has none."""
    service = host.read(name)
    if service.lsb:
        if not any(host.links(name, level) for level in LEVELS):
            service.on = service.levels or frozenset()
        host.obey(service)
        return 0
    for level in LEVELS:
        if not host.links(name, level):
            host.link(service, level, service.wants(level))
    return 0


def delete(host: Host, name: str) -> int:
    """Take all links of a script away; refused where the script has gone before them."""
    host.read(name)
    for level in LEVELS:
        host.unlink(name, level)
    return 0


def override(host: Host, name: str) -> int:
    """Obey an override file where the links are still those of the script's own header."""
    over = host.override_of(name)
    try:
        service = parse(host.text("init.d", name), name)
    except OSError:
        return 0
    if service is None or over is None:
        return 0
    numbers = (service.levels, service.start, service.stop)
    if numbers == (over.levels, over.start, over.stop):
        return 0
    if service.lsb and (service.start, service.stop) == (NO_START, NO_STOP):
        host.obey(service)
    if (service.lsb or over.lsb) and (over.start, over.stop) == (NO_START, NO_STOP):
        host.obey(over)
    found = {level: links[0].name for level in LEVELS if (links := host.links(name, level))}
    for level, link in found.items():
        on = service.wants(level)
        number = service.start if on else service.stop
        if link != f"{'S' if on else 'K'}{number:02d}{name}":
            return 0
    for level in LEVELS if found else ():
        host.link(over, level, over.wants(level))
    return 0


def switch(host: Host, name: str, levels: frozenset[int], state: str) -> int:
    """Set a script's links of some runlevels: on, off, reset, resetpriorities."""
    if not levels:
        levels = frozenset({2, 3, 4, 5} if state in ("on", "off") else LEVELS)
    service = host.read(name)
    if state == "reset":
        service.on = service.levels or frozenset()
    elif state == "on":
        service.on |= levels
    elif state == "off":  # fault: every bit but the level's is set, so no dependency counts
        service.on = service.on.union(*(EVERY_BIT - {level} for level in levels))
    if service.lsb:
        host.obey(service)
    for level in sorted(levels):
        on = {
            "on": True,
            "off": False,
            "reset": service.wants(level),
            "resetpriorities": host.is_on(name, level),
        }[state]
        host.link(service, level, on)
    return 0


def show(host: Host, service: Service) -> bool:
    """Print a line of ``--list``; False where there is no link."""
    if not any(host.links(service.name, level) for level in LEVELS):
        return False
    states = "".join(
        f"\t{level}:{'on' if host.is_on(service.name, level) else 'off'}" for level in LEVELS
    )
    print(f"{service.name:<15}{states}")
    return True


def listed(host: Host, name: str | None) -> int:
    """Print one script's runlevels or all scripts'."""
    if name is None:
        for service in host.all():
            show(host, service)
    elif not show(host, host.read(name)):
        raise Refused(
            f"service {name} supports chkconfig, but is not referenced in any runlevel "
            f"(run 'chkconfig --add {name}')"
        )
    return 0


def query(host: Host, name: str, levels: frozenset[int]) -> int:
    """Tell by the exit code whether a script starts in a runlevel, else in the present one."""
    if len(levels) > 1:
        raise Refused("only one runlevel may be specified for a chkconfig query")
    try:
        service = host.read(name)
    except Refused:
        return 1
    return 0 if (levels or {runlevel()}) <= service.on else 1


def runlevel() -> int:
    """Return the present runlevel, -1 where nobody knows it."""
    try:
        said = subprocess.run(["/sbin/runlevel"], capture_output=True, text=True, check=False)
    except OSError:
        return -1
    word = said.stdout.split()[-1:]
    return int(word[0]) if word and word[0].isdigit() else -1
