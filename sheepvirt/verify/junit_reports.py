"""Read the properties of a verification's JUnit reports. Pure."""

from __future__ import annotations

from xml.etree import ElementTree

EDITED = "edited configuration"  # the property of a JUnit report about one such file
BOOT_RECORD = "boot record"  # the property of a JUnit report that has a guest's boots and marker


def boot_records(junit: str) -> dict[str, tuple[int, str]]:
    """Return each guest's boot count and marker, as one pass of the verification read them.

    ``junit`` is the report of the pass; its property "boot record" is "GUEST BOOTS MARKER". Raises
    ElementTree.ParseError.
    """
    found = {}
    for entry in ElementTree.fromstring(junit).iter("property"):
        if entry.get("name") == BOOT_RECORD:
            guest, boots, marker = entry.get("value", "").rsplit(" ", 2)
            found[guest] = (int(boots), marker)
    return found


def edited(junit: str) -> list[str]:
    """Return the edited configuration files that one pass of the verification reported, in order.

    One text for each file: a line, and its diff if there is one. Raises ElementTree.ParseError.
    """
    entries = ElementTree.fromstring(junit).iter("property")
    return [e.get("value", "") for e in entries if e.get("name") == EDITED]
