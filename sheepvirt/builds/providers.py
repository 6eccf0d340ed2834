"""Choose providers: selectors, stand-ins, and the provider of each package that has one. Pure.

A package may have a stand-in on a target. A package that needs it then needs the chosen provider:
the one in the published repo; in a first run the real one if its source is available, else the
stand-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sheepvirt.core.errors import ConfigError, SourceUnreachableError, UnknownNameError, suggest
from sheepvirt.core.tables import pick
from sheepvirt.model.enums import Provider
from sheepvirt.model.plans import Choice, Request

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sheepvirt.model.builds import Availability, Package, Target
    from sheepvirt.model.plans import PlanValues

Value = TypeVar("Value", bound=str)


def choices(values: PlanValues, wanted: Sequence[str]) -> tuple[Choice, ...]:
    """Choose a provider for each package with a stand-in that ``wanted`` needs.

    ``values`` has the availability of ``sources_to_ask``. Raises ConfigError,
    SourceUnreachableError (see ``choose``).
    """
    found = []
    for name, stand_in in _to_choose(values, wanted).items():
        choice = _without_asking(values, name, stand_in)
        forced = values.request.providers.get(name)
        found.append(choice or choose(name, stand_in, forced, values.availability[name]))
    return tuple(found)


def sources_to_ask(values: PlanValues, wanted: Sequence[str]) -> list[str]:
    """Return the packages whose choice depends on the availability of their sources.

    Raises ConfigError: the request forces a provider that nothing needs.
    """
    known = _to_choose(values, wanted)
    return [name for name in known if not _without_asking(values, name, known[name])]


def _to_choose(values: PlanValues, wanted: Sequence[str]) -> dict[str, str]:
    """Return the packages that ``choices`` is about, each with its stand-in."""
    known = stand_ins(values.packages, values.target)
    needed = asked_about(values.packages, wanted, known)
    forced = values.request.providers
    for name in sorted(forced.keys() & known.keys() - set(needed)):
        raise ConfigError(
            f"{name}={forced[name]} has no effect: {', '.join(wanted)} need no {name}",
            hint=f"remove it, or add `--package {name}`",
        )
    return {name: known[name] for name in needed}


def _without_asking(values: PlanValues, name: str, stand_in: str) -> Choice | None:
    """Return the choice of the user or of an earlier run; None if availability decides."""
    forced = values.request.providers.get(name)
    if forced == Provider.STAND_IN:
        return choose(name, stand_in, forced, None)
    kept = None if forced else keep(name, stand_in, values.published_names)
    bundle = values.bundle_sources
    if kept and bundle and not all(map(bundle.has, values.packages[kept.provider].sources)):
        return None  # the bundle was made with the other provider
    return kept


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
    for selector in selectors:
        name, equals, value = selector.partition("=")
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
            _agree(providers, name, _provider(selector, package, known, target))
    return Request(names=tuple(dict.fromkeys(names)), providers=providers, versions=versions)


def _provider(
    selector: str, package: Package, known: Mapping[str, str], target: Target
) -> Provider:
    """Return the provider that ``selector`` names."""
    name, _, value = selector.partition("=")
    try:
        provider = Provider(value)
    except ValueError:
        have = {*(one.value for one in Provider), *package.versions}
        raise UnknownNameError(
            f"{selector}: {value!r} is neither a version nor a provider of {name!r}",
            hint=suggest(value, have),
        ) from None
    if provider == Provider.STAND_IN and name not in known:
        raise ConfigError(
            f"{name!r} has no stand-in on target {target.name!r}",
            hint=f"packages with a stand-in: {', '.join(sorted(known)) or 'none'}",
        )
    return provider


def _agree(table: dict[str, Value], name: str, value: Value) -> None:
    """Record a selection. Raises ConfigError: it contradicts an earlier one."""
    if table.setdefault(name, value) != value:
        both = sorted({table[name], value})
        raise ConfigError(
            f"{name!r} is selected both as {' and as '.join(both)}", hint="remove one of them"
        )


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
