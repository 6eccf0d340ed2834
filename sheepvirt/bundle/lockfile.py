"""The lock of a bundle, ``bundle.json``: its members by hash, and its origin. Pure.

A lock is untrusted: unknown keys, unsafe names and invalid numbers are refused before use.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from sheepvirt.core.errors import BundleError, ConfigError
from sheepvirt.core.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "bundle.json"
# 1 until 0.2.0: tags of images of targets with repos were hashes of another text.
FORMATS = (1, 2)
FORMAT = FORMATS[-1]
# The key of ``Lock.selectors``: another name on disk would need a new format.
SELECTORS_KEY = "words"
NAME_BYTES = 100  # what a ustar header holds
BIGGEST = 8**11 - 1  # bytes: the same
MEMBER = re.compile(r"(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9._+~%-]+(?:/[A-Za-z0-9._+~%-]+)*")
SHA256, COMMIT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
REQUIREMENTS = "requirements.lock"
REPOS = "repos/"  # below it, by their paths in the builder image: its repo files and keys


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of the archive."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One image: its tag is the hash of its recipe, its layers are the hashes of its content."""

    kind: str  # builder | host | guest …
    tag: str
    id: str  # in the engine that saved it
    layers: tuple[str, ...]
    member: str


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """One source of a package: a file, or a pack of the objects of one git commit."""

    package: str
    file: str
    pin: str  # sha256 of the file, or the commit's id
    git: bool
    member: str


@dataclass(frozen=True, kw_only=True)
class PackageRow:
    """One package that the bundle is for."""

    name: str
    version: str
    key: str  # the hash of all inputs of its build, as in manifest.json


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The content of a bundle, and its origin."""

    target: str
    version: str  # of sheepvirt
    revision: str  # of its checkout; empty if it was none
    made: str  # date and time, UTC
    selectors: tuple[str, ...]  # the --package selectors that it was made with
    images: tuple[ImageRow, ...]
    sources: tuple[SourceRow, ...]
    packages: tuple[PackageRow, ...]
    installed: Mapping[str, tuple[str, ...]]  # packages in the builder image: by rpm, by dpkg
    members: tuple[Member, ...]  # in the archive's order
    format: int = FORMAT


def dump(lock: Lock) -> bytes:
    """Return ``lock`` as the text of bundle.json."""
    rows = {"format": lock.format, **asdict(lock)}
    rows = {SELECTORS_KEY if key == "selectors" else key: value for key, value in rows.items()}
    return (json.dumps(rows, indent=1, ensure_ascii=True) + "\n").encode()


def load(data: bytes) -> Lock:
    """Parse a lock. Raises BundleError: it is invalid, or of another format."""
    try:
        table = Table(_object(data), NAME)
        number = table.get("format", int)
        if number not in FORMATS:
            known = " and ".join(map(str, FORMATS))
            table.refuse("format", f"is {number}", hint=f"this sheepvirt reads formats {known}")
        lock = Lock(
            target=table.get("target", str),
            version=table.get("version", str),
            revision=table.get("revision", str),
            made=table.get("made", str),
            selectors=table.strings(SELECTORS_KEY),
            images=tuple(_image(t) for t in table.array("images")),
            sources=tuple(_source(t) for t in table.array("sources")),
            packages=tuple(_package(t) for t in table.array("packages")),
            installed=_installed(table.table("installed")),
            members=tuple(_member(t) for t in table.array("members")),
            format=number,
        )
        table.done()
    except (ConfigError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{NAME} is not a lock of sheepvirt: {getattr(error, 'message', error)}",
            hint="make the bundle again with this version of sheepvirt",
        ) from error
    _require_whole(lock)
    return lock


def member_name(*parts: str) -> str:
    """Return the name of a file in the archive; special characters are percent-encoded.

    Raises BundleError: it is too long for the archive.
    """
    name = "/".join(quote(part.strip("/"), safe="/+~") for part in parts)
    if len(name) > NAME_BYTES or not MEMBER.fullmatch(name):
        raise BundleError(
            f"{'/'.join(parts)} cannot be put into a bundle under its name",
            hint=f"use a name with at most {NAME_BYTES} characters",
        )
    return name


def _object(data: bytes) -> Mapping[str, object]:
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def _text(table: Table, key: str, pattern: re.Pattern[str]) -> str:
    text = table.get(key, str)
    if not pattern.fullmatch(text):
        table.refuse(key, f"is {text[:80]!r}", hint="make the bundle again")
    return text


def _member_name(table: Table, key: str) -> str:
    name = _text(table, key, MEMBER)
    if len(name) > NAME_BYTES:
        table.refuse(key, "is too long", hint="make the bundle again")
    return name


def _member(table: Table) -> Member:
    member = Member(
        name=_member_name(table, "name"),
        size=table.get("size", int),
        sha256=_text(table, "sha256", SHA256),
    )
    if not 0 <= member.size <= BIGGEST:
        table.refuse("size", f"is {member.size}", hint="make the bundle again")
    table.done()
    return member


def _image(table: Table) -> ImageRow:
    row = ImageRow(
        kind=_text(table, "kind", re.compile(r"[a-z0-9-]+")),
        tag=_text(table, "tag", re.compile(r"sheepvirt/[a-z0-9-]+:[0-9a-f]+")),
        id=_text(table, "id", re.compile(r"sha256:[0-9a-f]{64}")),
        layers=table.strings("layers", ...),
        member=_member_name(table, "member"),
    )
    table.done()
    return row


def _source(table: Table) -> SourceRow:
    git = table.get("git", bool)
    row = SourceRow(
        package=table.get("package", str),
        file=_text(table, "file", re.compile(r"(?!\.{1,2}$)[^/\0]+")),
        pin=_text(table, "pin", COMMIT if git else SHA256),
        git=git,
        member=_member_name(table, "member"),
    )
    table.done()
    return row


def _package(table: Table) -> PackageRow:
    row = PackageRow(
        name=table.get("name", str), version=table.get("version", str), key=table.get("key", str)
    )
    table.done()
    return row


def _installed(table: Table) -> dict[str, tuple[str, ...]]:
    found = {tool: table.strings(tool) for tool in ("rpm", "dpkg")}
    table.done()
    return found


def _require_whole(lock: Lock) -> None:
    """Raise BundleError if the members do not match the images and sources."""
    names = [member.name for member in lock.members]
    used = [*(row.member for row in lock.images), *(row.member for row in lock.sources)]
    free = {n for n in names if n == REQUIREMENTS or n.startswith(REPOS)}
    for name in sorted({n for n in names if names.count(n) > 1 or n in {NAME, f"{NAME}.sha256"}}):
        raise BundleError(f"{NAME} lists {name} twice", hint="make the bundle again")
    for name in sorted(set(used) ^ (set(names) - free)):
        what = "lacks" if name in used else "does not use"
        raise BundleError(f"{NAME} {what} the member {name}", hint="make the bundle again")
