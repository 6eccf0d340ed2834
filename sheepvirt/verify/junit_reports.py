"""Read the JUnit reports of a verification: its checks, and what one pass keeps for the next."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.core import paths
from sheepvirt.core.errors import VerifyError
from sheepvirt.model.enums import CheckResult
from sheepvirt.model.hosts import Check

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.model.hosts import Host

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


def read_junit(path: Path, host: Host) -> tuple[Check, ...]:
    """Return the checks in a JUnit report of pytest; an error during set-up is a failure.

    Raises VerifyError: the file is not a JUnit report.
    """
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except ElementTree.ParseError as error:
        raise VerifyError(
            f"{path} is not a JUnit report: {error}", hint="check that the disk is not full"
        ) from error
    return tuple(_check(case, host) for case in cases)


def _result(failed: bool, said: bool) -> CheckResult:
    if failed:
        return CheckResult.FAILED
    return CheckResult.SKIPPED if said else CheckResult.PASSED


def _check(case: ElementTree.Element, host: Host) -> Check:
    module = case.get("classname", "").rpartition(".")[2].removeprefix("test_")
    words, _, parameter = case.get("name", "").partition("[")
    # The parameter without the host's id is the guest, network, package …
    host_id = rf"-?ssh://{re.escape(host.name)}$|^ssh://{re.escape(host.name)}-"
    bad = [*case.findall("failure"), *case.findall("error")]
    said = (bad or case.findall("skipped"))[:1]
    message = said[0].get("message", "") if said else ""
    first = message.splitlines()[0].removeprefix("AssertionError: ") if message else ""
    return Check(
        name=f"{module}: {words.removeprefix('test_').replace('_', ' ')}",
        subject=re.sub(host_id, "", parameter.removesuffix("]")),
        result=_result(bool(bad), bool(said)),
        seconds=float(case.get("time", 0)),
        message=first,
        node=f"{paths.CHECKS}/test_{module}.py::{case.get('name', '')}",
    )
