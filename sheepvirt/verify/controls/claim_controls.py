"""Negative controls of the claims of a published build.

Each claim is checked again against the build's artifacts with the one thing removed that the claim
is about. A claim that still holds then proves nothing. No container is needed: the published repo
has the expanded spec, the build log and the RPMs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sheepvirt.builds import gates, repo, staging
from sheepvirt.config import catalog, versions
from sheepvirt.core.clock import SYSTEM
from sheepvirt.model.enums import Gate
from sheepvirt.rpm import rpms
from sheepvirt.verify.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sheepvirt.builds.contract import ReadMember
    from sheepvirt.core.clock import Clock
    from sheepvirt.model.builds import BuildRecord, Evidence, Package, Rpm, Target
    from sheepvirt.run import Run
    from sheepvirt.spec.model import Intent

# Claims that no control makes fail, by the first word of their feature, and why.
UNTRIED: Mapping[str, str] = {
    "unpinned": "it says what was given, and judges nothing",
    "adjust": "each rule is broken in tests/unit/test_spec_adjust.py",
    "usable": "each rule is broken in tests/unit/test_compat.py",
}


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """The artifacts of a build, and how to read a file in its RPMs."""

    package: Package
    patches: tuple[str, ...]  # file names
    intents: Mapping[str, Intent]  # by feature
    dist: str
    expanded: str  # the spec, as rpm expands it
    log: str
    built: tuple[Rpm, ...]
    build_root_rpms: tuple[Rpm, ...]  # RPMs of the same repo that were in its build root
    read: ReadMember


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One thing removed from the artifacts, and the claims of a gate that must fail then."""

    name: str
    take: Callable[[Artifacts], Artifacts]
    gate: Gate
    claims: str  # a regular expression

    def concerns(self, one: Evidence) -> bool:
        """Tell whether the claim is about what is removed."""
        return one.gate == self.gate and bool(re.search(self.claims, one.claim))


def _without(text: str, patterns: Sequence[str]) -> str:
    for pattern in filter(None, patterns):
        text = re.sub(pattern, "", text)
    return text


def _no_patches(a: Artifacts) -> Artifacts:
    return replace(a, expanded=_without(a.expanded, [re.escape(name) for name in a.patches]))


def _no_switch(a: Artifacts) -> Artifacts:
    return replace(a, expanded=_without(a.expanded, [f.spec_text for f in a.package.features]))


def _no_file(a: Artifacts) -> Artifacts:
    names = [re.escape(i.subpackage.file) for i in a.intents.values()]
    return replace(a, expanded=_without(a.expanded, names))


def _no_answer(a: Artifacts) -> Artifacts:
    return replace(a, log=_without(a.log, [f.build_log for f in a.package.features]))


MUTATIONS = (
    Mutation(
        name="spec that applies no patch", take=_no_patches, gate=Gate.SPEC, claims=r" is applied$"
    ),
    Mutation(
        name="spec without the switch", take=_no_switch, gate=Gate.SPEC, claims=r"^switched on$"
    ),
    Mutation(
        name="spec that packages no backend", take=_no_file, gate=Gate.SPEC, claims=r"^%files "
    ),
    Mutation(
        name="log in which configure says nothing",
        take=_no_answer,
        gate=Gate.BUILD,
        claims=r"^configured in$",
    ),
    Mutation(
        name="build root with a CLI of others",
        take=lambda a: replace(a, build_root_rpms=()),
        gate=Gate.BUILD,
        claims=r"^its CLI was in the build root$",
    ),
    Mutation(
        name="RPMs without the files",
        take=lambda a: replace(a, built=tuple(replace(r, files=()) for r in a.built)),
        gate=Gate.RPM,
        claims=r"^an RPM has ",
    ),
    Mutation(
        name="RPMs that require nothing",
        take=lambda a: replace(a, built=tuple(replace(r, requires=()) for r in a.built)),
        gate=Gate.RPM,
        claims=r"^Requires: ",
    ),
    Mutation(
        name="RPMs of empty files",
        take=lambda a: replace(a, read=lambda _rpm, _path: b""),
        gate=Gate.RPM,
        claims=r" says | is compiled in$",
    ),
    Mutation(
        name="RPMs of another release",
        take=lambda a: replace(a, built=tuple(replace(r, release="1.other") for r in a.built)),
        gate=Gate.RPM,
        claims=r"^every release ends in ",
    ),
)


def evidence(a: Artifacts) -> list[Evidence]:
    """Run the gates over a build's artifacts again; return their evidence."""
    return gates.of_spec(a.package, a.patches, a.intents, a.expanded) + gates.of_build(
        a.package, a.dist, a.log, built=a.built, build_root_rpms=a.build_root_rpms, read=a.read
    )


def try_each(run: Run, target: Target, published: Sequence[BuildRecord]) -> list[Outcome]:
    """Apply each mutation to each build that is published for ``target``."""
    folder = repo.home(run.settings, target.name).resolve()
    records = {r.package: r for r in published}
    found = []
    for record in published:
        with run.progress.stage(f"controls: {record.package}: its claims") as stage:
            outcomes = tried(_artifacts(run, record, records, folder, target), run.clock)
            stage.note = f"{len(outcomes)} things taken out, one at a time"
        found += outcomes
    return found


def tried(whole: Artifacts, clock: Clock = SYSTEM) -> list[Outcome]:
    """Return the outcome of each mutation that a build has a claim about."""
    made = [e for e in evidence(whole) if e.ok]
    found = []
    for mutation in MUTATIONS:
        started = clock.monotonic()
        expected = {_title(e) for e in made if mutation.concerns(e)}
        if expected:
            missed = {_title(e) for e in evidence(mutation.take(whole)) if not e.ok}
            found.append(
                Outcome(
                    control=f"{whole.package.name}: {mutation.name}",
                    expected=frozenset(expected),
                    seen=frozenset(missed & {_title(e) for e in made}),
                    restored="nothing was changed",
                    seconds=clock.monotonic() - started,
                )
            )
    return found


def untried(records: Sequence[BuildRecord], outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Map each claim of the published builds that no control made fail to its reason, or ""."""
    seen = {
        f"{outcome.control.partition(':')[0]}: {title}"
        for outcome in outcomes
        for title in outcome.seen
    }
    found = [e for record in records for e in record.evidence]
    return {
        f"{e.package}: {_title(e)}": UNTRIED.get(e.feature.partition(" ")[0], "")
        for e in found
        if f"{e.package}: {_title(e)}" not in seen
    }


def _title(one: Evidence) -> str:
    return f"{one.gate}: {one.claim}"


def _artifacts(
    run: Run,
    record: BuildRecord,
    records: Mapping[str, BuildRecord],
    folder: Path,
    target: Target,
) -> Artifacts:
    package = catalog.load_package(run.settings, record.package, record.version)
    home = folder / record.package
    return Artifacts(
        package=package.for_target(target.name),
        patches=tuple(path.name for path in versions.patches(package)),
        intents=staging.intents(package.for_target(target.name)),
        dist=target.dist,
        expanded=(home / "spec.expanded").read_text(encoding="utf-8"),
        log=(home / "build.log").read_text(encoding="utf-8", errors="replace"),
        built=_read(record, folder),
        build_root_rpms=tuple(
            rpm
            for name in record.inputs.packages
            for rpm in _read(records[name], folder)
            if not rpm.is_source
        ),
        read=lambda rpm, path: rpms.read_member(rpm.path, path),
    )


def _read(record: BuildRecord, folder: Path) -> tuple[Rpm, ...]:
    return tuple(rpms.read(folder / r.file) for r in record.rpms)
