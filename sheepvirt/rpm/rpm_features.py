"""Read the features of RPM files and repos that compat_rules.py checks."""

from __future__ import annotations

import base64
import binascii
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sheepvirt.core.errors import BuildError, ConfigError
from sheepvirt.rpm import elf, payload, rpms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STRONG = ("requirename", "conflictname", "obsoletes")
WEAK = {
    "recommendname": "Recommends",
    "suggestname": "Suggests",
    "supplementname": "Supplements",
    "enhancename": "Enhances",
}
FILE_TRIGGERS = ("filetriggername", "transfiletriggername")
# rpmfile's names: GPG, PGP and PGP5 sign header and payload, the last two the header (DSA, RSA).
SIGNATURES = ("gpg", "pgp", "pgp5", "signature", "rsaheader")
OPENPGP = 278  # rpm 6: any number of signatures, in base64
MD5 = 1  # the default algorithm of file digests
REPOMD = PurePosixPath("repodata/repomd.xml")
MAGICS = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"\0ZCK1": "zck",
}
SUFFIXES = {"gz", "bz2", "xz", "zst", "zck", "lzma"}
IN_MEMORY = 64 << 20  # a larger ELF file is read from a temporary file


@dataclass(frozen=True, kw_only=True)
class RpmFeatures:
    """The properties of an RPM file that decide whether older tools can use it."""

    file: str  # the path, as given
    release: str
    compressor: str  # "none" if its payload is not compressed
    file_digest: int  # OpenPGP's number of the algorithm
    dependencies: tuple[str, ...]  # names in Requires, Conflicts and Obsoletes
    weak: tuple[str, ...]  # "Recommends: name" …
    file_triggers: tuple[str, ...]  # their paths
    signatures: tuple[bytes, ...]  # OpenPGP packets
    stores: tuple[int, int]  # bytes of data in its signature header and in its header
    files: int  # the number of its files
    symbol_versions: Mapping[str, tuple[str, ...]]  # path of each ELF file to its needed versions
    unread: tuple[str, ...] = ()  # what could not be read, and why
    stripped: bool = False  # its archive has indexes into the header instead of names and sizes
    newer_signatures: tuple[bytes, ...] = ()  # packets in the tag that rpm 6 added


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """One file that a repo's repomd.xml lists."""

    file: str
    kind: str  # primary | filelists | primary_db | group …
    compressions: tuple[str, ...]  # by its name and by its content: gz, bz2 … or "none"


def read(path: Path) -> RpmFeatures:
    """Read the features of the RPM file ``path``. Raises BuildError: not an RPM, or broken."""
    header = rpms.header(path)
    compressor = payload.compressor(path, header.payload, header.text("archive_compression"))
    try:
        stripped = compressor in payload.OPENERS and payload.is_stripped(
            path, header.payload, compressor
        )
        versions, unread = _binaries(path, header, compressor, stripped=stripped)
    except payload.BROKEN as error:
        raise BuildError(
            f"{path.name} is a broken RPM: {error}", hint="build or download it again"
        ) from error
    digest = header.tags.get("filedigestalgo", MD5)
    return RpmFeatures(
        file=str(path),
        release=header.text("release"),
        compressor=compressor,
        stripped=stripped,
        file_digest=digest if isinstance(digest, int) else 0,
        dependencies=tuple(name for tag in STRONG for name in header.texts(tag)),
        weak=tuple(f"{word}: {n}" for tag, word in WEAK.items() for n in header.texts(tag)),
        file_triggers=tuple(name for tag in FILE_TRIGGERS for name in header.texts(tag)),
        signatures=_packets(header.tags.get(tag) for tag in SIGNATURES),
        newer_signatures=_packets(_unwrapped(t) for t in _array(header.tags.get(OPENPGP))),
        stores=header.stores,
        files=len(header.texts("basenames")),
        symbol_versions=versions,
        unread=tuple(unread),
    )


def _binaries(
    path: Path, header: rpms.Header, compressor: str, *, stripped: bool
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the versions that each ELF file of the payload needs, and the unreadable files."""
    found: dict[str, tuple[str, ...]] = {}
    unread: list[str] = []
    if header.source:  # a source RPM has no binaries to run
        return found, unread
    if compressor not in payload.OPENERS:
        return found, [f"its payload is {compressor}"]
    files = rpms.in_payload(header) if stripped else ()
    for name, content in payload.members(path, header.payload, compressor, files):
        first = content.read(len(elf.MAGIC))
        if first != elf.MAGIC:
            continue
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as copy:
            copy.write(first)
            while data := content.read():
                copy.write(data)
            try:
                found[name] = elf.needed_versions(copy)
            except ValueError as error:
                unread.append(f"{name} is a broken ELF file: {error}")
    return found, unread


def _packets(values: Iterable[Any]) -> tuple[bytes, ...]:
    return tuple(value for value in values if isinstance(value, bytes))


def _array(value: Any) -> Iterable[bytes]:
    return value if isinstance(value, list) else [value] if isinstance(value, bytes) else []


def _unwrapped(text: bytes) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return text


def rpm_files(path: Path) -> list[Path]:
    """Return ``path`` itself, or all RPMs below it if it is a folder. Raises ConfigError."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(f"there is no {path}", hint="name RPM files, or the folder of a repo")
    files = sorted(p for p in path.rglob("*.rpm") if p.is_file())
    if not files and not (path / REPOMD).exists():
        raise ConfigError(f"{path} has no RPM and no repodata", hint="name the folder of a repo")
    return files


def read_metadata(repo: Path) -> list[Metadata]:
    """Return the files that the repomd.xml of ``repo`` lists; none if there is no such file.

    Raises BuildError: it is broken, or a listed file does not exist.
    """
    path = repo / REPOMD
    if not path.exists():
        return []
    hint = "run createrepo_c again"
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError, ValueError) as error:
        raise BuildError(f"{path} is not a repomd.xml: {error}", hint=hint) from error
    found = []
    for row in root.iterfind("{*}data"):
        location = row.find("{*}location")
        name = PurePosixPath("" if location is None else location.get("href", ""))
        file = repo / name
        if name.is_absolute() or ".." in name.parts or not file.is_file():
            raise BuildError(f"{path} lists {str(name)!r}, which does not exist", hint=hint)
        by_name = name.suffix[1:] if name.suffix[1:] in SUFFIXES else "none"
        found.append(
            Metadata(
                file=str(file), kind=row.get("type", ""), compressions=(by_name, _compression(file))
            )
        )
    if not found:
        raise BuildError(f"{path} is not a repomd.xml: it lists nothing", hint=hint)
    return found


def _compression(path: Path) -> str:
    with path.open("rb") as handle:
        start = handle.read(max(map(len, MAGICS)))
    return next((name for magic, name in MAGICS.items() if start.startswith(magic)), "none")
