"""Fixtures: the host to verify, and what is expected of it (its inventory and published repo)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
import testinfra.host
from testinfra.backend.base import BaseBackend

from sheepvirt.builds import repo
from sheepvirt.config import catalog as configuration
from sheepvirt.config import inventory
from sheepvirt.core import settings
from sheepvirt.core.errors import SheepvirtError
from sheepvirt.core.tables import pick
from sheepvirt.model.enums import Disk
from sheepvirt.model.guests import Guest
from sheepvirt.ssh.client import Connection
from sheepvirt.verify import heartbeats, junit_reports
from sheepvirt.verify.heartbeats import Heartbeat

from . import over_connection
from .probe import Probe

if TYPE_CHECKING:
    from sheepvirt.model.builds import BuildRecord, Feature
    from sheepvirt.model.hosts import Host


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the checks expect of a host."""

    host: Host
    repo: Path  # the published one, on this machine
    records: tuple[BuildRecord, ...]
    features: dict[str, Feature]  # "package-feature" to the feature
    dependencies: tuple[str, ...]
    services: tuple[str, ...]
    optional: frozenset[str]  # services that a host may lack
    networks: tuple[str, ...]
    before: dict[str, tuple[int, str]] | None  # guests' boots and markers before the reboot
    stand_in: bool  # sheepdog on this host is a stand-in: its checks are labelled


