"""The documents that ``--json`` prints, from models; docs/json.md describes their fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sheepvirt.cli import report
from sheepvirt.core import output

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sheepvirt.core.progress import Progress
    from sheepvirt.model.builds import Target
    from sheepvirt.model.hosts import Change, Check, Host, Link, VerifyOutcome
    from sheepvirt.model.targets import Finding
    from sheepvirt.ssh.sent import Command
    from sheepvirt.verify.model import Outcome

FORMAT = 1  # a field may be added; another number where one is removed or means something else
Fields = dict[str, Any]


def document(
    command: str, code: int, *, error: Fields | None, fields: Mapping[str, object]
) -> Fields:
    """Return the document of a command that has ended with ``code``."""
    return {"format": FORMAT, "command": command, "exit_code": code, "error": error, **fields}


def text(made: Fields) -> str:
    """Return a document as text."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def write(made: Fields) -> None:
    """Print a document on standard output. Raises OutputError."""
    output.write(text(made).encode(errors="backslashreplace"))


def error(message: str, hint: str) -> Fields:
    """Return an error: what happened, and what to do."""
    return {"message": message, "hint": hint}


def commands(rows: Sequence[Command]) -> list[Fields]:
    """Return commands that may still be running on a host."""
    return [{"host": row.host, "command": row.line, "since": round(row.since)} for row in rows]


def bootstrap(host: Host, rows: Sequence[Change], *, plan: bool, ended: bool) -> Fields:
    """Return the changes of a bootstrap, or of its plan; ``ended``: no error stopped it."""
    return {
        "host": host.name,
        "target": host.target,
        "plan": plan,
        "changes": [
            {
                "step": row.step,
                "what": row.what,
                "note": row.note,
                "diff": row.diff,
                "waits_for": row.waits_for or None,
                "reboots": row.reboots,
            }
            for row in rows
        ],
        "verdict": report.verdict(host, rows, plan=plan) if ended else None,
    }


def inventory_host(host: Host) -> Fields:
    """Return what the inventory says of a host; sizes are in bytes."""
    return {
        "name": host.name,
        "target": host.target,
        "rehearsal": host.rehearsal,
        "guests": [
            {
                "name": guest.name,
                "memory": guest.memory,
                "vcpus": guest.vcpus,
                "disks": [{"kind": str(disk.kind), "size": disk.size} for disk in guest.disks],
                "nics": [
                    {"network": nic.network, "vlan": nic.vlan or None, "mac": nic.mac or None}
                    for nic in guest.nics
                ],
            }
            for guest in host.guests
        ],
        "networks": [{"name": row.name, "bridge": row.bridge} for row in host.networks],
        "bridges": [
            {
                "name": row.name,
                "datapath": str(row.datapath),
                "uplink": row.uplink or None,
                "address": row.address if row.uplink or row.address != "dhcp" else None,
                "gateway": row.gateway or None,
            }
            for row in host.bridges
        ],
    }


def doctor(target: Target, rows: Sequence[Finding]) -> Fields:
    """Return the findings about this machine for a target."""
    return {
        "name": target.name,
        "summary": target.summary,
        "can_be_built": all(row.ok for row in rows),
        "findings": [{"ok": row.ok, "what": row.sentence, "fix": row.fix} for row in rows],
    }


def why(host: Host, package: str, links: Sequence[Link]) -> Fields:
    """Return the chain from a running host back to its sources."""
    return {
        "host": host.name,
        "package": package,
        "links": [
            {"what": row.what, "found": row.found, "ok": row.ok, "detail": row.detail}
            for row in links
        ],
    }


class Shown:
    """Show a verification's results as ``report`` does, and keep them for the document."""

    def __init__(self) -> None:
        self.passes: list[Fields] = []

    def checks(self, progress: Progress, title: str, rows: Sequence[Check]) -> None:
        """Show and keep the checks of one pass."""
        found = [
            {
                "name": row.name,
                "subject": row.subject,
                "result": str(row.result),
                "seconds": round(row.seconds, 2),
                "message": row.message,
            }
            for row in rows
        ]
        self.passes.append({"title": title, "checks": found, "edited": []})
        report.checks(progress, title, rows)

    def edited(self, progress: Progress, host: Host, rows: Sequence[str]) -> None:
        """Show and keep the edited configuration files that the last pass has found."""
        self.passes[-1]["edited"] = list(rows)
        report.edited(progress, host, rows)

    def controls(
        self,
        progress: Progress,
        rows: Sequence[Outcome],
        untried: Sequence[str],
        reasons: Mapping[str, str],
        stand_ins: Collection[str] = (),
    ) -> None:
        """Show the results of the negative controls."""
        report.controls(progress, rows, untried, reasons, stand_ins)


def verify(host: Host, passes: Sequence[Fields], outcome: VerifyOutcome | None) -> Fields:
    """Return a verification; ``outcome`` is None if an error ended it."""
    return {
        "host": host.name,
        "target": host.target,
        "passes": list(passes),
        "guests_stopped": None if outcome is None else str(outcome.stopped),
        "data": None
        if outcome is None
        else [
            {
                "guest": row.guest,
                "before": {"boots": row.boots[0], "marker": row.markers[0]},
                "after": {"boots": row.boots[1], "marker": row.markers[1]},
            }
            for row in outcome.data
        ],
        "junit": None if outcome is None else str(outcome.junit_folder),
    }
