"""Look up what a plan is made from: packages, hashes of files, availability of sources.

It reads specs/, patches/ and the published repo, and may use the network. plan.py decides from the
values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sheepvirt.builds import plan, providers, repo
from sheepvirt.config import catalog, versions
from sheepvirt.core.files import sha256
from sheepvirt.model.plans import PlanValues
from sheepvirt.sources import local, store

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord, BundleSources, Package, Target
    from sheepvirt.model.plans import Request


def look_up(
    settings: Settings,
    target: Target,
    selectors: Sequence[str],
    builder_image: str,
    *,
    local_files: Sequence[str] = (),
    bundle_sources: BundleSources | None = None,
    published: Mapping[str, BuildRecord] | None = None,
    published_names: Collection[str] = (),
) -> PlanValues:
    """Return the values of a plan for ``selectors`` (see ``providers.request``).

    ``local_files`` are the options ``--source`` (see ``local.parse``). With ``bundle_sources``
    only those are available. Without ``published``, the values are those of a first run. Only
    sources that decide a choice are asked after. Changes nothing. Raises UnknownNameError,
    ConfigError.
    """
    request, packages = _requested(settings, selectors, target)
    for name, path in local.parse(local_files, packages).items():
        packages[name] = local.use(packages[name], path, sha256(path))
    values = PlanValues(
        target=target,
        request=request,
        packages=packages,
        file_hashes={
            name: {path: sha256(path) for path in versions.files(package)}
            for name, package in packages.items()
        },
        builder_image=builder_image,
        published=published or {},
        published_names=published_names,
        bundle_sources=bundle_sources,
    )
    availability = {
        name: store.availability_of_all(settings, packages[name].sources, bundle_sources)
        for name in plan.sources_to_ask(values)
    }
    return replace(values, availability=availability)


def for_run(
    settings: Settings,
    target: Target,
    selectors: Sequence[str],
    builder_image: str,
    *,
    local_files: Sequence[str] = (),
    bundle_sources: BundleSources | None = None,
) -> PlanValues:
    """Return the values of a plan for the repo that is published for ``target``."""
    return look_up(
        settings,
        target,
        selectors,
        builder_image,
        local_files=local_files,
        bundle_sources=bundle_sources,
        published=repo.published(settings, target.name),
        published_names=repo.named(settings, target.name),
    )


def _requested(
    settings: Settings, selectors: Sequence[str], target: Target
) -> tuple[Request, dict[str, Package]]:
    """Return what ``selectors`` request, and every package in its requested version."""
    names = catalog.package_names(settings)
    default = plan.chosen_versions(names, {}, target)
    found = (catalog.load_package(settings, n, default.get(n, "")) for n in names)
    packages = {package.name: package.for_target(target.name) for package in found}
    stand_ins = providers.stand_ins(packages, target)
    request = providers.request(selectors, packages, stand_ins, target)
    for name, version in request.versions.items():
        packages[name] = catalog.load_package(settings, name, version).for_target(target.name)
    return request, packages
