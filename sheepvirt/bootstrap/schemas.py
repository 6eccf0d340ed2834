"""libvirt's RNG schemas from the published RPM: XML is validated before it is sent.

libvirt accepts and drops unknown elements (the how-to's ``<membaloon>``). A schema finds those. It
does not find a bridge that does not exist (the how-to's ``obsbr0``): that is a valid name. So the
bridge's step and the verification check the bridge itself.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from sheepvirt.core.errors import BootstrapError, ConfigError
from sheepvirt.rpm import rpms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.model.builds import BuildRecord, PublishedRpm

FOLDER = "/usr/share/libvirt/schemas/"
KINDS = {"domain": "domain.rng", "network": "network.rng", "pool": "storagepool.rng"}
# The RPMs that have them in 1.0.3 and 7.0.0; they are read first.
LIKELY = ("libvirt-libs", "libvirt-client")


class Schemas:
    """The schemas in a folder."""

    def __init__(self, folder: Path) -> None:
        """Read them. Raises lxml.etree.RelaxNGParseError, OSError."""
        self._read = {kind: etree.RelaxNG(file=str(folder / KINDS[kind])) for kind in KINDS}
        self._valid: set[tuple[str, str]] = set()  # each step makes the same XML again

    def validate(self, kind: str, text: str, what: str) -> None:
        """Raise BootstrapError if ``text`` is not a valid ``kind`` (domain, network, pool).

        The error names the element and its line. ``what`` says what the XML describes.
        """
        if (kind, text) in self._valid:
            return
        root = etree.fromstring(text.encode())
        schema = self._read[kind]
        if schema.validate(root):
            self._valid.add((kind, text))
            return
        said = [e for e in schema.error_log if e.line] or list(schema.error_log)
        culprit = _culprit(schema, root) or f"line {said[0].line}: {said[0].message}"
        raise BootstrapError(
            f"{what}: libvirt's schema {KINDS[kind]} refuses the XML: {culprit}",
            hint=f"correct host/templates/{kind}.xml.j2, or the inventory's value at that place",
        )


def load(kept: Path, repo: Path, records: Sequence[BuildRecord]) -> Schemas:
    """Return the schemas of the RPMs in ``repo``; ``kept`` caches them by the RPM's hash.

    Raises ConfigError: none of the RPMs has them.
    """
    published = [rpm for record in records for rpm in record.rpms if rpm.name.startswith("libvirt")]
    published.sort(key=lambda rpm: rpm.name not in LIKELY)
    for rpm in published:
        if (kept / rpm.sha256).is_dir():
            return Schemas(kept / rpm.sha256)
    for rpm in published:
        if _keep(repo, rpm, kept):
            return Schemas(kept / rpm.sha256)
    raise ConfigError(
        f"none of the RPMs in {repo} has libvirt's schemas ({FOLDER}{KINDS['domain']})",
        hint="build libvirt: `invoke build-rpms`",
    )


def _keep(repo: Path, rpm: PublishedRpm, kept: Path) -> bool:
    """Unpack the schemas of ``rpm``, atomically; return whether it has any."""
    found = rpms.read_folder(repo / rpm.file, FOLDER)
    if KINDS["domain"] not in found:
        return False
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept) as scratch:
        temporary = Path(scratch) / "schemas"
        temporary.mkdir()
        for name, content in found.items():
            (temporary / name).write_bytes(content)
        if not (kept / rpm.sha256).is_dir():  # another run may have been faster
            temporary.rename(kept / rpm.sha256)
    return True


def _culprit(schema: etree.RelaxNG, root: etree._Element) -> str:
    """Name the smallest part of the XML whose removal makes it valid; "" if there is none.

    For an <interleave>, libxml2 only says which of the outermost elements did not fit.
    """
    blamed = root
    while inner := [c for c in blamed if _valid_without(schema, root, c)]:
        blamed = inner[0]
    for element in blamed.iter():
        for name, value in element.items():
            del element.attrib[name]
            valid = schema.validate(root)
            element.set(name, value)
            if valid:
                return (
                    f"line {element.sourceline}: attribute {name!s}={value!r} of <{_tag(element)}>"
                )
    return "" if blamed is root else f"line {blamed.sourceline}: element <{_tag(blamed)}>"


def _valid_without(schema: etree.RelaxNG, root: etree._Element, child: etree._Element) -> bool:
    parent = child.getparent()
    assert parent is not None
    place = parent.index(child)
    parent.remove(child)
    valid: bool = schema.validate(root)
    parent.insert(place, child)
    return valid


def _tag(element: etree._Element) -> str:
    return str(element.tag)
