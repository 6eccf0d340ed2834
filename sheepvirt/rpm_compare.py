"""Compare the RPMs of two builds.

    python -m sheepvirt.rpm_compare A B     # two RPM files, or two repos; exit 1 if they differ

Two RPMs are "identical" byte for byte, or have the "same contents" if only the build's time and
place differ (and values computed from those). Else every difference is named. The content of files
is read from the payload; digests in the header are not trusted.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sheepvirt.core import output
from sheepvirt.core.errors import BuildError, SheepvirtError
from sheepvirt.core.files import sha256
from sheepvirt.rpm import payload, rpm_features, rpms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

IDENTICAL, SAME, DIFFERENT = "identical", "same contents", "different"
# A build's time and place. rpmfile's names: cookie is host and time, sourcepkgid is the MD5 of the
# source RPM, which has both in its own header.
BUILD = {"buildtime", "buildhost", "cookie", "sourcepkgid", "filemtimes"}
# Digests and sizes of the whole header and payload, which include those (rpm's manual: tags):
# rpmfile's md5 is RPMTAG_SHA1HEADER, loaddigestalt RPMTAG_PAYLOADDIGESTALT (5097).
WHOLE = {"md5", "sha256", "sigmd5", "size", "archivesize", "payloadsize", "payloaddigest",
         "loaddigestalt", "headerimmutable", "headersignatures", "longsize",
         "longsigsize"}  # fmt: skip  # a table
SIGNED = {*rpm_features.SIGNATURES, rpm_features.OPENPGP}
SHOWN = 3  # differences of one tag that are named one by one
SHOWN_FILES = 20


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The comparison of two RPMs of one name."""

    name: str
    verdict: str  # IDENTICAL | SAME | DIFFERENT
    differences: tuple[str, ...] = ()


def compare(one: Path, other: Path) -> Comparison:
    """Compare the RPM files ``one`` and ``other``. Raises BuildError: not an RPM, or broken."""
    name = rpms.read(one).nevra
    if sha256(one) == sha256(other):
        return Comparison(name=name, verdict=IDENTICAL)
    first, second = rpms.header(one), rpms.header(other)
    found = _tags(first.tags, second.tags)
    found += _contents(_digests(one, first), _digests(other, second))
    return Comparison(name=name, verdict=DIFFERENT if found else SAME, differences=tuple(found))


def compare_all(one: Path, other: Path) -> list[Comparison]:
    """Compare two RPM files, or all RPMs below two folders by their NEVRA.

    An RPM that only one of them has is a difference. Raises ConfigError (nothing to compare),
    BuildError (not an RPM, or broken).
    """
    if one.is_file() and other.is_file():
        return [compare(one, other)]
    first, second = _by_nevra(one), _by_nevra(other)
    found = [compare(first[name], second[name]) for name in sorted(first.keys() & second.keys())]
    for name in sorted(first.keys() ^ second.keys()):
        where = one if name in first else other
        found.append(
            Comparison(name=name, verdict=DIFFERENT, differences=(f"only {where} has it",))
        )
    return found


def _by_nevra(folder: Path) -> dict[str, Path]:
    return {rpms.read(path).nevra: path for path in rpm_features.rpm_files(folder)}


def _tags(one: Mapping[str | int, Any], other: Mapping[str | int, Any]) -> list[str]:
    found = []
    for tag in sorted(one.keys() | other.keys(), key=str):
        first, second = one.get(tag), other.get(tag)
        if first == second or tag in BUILD | WHOLE | SIGNED:
            continue
        if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
            pairs = [(a, b) for a, b in zip(first, second, strict=False) if a != b]
            shown = [f"{_short(a)} against {_short(b)}" for a, b in pairs[:SHOWN]]
            if len(first) != len(second):
                shown.append(f"{len(first)} against {len(second)} values")
            if len(pairs) > SHOWN:
                shown.append(f"and {len(pairs) - SHOWN} more")
            found.append(f"header: {tag}: {'; '.join(shown)}")
        else:
            found.append(f"header: {tag}: {_short(first)} against {_short(second)}")
    return found


def _contents(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    found = [f"file only in the one: {name}" for name in sorted(one.keys() - other.keys())]
    found += [f"file only in the other: {name}" for name in sorted(other.keys() - one.keys())]
    both = sorted(one.keys() & other.keys())
    changed = [name for name in both if one[name] != other[name]]
    found += [f"content of {name}" for name in changed[:SHOWN_FILES]]
    if len(changed) > SHOWN_FILES:
        found.append(f"content of {len(changed) - SHOWN_FILES} more files")
    return found


def _digests(path: Path, header: rpms.Header) -> dict[str, str]:
    """Return the sha256 of each file's content in the payload, read as a stream."""
    declared = header.text("archive_compression")
    compressor = payload.compressor(path, header.payload, declared)
    found = {}
    try:
        stripped = payload.is_stripped(path, header.payload, compressor)
        files = rpms.in_payload(header) if stripped else ()
        for name, content in payload.members(path, header.payload, compressor, files):
            digest = hashlib.sha256()
            while piece := content.read():
                digest.update(piece)
            found[name] = digest.hexdigest()
    except KeyError as error:
        raise BuildError(
            f"{path.name}: sheepvirt cannot read a {compressor} payload",
            hint="compare such RPMs with rpm itself",
        ) from error
    except payload.BROKEN as error:
        raise BuildError(
            f"{path.name} is a broken RPM: {error}", hint="build or download it again"
        ) from error
    return found


def _short(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return repr(text if len(text) <= 60 else text[:57] + "...")


def lines(found: Iterable[Comparison]) -> list[str]:
    """Return a line for each comparison, followed by a line for each difference."""
    return [
        line
        for row in found
        for line in (f"{row.name}: {row.verdict}", *(f"  {what}" for what in row.differences))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each comparison; return 1 if anything differs, 2 for a wrong or broken file."""
    parser = argparse.ArgumentParser(
        prog="python -m sheepvirt.rpm_compare",
        description="Tell whether two builds gave the same RPMs.",
    )
    parser.add_argument("one", type=Path, metavar="A")
    parser.add_argument("other", type=Path, metavar="B")
    given = parser.parse_args(arguments)
    try:
        found = compare_all(given.one, given.other)
    except SheepvirtError as error:
        output.complain(f"error: {error}")
        return 2
    output.say(*lines(found))
    return int(any(row.verdict == DIFFERENT for row in found))


if __name__ == "__main__":
    sys.exit(output.status(main))
