"""Whether a target's oldest tools can use what we ship: rules on what RPMs and repos look like.

The target says how old its tools are (``[ceilings]``); here is what each release of them knows.
Sources: lib/rpmds.c, lib/signature.c and lib/header.c of rpm, in the versions named. What no table
knows is a violation: an old tool does not know it either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sheepvirt.compat import openpgp, traits
from sheepvirt.compat.model import Ceilings, Metadata, Traits, Violation
from sheepvirt.model import Evidence, Target

# Since which rpm. Its own numbers in rpmlib(…) say little: PayloadIsXz is 5.2 in rpm 4.8.
FEATURES = {
    "VersionedDependencies": "3.0.3",
    "CompressedFileNames": "3.0.4",
    "PayloadIsBzip2": "3.0.5",
    "PayloadFilesHavePrefix": "4.0",
    "ExplicitPackageProvide": "4.0",
    "HeaderLoadSortsTags": "4.0.1",
    "ScriptletInterpreterArgs": "4.0.3",
    "PartialHardlinkSets": "4.0.4",
    "ConcurrentAccess": "4.1",
    "BuiltinLuaScripts": "4.2.2",
    "FileDigests": "4.6",
    "PayloadIsLzma": "4.6",
    "FileCaps": "4.7",
    "PayloadIsXz": "4.8",
    "ScriptletExpansion": "4.9",
    "TildeInVersions": "4.10",
    "LargeFiles": "4.12",
    "RichDependencies": "4.13",
    "PayloadIsZstd": "4.14",
    "CaretInVersions": "4.15",
    "DynamicBuildRequires": "4.15",
}
COMPRESSORS = {"gzip": "3.0", "bzip2": "3.0.5", "lzma": "4.6", "xz": "4.8", "zstd": "4.14"}
WEAK_DEPENDENCIES, RICH_DEPENDENCIES = "4.12", "4.13"
DIGESTS = {"md5": "3.0", "sha1": "4.6", "sha256": "4.6", "sha384": "4.6", "sha512": "4.6"}
SIGNERS = {"RSA": "3.0", "DSA": "3.0"}
SIGNATURE_VERSIONS = {"v3": "3.0", "v4": "3.0"}
# Since which yum it reads such metadata. Of databases it reads bzip2 too, and groups come plain.
METADATA = {"gz": "3.2", "xz": "3.4"}
METADATA_BY_KIND = {"_db": {"bz2"}, "group": {"none"}}
# Bytes of data in the header and in the signature's header; the latter's limit rose in rpm 4.14.
HEADER_BYTES, SIGNATURE_BYTES, SIGNATURE_BYTES_ROSE = 16 << 20, 8192, "4.14"
GLIBC = re.compile(r"\bGLIBC_([0-9]{1,9}(?:\.[0-9]{1,9})*|ABI_\w+)\b")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))


def _knows(tool: str, table: Mapping[str, str], word: str) -> bool:
    """Whether release ``tool`` knows ``word``: ``table`` says since which release it is known."""
    return word in table and _numbers(table[word]) <= _numbers(tool)


def _known(tool: str, table: Mapping[str, str]) -> str:
    return ", ".join(word for word in table if _knows(tool, table, word))


def check(rpm: Traits, target: Target) -> list[Violation]:
    """Return all violations of one RPM on ``target``; none where the target has no ceilings."""
    if target.ceilings is None:
        return []
    found = [(*row, f"RPMs of {target.name} end in {target.dist}") for row in _release(rpm, target)]
    found += _header(rpm, target.ceilings)
    found += _dependencies(rpm, target.ceilings.rpm)
    found += _signatures(rpm, target.ceilings.rpm)
    found += _symbols(rpm, target.ceilings.glibc)
    return [Violation(rpm.file, *row) for row in found]


Rows = Iterator[tuple[str, str, str]]  # rule, what was found, ceiling


def _release(rpm: Traits, target: Target) -> Iterator[tuple[str, str]]:
    if not rpm.release.endswith(target.dist):
        yield "another target's RPM", f"its release is {rpm.release}"


def _header(rpm: Traits, ceilings: Ceilings) -> Rows:
    tool = ceilings.rpm
    if not _knows(tool, COMPRESSORS, rpm.compressor):
        yield (
            "payload compressor", rpm.compressor, f"rpm {tool} knows {_known(tool, COMPRESSORS)}"
        )  # fmt: skip
    digest = openpgp.HASHES.get(rpm.file_digest, f"algorithm {rpm.file_digest}")
    if not _knows(tool, DIGESTS, digest):
        yield "file digests", digest, f"rpm {tool} knows {_known(tool, DIGESTS)}"
    signature, header = rpm.stores
    if header >= HEADER_BYTES:
        yield "header size", f"{header} bytes", f"rpm {tool} reads less than {HEADER_BYTES}"
    if signature > SIGNATURE_BYTES and _numbers(tool) < _numbers(SIGNATURE_BYTES_ROSE):
        yield (
            "signature header size", f"{signature} bytes",
            f"rpm {tool} reads at most {SIGNATURE_BYTES}",
        )  # fmt: skip


def _dependencies(rpm: Traits, tool: str) -> Rows:
    for name in dict.fromkeys(rpm.dependencies):
        feature = re.fullmatch(r"rpmlib\((.*)\)", name)
        if feature and not _knows(tool, FEATURES, feature[1]):
            since = FEATURES.get(feature[1], "")
            yield "rpmlib feature", name, f"rpm {tool}; {f'since {since}' if since else 'unknown'}"
        if name.startswith("(") and _numbers(tool) < _numbers(RICH_DEPENDENCIES):
            yield "rich dependency", name, f"rpm {tool}; since {RICH_DEPENDENCIES}"
    if _numbers(tool) < _numbers(WEAK_DEPENDENCIES):
        for text in dict.fromkeys(rpm.weak):
            yield "weak dependency", text, f"rpm {tool}; since {WEAK_DEPENDENCIES}"


def _signatures(rpm: Traits, tool: str) -> Rows:
    for packet in rpm.signatures:
        try:
            made = openpgp.signature(packet)
        except ValueError as error:
            yield "signature", str(error), f"rpm {tool} reads OpenPGP packets"
            continue
        for rule, word, table in (
            ("signature version", made.version, SIGNATURE_VERSIONS),
            ("signature algorithm", made.signer, SIGNERS),
            ("signature digest", made.digest, DIGESTS),
        ):
            if not _knows(tool, table, word):
                yield rule, word, f"rpm {tool} knows {_known(tool, table)}"


def _symbols(rpm: Traits, glibc: str) -> Rows:
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
        yield "symbol versions", f"cannot be told: {text}", ceiling


def _is_newer(symbol_version: str, glibc: str) -> bool:
    """Whether a symbol version is one of a newer glibc; GLIBC_ABI_… came with 2.36 and later."""
    match = GLIBC.fullmatch(symbol_version)
    if not match:
        return False
    return match[1].startswith("ABI") or _numbers(match[1]) > _numbers(glibc)


def check_metadata(files: Iterable[Metadata], target: Target) -> list[Violation]:
    """Return the files of a repo's metadata that the yum of ``target`` cannot read."""
    found: list[Violation] = []
    if target.ceilings is None:
        return found
    yum = target.ceilings.yum
    for row in files:
        also = {
            w for end, words in METADATA_BY_KIND.items() if row.kind.endswith(end) for w in words
        }
        for word in dict.fromkeys(row.compressions):
            if not _knows(yum, METADATA, word) and word not in also:
                ceiling = f"yum {yum} reads {_known(yum, METADATA)}"
                found.append(
                    Violation(row.file, "metadata compression", f"{word} ({row.kind})", ceiling)
                )
    return found


