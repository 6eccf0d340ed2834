"""Rules: whether a target's oldest tools can use RPMs and repos.

``[ceilings]`` of a target has the versions of its tools; ``known.py`` has what each release
supports. What no table lists is a violation: an old tool does not know it either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.model.builds import Evidence, Target
from sheepvirt.model.enums import Gate
from sheepvirt.rpm import known, openpgp, rpm_features

if TYPE_CHECKING:
    from sheepvirt.model.targets import Ceilings
    from sheepvirt.rpm.rpm_features import Metadata, RpmFeatures

GLIBC = re.compile(r"\bGLIBC_([0-9]{1,9}(?:\.[0-9]{1,9})*|ABI_\w+)\b")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))


def _knows(tool: str, table: Mapping[str, str], word: str) -> bool:
    """Tell whether release ``tool`` knows ``word``; ``table`` has the first release with it."""
    return word in table and _numbers(table[word]) <= _numbers(tool)


def _is_older(tool: str, since: str) -> bool:
    return _numbers(tool) < _numbers(since)


def _known(tool: str, table: Mapping[str, str]) -> str:
    return ", ".join(word for word in table if _knows(tool, table, word))


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A property that exceeds a target's ceilings."""

    file: str
    rule: str
    found: str
    ceiling: str

    def __str__(self) -> str:
        """``file: rule: what was found; ceiling``."""
        return f"{self.file}: {self.rule}: {self.found}; {self.ceiling}"


def check(rpm: RpmFeatures, target: Target, *, ours: bool = True) -> list[Violation]:
    """Return all violations of one RPM on ``target``; none if the target has no ceilings.

    ``ours``: it is from a repo of sheepvirt, whose RPMs all have the target's %dist. RPMs from
    elsewhere may have any release.
    """
    if target.ceilings is None:
        return []
    found = list(_release(rpm, target)) if ours else []
    found += _header(rpm, target.ceilings)
    found += _dependencies(rpm, target.ceilings.rpm)
    found += _signatures(rpm, target.ceilings.rpm)
    found += _symbols(rpm, target.ceilings.glibc)
    return [
        Violation(file=rpm.file, rule=rule, found=what, ceiling=ceiling)
        for rule, what, ceiling in found
    ]


Rows = Iterator[tuple[str, str, str]]  # rule, what was found, ceiling


def _release(rpm: RpmFeatures, target: Target) -> Rows:
    if not rpm.release.endswith(target.dist):
        yield (
            "another target's RPM",
            f"its release is {rpm.release}",
            f"RPMs of {target.name} end in {target.dist}",
        )


def _header(rpm: RpmFeatures, ceilings: Ceilings) -> Rows:
    tool = ceilings.rpm
    if not _knows(tool, known.COMPRESSORS, rpm.compressor):
        words = _known(tool, known.COMPRESSORS)
        yield "payload compressor", rpm.compressor, f"rpm {tool} knows {words}"
    if rpm.stripped and _is_older(tool, known.STRIPPED_ARCHIVE):
        since = known.STRIPPED_ARCHIVE
        yield "payload archive", "stripped cpio (07070X)", f"rpm {tool}; since {since}"
    digest = openpgp.HASHES.get(rpm.file_digest, f"algorithm {rpm.file_digest}")
    if not _knows(tool, known.DIGESTS, digest):
        yield "file digests", digest, f"rpm {tool} knows {_known(tool, known.DIGESTS)}"
    signature, header = rpm.stores
    installed = header + signature + rpm.files + known.INSTALLED_NUMBERS
    if header >= known.HEADER_BYTES:
        yield "header size", f"{header} bytes", f"rpm {tool} reads less than {known.HEADER_BYTES}"
    elif installed >= known.HEADER_BYTES:
        yield (
            "header size",
            f"{header} bytes, and about {installed} once it is installed",
            f"rpm {tool} keeps less than {known.HEADER_BYTES}",
        )
    if signature > known.SIGNATURE_BYTES and _is_older(tool, known.SIGNATURE_BYTES_ROSE):
        yield (
            "signature header size",
            f"{signature} bytes",
            f"rpm {tool} reads at most {known.SIGNATURE_BYTES}",
        )


def _dependencies(rpm: RpmFeatures, tool: str) -> Rows:
    for name in dict.fromkeys(rpm.dependencies):
        feature = re.fullmatch(r"rpmlib\((.*)\)", name)
        if feature and not _knows(tool, known.FEATURES, feature[1]):
            since = known.FEATURES.get(feature[1], "")
            yield "rpmlib feature", name, f"rpm {tool}; {f'since {since}' if since else 'unknown'}"
        if name.startswith("(") and _is_older(tool, known.RICH_DEPENDENCIES):
            yield "rich dependency", name, f"rpm {tool}; since {known.RICH_DEPENDENCIES}"
    since = known.WEAK_DEPENDENCIES
    if _is_older(tool, since):
        for text in dict.fromkeys(rpm.weak):
            yield "weak dependency", text, f"rpm {tool} ignores it; since {since}"
    since = known.FILE_TRIGGERS
    if _is_older(tool, since):
        for path in dict.fromkeys(rpm.file_triggers):
            yield "file trigger", path, f"rpm {tool} never runs it; since {since}"