SHEEPDOG = "sheepdog"
EXPECTED = pytest.StashKey[Expected]()
CONNECTION = pytest.StashKey[Connection | None]()
Hear = Callable[[Guest], list[Heartbeat]]
# A guest repeats its line every 5 s. Long enough for two lines on a busy machine.
CONSOLE_SECONDS = 45
UNHEARD = (
    "consoles are not read on a real machine, since that takes the output from whoever watches "
    "them; `--consoles` or `--reboot` reads them"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --before (the report of the pass before a reboot, whose data must have survived it) …"""
    parser.addoption("--before", default="", metavar="JUNIT", help="report of an earlier pass")
    parser.addoption("--no-consoles", action="store_true", help="leave the guests' consoles alone")
    parser.addoption("--commands", default="", metavar="FILE", help="write each command there")


def pytest_configure(config: pytest.Config) -> None:
    """Read what is expected before any check runs; a user's mistake is a usage error."""
    chosen = settings.from_environment(os.environ)
    try:
        host = _inventory_host(chosen, config.option.hosts or "")
        expected = _expected(chosen, host, config.option.before)
        own = (
            over_connection.connect(chosen, host, os.environ)
            if over_connection.needed(host)
            else None
        )
    except SheepvirtError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[EXPECTED] = expected
    config.stash[CONNECTION] = own


def _inventory_host(chosen: settings.Settings, hosts: str) -> Host:
    """Return the host of ``--hosts``, given by its name or by the address of a real machine."""
    spec = hosts.partition("://")[2] or hosts
    name = BaseBackend.parse_hostspec(spec).name
    if not name or "," in hosts:
        raise pytest.UsageError(
            "name one host: pytest sheepvirt/verify/checks --hosts=ssh://tahiti"
        )
    known = inventory.load_hosts(chosen)
    at = [h for h in known.values() if h.address == name and not h.rehearsal]
    if name not in known and len(at) == 1:
        return at[0]
    return known[pick("host", name, known)]


def _expected(chosen: settings.Settings, host: Host, before: str) -> Expected:
    folder = repo.home(chosen, host.target)
    records = repo.read_manifest(folder)
    dependencies = inventory.load_dependencies(chosen)
    packages = [configuration.load_package(chosen, r.package, r.version) for r in records]
    features = {
        f"{package.name}-{feature.name}": feature
        for package in packages
        for feature in package.features
        if feature.host_line
    }
    return Expected(
        host=host,
        repo=folder,
        records=tuple(records),
        features=features,
        dependencies=dependencies.packages,
        services=dependencies.services,
        optional=dependencies.optional,
        # `default` is in libvirt's RPM of configuration files.
        networks=tuple(dict.fromkeys(["default", *(n.name for n in host.networks)])),
        before=_before(Path(before)) if before else None,
        stand_in=any(p.stands_in_for == SHEEPDOG for p in packages),
    )


def _before(junit: Path) -> dict[str, tuple[int, str]]:
    try:
        return junit_reports.boot_records(junit.read_text(encoding="utf-8"))
    except (OSError, ElementTree.ParseError) as error:
        raise pytest.UsageError(f"--before {junit}: {error}") from error


def _title(record: BuildRecord) -> str:
    signs = (" (stand-in)" if record.stand_in else "", " (unpinned)" if record.unpinned else "")
    return record.package + "".join(signs)


# Why a check is skipped on a host that has none of what it looks at.
NONE = {
    "guest": "the inventory gives the host no guest",
    "vdi": "the inventory gives the host no guest on sheepdog",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests over guests, networks, packages … of the host, with their names as ids."""
    expected = metafunc.config.stash[EXPECTED]
    label = " (stand-in)" if expected.stand_in else ""
    rows: dict[str, dict[str, Any]] = {
        "guest": {g.name: g for g in expected.host.guests},
        "vdi": {
            f"{g.name} on {SHEEPDOG}{label}": g
            for g in expected.host.guests
            if g.disk == Disk.SHEEPDOG
        },
        "cluster": {f"{SHEEPDOG}{label}": SHEEPDOG},
        "pool": {f"{expected.host.pool}{label}": expected.host.pool},
        "network": {n: n for n in expected.networks},
        "record": {_title(r): r for r in expected.records},
        "feature": dict(expected.features),
        "dependency": {n: n for n in expected.dependencies},
        "service": {f"{n}{label if n == SHEEPDOG else ''}": n for n in expected.services},
    }
    for name, values in rows.items():
        if name in metafunc.fixturenames and name in NONE and not values:
            skipped = pytest.param(None, marks=pytest.mark.skip(reason=NONE[name]), id="none")
            metafunc.parametrize(name, [skipped])
        elif name in metafunc.fixturenames:
            metafunc.parametrize(name, list(values.values()), ids=list(values))


@pytest.fixture(scope="session")
def expected(pytestconfig: pytest.Config) -> Expected:
    """What is expected of this host."""
    return pytestconfig.stash[EXPECTED]


@pytest.fixture(scope="module")
def host(_testinfra_host: Any, pytestconfig: pytest.Config) -> Any:
    """testinfra's host: over its own ssh, or over sheepvirt's connection."""
    own = pytestconfig.stash[CONNECTION]
    return (
        _testinfra_host if own is None else testinfra.host.Host(over_connection.OverConnection(own))
    )


@pytest.fixture(scope="module")
def probe(host: Any, pytestconfig: pytest.Config) -> Probe:
    """The host, for commands under LC_ALL=C."""
    file = pytestconfig.option.commands
    return Probe(host, Path(file) if file else None)


@pytest.fixture(scope="session")
def heard() -> dict[str, list[Heartbeat]]:
    """Heartbeats of each guest in this run: a console is read only once."""
    return {}


@pytest.fixture
def hear(probe: Probe, heard: dict[str, list[Heartbeat]], pytestconfig: pytest.Config) -> Hear:
    """Read a guest's console: two heartbeats, or fewer if it is silent. Skips with --no-consoles.

    A console has one reader at a time: reading takes the output from whoever watches it.
    """

    def listen(guest: Guest) -> list[Heartbeat]:
        if pytestconfig.option.no_consoles:
            pytest.skip(UNHEARD)
        if guest.name not in heard:
            seen = probe.console(guest.name, guest.console_marker, seconds=CONSOLE_SECONDS)
            heard[guest.name] = heartbeats.beats(seen, guest.console_marker)
        return heard[guest.name]

    return listen


@pytest.fixture
def beats(hear: Hear, guest: Guest) -> list[Heartbeat]:
    """The guest's heartbeats on its console from now on."""
    return hear(guest)


@pytest.fixture
def before(expected: Expected) -> dict[str, tuple[int, str]] | None:
    """Each guest's boots and marker before the reboot; None without --before."""
    return expected.before
