"""Read and compute the desired state of a host, and what must be asked of the host for it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import (
    consent,
    host_files,
    rehearsal,
    schemas,
)
from sheepvirt.bootstrap.consent import NOTHING, Consent
from sheepvirt.bootstrap.facts.fact import FactQuery
from sheepvirt.bootstrap.steps import (
    disk,
    disk_file,
    disk_vdi,
    guard,
    ifcfg,
    kvm,
    marking,
    network,
    power,
    repository,
    undo,
    units,
)
from sheepvirt.bootstrap.steps.base import (
    DATAPATH_MODULE,
    DesiredState,
    disk_path,
    vdi_note,
)
from sheepvirt.builds import repo
from sheepvirt.config import catalog, inventory
from sheepvirt.core import files
from sheepvirt.core.errors import ConfigError
from sheepvirt.images import guest
from sheepvirt.model import standin
from sheepvirt.model.enums import Init, ObjectKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord
    from sheepvirt.model.guests import Guest
    from sheepvirt.model.hosts import Host
    from sheepvirt.run import Run


def desired_state(run: Run, host: Host, given: Consent = NOTHING) -> DesiredState:
    """Return the desired state of ``host``.

    Raises ConfigError (no repo is published, or a rehearsal host cannot have the init that its RPMs
    or its inventory require), EngineError.
    """
    settings = run.settings
    folder = repo.home(
        settings, host.target
    ).resolve()  # one repo, even if another is published now
    records = repo.read_manifest(folder)
    host = _with_init(settings, host, records)
    _refuse_another_init(run, host)
    try:
        repomd = (folder / "repodata" / "repomd.xml").read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{folder} has no repodata", hint=f"run `invoke build-rpms --target {host.target}`"
        ) from error
    digests = _repo_files(folder, records)
    return DesiredState(
        host=host,
        dependencies=inventory.load_dependencies(settings),
        repo=folder,
        repomd=hashlib.sha256(repomd).hexdigest(),
        repo_files=digests,
        repo_size=sum((folder / file).stat().st_size for file in digests),
        records=records,
        images={g.name: guest.image_name(settings, g) for g in host.guests},
        consent=consent.on(host, given),
        image_sizes={g.name: disk.size_of(p) for g in host.guests if (p := _image(settings, g))},
        schemas=schemas.load(settings.cache / "schemas", folder, records),
        host_files=host_files.load(settings.host),
        stand_ins=standin.words(catalog.load_package(settings, r.package) for r in records),
        rejected_rpms=_rejected_rpms(settings, records),
        module_packages=_module_packages(settings, host.target),
    )


def _rejected_rpms(settings: Settings, records: Sequence[BuildRecord]) -> dict[str, str]:
    """Map the RPMs of providers that were not chosen to the package in their place."""
    packages = [catalog.load_package(settings, name) for name in catalog.package_names(settings)]
    published = {record.package for record in records}
    found: dict[str, str] = {}
    for stand_in in (p for p in packages if p.stands_in_for):
        real = next(p for p in packages if p.name == stand_in.stands_in_for)
        for chosen, other in ((real, stand_in), (stand_in, real)):
            if chosen.name in published:
                found |= dict.fromkeys(other.installed_subpackages, chosen.name)
    return found


def _module_packages(settings: Settings, target: str) -> dict[str, str]:
    """Map each kernel module that hosts of ``target`` need to its package."""
    packages = [catalog.load_package(settings, name) for name in catalog.package_names(settings)]
    return {p.kernel_module: p.name for p in packages if p.kernel_module and target in p.targets}


def _with_init(settings: Settings, host: Host, records: Sequence[BuildRecord]) -> Host:
    """Return a rehearsal host with the init that its RPMs have services for.

    Raises ConfigError: the inventory names another one.
    """
    if not host.rehearsal:
        return host
    for record in records:
        init = catalog.load_package(settings, record.package, record.version).init
        if init and host.init not in {None, init}:
            raise ConfigError(
                f"{record.package} {record.version} has init scripts, and the inventory sets "
                f"init = {str(host.init)!r} for the rehearsal host {host.name}",
                hint=f'set `init = "{init}"` for it in {settings.inventory}',
            )
        if init:
            return replace(host, init=init)
    return replace(host, init=host.init or Init.SYSTEMD)


def _refuse_another_init(run: Run, host: Host) -> None:
    """Raise ConfigError if the rehearsal host exists and has another init."""
    there = rehearsal.made_with(run.engine, host) if host.rehearsal else None
    if there not in {None, host.init}:
        raise ConfigError(
            f"{host.name} was made with {there}; the published RPMs or "
            f"{run.settings.inventory} now require {host.init}",
            hint=f"run `invoke destroy {host.name}`; the next bootstrap makes a new one",
        )


def _image(settings: Settings, one: Guest) -> Path | None:
    """Return the image of a guest if it is there; a plan makes none."""
    path = guest.image_path(settings, one)
    return path if path.is_file() else None


def _repo_files(folder: Path, records: Sequence[BuildRecord]) -> dict[str, str]:
    """Map the files that a host gets to their sha256: RPMs from the manifest, repodata from disk.

    Raises ConfigError: a file of the published repo is missing.
    """
    published = [rpm for record in records for rpm in record.rpms]
    found = {r.file: r.sha256 for r in published if not r.nevra.endswith((".src", ".nosrc"))}
    missing = [file for file in found if not (folder / file).is_file()]
    if missing:
        raise ConfigError(
            f"{folder} has no {missing[0]}, which its manifest names",
            hint="run `invoke build-rpms`: it publishes a whole repo",
        )
    repodata = sorted(path for path in (folder / "repodata").iterdir() if path.is_file())
    return found | {str(path.relative_to(folder)): files.sha256(path) for path in repodata}


def fact_query(wanted: DesiredState) -> FactQuery:
    """Return the query for all facts that the steps need."""
    host = wanted.host
    rests = (disk_file.beside(disk_path(g)) for g in host.guests)
    return FactQuery(
        names=wanted.dependencies.packages,
        modules=tuple(dict.fromkeys((*wanted.module_packages, DATAPATH_MODULE))),
        services=(*wanted.dependencies.services, units.AUTOSTART),
        networks=(network.DEFAULT, host.network),
        changed_networks=(host.network,),
        pools=(host.pool,),
        domains=tuple(g.name for g in host.guests),
        disks=tuple(disk_path(g) for g in host.guests),
        trees=(repository.FOLDER,),
        files=(*repository.FILES, *units.FILES, ifcfg.IFUP, *rests),
        texts=(
            kvm.NOTE,
            undo.SCRIPT,
            guard.BOOT,
            guard.LIVE,
            network.NEW,
            power.STOPPED,
            *(note(g) for g in host.guests for note in (vdi_note, disk_vdi.copying_note)),
            repository.REPO_FILE,
            *units.FILES,
            marking.sent_file(ObjectKind.NETWORK, host.network),
            marking.sent_file(ObjectKind.POOL, host.pool),
            *(marking.sent_file(ObjectKind.DOMAIN, g.name) for g in host.guests),
        ),
    )
