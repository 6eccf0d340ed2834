"""Which host is verified, and against what: the inventory and what was published for its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from testinfra.backend.base import BaseBackend

from sheepvirt import config as configuration
from sheepvirt import inventory, paths, repo
from sheepvirt.errors import SheepvirtError
from sheepvirt.model import BuildRecord, Feature, Host
from sheepvirt.tables import pick

from .probe import Probe


@dataclass(frozen=True)
class Wanted:
    """What the tests hold a host against."""

    host: Host
    records: tuple[BuildRecord, ...]
    features: dict[str, Feature]  # "package-feature" to the feature
    dependencies: tuple[str, ...]
    services: tuple[str, ...]
    networks: tuple[str, ...]


WANTED = pytest.StashKey[Wanted]()


def pytest_configure(config: pytest.Config) -> None:
    """Read what is wanted before anything runs; a mistake ends the run as a usage error."""
    try:
        wanted = _wanted(_inventory_host(config.option.hosts or ""))
    except SheepvirtError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[WANTED] = wanted
    if wanted.host.user != "root":
        config.option.sudo = True  # rpm -V, virsh and ovs-vsctl need root


def _inventory_host(hosts: str) -> Host:
    """Return the host that ``--hosts`` means: by its name, or by the address of a real one."""
    spec = hosts.partition("://")[2] or hosts
    name = BaseBackend.parse_hostspec(spec).name
    if not name or "," in hosts:
        raise pytest.UsageError("name one host: pytest tests/host --hosts=ssh://tahiti")
    known = inventory.load_hosts()
    at = [h for h in known.values() if h.address == name and not h.rehearsal]
    if name not in known and len(at) == 1:
        return at[0]
    return known[pick("host", name, known)]


def _wanted(host: Host) -> Wanted:
    records = repo.read_manifest(paths.dist() / host.target)
    dependencies = inventory.load_dependencies()
    features = {
        f"{record.package}-{feature.name}": feature
        for record in records
        for feature in configuration.load_package(record.package).features
    }
    return Wanted(
        host=host,
        records=tuple(records),
        features=features,
        dependencies=dependencies.packages,
        services=dependencies.services,
        # `default` is libvirt's own: our RPM of its configuration brings it.
        networks=tuple(dict.fromkeys(["default", host.network, *(g.network for g in host.guests)])),
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test per guest, network, package … of the host, with its name in the test's."""
    wanted = metafunc.config.stash[WANTED]
    rows: dict[str, dict[str, Any]] = {
        "guest": {g.name: g for g in wanted.host.guests},
        "network": {n: n for n in wanted.networks},
        "record": {r.package: r for r in wanted.records},
        "feature": dict(wanted.features),
        "dependency": {n: n for n in wanted.dependencies},
        "service": {n: n for n in wanted.services},
    }
    for name, values in rows.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(values.values()), ids=list(values))


@pytest.fixture(scope="session")
def wanted(pytestconfig: pytest.Config) -> Wanted:
    """What this host is held against."""
    return pytestconfig.stash[WANTED]


@pytest.fixture(scope="module")
def probe(host: Any) -> Probe:
    """The host, asked under LC_ALL=C."""
    return Probe(host)
