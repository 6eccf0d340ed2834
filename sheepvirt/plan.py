"""Pure: what to build, in what order, and why.

A package is rebuilt when the hash over its inputs differs from the published one's. Inputs are
named, so that the reason for a build can name what changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from sheepvirt.errors import ConfigError
from sheepvirt.model import BuildRecord, Package, PlannedBuild, Target

# Raised when build.py changes in a way that changes what comes out of the same inputs.
RECIPE = "1"


def order(packages: Mapping[str, Package], wanted: Sequence[str], target: Target) -> list[Package]:
    """Return ``wanted`` and all they need, each after what it needs.

    Packages that are for other targets are left out. Raises ConfigError: a circle, a need that
    names no package, or a wanted package that is not for ``target``.
    """
    done: dict[str, Package] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ConfigError(
                f"packages need one another in a circle: {' → '.join([*path, name])}",
                hint="take one `needs` out of specs/*/package.toml",
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
        for need in package.needs:
            visit(need, (*path, name))
        done[name] = package

    for name in wanted:
        visit(name, ())
    return list(done.values())


def buildable(packages: Mapping[str, Package], target: Target) -> list[str]:
    """Return the names of all packages that are for ``target``."""
    return sorted(n for n, p in packages.items() if not p.targets or target.name in p.targets)


def inputs(
    package: Package, target: Target, image: str, files: Mapping[Path, str], keys: Mapping[str, str]
) -> dict[str, str]:
    """Return what the RPMs of ``package`` depend on: name of the input to its hash or value.

    ``files`` maps the files of the package's folder and of its intents to their sha256; ``keys``
    maps each needed package to its own key.
    """
    found = {"recipe": RECIPE, "builder image": image}
    found |= {f"macro {name}": value for name, value in target.macros.items()}
    found |= {f"source {s.file}": s.sha256 for s in package.sources}
    for path, digest in files.items():
        name = f"{path.parent.name}/{path.name}"
        found[name] = found.get(name, "") + digest  # two of one name: both count
    found |= {f"package {name}": keys[name] for name in package.needs}
    return found


def decide(
    package: Package, inputs: Mapping[str, str], published: BuildRecord | None
) -> PlannedBuild:
    """Tell whether ``package`` must be built for these inputs, and the reason in words."""
    rows = "".join(f"{name}\0{value}\0" for name, value in sorted(inputs.items()))
    key = hashlib.sha256(rows.encode()).hexdigest()
    if published is None:
        return PlannedBuild(package, key, inputs, build=True, reason="not built yet")
    if published.key == key:
        return PlannedBuild(package, key, inputs, build=False, reason="nothing changed")
    names = sorted(inputs.keys() | published.inputs.keys())
    changed = [n for n in names if inputs.get(n) != published.inputs.get(n)]
    return PlannedBuild(package, key, inputs, build=True, reason=f"changed: {', '.join(changed)}")
