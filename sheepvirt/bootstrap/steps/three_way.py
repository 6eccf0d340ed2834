"""Three-way comparison of definitions, as ``kubectl apply`` does it. Pure.

Three texts are known: what sheepvirt sent last, what libvirt made of it right then (both in the
object's mark), and what is there now. So there are two questions, and neither needs a list of what
libvirt adds by itself:

- Is another definition wanted? What would be sent now is compared with what was sent last.
- Has somebody changed it? What is there now is compared with what libvirt made.

A definition replaces all of the former one. What somebody added is therefore lost with it, and is a
line of the diff. Where a mark has not seen libvirt's answer to sheepvirt's own definition (Origin),
the diff is against all that is there now.

Values that libvirt chooses at each start (ids, terminals, ports, labels) are no change. Those
are the only list here, because each start makes others of the same definition.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap.steps.definition import FIGURES, difference, plain_text
from sheepvirt.model.enums import Origin

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from sheepvirt.bootstrap.marks import Mark

# parent/tag of what changes in a running domain while nobody changes its definition: the balloon's
# value, jobs of block devices, and what is metadata, for which no guest is restarted.
RUNNING = {"domain/currentMemory", "domain/title", "domain/description", "domain/metadata",
           "disk/mirror"}  # fmt: skip  # a table
# Attributes of a running domain, and the values of them that a start chooses.
CHOSEN = (
    ("domain@id", r"\d+"),
    ("console@tty", r"/dev/pts/\d+"),
    ("source@path", r"/dev/pts/\d+|.*/domain-\d+-.*"),
    ("source@index", r"\d+"),
    ("target@dev", r"(vnet|vif|macvtap|macvlan)\d+"),
    ("graphics@port", r"\d+"),
    ("graphics@tlsPort", r"\d+"),
    ("graphics@websocket", r"\d+"),
)
AS_SENT = ("as sheepvirt sent it last", "as it would be sent now")
AS_MADE = ("as libvirt made it", "on the host now, changed by somebody else")
AS_STARTED = ("as it was started", "as it runs now, changed by somebody else")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result; an empty diff: nothing is to be defined."""

    diff: str = ""
    foreign: bool = False  # a new definition would undo what somebody else made or changed


def compare(now: str, wanted: str, sent: str, mark: Mark | None, maker: str) -> Comparison:
    """Compare a stored definition.

    ``now`` is libvirt's ("" for none), ``wanted`` would be sent now, ``sent`` is the same without
    the identity that libvirt chose, as `canonical` writes it. ``maker`` is who writes definitions
    on the host now: see `Mark`. Raises ElementTree.ParseError.
    """
    if not now or mark is None:
        return Comparison(diff=difference(now, wanted))
    if not mark.sent:  # adopted: everything in it is somebody else's
        whole = difference(now, wanted, whole=True) if difference(now, wanted) else ""
        return Comparison(diff=whole, foreign=True)
    changed, drift = sent != mark.sent, _drift(mark, now, maker)
    parts = []
    if changed:
        sending = _lines(mark.sent, sent, AS_SENT)
        if not difference(now, wanted):  # a run was interrupted before it could write its note
            return Comparison(diff=sending)
        witnessed = mark.origin == Origin.DEFINED
        parts.append(sending if witnessed else difference(now, wanted, whole=True))
    if drift:
        parts.append(drift)
    adopted = changed and mark.origin == Origin.ADOPTED
    return Comparison(diff="\n".join(parts), foreign=bool(drift) or adopted)


def drifted(now: str, mark: Mark, maker: str) -> str:
    """Return how ``now`` differs from what libvirt made when the mark was written."""
    return _drift(mark, now, maker) if mark.made else ""


def runs_from_another(live: str, wanted: str, sent: str, mark: Mark | None, maker: str) -> str:
    """Return how a running domain differs from its wanted definition; "" if it does not.

    Where the start was noted, the running definition is compared with that one. Else (the
    definition has changed since, or libvirt, QEMU or the kernel have) with the wanted text, less
    what libvirt is known to add. Of what was adopted only the stored definition is compared: it may
    run from before or from after that. Raises ElementTree.ParseError.
    """
    if mark and mark.origin == Origin.ADOPTED and mark.sent == sent:
        return ""
    noted = mark is not None and mark.live and mark.live_sent == digest(sent)
    if mark is None or not noted or mark.maker != maker:
        return difference(live, wanted, live=True)
    return _lines(canonical(mark.live, live=True), canonical(live, live=True), AS_STARTED)


def digest(sent: str) -> str:
    """Return a hash of all in ``sent`` for which a guest has to be restarted."""
    return hashlib.sha256(canonical(sent, live=True).encode()).hexdigest() if sent else ""


@lru_cache(maxsize=512)  # each step looks at each guest's definitions again
def canonical(text: str, *, live: bool = False) -> str:
    """Return XML as a text that is equal for equal definitions. Raises ElementTree.ParseError.

    With ``live`` it is a running domain's.
    """
    root = ElementTree.fromstring(text)
    _drop(root, FIGURES | RUNNING if live else FIGURES)
    root.attrib.pop("connections", "")  # of a network: how many guests use it now
    if live:
        _drop_chosen(root)
    return plain_text(root)


def anonymous(text: str) -> str:
    """Return the canonical text of a definition without the identity that libvirt chose."""
    root = ElementTree.fromstring(text)
    for path, tag in (
        (".", "uuid"),
        ("devices/interface", "mac"),
        ("devices/interface/virtualport", "parameters"),
    ):
        for parent in root.findall(path):
            for child in parent.findall(tag):
                parent.remove(child)
    return canonical(plain_text(root))


def _drift(mark: Mark, now: str, maker: str) -> str:
    """Return the diff from what libvirt made to what is there now.

    Another libvirt may write the same definition with other additions; then what it is known to
    add does not count.
    """
    if mark.maker != maker and not difference(now, mark.made):
        return ""
    return _lines(canonical(mark.made), canonical(now), AS_MADE)


def _lines(before: str, after: str, names: tuple[str, str]) -> str:
    rows = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="", n=2)
    return "\n".join(rows)


def _drop(root: Element, unwanted: set[str]) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if f"{parent.tag}/{child.tag}" in unwanted:
                parent.remove(child)


def _drop_chosen(root: Element) -> None:
    for parent in list(root.iter()):
        for label in parent.findall("seclabel[@type='dynamic']"):
            parent.remove(label)
    for element in root.iter():
        if element.tag == "graphics" and element.get("autoport") != "yes":
            continue  # its port was given
        for key, values in CHOSEN:
            tag, _, name = key.partition("@")
            if element.tag == tag and re.fullmatch(values, element.get(name, "")):
                del element.attrib[name]
