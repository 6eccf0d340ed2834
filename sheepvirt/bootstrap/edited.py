"""Report edited configuration files. Administrators edit them, so an edit is not a failure.

A diff is shown only of files that everyone on the host may read. Other files may hold a password:
only their names are reported. The packaged content comes from the published RPM.
"""

from __future__ import annotations

import difflib
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sheepvirt.core.errors import NotShownError, SheepvirtError
from sheepvirt.rpm import payload, rpms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sheepvirt.bootstrap.installed_rpms import Altered

# The letters of `rpm -V`: https://rpm.org/docs/4.20.x/man/rpm.8.html (VERIFY OPTIONS)
SIGNS = {
    "S": "size", "M": "mode", "5": "content", "D": "device", "L": "link", "U": "owner",
    "G": "group", "T": "time", "P": "capabilities",
}  # fmt: skip  # a table
MOST_BYTES, MOST_LINES = 1 << 18, 60


def is_edit(row: Altered) -> bool:
    """Tell whether a line of ``rpm -V`` is about an edited configuration file.

    A file that is missing or could not be read (``?``) is not an edit.
    """
    return row.kind == "c" and not set(row.what) - set(SIGNS) - {"."}


def in_words(row: Altered) -> str:
    """Return the differing attributes as text: "size, content, time"."""
    return ", ".join(word for sign, word in SIGNS.items() if sign in row.what)


def folders(path: str) -> list[str]:
    """Return the folders that lead to ``path``, outermost first."""
    return [str(parent) for parent in reversed(PurePosixPath(path).parents)]


def is_public(path: str, modes: Mapping[str, int]) -> bool:
    """Tell whether everyone may read ``path``; ``modes`` has st_mode of it and of its folders.

    A symbolic link in the path counts as not public.
    """
    inside = all(stat.S_ISDIR(modes.get(f, 0)) and modes[f] & stat.S_IXOTH for f in folders(path))
    mode = modes.get(path, 0)
    return inside and stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)


def told(row: Altered, files: Iterable[Path], read: Callable[[str], bytes]) -> str:
    """Return a line about an edited file, with its diff if everyone may read both versions.

    ``files`` are the RPMs that may have it. ``read`` returns the host's content or raises
    NotShownError.
    """
    line = f"{row.path} ({in_words(row)})"
    if "5" not in row.what:
        return line
    try:
        return f"{line}\n{difference(row.path, packaged(files, row.path), read(row.path))}"
    except NotShownError as error:
        return f"{line}; no diff: {error}"


def packaged(files: Iterable[Path], path: str) -> bytes:
    """Return the content that one of these RPMs has for ``path``. Raises NotShownError."""
    for file in filter(Path.is_file, files):
        try:
            found = _packaged(file, path)
        except NotShownError:
            raise
        except (*payload.BROKEN, KeyError, SheepvirtError) as error:
            raise NotShownError(f"{file.name} cannot be read here: {error}") from error
        if found is not None:
            return found
    raise NotShownError("its RPM is not in the published repo")


def _packaged(file: Path, path: str) -> bytes | None:
    header = rpms.header(file)
    mode = rpms.modes(header).get(path)
    if mode is None:
        return None
    if not (stat.S_ISREG(mode) and mode & stat.S_IROTH):
        raise NotShownError("not everyone may read the packaged file")
    compressor = payload.compressor(file, header.payload, header.text("archive_compression"))
    stripped = payload.is_stripped(file, header.payload, compressor)
    there = rpms.in_payload(header) if stripped else ()
    for name, content in payload.members(file, header.payload, compressor, there):
        if name == path:
            return _bounded(content)
    raise NotShownError(f"{file.name} lists it without its content")


def _bounded(content: payload.Content) -> bytes:
    found = content.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise NotShownError("it is too large to be shown")
    return found


def difference(path: str, before: bytes, after: bytes) -> str:
    """Return a unified diff of text, at most MOST_LINES lines. Raises NotShownError."""
    if len(after) > MOST_BYTES:
        raise NotShownError("it is too large to be shown")
    try:
        old, new = (content.decode().splitlines() for content in (before, after))
    except UnicodeDecodeError as error:
        raise NotShownError("it is not text") from error
    if any(not line.replace("\t", "").isprintable() for line in old + new):
        raise NotShownError("it is not text")
    found = list(difflib.unified_diff(old, new, f"{path} (packaged)", path, lineterm=""))
    more = len(found) - MOST_LINES
    return "\n".join(found[:MOST_LINES] + ([f"({more} more lines)"] if more > 0 else []))
