"""Plan a run: what to build, in what order, from which provider, and why. Pure.

A package is rebuilt when the hash over its inputs differs from the published one. Inputs have
names, so the reason for a build can say what changed.

A package may have a stand-in on a target. A package that needs it then needs the chosen provider:
the one in the published repo; in a first run the real one if its source is available, else the
stand-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sheepvirt.core.errors import ConfigError, SourceUnreachableError, UnknownNameError, suggest
from sheepvirt.core.tables import pick
from sheepvirt.model.builds import (
    Availability,
    BuildRecord,
    Choice,
    Package,
    PlannedBuild,
    Request,
    Target,
)
from sheepvirt.model.enums import Provider
from sheepvirt.model.inputs import BuildInputs, SourceInput

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

# Increase it when a change of the code gives other RPMs from the same inputs.
RECIPE = "2"
Word = TypeVar("Word", bound=str)


def stand_ins(packages: Mapping[str, Package], target: Target) -> dict[str, str]:
    """Return the stand-in of each package that has one on ``target``. Raises ConfigError."""
    found: dict[str, str] = {}
    for name, package in sorted(packages.items()):
        real = package.stands_in_for
        if not real or (package.targets and target.name not in package.targets):
            continue
        if real not in packages or packages[real].stands_in_for:
            what = "is a stand-in itself" if real in packages else "does not exist"
            raise ConfigError(
                f"{name!r} stands in for {real!r}, which {what}",
                hint=suggest(real, {n for n, p in packages.items() if not p.stands_in_for}),
            )
        if real in found:
            raise ConfigError(
                f"{found[real]!r} and {name!r} both stand in for {real!r} on {target.name!r}",
                hint="remove this target from the `targets` of one of them",
            )
        found[real] = name
    return found


def request(
    selectors: Sequence[str],
    packages: Mapping[str, Package],
    known: Mapping[str, str],
    target: Target,
) -> Request:
    """Parse ``--package`` selectors.

    ``known`` has the stand-ins of ``target``. ``NAME=real`` and ``NAME=stand-in`` force a provider
    and select nothing to build; ``NAME=VERSION`` selects the real package in that version. Raises
    UnknownNameError, ConfigError.
    """
    names: list[str] = []
    providers: dict[str, Provider] = {}
    versions: dict[str, str] = {}
    for word in selectors:
        name, equals, value = word.partition("=")
        package = packages[pick("package", name, packages)]
        if package.stands_in_for:
            raise ConfigError(
                f"{name!r} is a stand-in and cannot be selected by itself",
                hint=f"use {package.stands_in_for}={Provider.STAND_IN}",
            )
        if not equals or value in package.versions:
            names.append(name)
        if not equals:
            continue
        if value in package.versions:
            _agree(versions, name, value)
            if name in known:
                _agree(providers, name, Provider.REAL)  # only the real one has versions
        else:
            _agree(providers, name, _provider(word, package, known, target))
    return Request(names=tuple(dict.fromkeys(names)), providers=providers, versions=versions)


def _provider(word: str, package: Package, known: Mapping[str, str], target: Target) -> Provider:
    """Return the provider that the selector ``word`` names."""
    name, _, value = word.partition("=")
    try:
        provider = Provider(value)
    except ValueError:
        have = {*(one.value for one in Provider), *package.versions}
        raise UnknownNameError(
            f"{word}: {value!r} is neither a version nor a provider of {name!r}",
            hint=suggest(value, have),
        ) from None
    if provider == Provider.STAND_IN and name not in known:
        raise ConfigError(
            f"{name!r} has no stand-in on target {target.name!r}",
            hint=f"packages with a stand-in: {', '.join(sorted(known)) or 'none'}",
        )
    return provider


def _agree(table: dict[str, Word], name: str, value: Word) -> None:
    """Record a selection. Raises ConfigError: it contradicts an earlier one."""
    if table.setdefault(name, value) != value:
        both = sorted({table[name], value})
        raise ConfigError(
            f"{name!r} is selected both as {' and as '.join(both)}", hint="remove one of them"
        )


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


def asked_about(
    packages: Mapping[str, Package], wanted: Sequence[str], known: Mapping[str, str]
) -> list[str]:
    """Return the packages with a stand-in that ``wanted`` needs: a provider is chosen for each."""
    seen: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in seen and name in packages:
            seen.add(name)
            waiting += packages[name].build_packages
    return sorted(seen & known.keys())


def keep(name: str, stand_in: str, published: Collection[str]) -> Choice | None:
    """Return the choice of an earlier run, as the published repo shows it; None if it has none.

    ``published`` has the names of the repo's packages. An earlier choice stays until the user
    makes another one: else an unstable network would rebuild everything that needs ``name``.
    """
    provider = next((one for one in (stand_in, name) if one in published), "")
    if not provider:
        return None
    other = Provider.REAL if provider == stand_in else Provider.STAND_IN
    why = f"the published repo has it; `--package {name}={other}` changes that"
    rejected = name if provider == stand_in else stand_in
    return Choice(package=name, provider=provider, rejected=rejected, why=why)


def choose(
    name: str, stand_in: str, forced: Provider | None, availability: Availability | None
) -> Choice:
    """Choose the provider of ``name``.

    ``availability`` is its source's; None means that the stand-in was requested. Raises
    SourceUnreachableError: the real package is forced and its source is unreachable.
    """
    if forced == Provider.STAND_IN or availability is None:
        return Choice(package=name, provider=stand_in, rejected=name, why="asked for")
    if availability.ok:
        why = f"asked for; {availability.why}" if forced == Provider.REAL else availability.why
        return Choice(package=name, provider=name, rejected=stand_in, why=why)
    if forced == Provider.REAL:
        raise SourceUnreachableError(
            f"{name}={Provider.REAL}: its source is unreachable: {availability.why}",
            hint="repair the network, or point git at a mirror (`git config --global "
            f"url.MIRROR.insteadOf URL`), or make the bundle with {name}={Provider.REAL}; "
            f"to build without it, use {name}={Provider.STAND_IN}",
        )
    return Choice(package=name, provider=stand_in, rejected=name, why=availability.why)


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
