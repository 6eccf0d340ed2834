"""What a run says at its end: tables for people. Reads models, decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sheepvirt import paths
from sheepvirt.model import BuildRecord, Change, Check, Host, Target, VerifyOutcome
from sheepvirt.progress import Progress


def builds(progress: Progress, target: Target, records: Sequence[BuildRecord]) -> None:
    """Print what each package came to, and the evidence of every gate it passed."""
    table = Table(title=f"RPMs of {target.name} ({target.dist})", title_justify="left")
    for column in ("package", "version", "RPMs", "seconds", "note"):
        table.add_column(column)
    for record in records:
        seconds = f"{record.seconds:.0f}" if record.seconds else "-"
        note = f"stand-in: {record.stand_in}" if record.stand_in else ""
        table.add_row(record.package, record.version, str(len(record.rpms)), seconds, note)
    progress.console.print(table)
    rows = [e for record in records for e in record.evidence]
    if rows:
        table = Table(title="Evidence", title_justify="left")
        for column in ("gate", "feature", "claim", "observed", ""):
            table.add_column(column)
        for e in rows:
            table.add_row(e.gate, e.feature, e.claim, e.observed, "ok" if e.ok else "MISSING")
        progress.console.print(table)
    progress.say(f"repo: {paths.dist() / target.name}")


def changes(progress: Progress, host: Host, rows: Sequence[Change], *, plan: bool) -> None:
    """Print what a bootstrap changed, or would change; diffs in full."""
    verb = "would change" if plan else "changed"
    if not rows:
        progress.say(f"{host.name}: no change")
        return
    progress.say(f"{host.name}: {len(rows)} thing{'s' if len(rows) > 1 else ''} {verb}")
    for change in rows:
        progress.say(f"  {change.step}: {change.what}")
        if change.diff:
            progress.diff(change.diff)


def checks(progress: Progress, title: str, rows: Sequence[Check]) -> None:
    """Print every check of one pass of the verification; a failed one with what it found."""
    table = Table(title=title, title_justify="left")
    table.add_column("check", overflow="fold")
    table.add_column("result")
    table.add_column("seconds", justify="right")
    table.add_column("found", overflow="fold")
    style = {"passed": "green", "failed": "bold red"}
    for row in rows:
        result = Text(row.result, style=style.get(row.result, "yellow"))
        # Text, not str: names in brackets and a guest's own words are no markup.
        table.add_row(Text(row.name), result, f"{row.seconds:.1f}", Text(row.message))
    progress.console.print(table)


def summary(
    progress: Progress,
    target: Target,
    host: Host,
    records: Sequence[BuildRecord],
    outcome: VerifyOutcome,
) -> None:
    """Print the stages' times and the last line: target, host, guests, verdict."""
    table = Table(title="Stages", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("note")
    for timing in progress.timings:
        table.add_row(timing.stage, f"{timing.seconds:.1f}", timing.note)
    progress.console.print(table)
    rpms = sum(len(r.rpms) for r in records)
    guests = ", ".join(g.name for g in host.guests)
    progress.say(
        f"target {target.name}: {rpms} RPMs; host {host.name} with {guests}: "
        f"{outcome.passed} checks passed, {outcome.failed} failed; JUnit in {outcome.junit_folder}"
    )
