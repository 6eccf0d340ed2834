"""Parse what virsh prints under ``LC_ALL=C``, domain XML, and QEMU's command line. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sheepvirt.core import sizes
from sheepvirt.core.errors import BrokenXmlError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree import ElementTree


def info(text: str) -> dict[str, str]:
    """Parse the ``Key:   value`` lines of ``virsh net-info`` and ``virsh dominfo``."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def states(text: str) -> dict[str, str]:
    """Map the first column of a virsh table to the second, such as pools to states."""
    rows = [line.split() for line in text.splitlines()[2:]]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def compiled_in(text: str, section: str) -> tuple[str, ...]:
    """Return the capabilities in one section (such as ``Storage``) of ``virsh -V``."""
    return tuple(info(text).get(section, "").split())


def amount(memory: ElementTree.Element) -> int:
    """Return the bytes of a ``<memory unit="...">`` element. Raises BrokenXmlError.

    The units: https://libvirt.org/formatdomain.html#memory-allocation
    """
    said, unit = (memory.text or "0").strip(), memory.get("unit", "KiB")
    try:
        return int(said) * sizes.unit(unit)
    except (KeyError, ValueError):
        raise BrokenXmlError(
            f"<{memory.tag}> of a domain is {said!r} in the unit {unit!r}",
            hint="give a whole number, and a unit that libvirt knows: KiB, MiB, GiB, TiB",
        ) from None


def memory_kib(domain: ElementTree.Element) -> int:
    """Return a domain's memory in KiB, rounded up as libvirt does; -1 if it has none."""
    memory = domain.find("memory")
    if memory is None or not (memory.text or "").strip().isdigit():
        return -1
    return -(-amount(memory) // 1024)


def network_disks(domain: ElementTree.Element) -> list[tuple[str, str]]:
    """Return (protocol, name) of each network disk of a domain."""
    sources = domain.findall("devices/disk[@type='network']/source")
    return [(s.get("protocol", ""), s.get("name", "")) for s in sources]


def opens_vdi(words: Sequence[str], vdi: str) -> bool:
    """Tell whether a QEMU command line opens ``vdi`` through QEMU's sheepdog driver.

    libvirt >= 5 writes -blockdev and JSON, older ones -drive file=sheepdog:...
    """
    old = re.compile(rf"(?:.*,)?file=sheepdog:(?:[^,]*:)?{re.escape(vdi)}(?:,.*)?")
    for word in words:
        if word.startswith("{"):
            said = json.loads(word)
            if said.get("driver") == "sheepdog" and said.get("vdi") == vdi:
                return True
        elif old.fullmatch(word):
            return True
    return False
