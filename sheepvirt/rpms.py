"""The only user of rpmfile: the header of an RPM file as a frozen record.

Tag names: https://rpm-software-management.github.io/rpm/manual/tags.html; rpmfile calls
RPMTAG_SHA1HEADER (269) ``md5`` and gives strings as bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rpmfile
from rpmfile.errors import RPMError

from sheepvirt.errors import BuildError
from sheepvirt.model import Rpm

# What rpmfile lets through on broken input: it trusts the lengths and offsets that it reads.
TRUSTING = (AssertionError, EOFError, IndexError, struct.error, TypeError, ValueError)


def read(path: Path) -> Rpm:
    """Return what the header of the RPM file ``path`` says. Raises BuildError: it is no RPM."""
    try:
        with rpmfile.open(str(path)) as archive:
            headers = archive.headers
    except (OSError, RPMError, *TRUSTING) as error:
        raise BuildError(
            f"{path.name} is not a readable RPM: {error}", hint="build the package again"
        ) from error
    source = "sourcerpm" not in headers  # only a source RPM names no source RPM
    return Rpm(
        name=_text(headers["name"]),
        epoch=int(headers.get("serial", 0)),
        version=_text(headers["version"]),
        release=_text(headers["release"]),
        arch="src" if source else _text(headers["arch"]),
        path=path,
        sha256=sha256(path),
        header_sha1=_text(headers.get("md5", b"")),
        summary=_text(headers.get("summary", b"")),
        files=_files(headers),
        provides=_texts(headers.get("provides")),
        requires=_texts(headers.get("requirename")),
    )


def read_member(path: Path, member: str) -> bytes:
    """Return the content of file ``member`` (absolute path) of the RPM ``path``."""
    with rpmfile.open(str(path)) as archive:
        return bytes(archive.extractfile("." + member).read())


def read_folder(path: Path, folder: str) -> dict[str, bytes]:
    """Return name to content of the files in ``folder`` (absolute, ends in /) of the RPM ``path``.

    Raises BuildError: it is no RPM.
    """
    start = f".{folder}"
    try:
        with rpmfile.open(str(path)) as archive:
            members = [m for m in archive.getmembers() if m.name.startswith(start)]
            return {
                m.name.removeprefix(start): bytes(archive.extractfile(m).read())
                for m in members
                if "/" not in m.name.removeprefix(start) and m.name != start
            }
    except (OSError, RPMError, *TRUSTING) as error:
        raise BuildError(
            f"{path.name} is not a readable RPM: {error}", hint="build the package again"
        ) from error


def sha256(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(_text(v) for v in value) if isinstance(value, (list, tuple)) else (_text(value),)


def _files(headers: Mapping[str, Any]) -> tuple[str, ...]:
    """Join RPMTAG_BASENAMES with RPMTAG_DIRNAMES; one file's index comes as a plain number."""
    names, folders = _texts(headers.get("basenames")), _texts(headers.get("dirnames"))
    index = headers.get("dirindexes", ())
    indexes = (index,) if isinstance(index, int) else tuple(index)
    return tuple(folders[i] + n for n, i in zip(names, indexes, strict=True))
