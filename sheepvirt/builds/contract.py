"""Compare evidence with declarations. A declared feature without evidence stops the run. Pure.

Spec, build and rpm are judged here; an intent's own claims about the spec in spec/by_intent.py,
adjustments in spec/adjust.py, the host in verify/checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from sheepvirt.core.errors import ContractError
from sheepvirt.model.builds import Evidence, Feature, Rpm
from sheepvirt.model.enums import Gate

# Content of a file of an RPM.
ReadMember = Callable[[Rpm, str], bytes]


def spec_evidence(package: str, feature: Feature, expanded: str) -> tuple[Evidence, ...]:
    """Return the evidence in an expanded spec for ``spec_text``. Intents are proven in spec/."""
    if not feature.spec_text:
        return ()
    match = re.search(feature.spec_text, expanded)
    seen = match.group().strip() if match else "rpm's expansion does not say so"
    return (
        Evidence(
            gate=Gate.SPEC,
            package=package,
            feature=feature.name,
            claim="switched on",
            observed=seen,
            ok=bool(match),
        ),
    )


def spec_version(expanded: str) -> str:
    """Return the version in the preamble of an expanded spec, or ""."""
    match = re.search(r"(?mi)^version:[ \t]*(\S+)", expanded)
    return match.group(1) if match else ""


def patch_evidence(package: str, patches: Sequence[str], expanded: str) -> list[Evidence]:
    """Tell of each patch (a path in the build root) whether the expanded spec applies it."""
    found: list[Evidence] = []
    for path in patches:
        ok = path in expanded
        seen = "it is" if ok else "%prep does not name it (%autosetup -p1 does)"
        claim = f"{PurePosixPath(path).name} is applied"
        found.append(
            Evidence(
                gate=Gate.SPEC,
                package=package,
                feature="patches",
                claim=claim,
                observed=seen,
                ok=ok,
            )
        )
    return found


def build_evidence(
    package: str, feature: Feature, log: str, build_root_rpms: Sequence[Rpm]
) -> tuple[Evidence, ...]:
    """Return the evidence in a build log: the feature is on, and its tool comes from our RPMs.

    ``build_root_rpms`` are the RPMs of the same repo that were installed in the build root. The
    tool may be a link to a file of theirs: sheepdog's %post makes ``collie`` a link to its
    ``dog``.
    """
    found: list[Evidence] = []
    if feature.build_log:
        match = re.search(feature.build_log, log)
        seen = match.group().strip() if match else "configure does not say so"
        found.append(
            Evidence(
                gate=Gate.BUILD,
                package=package,
                feature=feature.name,
                claim="configured in",
                observed=seen,
                ok=bool(match),
            )
        )
    if feature.build_tool:
        path = tool_path(feature, log)
        end = link_end(path, log)
        owners = [r.nevra for r in build_root_rpms if {path, end} & set(r.files)]
        shown = path if end == path else f"{path} → {end}"
        shown = shown or "no path"
        seen = f"{shown} of {owners[0]}" if owners else f"{shown}: not from an RPM of this repo"
        claim = "its CLI was in the build root"
        found.append(
            Evidence(
                gate=Gate.BUILD,
                package=package,
                feature=feature.name,
                claim=claim,
                observed=seen,
                ok=bool(owners),
            )
        )
    return tuple(found)


def tool_path(feature: Feature, log: str) -> str:
    """Return the path of the tool that configure found for ``feature``, or ""."""
    match = re.search(feature.build_tool, log) if feature.build_tool else None
    return match.group(1) if match else ""


def link_line(path: str, end: str) -> str:
    """Return the build log's line which says that ``path`` is a link to ``end``."""
    return f"sheepvirt: {path} is a link to {end}"


def link_end(path: str, log: str) -> str:
    """Return the link target of ``path`` that the build log names, or ``path`` itself."""
    match = re.search(rf"(?m)^{re.escape(link_line(path, ''))}(/\S+)$", log)
    return match.group(1) if match else path


def rpm_evidence(
    package: str, feature: Feature, rpms: Sequence[Rpm], tool: str, read_member: ReadMember
) -> tuple[Evidence, ...]:
    """Return the evidence in the built RPMs: the file, the tool's path in it, the requirement."""
    found: list[Evidence] = []

    def add(claim: str, observed: str, ok: bool) -> None:
        found.append(
            Evidence(
                gate=Gate.RPM,
                package=package,
                feature=feature.name,
                claim=claim,
                observed=observed,
                ok=ok,
            )
        )

    if not feature.rpm_file:
        return ()
    owner = next((r for r in rpms if feature.rpm_file in r.files and not r.is_source), None)
    add(
        f"an RPM has {feature.rpm_file}", owner.nevra if owner else "none has it", owner is not None
    )
    asks = next((r for r in rpms if r.name == feature.rpm_requires_by and not r.is_source), None)
    if not feature.rpm_requires_by:
        asks = owner
    if owner and feature.rpm_requires:
        ok = asks is not None and feature.rpm_requires in asks.requires
        name = asks.name if asks else feature.rpm_requires_by
        seen = f"{name} requires it" if ok else f"{name} does not require it"
        add(f"Requires: {feature.rpm_requires}", seen, ok)
    if owner and feature.rpm_text:
        ok = feature.rpm_text.encode() in read_member(owner, feature.rpm_file)
        seen = "it does" if ok else "it does not"
        add(f"{feature.rpm_file} says {feature.rpm_text!r}", seen, ok)
    if owner and tool:
        ok = tool.encode() + b"\0" in read_member(owner, feature.rpm_file)
        add(f"{tool} is compiled in", "it is" if ok else "it is not", ok)
    return tuple(found)


def release_evidence(package: str, dist: str, rpms: Iterable[Rpm]) -> Evidence:
    """Tell whether the release of every RPM ends in the target's %dist."""
    wrong = [r.nevra for r in rpms if not r.release.endswith(dist)]
    seen = f"not so: {', '.join(wrong)}" if wrong else "it does"
    return Evidence(
        gate=Gate.RPM,
        package=package,
        feature="release",
        claim=f"every release ends in {dist}",
        observed=seen,
        ok=not wrong,
    )


def require(evidence: Iterable[Evidence], *, where: str) -> None:
    """Raise ContractError with each claim that has no evidence; ``where`` says where to look."""
    missing = [e for e in evidence if not e.ok]
    if missing:
        rows = "\n".join(f"    {e.feature}: {e.claim}: {e.observed}" for e in missing)
        first = missing[0]
        raise ContractError(
            f"{first.package}: no evidence at the {first.gate} gate:\n{rows}",
            hint=f"look into {where}; nothing was published",
            claims=tuple(f"{e.gate}: {e.claim}" for e in missing),
        )