def rpm_evidence(package: str, target: Target, rpms: Iterable[Path]) -> list[Evidence]:
    """Return what the gate says of RPM files, for contract.require; nothing without ceilings.

    Raises BuildError: one of them is no RPM.
    """
    if target.ceilings is None:
        return []
    found = [v for path in rpms for v in check(traits.read(path), target)]
    return _evidence("rpm", package, target.name, target.ceilings, found)


def repo_evidence(target: Target, repo: Path) -> list[Evidence]:
    """Return the same of a whole repo: its metadata, and every RPM, those kept from before too."""
    if target.ceilings is None:
        return []
    found = check_repo(repo, target)
    return _evidence("repo", repo.name, target.name, target.ceilings, found)


def check_repo(repo: Path, target: Target) -> list[Violation]:
    """Return all violations of a repo. Raises ConfigError, BuildError: it is none, or broken."""
    found = [v for file in traits.rpm_files(repo) for v in check(traits.read(file), target)]
    return found + check_metadata(traits.read_metadata(repo), target)


def _evidence(
    gate: str, package: str, name: str, ceilings: Ceilings, found: Sequence[Violation]
) -> list[Evidence]:
    """Return one row for each violation, or one that there is none."""
    feature, claim = (
        f"usable on {name}",
        f"rpm {ceilings.rpm} and glibc {ceilings.glibc} are enough",
    )
    if not found:
        return [Evidence(gate, package, feature, claim, "no violation", ok=True)]
    return [
        Evidence(
            gate, package, feature, f"{Path(v.file).name}: {v.rule}", f"{v.found}; {v.ceiling}",
            ok=False,
        )
        for v in found
    ]  # fmt: skip
