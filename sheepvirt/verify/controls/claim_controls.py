"""Negative controls of the claims of a published build: each is held once more against the build's
own artifacts, less the one thing that it tells of. A claim that is then still made proves nothing.

No container: what rpm expanded, the build log and the RPMs are in the published repo.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sheepvirt.builds import gates, repo, staging
from sheepvirt.builds.contract import ReadMember
from sheepvirt.config import catalog, versions
from sheepvirt.core.progress import Progress
from sheepvirt.model.builds import BuildRecord, Evidence, Package, Rpm, Target
from sheepvirt.rpm import rpms
from sheepvirt.verify.model import Outcome

# Claims that no control misses, by the first word of their feature, and why.
UNTRIED: Mapping[str, str] = {
    "unpinned": "it says what was given, and judges nothing",
    "adjust": "each rule is broken in tests/unit/test_spec_adjust.py",
    "usable": "each rule is broken in tests/unit/test_compat.py",
}


@dataclass(frozen=True)
class Artifacts:
    """What a build has left, and what is to be read in it."""

    package: Package
    dist: str
    expanded: str  # the spec, as rpm expands it
    log: str
    built: tuple[Rpm, ...]
    needs: tuple[Rpm, ...]  # RPMs of ours that were in its build root
    read: ReadMember


@dataclass(frozen=True)
class Loss:
    """One thing that is taken out, and which claims, of which gate, must be missed then."""

    name: str
    take: Callable[[Artifacts], Artifacts]
    gate: str
    claims: str  # a regular expression

    def concerns(self, one: Evidence) -> bool:
        """Tell whether the claim is about what is taken out."""
        return one.gate == self.gate and bool(re.search(self.claims, one.claim))


def _without(text: str, patterns: Sequence[str]) -> str:
    for pattern in filter(None, patterns):
        text = re.sub(pattern, "", text)
    return text


def _no_patches(a: Artifacts) -> Artifacts:
    names = [re.escape(p.name) for p in versions.patches(a.package)]
    return replace(a, expanded=_without(a.expanded, names))


def _no_switch(a: Artifacts) -> Artifacts:
    return replace(a, expanded=_without(a.expanded, [f.spec_text for f in a.package.features]))


def _no_file(a: Artifacts) -> Artifacts:
    names = [re.escape(i.subpackage.file) for i in staging.intents(a.package).values()]
    return replace(a, expanded=_without(a.expanded, names))


def _no_answer(a: Artifacts) -> Artifacts:
    return replace(a, log=_without(a.log, [f.build_log for f in a.package.features]))


LOSSES = (
    Loss("spec that applies no patch", _no_patches, "spec", r" is applied$"),
    Loss("spec without the switch", _no_switch, "spec", r"^switched on$"),
    Loss("spec that packages no backend", _no_file, "spec", r"^%files "),
    Loss("log in which configure says nothing", _no_answer, "build", r"^configured in$"),
    Loss(
        "build root with a CLI of others",
        lambda a: replace(a, needs=()),
        "build", r"^its CLI was in the build root$",
    ),
    Loss(
        "RPMs without the files",
        lambda a: replace(a, built=tuple(replace(r, files=()) for r in a.built)),
        "rpm", r"^an RPM has ",
    ),
    Loss(
        "RPMs that require nothing",
        lambda a: replace(a, built=tuple(replace(r, requires=()) for r in a.built)),
        "rpm", r"^Requires: ",
    ),
    Loss(
        "RPMs of empty files",
        lambda a: replace(a, read=lambda _rpm, _path: b""),
        "rpm", r" says | is compiled in$",
    ),
    Loss(
        "RPMs of another release",
        lambda a: replace(a, built=tuple(replace(r, release="1.other") for r in a.built)),
        "rpm", r"^every release ends in ",
    ),
)  # fmt: skip


def evidence(a: Artifacts) -> list[Evidence]:
    """Return what the gates say of a build, once more."""
    return gates.of_spec(a.package, a.expanded) + gates.of_build(
        a.package, a.dist, a.log, built=a.built, build_root=a.needs, read=a.read
    )


def run(target: Target, published: Sequence[BuildRecord], progress: Progress) -> list[Outcome]:
    """Take one thing after the other out of each build that is published for ``target``."""
    folder = repo.home(target).resolve()
    records = {r.package: r for r in published}
    found = []
    for record in published:
        with progress.stage(f"controls: {record.package}: its claims") as stage:
            outcomes = tried(_artifacts(record, records, folder, target))
            stage.note = f"{len(outcomes)} things taken out, one at a time"
        found += outcomes
    return found


def tried(whole: Artifacts) -> list[Outcome]:
    """Return what came of each loss that a build has a claim about."""
    made = [e for e in evidence(whole) if e.ok]
    found = []
    for loss in LOSSES:
        started = time.monotonic()
        expected = {_title(e) for e in made if loss.concerns(e)}
        if expected:
            missed = {_title(e) for e in evidence(loss.take(whole)) if not e.ok}
            found.append(
                Outcome(
                    control=f"{whole.package.name}: {loss.name}",
                    expected=frozenset(expected),
                    seen=frozenset(missed & {_title(e) for e in made}),
                    mended="nothing was changed",
                    seconds=time.monotonic() - started,
                )
            )
    return found


def untried(records: Sequence[BuildRecord], outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return the claims of the published builds that no control made fail: to the reason or ""."""
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
    record: BuildRecord, records: Mapping[str, BuildRecord], folder: Path, target: Target
) -> Artifacts:
    home = folder / record.package
    needed = [n.removeprefix("package ") for n in record.inputs if n.startswith("package ")]
    return Artifacts(
        package=catalog.load_package(record.package, record.version).for_target(target.name),
        dist=target.dist,
        expanded=(home / "spec.expanded").read_text(encoding="utf-8"),
        log=(home / "build.log").read_text(encoding="utf-8", errors="replace"),
        built=_read(record, folder),
        needs=tuple(rpm for name in needed for rpm in _read(records[name], folder)),
        read=lambda rpm, path: rpms.read_member(rpm.path, path),
    )


def _read(record: BuildRecord, folder: Path) -> tuple[Rpm, ...]:
    return tuple(rpms.read(folder / r.file) for r in record.rpms)
