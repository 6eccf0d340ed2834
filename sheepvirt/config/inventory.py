"""The inventory: hosts with their guests, and the dependencies of a host (``host/``)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sheepvirt.config import catalog, hosts, nics
from sheepvirt.config.keys import Group, Problems, Section
from sheepvirt.core.errors import ConfigError, suggest
from sheepvirt.core.tables import pick, read_toml
from sheepvirt.model.hosts import Dependencies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sheepvirt.core.settings import Settings
    from sheepvirt.core.tables import Table
    from sheepvirt.model.builds import Target
    from sheepvirt.model.hosts import Host

SECTION = Section(
    path="",
    meaning="the inventory",
    groups=(Group(key="hosts", section=hosts.SECTION, meaning="the hosts"),),
)


def load_hosts(settings: Settings) -> dict[str, Host]:
    """Read the inventory; return its hosts by name. Raises ConfigError: all that is wrong."""
    problems = Problems()
    found = _read(settings, problems)
    problems.stop()
    return found


def _read(settings: Settings, problems: Problems) -> dict[str, Host]:
    """Return the hosts in which nothing is wrong."""
    table = read_toml(settings.inventory)
    SECTION.read(table, problems)
    tables: dict[str, Table] = {}
    with problems.collecting():
        tables = dict(table.tables("hosts"))
    read = {name: hosts.read(name, one, problems) for name, one in tables.items()}
    found = {name: host for name, host in read.items() if host}
    problems.add(*hosts.between(found, tables))
    problems.add(*nics.twice({name: tables[name] for name in found}))
    return found


def check(settings: Settings) -> dict[str, Host]:
    """Read the inventory as ``load_hosts`` does; look also at what it names in the checkout.

    Raises ConfigError: all that is wrong.
    """
    problems = Problems()
    found = _read(settings, problems)
    targets = catalog.target_names(settings)
    for host in found.values():
        if host.target not in targets:
            what = f"{settings.inventory}: [hosts.{host.name}]: 'target' is {host.target!r}"
            problems.add(ConfigError(what, hint=suggest(host.target, targets)))
    for name in dict.fromkeys(h.target for h in found.values() if h.target in targets):
        with problems.collecting():
            for_hosts(catalog.read_target(settings, name), found.values())
    problems.stop()
    return found


def load_host(settings: Settings, name: str) -> Host:
    """Read one host of the inventory. Raises UnknownNameError, ConfigError."""
    found = load_hosts(settings)
    return found[pick("host", name, found)]


def load_target(settings: Settings, name: str) -> Target:
    """Return a target with the macros that its hosts set (``host_macros`` of its target.toml).

    All hosts of a target get the same RPMs. Raises ConfigError (their values differ),
    UnknownNameError.
    """
    target = catalog.read_target(settings, name)
    return for_hosts(target, load_hosts(settings).values()) if target.host_macros else target


def for_hosts(target: Target, given_hosts: Iterable[Host]) -> Target:
    """Return ``target`` with the macros that the hosts set; see load_target. Pure."""
    given: dict[str, str] = {}
    for macro in target.host_macros:
        said = {getattr(h, macro): h.name for h in given_hosts if h.target == target.name}
        said.pop("", None)
        if len(said) > 1:
            rows = ", ".join(f"{name} {value!r}" for value, name in said.items())
            raise ConfigError(
                f"the hosts of {target.name} differ in {macro}: {rows}",
                hint="give them one value, or use an inventory for each ($SHEEPVIRT_INVENTORY): "
                "all hosts of a target get the same RPMs",
            )
        if said:
            given[macro] = next(iter(said))
    return replace(target, macros={**target.macros, **given})


def load_dependencies(settings: Settings) -> Dependencies:
    """Read ``host/dependencies.toml``. Raises ConfigError."""
    table = read_toml(settings.host / "dependencies.toml")
    found = Dependencies(
        packages=table.strings("packages"),
        services=table.strings("services"),
        optional=frozenset(table.strings("optional_services")),
    )
    table.done()
    unknown = sorted(found.optional - set(found.services))
    if unknown:
        table.refuse(
            "optional_services",
            f"names {', '.join(unknown)}, which is not in services",
            hint="add it to services, at its place in the start order",
        )
    return found
