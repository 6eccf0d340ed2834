"""The gates of one build: compare its expanded spec, log and RPMs with the declarations.

This module reads the build root and files; contract.py, spec/ and rpm/ check what it read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.builds import contract, expansion, staging
from sheepvirt.builds.buildroot import TOP, defines, environment
from sheepvirt.config import versions
from sheepvirt.rpm import compat_rules, rpms
from sheepvirt.sources import local
from sheepvirt.spec import adjust, by_intent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sheepvirt.builds.contract import ReadMember
    from sheepvirt.engine.container import Container
    from sheepvirt.model.builds import Adjustment, Evidence, Package, Rpm, Target
    from sheepvirt.spec.model import Intent


def spec_gate(container: Container, target: Target, package: Package, out: Path) -> list[Evidence]:
    """Expand the spec with the build root's rpm; return the evidence for its claims.

    Writes the expanded spec to ``out``. Raises SpecError, ContractError.
    """
    words, env = defines(target, package), environment(target)
    path = f"{TOP}/SPECS/{package.spec_file}"
    text = expansion.expand(container, path, words, env, scratch=f"{TOP}/EXPANSION")
    (out / "spec.expanded").write_text(text, encoding="utf-8")
    patches = [path.name for path in versions.patches(package)]
    found = of_spec(package, patches, staging.intents(package), text)
    if package.adjust:
        values = expansion.values(container, _wanted(package.adjust), words, env)
        found += adjust.prove(package.adjust, values, text, package=package.name)
    found += local.evidence(package, contract.spec_version(text))
    contract.require(found, where="the intent in patches/ and the spec's diff above")
    return found


def of_spec(
    package: Package, patches: Sequence[str], intents: Mapping[str, Intent], expanded: str
) -> list[Evidence]:
    """Return the evidence in an expanded spec for the package's patches and features. Pure.

    ``patches`` has the file names of its patches, ``intents`` the intent of each feature.
    """
    sources = [f"{TOP}/SOURCES/{name}" for name in patches]
    found = contract.patch_evidence(package.name, sources, expanded)
    for feature in package.features:
        found += contract.spec_evidence(package.name, feature, expanded)
    for name, intent in intents.items():
        found += by_intent.prove(intent, expanded, package=package.name, feature=name)
    return found


def _wanted(adjustment: Adjustment) -> list[str]:
    ending = [adjustment.release] if adjustment.release else []
    places = [added.path for added in adjustment.files]
    return [*adjustment.build_requires, *adjustment.configure, *ending, *places]


def build_gates(
    container: Container,
    target: Target,
    package: Package,
    out: Path,
    *,
    built: Sequence[Rpm],
    build_root_rpms: Sequence[Rpm],
) -> list[Evidence]:
    """Compare the built RPMs and the build log in ``out`` with the package's declarations.

    ``build_root_rpms`` are the RPMs of the same repo that were in the build root. Raises
    ContractError.
    """
    path = out / "build.log"
    log = path.read_text(encoding="utf-8", errors="replace")
    links = "".join(f"{line}\n" for line in _links(container, package, log))
    if links:
        with path.open("a", encoding="utf-8") as handle:
            handle.write(links)
    found = of_build(
        package,
        target.dist,
        log + links,
        built=built,
        build_root_rpms=build_root_rpms,
        read=lambda rpm, name: rpms.read_member(rpm.path, name),
    )
    contract.require(found, where="the build log and the intent in patches/")
    usable = compat_rules.rpm_evidence(package.name, target, [r.path for r in built])
    contract.require(usable, where=f"what {target.name}'s [ceilings] allow: target.toml")
    return found + usable


def of_build(
    package: Package,
    dist: str,
    log: str,
    *,
    built: Sequence[Rpm],
    build_root_rpms: Sequence[Rpm],
    read: ReadMember,
) -> list[Evidence]:
    """Return the evidence in a build log and in the built RPMs. Pure, except for ``read``."""
    found = [contract.release_evidence(package.name, dist, built)]
    for feature in package.features:
        tool = contract.tool_path(feature, log)
        found += contract.build_evidence(package.name, feature, log, build_root_rpms)
        found += contract.rpm_evidence(package.name, feature, built, tool, read)
    return found


def _links(container: Container, package: Package, log: str) -> list[str]:
    """Return a line for the log about each tool of configure that is a link."""
    found = []
    for tool in filter(None, (contract.tool_path(f, log) for f in package.features)):
        end = container.run(["readlink", "-f", tool]).stdout.strip()
        if end not in {"", tool}:
            found.append(contract.link_line(tool, end))
    return found
