"""The gates of one build: its spec as rpm expands it, its log, its RPMs, against what is declared.

What is asked of the build root and of files is looked up here; contract.py, spec.py, spec_adjust.py
and compat.py judge it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sheepvirt import (
    compat,
    contract,
    expansion,
    given,
    rpms,
    spec,
    spec_adjust,
    staging,
    versions,
)
from sheepvirt.buildroot import TOP, defines, environment
from sheepvirt.container import Container
from sheepvirt.model import Adjustment, Evidence, Package, Rpm, Target


def spec_gate(container: Container, target: Target, package: Package, out: Path) -> list[Evidence]:
    """Let the build root's rpm expand the spec; return the evidence for what is promised of it.

    The expansion is left in ``out``. Raises SpecError, ContractError.
    """
    words, env = defines(target, package), environment(target)
    path = f"{TOP}/SPECS/{package.spec_file}"
    text = expansion.expand(container, path, words, env, scratch=f"{TOP}/EXPANSION")
    (out / "spec.expanded").write_text(text, encoding="utf-8")
    patches = [f"{TOP}/SOURCES/{p.name}" for p in versions.patches(package)]
    found = contract.patch_evidence(package.name, patches, text)
    if package.adjust:
        values = expansion.values(container, _wanted(package.adjust), words, env)
        found += spec_adjust.prove(package.adjust, values, text, package=package.name)
    for feature in package.features:
        found += contract.spec_evidence(package.name, feature, text)
    for name, intent in staging.intents(package).items():
        found += spec.prove(intent, text, package=package.name, feature=name)
    found += given.evidence(package, contract.spec_version(text))
    contract.require(found, where="the intent in patches/ and the spec's diff above")
    return found


def _wanted(adjustment: Adjustment) -> list[str]:
    ending = [adjustment.release] if adjustment.release else []
    return [*adjustment.build_requires, *adjustment.configure, *ending]


def build_gates(
    container: Container, target: Target, package: Package, out: Path, *,
    built: Sequence[Rpm], build_root: Sequence[Rpm],
) -> list[Evidence]:  # fmt: skip
    """Hold the built RPMs and the build log in ``out`` against what the package declares.

    ``build_root`` are the RPMs of ours that were in the build root. Raises ContractError.
    """
    log = (out / "build.log").read_text(encoding="utf-8", errors="replace")
    found = [contract.release_evidence(package.name, target.dist, built)]
    for feature in package.features:
        tool = contract.tool_path(feature, log)
        end = container.run(["readlink", "-f", tool]).stdout.strip() if tool else ""
        found += contract.build_evidence(package.name, feature, log, build_root, end)
        found += contract.rpm_evidence(
            package.name, feature, built, tool, lambda rpm, path: rpms.read_member(rpm.path, path)
        )
    contract.require(found, where="the build log and the intent in patches/")
    usable = compat.rpm_evidence(package.name, target, [r.path for r in built])
    contract.require(usable, where=f"what {target.name}'s [ceilings] allow: target.toml")
    return found + usable
