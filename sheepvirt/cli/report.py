"""Print results as tables. Reads models, decides nothing."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from sheepvirt.core.visible import visible
from sheepvirt.model import standin
from sheepvirt.model.enums import CheckResult
from sheepvirt.model.hosts import Change, Check, Host, Link, VerifyOutcome
from sheepvirt.model.inputs import UNPINNED
from sheepvirt.sources import local

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from sheepvirt.bootstrap.restore import Item
    from sheepvirt.core.progress import Progress
    from sheepvirt.model.builds import BuildRecord, Target
    from sheepvirt.model.plans import BuildPlan
    from sheepvirt.model.targets import Finding
    from sheepvirt.verify.model import Outcome


def findings(progress: Progress, target: Target, rows: Sequence[Finding]) -> None:
    """Print the findings about this machine for a target, each failed one with its fix."""
    verdict = "can be built here" if all(row.ok for row in rows) else "cannot be built here"
    progress.say(f"target {target.name} {verdict} ({target.summary})")
    for row in rows:
        progress.say(f"  {'ok   ' if row.ok else 'LACKS'}  {row.sentence}")
        if not row.ok:
            progress.say(f"           what to do: {row.fix}")


def plan(progress: Progress, planned: BuildPlan) -> None:
    """Print the choices of providers, and the builds in order with their reasons and needs."""
    for sentence in (*(choice.sentence for choice in planned.choices), *planned.left_out):
        progress.say(sentence)
    table = _table("Order of the builds", "package", "version", "what", "why", "after")
    for row in planned.builds:
        what = "build" if row.build else "keep"
        first = ", ".join(row.build_packages) or "-"
        name = f"{row.package.name} (stand-in)" if row.package.stand_in else row.package.name
        name += UNPINNED if row.package.unpinned else ""
        _add(table, name, row.package.version, what, row.reason, first)
    progress.console.print(table)


def builds(progress: Progress, target: Target, repo: Path, records: Sequence[BuildRecord]) -> None:
    """Print the result of each package in ``repo``, and the evidence of every gate."""
    title = f"RPMs of {target.name} ({target.dist})"
    table = _table(title, "package", "version", "RPMs", "seconds", "note")
    for record in records:
        note = f"stand-in: {record.stand_in}" if record.stand_in else ""
        note = f"UNPINNED: {record.unpinned}" if record.unpinned else note
        count, seconds = str(len(record.rpms)), f"{record.seconds:.0f}"
        name = record.package + (UNPINNED if record.unpinned else "")
        _add(table, name, record.version, count, seconds, note)
    progress.console.print(table)
    table = _table("Evidence", "gate", "package", "feature", "claim", "observed", "")
    made = standin.published(records)
    unpinned = {r.package for r in records if r.unpinned}
    for e in (e for record in records for e in record.evidence):
        seen = "ok" if e.ok else "MISSING"
        package, observed = (standin.label(text, made) for text in (e.package, e.observed))
        package += UNPINNED if e.package in unpinned else ""
        _add(table, e.gate, package, e.feature, e.claim, observed, seen)
    progress.console.print(table)
    progress.say(f"repo: {repo}")
    for line in local.sentences(records):
        progress.say(line)


def changes(progress: Progress, host: Host, rows: Sequence[Change], *, plan: bool) -> None:
    """Print what a bootstrap changed, or would change, with full diffs."""
    verb = "would change" if plan else "changed"
    agreed = [row for row in rows if not row.waits_for]
    if not rows:
        progress.say(f"{host.name}: no change")
        return
    progress.say(f"{host.name}: {len(agreed)} thing{'' if len(agreed) == 1 else 's'} {verb}")
    for change in agreed:
        progress.say(f"  {change.step}: {change.what}")
        if change.diff:
            progress.diff(change.diff)
    waiting = [row for row in rows if row.waits_for]
    if waiting:
        progress.say(f"{host.name}: not done, because it waits for your consent:")
    for change in waiting:
        progress.say(f"  {change.step}: {change.what} ({change.waits_for})")
        if change.diff:
            progress.diff(change.diff)


def kept(progress: Progress, host: Host, found: Mapping[str, Sequence[Item]]) -> None:
    """Print what is kept on a host, by time."""
    if not found:
        progress.say(f"{host.name}: nothing is kept; no run has replaced anything there")
    for time, items in found.items():
        progress.say(f"{time}  {', '.join(item.title for item in items)}")


def checks(progress: Progress, title: str, rows: Sequence[Check]) -> None:
    """Print one pass of the verification; a check that passed for many subjects is one row."""
    found = any(row.message for row in rows)
    table = Table(title=title, title_justify="left")
    table.add_column("check", overflow="fold")
    table.add_column("result")
    table.add_column("seconds", justify="right")
    if found:
        table.add_column("found", overflow="fold")
    style = {CheckResult.PASSED: "green", CheckResult.FAILED: "bold red"}
    for row in _merged(rows):
        # Text, not str: names in brackets and a guest's output are not markup.
        cells = [
            Text(row.title),
            Text(row.result, style=style.get(row.result, "yellow")),
            Text(f"{row.seconds:.1f}"),
        ]
        _add(table, *cells, *([Text(row.message)] if found else []))
    progress.console.print(table)


def edited(progress: Progress, host: Host, rows: Sequence[str]) -> None:
    """Print the edited configuration files of a host; they make no check fail."""
    if rows:
        files = "file was" if len(rows) == 1 else "files were"
        progress.say(f"{host.name}: {len(rows)} configuration {files} edited, which is no damage:")
    for row in rows:
        line, _, diff = row.partition("\n")
        progress.say(f"  {line}")
        if diff:
            progress.diff(diff)


def controls(
    progress: Progress,
    rows: Sequence[Outcome],
    untried: Sequence[str],
    reasons: Mapping[str, str],
    stand_ins: Collection[str] = (),
) -> None:
    """Print the expected and the actual failures of each negative control, and untried checks.

    ``stand_ins`` are the names of stand-ins on the host; lines about them are labelled.
    """

    def labelled(titles: Collection[str]) -> list[str]:
        return [standin.label(title, stand_ins) for title in sorted(titles)]

    table = _table(
        "Negative controls", "control", "must fail, and nothing else", "seen", "restored", "seconds"
    )
    for row in rows:
        seen = "exactly that"
        if not row.ok:
            missed = [f"DID NOT FAIL: {title}" for title in labelled(row.expected - row.seen)]
            beyond = [f"FAILED AS WELL: {title}" for title in labelled(row.seen - row.expected)]
            seen = "\n".join(missed + beyond) or "EXPECTS NOTHING"
        must = "\n".join(labelled(row.expected))
        name = standin.label(row.control, stand_ins)
        _add(table, name, must, seen, row.restored, f"{row.seconds:.0f}")
    progress.console.print(table)
    good = sum(row.ok for row in rows)
    progress.say(f"{good} of {len(rows)} controls made exactly their checks fail")
    for name in untried:
        about, why = standin.label(name, stand_ins), reasons.get(name) or "and none says why"
        progress.say(f"no control made this fail: {about} ({why})")


def _merged(rows: Sequence[Check]) -> list[Check]:
    """Merge adjacent rows that passed the same check: 23 dependencies become one line."""
    merged = []
    for (name, result), group in groupby(rows, key=lambda row: (row.name, row.result)):
        same = list(group)
        if result != CheckResult.PASSED or len(same) == 1:
            merged.extend(same)
            continue
        subjects = ", ".join(row.subject for row in same)
        subject = subjects if len(same) <= 4 else f"all {len(same)}: {subjects}"
        merged.append(
            Check(
                name=name, subject=subject, result=result, seconds=sum(row.seconds for row in same)
            )
        )
    return merged


def chain(progress: Progress, title: str, links: Sequence[Link]) -> None:
    """Print the chain from a running host back to its sources, one line for each link."""
    progress.say(title)
    for link in links:
        progress.say(f"  {'ok    ' if link.ok else 'BROKEN'}  {link.what}: {link.found}")
        if link.detail:
            progress.diff(link.detail)


def summary(
    progress: Progress,
    target: Target,
    host: Host,
    records: Sequence[BuildRecord],
    outcome: VerifyOutcome,
) -> None:
    """Print the stages' times, and a last line with target, host, guests and result."""
    table = _table("Stages", "stage", "seconds", "note")
    made = standin.published(records)
    for timing in progress.timings:
        _add(table, standin.label(timing.stage, made), f"{timing.seconds:.1f}", timing.note)
    progress.console.print(table)
    rpms = sum(len(r.rpms) for r in records)
    guests = ", ".join(g.name for g in host.guests)
    progress.say(
        f"target {target.name}: {rpms} RPMs; host {host.name} with {guests}: "
        f"{outcome.passed} checks passed, {outcome.failed} failed; JUnit in {outcome.junit_folder}"
    )


def _add(table: Table, *cells: str | Text) -> None:
    """Add a row literally: in a plain string rich would read ``[...]`` as markup."""
    table.add_row(
        *(
            Text(visible(cell)) if isinstance(cell, str) else Text(visible(cell.plain), cell.style)
            for cell in cells
        )
    )


def _table(title: str, *columns: str) -> Table:
    """Return an empty table; text that is too wide for the terminal is folded, not cut."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(
            column, overflow="fold", justify="right" if column == "seconds" else "left"
        )
    return table