def _signatures(rpm: RpmFeatures, tool: str) -> Rows:
    newer = rpm.newer_signatures
    knows_newer = not _is_older(tool, known.OPENPGP_TAG)
    if newer and not knows_newer and not rpm.signatures:
        yield (
            "signature tag",
            f"{len(newer)} in OPENPGP and in no other: unsigned for it",
            f"rpm {tool}; since {known.OPENPGP_TAG}",
        )
    for packet in rpm.signatures + (newer if knows_newer else ()):
        try:
            made = openpgp.signature(packet)
        except ValueError as error:
            yield "signature", str(error), f"rpm {tool} reads OpenPGP packets"
            continue
        for rule, word, table in (
            ("signature version", made.version, known.SIGNATURE_VERSIONS),
            ("signature algorithm", made.signer, known.SIGNERS),
            ("signature digest", made.digest, known.SIGNED_DIGESTS),
        ):
            if not _knows(tool, table, word):
                yield rule, word, f"rpm {tool} knows {_known(tool, table)}"
        too_long = made.signer == "DSA" and made.bits > known.DSA_BITS
        if too_long and _is_older(tool, known.DSA_BITS_ROSE):
            yield (
                "signature key",
                f"DSA with numbers of {made.bits} bits",
                f"rpm {tool} reads at most {known.DSA_BITS}: a DSA key of 1024 bits",
            )


def _symbols(rpm: RpmFeatures, glibc: str) -> Rows:
    ceiling = f"{glibc} is the target's glibc"
    told: set[str] = set()
    for path, versions in rpm.symbol_versions.items():
        newer = [v for v in versions if _is_newer(v, glibc)]
        told.update(newer)
        if newer:
            yield "symbol versions", f"{path} needs {', '.join(newer)}", ceiling
    for name in dict.fromkeys(rpm.dependencies):
        version = GLIBC.search(name)
        if version and version[0] not in told and _is_newer(version[0], glibc):
            yield "symbol versions", f"a dependency is {name}", ceiling
    for text in rpm.unread:
        yield "symbol versions", f"unknown: {text}", ceiling


def _is_newer(symbol_version: str, glibc: str) -> bool:
    """Tell whether a symbol version is from a newer glibc; GLIBC_ABI_… is from 2.36 and later."""
    match = GLIBC.fullmatch(symbol_version)
    if not match:
        return False
    return match[1].startswith("ABI") or _numbers(match[1]) > _numbers(glibc)


def check_metadata(files: Iterable[Metadata], target: Target) -> list[Violation]:
    """Return the files of a repo's metadata that the yum of ``target`` cannot read.

    It reads some kinds and never opens others, such as zchunk's copies or ``modules``.
    """
    found: list[Violation] = []
    rows = list(files)
    if target.ceilings is None or not rows:
        return found
    yum = target.ceilings.yum
    for row in (r for r in rows if r.kind in known.METADATA_BY_KIND):
        for word in dict.fromkeys(row.compressions):
            if (
                not _knows(yum, known.METADATA, word)
                and word not in known.METADATA_BY_KIND[row.kind]
            ):
                ceiling = f"yum {yum} reads {_known(yum, known.METADATA)}"
                found.append(
                    Violation(
                        file=row.file,
                        rule="metadata compression",
                        found=f"{word} ({row.kind})",
                        ceiling=ceiling,
                    )
                )
    kinds = {row.kind for row in rows}
    if not kinds & known.PRIMARY:
        found.append(
            Violation(
                file=str(Path(rows[0].file).parent),
                rule="metadata",
                found=f"only {', '.join(sorted(kinds))}",
                ceiling=f"yum {yum} looks for {' or '.join(sorted(known.PRIMARY))}",
            )
        )
    return found


def rpm_evidence(package: str, target: Target, rpms: Iterable[Path]) -> list[Evidence]:
    """Return the gate's evidence about RPM files, for contract.require; none without ceilings.

    Raises BuildError: one of them is not an RPM.
    """
    if target.ceilings is None:
        return []
    found = [v for path in rpms for v in check(rpm_features.read(path), target)]
    return _evidence(Gate.RPM, package, target.name, target.ceilings, found)


def repo_evidence(target: Target, repo: Path) -> list[Evidence]:
    """Return the evidence about a whole repo: its metadata and every RPM, also kept ones."""
    if target.ceilings is None:
        return []
    found = check_repo(repo, target)
    return _evidence(Gate.REPO, repo.name, target.name, target.ceilings, found)


def check_repo(repo: Path, target: Target) -> list[Violation]:
    """Return all violations of a repo. Raises ConfigError (not a repo), BuildError (broken)."""
    found = [
        v for file in rpm_features.rpm_files(repo) for v in check(rpm_features.read(file), target)
    ]
    return found + check_metadata(rpm_features.read_metadata(repo), target)


def _evidence(
    gate: Gate, package: str, name: str, ceilings: Ceilings, found: Sequence[Violation]
) -> list[Evidence]:
    """Return a row for each violation, or one row that says "no violation"."""
    feature, claim = (
        f"usable on {name}",
        f"rpm {ceilings.rpm} and glibc {ceilings.glibc} are enough",
    )
    if not found:
        return [
            Evidence(
                gate=gate,
                package=package,
                feature=feature,
                claim=claim,
                observed="no violation",
                ok=True,
            )
        ]
    return [
        Evidence(
            gate=gate,
            package=package,
            feature=feature,
            claim=f"{Path(v.file).name}: {v.rule}",
            observed=f"{v.found}; {v.ceiling}",
            ok=False,
        )
        for v in found
    ]
