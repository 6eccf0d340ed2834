"""Plan a run: what to build, in what order, and why. Pure: lookup.py has looked up the values.

A package is rebuilt when the hash over its inputs differs from the published one. Inputs have
names, so the reason for a build can say what changed. providers.py chooses providers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.builds import providers
from sheepvirt.core.errors import ConfigError
from sheepvirt.core.tables import pick
from sheepvirt.model.inputs import BuildInputs, SourceInput
from sheepvirt.model.plans import BuildPlan, PlannedBuild

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sheepvirt.model.builds import BuildRecord, Package, Target
    from sheepvirt.model.plans import Choice, PlanValues

# Increase it when a change of the code gives other RPMs from the same inputs.
RECIPE = "2"


def make_plan(values: PlanValues) -> BuildPlan:
    """Return the whole plan of a run.

    Raises ConfigError (also for a selector or a local source without effect),
    SourceUnreachableError (see ``providers.choose``).
    """
    wanted = _wanted(values)
    choices = providers.choices(values, wanted)
    chosen = {choice.package: choice.provider for choice in choices}
    keys: dict[str, str] = {}
    builds: list[PlannedBuild] = []
    for package in order(values.packages, wanted, values.target, chosen):
        build_packages = [chosen.get(name, name) for name in package.build_packages]
        found = inputs(
            package,
            values.target,
            values.builder_image,
            values.file_hashes[package.name],
            {name: keys[name] for name in build_packages},
        )
        row = decide(package, found, values.published.get(package.name), build_packages)
        keys[package.name] = row.key
        builds.append(row)
    _require_local_sources_used(values.packages, builds)
    return BuildPlan(
        choices=choices,
        builds=tuple(builds),
        kept=_kept(values, choices, builds),
        left_out=() if values.request.names else left_out(values.packages, values.target),
    )


def sources_to_ask(values: PlanValues) -> list[str]:
    """Return the packages whose sources must be asked after: they decide a choice.

    ``values`` has everything but the answers. Raises ConfigError: a selector has no effect.
    """
    return providers.sources_to_ask(values, _wanted(values))


def _wanted(values: PlanValues) -> list[str]:
    return list(values.request.names) or buildable(values.packages, values.target)


def _require_local_sources_used(
    packages: Mapping[str, Package], builds: Sequence[PlannedBuild]
) -> None:
    unused = packages.keys() - {row.package.name for row in builds}
    for name in sorted(unused):
        if any(source.local_file for source in packages[name].sources):
            raise ConfigError(
                f"--source {name}=… has no effect: {name} is not built",
                hint=f"remove it, or add `--package {name}`",
            )


def _kept(
    values: PlanValues, choices: Iterable[Choice], builds: Sequence[PlannedBuild]
) -> frozenset[str]:
    """Return the published packages to keep: those that need no build or were not requested.

    The provider that a choice rejected is dropped, and so is a package that left specs/: it may be
    a former provider.
    """
    kept = {row.package.name for row in builds if not row.build}
    if values.request.names:
        kept |= values.published.keys() - {row.package.name for row in builds}
    return frozenset(kept & values.packages.keys() - {choice.rejected for choice in choices})


def chosen_versions(
    packages: Iterable[str], asked: Mapping[str, str], target: Target
) -> dict[str, str]:
    """Return the version of each package: the requested one, else the target's choice.

    A package that is not in the result has its default version. Raises UnknownNameError: the
    target chooses a version of a package that does not exist.
    """
    for name in target.versions:
        pick(f"package (in [versions] of target {target.name})", name, packages)
    return {**target.versions, **asked}


def order(
    packages: Mapping[str, Package],
    wanted: Sequence[str],
    target: Target,
    providers: Mapping[str, str] | None = None,
) -> list[Package]:
    """Return ``wanted`` and everything they need, in build order.

    ``providers`` maps a package to its provider. Raises ConfigError: a dependency cycle, a need
    that names no package, or a package that is not for ``target``.
    """
    done: dict[str, Package] = {}

    def visit(asked: str, path: tuple[str, ...]) -> None:
        name = (providers or {}).get(asked, asked)
        if name in path:
            raise ConfigError(
                f"packages need one another in a circle: {' → '.join([*path, name])}",
                hint="remove one of these `build_packages` from specs/*/package.toml",
            )
        if name in done:
            return
        package = packages.get(name)
        if package is None:
            raise ConfigError(
                f"package {path[-1]!r} needs {name!r}, which does not exist",
                hint=f"known: {', '.join(sorted(packages))}",
            )
        if package.targets and target.name not in package.targets:
            raise ConfigError(
                f"package {name!r} is not for target {target.name!r}",
                hint=f"it is for {', '.join(package.targets)}",
            )
        for need in package.build_packages:
            visit(need, (*path, name))
        done[name] = package

    for name in wanted:
        visit(name, ())
    return list(done.values())


def buildable(packages: Mapping[str, Package], target: Target) -> list[str]:
    """Return the packages that a run builds for ``target`` when none is named.

    A stand-in is added by a choice, and a module that the kernel has is built only when named.
    """
    return sorted(
        n
        for n, p in packages.items()
        if _is_for(p, target) and not p.stands_in_for and not target.kernel_has(p.kernel_module)
    )


def left_out(packages: Mapping[str, Package], target: Target) -> tuple[str, ...]:
    """Return a sentence for each package of ``target`` that is built only when named."""
    kernel = target.macros.get("kversion", "")
    return tuple(
        f"{name}: left out: kernel {kernel} has {p.kernel_module}, as all kernels from "
        f"{target.kernel_modules[p.kernel_module]} on; `--package {name}` builds it"
        for name, p in sorted(packages.items())
        if _is_for(p, target) and target.kernel_has(p.kernel_module)
    )


def _is_for(package: Package, target: Target) -> bool:
    return not package.targets or target.name in package.targets


def inputs(
    package: Package, target: Target, image: str, files: Mapping[Path, str], keys: Mapping[str, str]
) -> BuildInputs:
    """Return the inputs of ``package``.

    ``files`` maps the files of this version (versions.files) to their sha256; ``keys`` maps each
    needed package, as chosen, to its build key.
    """
    hashes: dict[str, str] = {}
    for path, digest in files.items():
        name = f"{path.parent.name}/{path.name}"
        hashes[name] = hashes.get(name, "") + digest  # two files may have one name
    return BuildInputs(
        recipe=RECIPE,
        builder_image=image,
        macros=target.for_package(package).macros,
        sources={
            source.file: SourceInput(
                source.pin, unpinned=bool(package.unpinned and source.local_file)
            )
            for source in package.sources
        },
        files=hashes,
        packages=keys,
    )


def decide(
    package: Package,
    inputs: BuildInputs,
    published: BuildRecord | None,
    build_packages: Sequence[str] = (),
) -> PlannedBuild:
    """Decide whether ``package`` must be built for these inputs, with the reason."""
    key = inputs.key
    if published is None:
        build, reason = True, "not built yet"
    elif published.key == key:
        build, reason = False, "nothing changed"
    elif published.version != package.version:
        build, reason = True, f"in place of version {published.version}"
    else:
        build, reason = True, f"changed: {', '.join(inputs.changed(published.inputs))}"
    return PlannedBuild(
        package=package,
        key=key,
        inputs=inputs,
        build=build,
        reason=reason,
        build_packages=tuple(build_packages),
    )
