"""Compare two libvirt definitions, and keep their objects up.

What libvirt adds by itself does not count as a difference. Where it is known what libvirt made of
sheepvirt's own definition, `three_way` needs no such list.

Sources: https://libvirt.org/formatdomain.html, https://libvirt.org/formatnetwork.html, and the
output of libvirt 7.0.0 for ``host/templates/``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from sheepvirt.bootstrap import virsh
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.libvirt import Definition

# Elements that libvirt adds (parent/tag), also to a running domain.
ADDED = {
    # Upgrades of libvirt's RPMs of 2013 add a mac to every network without one.
    "network/uuid", "network/mac",
    "pool/uuid", "pool/capacity", "pool/allocation", "pool/available", "pool/target",
    "domain/uuid", "domain/cpu", "domain/resource", "domain/seclabel",
    "devices/controller", "devices/input", "devices/audio",
    "disk/address", "disk/alias", "disk/backingStore",
    "interface/mac", "interface/target", "interface/address", "interface/alias",
    "virtualport/parameters",
    "serial/source", "serial/alias", "console/source", "console/alias",
    "target/model",
    "memballoon/address", "memballoon/alias",
}  # fmt: skip  # a table
# What changes while nobody changes anything.
FIGURES = {"pool/capacity", "pool/allocation", "pool/available"}
ADDED_ATTRIBUTES = {
    "domain@id",
    "target@type",
    "console@tty",
    "source@index",
    "network@connections",
}
# Attributes that libvirt adds with this value: 1.0.3 writes the default (see the how-to's dumpxml).
ADDED_VALUES = {"driver@cache": "writethrough"}
WHOLE = "wanted (libvirt adds again what it adds by itself)"
# sheepvirt's mark in the metadata of a domain: libvirt keeps it since 0.9.10.
NAMESPACE = "urn:sheepvirt:1"
MARK = f"{{{NAMESPACE}}}guest"


def difference(actual: str, wanted: str, *, live: bool = False, whole: bool = False) -> str:
    """Return a unified diff from ``actual`` (libvirt's XML, or "") to ``wanted``.

    It is empty if both mean the same, unless ``whole``: then it also shows what libvirt is known to
    add, for somebody may have added it. With ``live``, ``actual`` is the running definition: its
    memory is in whole MiB. Its current memory, which the balloon controls, its title and its
    description are ignored. Pure.
    Raises ElementTree.ParseError.
    """
    goal = without_mark(wanted) if actual else ElementTree.fromstring(wanted)
    _units(goal, live=live)
    there = ""
    if actual:
        found = without_mark(actual)
        _units(found, live=live)
        there = plain_text(_without_additions(found, goal, whole=whole))
    lines = difflib.unified_diff(
        there.splitlines(),
        plain_text(_without_additions(goal, goal)).splitlines(),
        "on the host",
        WHOLE if whole else "wanted",
        lineterm="",
        n=2,
    )
    return "\n".join(lines)


def lifecycle(
    step: str, name: str, state: Definition | None, *, redefined: bool = False
) -> list[Change]:
    """Return what makes an object of libvirt persistent, started and autostarted.

    ``redefined``: it is defined anyway, which makes it persistent.
    """
    verbs = (
        ("made persistent", state is not None and not state.persistent and not redefined),
        ("started", state is None or not state.active),
        ("autostarted", state is None or not state.autostart),
    )
    return [Change(step=step, what=f"{name} {verb}") for verb, needed in verbs if needed]


def identity(actual: str) -> dict[str, str]:
    """Return the uuid that libvirt has chosen; "" for none."""
    root = ElementTree.fromstring(actual) if actual else Element("none")
    return {"uuid": (root.findtext("uuid") or "").strip()}


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A network interface of a domain, as its XML has it; "" for what is not there."""

    mac: str = ""
    interfaceid: str = ""
    vlan: str = ""  # a tag
    device: str = ""  # its port, while the domain runs


def interfaces(actual: str) -> tuple[Interface, ...]:
    """Return the network interfaces of a domain, in order."""
    root = ElementTree.fromstring(actual) if actual else Element("none")
    return tuple(
        Interface(
            mac=_attribute(one, "mac", "address"),
            interfaceid=_attribute(one, "virtualport/parameters", "interfaceid"),
            vlan=_attribute(one, "vlan/tag", "id"),
            device=_attribute(one, "target", "dev"),
        )
        for one in root.iterfind("devices/interface")
    )


def _attribute(element: Element, path: str, name: str) -> str:
    found = element.find(path)
    return found.get(name, "") if found is not None else ""


def without_mark(text: str) -> Element:
    """Parse XML and remove sheepvirt's own metadata, which a host of before it does not have."""
    root = ElementTree.fromstring(text)
    for metadata in root.findall("metadata"):
        for mark in metadata.findall(MARK):
            metadata.remove(mark)
        if not len(metadata):
            root.remove(metadata)
    return root


def is_marked(text: str) -> bool:
    """Tell whether a domain has sheepvirt's metadata, under its own name (it is no copy)."""
    root = ElementTree.fromstring(text)
    mark = root.find(f"metadata/{MARK}")
    return mark is not None and mark.get("name") == root.findtext("name")


def _without_additions(found: Element, goal: Element, *, whole: bool = False) -> Element:
    """Return ``found`` without libvirt's additions, with its children in ``goal``'s order.

    With ``whole`` it only gets that order.
    """
    copy = Element(found.tag)
    copy.text = (found.text or "").strip() or None
    for name, value in found.items():
        key = f"{found.tag}@{name}"
        added = key in ADDED_ATTRIBUTES or ADDED_VALUES.get(key) == value
        if name in goal.attrib or whole or not added:
            copy.set(name, _alias(name, value, goal.get(name, "")))
    left = list(goal)
    ranked: list[tuple[int, Element]] = []
    for child in found:
        twin = next((g for g in left if g.tag == child.tag), None)
        if twin is not None:
            left.remove(twin)
            same = _without_additions(child, twin, whole=whole)
            ranked.append((list(goal).index(twin), same))
        elif f"{found.tag}/{child.tag}" not in (FIGURES if whole else ADDED):
            ranked.append((len(goal), _without_additions(child, child, whole=whole)))
    copy.extend(child for _, child in sorted(ranked, key=lambda r: r[0]))
    return copy


def _alias(name: str, value: str, wanted: str) -> str:
    """Treat libvirt's expansion of a machine type's alias (pc: pc-i440fx-5.2) as the alias."""
    return wanted if name == "machine" and wanted and value.startswith(f"{wanted}-") else value


def _units(root: Element, *, live: bool) -> None:
    """Convert amounts of memory to KiB, rounded up as libvirt does."""
    step = 2**20 if live else 2**10
    for tag in ("memory", "currentMemory"):
        for element in root.findall(tag):
            amount = virsh.amount(element)
            element.text = str(-(-amount // step) * step // 1024)
            element.set("unit", "KiB")
    for element in root.findall("currentMemory") if live else []:
        root.remove(element)
    for tag in (
        ("title", "description", "metadata") if live else ()
    ):  # metadata: no guest restarts for it
        for element in root.findall(tag):
            root.remove(element)


def plain_text(root: Element) -> str:
    """Return ``root`` indented, its attributes sorted: their order has no meaning."""
    ElementTree.register_namespace("sheepvirt", NAMESPACE)
    for element in root.iter():
        element.tail = None
        if not (element.text or "").strip():
            element.text = None
        for name in sorted(element.keys()):
            element.set(name, element.attrib.pop(name))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")
