"""Print results: tables where they fit the terminal, else lists. Reads models, decides nothing.

What is long goes to the run's report; ``--verbose`` shows it on the screen, too.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from sheepvirt.cli import tables
from sheepvirt.model import standin
from sheepvirt.model.enums import CheckResult, Stop
from sheepvirt.model.hosts import Change, Check, Host, Link, VerifyOutcome
from sheepvirt.model.inputs import UNPINNED
from sheepvirt.sources import local

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from rich.table import Table

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
    table = tables.table("Order of the builds", "package", "version", "what", "why", "after")
    for row in planned.builds:
        what = "build" if row.build else "keep"
        first = ", ".join(row.build_packages) or "-"
        name = f"{row.package.name} (stand-in)" if row.package.stand_in else row.package.name
        name += UNPINNED if row.package.unpinned else ""
        tables.add(table, name, row.package.version, what, row.reason, first)
    tables.show(progress, table)


def builds(progress: Progress, target: Target, repo: Path, records: Sequence[BuildRecord]) -> None:
    """Print the result of each package in ``repo``, and the evidence of every gate."""
    title = f"RPMs of {target.name} ({target.dist})"
    table = tables.table(title, "package", "version", "RPMs", "seconds", "note")
    for record in records:
        note = f"stand-in: {record.stand_in}" if record.stand_in else ""
        note = f"UNPINNED: {record.unpinned}" if record.unpinned else note
        count, seconds = str(len(record.rpms)), f"{record.seconds:.0f}"
        name = record.package + (UNPINNED if record.unpinned else "")
        tables.add(table, name, record.version, count, seconds, note)
    tables.show(progress, table)
    table = tables.table("Evidence", "gate", "package", "feature", "claim", "observed", "")
    made = standin.published(records)
    unpinned = {r.package for r in records if r.unpinned}
    for e in (e for record in records for e in record.evidence):
        seen = "ok" if e.ok else "MISSING"
        package, observed = (standin.label(text, made) for text in (e.package, e.observed))
        package += UNPINNED if e.package in unpinned else ""
        tables.add(table, e.gate, package, e.feature, e.claim, observed, seen)
    tables.show(progress, table)
    progress.say(f"repo: {repo}")
    for line in local.sentences(records):
        progress.say(line)


def changes(progress: Progress, host: Host, rows: Sequence[Change], *, plan: bool) -> None:
    """Print what a bootstrap changed, or would change, and the verdict; diffs go to the report.

    What waits for consent is shown with its diff, and what is planned if its diff removes
    something: nothing is lost that was not shown.
    """
    listed(progress, host, rows, "would change" if plan else "changed", plan=plan)
    progress.say(verdict(host, rows, plan=plan))
    _where(progress, sum(bool(row.diff) for row in rows))


def listed(
    progress: Progress, host: Host, rows: Sequence[Change], verb: str, *, plan: bool
) -> None:
    """Print changes, and those that wait for consent; diffs go to the report."""
    agreed = [row for row in rows if not row.waits_for]
    waiting = [row for row in rows if row.waits_for]
    if rows:
        things = "1 thing" if len(agreed) == 1 else f"{len(agreed)} things"
        _listed(progress, f"{host.name}: {things} {verb}", agreed, plan)
    if waiting:
        title = f"{host.name}: not done, because it waits for your consent:"
        _listed(progress, title, waiting, plan)


def stopped(progress: Progress, host: Host, rows: Sequence[Change]) -> None:
    """Print what a bootstrap had changed when an error or an interrupt ended it."""
    if rows:
        _listed(progress, f"{host.name}: changed before the run ended:", rows, plan=False)
        _where(progress, sum(bool(row.diff) for row in rows))


def verdict(host: Host, rows: Sequence[Change], *, plan: bool) -> str:
    """Return one sentence about a bootstrap or its plan. Pure."""
    if not rows:
        return f"{host.name}: no change: it is as the inventory wants it"
    if plan:
        return f"{host.name}: this was a plan, and nothing was changed"
    options = sorted({row.waits_for for row in rows if row.waits_for})
    if options:
        count = sum(bool(row.waits_for) for row in rows)
        changes = "1 change waits" if count == 1 else f"{count} changes wait"
        return f"{host.name}: not yet as the inventory wants it: {changes} for {', '.join(options)}"
    return f"{host.name}: it is as the inventory wants it"


def _listed(progress: Progress, title: str, rows: Sequence[Change], plan: bool) -> None:
    progress.say(title)
    progress.report(title)
    for row in rows:
        note = "; ".join(filter(None, (row.note, row.waits_for)))
        said = f"  {row.step}: {row.what}" + (f" ({note})" if note else "")
        progress.report(said)
        if row.diff:
            said += f" [{_size(row.diff)}]"
        progress.say(said)
        if row.diff:
            progress.report(row.diff)
            progress.diff(row.diff, shown=bool(row.waits_for) or (plan and _removes(row.diff)))


def _removes(diff: str) -> bool:
    return any(line.startswith("-") and not line.startswith("---") for line in diff.splitlines())


def _size(diff: str) -> str:
    """Return how many lines a unified diff adds and removes."""
    lines = [line for line in diff.splitlines() if not line.startswith(("+++", "---"))]
    added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    return f"diff: +{added} -{removed} lines"


def _where(progress: Progress, diffs: int) -> None:
    """Print where the diffs are, if they are not on the screen."""
    if diffs and not progress.verbose and progress.report_path:
        progress.say(f"the diffs are in {progress.report_path} (`--verbose` shows them)")


def kept(progress: Progress, host: Host, found: Mapping[str, Sequence[Item]]) -> None:
    """Print what is kept on a host, by time."""
    if not found:
        progress.say(f"{host.name}: nothing is kept; no run has replaced anything there")
    for time, items in found.items():
        progress.say(f"{time}  {', '.join(item.title for item in items)}")


def checks(progress: Progress, title: str, rows: Sequence[Check]) -> None:
    """Print one pass of the verification, a line for each topic; the error has each failure.

    With ``--verbose`` each check has a row; one that passed for many subjects has one row.
    """
    if progress.verbose:
        tables.show(progress, _checked(title, rows))
    progress.report("\n".join([title, *(_check_line(row) for row in rows)]))
    for topic, group in groupby(rows, key=lambda row: row.name.partition(":")[0]):
        progress.say(f"  {_topic(topic, list(group))}")
    for why in dict.fromkeys(r.message for r in rows if r.result == CheckResult.SKIPPED):
        skipped = sum(r.result == CheckResult.SKIPPED and r.message == why for r in rows)
        progress.say(f"  skipped ({skipped}): {why}")


def _topic(topic: str, rows: Sequence[Check]) -> str:
    """Return the line of a topic: how many of its checks passed, failed, were skipped."""
    counted = [(word, sum(row.result == word for row in rows)) for word in CheckResult]
    found = {word: count for word, count in counted if count}
    first = f"{found.get(CheckResult.PASSED, 0)} checks passed"
    others = [f"{count} {word}" for word, count in found.items() if word != CheckResult.PASSED]
    return f"{topic}: {', '.join([first, *others])}".replace(" 1 checks", " 1 check")


def _check_line(row: Check) -> str:
    return f"  {row.result} {row.title}" + (f": {row.message}" if row.message else "")


def _checked(title: str, rows: Sequence[Check]) -> Table:
    found = any(row.message for row in rows)
    table = tables.table(title, "check", "result", "seconds", *(["found"] if found else []))
    style = {CheckResult.PASSED: "green", CheckResult.FAILED: "bold red"}
    for row in _merged(rows):
        result = Text(row.result, style=style.get(row.result, "yellow"))
        tables.add(
            table, row.title, result, f"{row.seconds:.1f}", *([row.message] if found else [])
        )
    return table


def edited(progress: Progress, host: Host, rows: Sequence[str]) -> None:
    """Print the edited configuration files of a host; they make no check fail."""
    if rows:
        files = "file was" if len(rows) == 1 else "files were"
        progress.say(f"{host.name}: {len(rows)} configuration {files} edited, which is no damage:")
    for row in rows:
        line, _, diff = row.partition("\n")
        progress.report(row)
        progress.say(f"  {line}" + (f" [{_size(diff)}]" if diff else ""))
        if diff:
            progress.diff(diff)
    _where(progress, sum("\n" in row for row in rows))


def verified(progress: Progress, host: Host, outcome: VerifyOutcome) -> None:
    """Print the verdict of a verification in which no check failed."""
    for row in outcome.data:
        progress.say(
            f"  data of {row.guest}: marker {row.markers[0]} after boot {row.boots[0]}, "
            f"{outcome.stopped}, host rebooted; marker {row.markers[1]} after boot {row.boots[1]}"
        )
    how = "across a reboot"
    if outcome.stopped == Stop.NOTHING:
        how = "read-only: nothing was stopped, started or rebooted"
        if host.real:
            how += "; `--reboot` asks for the proof across a reboot"
    progress.say(f"{host.name}: {outcome.passed} checks passed, none failed ({how})")
    if progress.report_path and not progress.verbose:
        progress.say(f"each check is in {progress.report_path} (`--verbose` shows them)")


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

    table = tables.table(
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
        tables.add(table, name, must, seen, row.restored, f"{row.seconds:.0f}")
    tables.show(progress, table)
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
        size = f" [{_size(link.detail)}]" if link.detail else ""
        progress.say(f"  {'ok    ' if link.ok else 'BROKEN'}  {link.what}: {link.found}{size}")
        if link.detail:
            progress.report(link.detail)
            progress.diff(link.detail)
    _where(progress, sum(bool(link.detail) for link in links))


def summary(
    progress: Progress,
    target: Target,
    host: Host,
    records: Sequence[BuildRecord],
    outcome: VerifyOutcome,
) -> None:
    """Print the stages' times, and a last line with target, host, guests and result."""
    table = tables.table("Stages", "stage", "seconds", "note")
    made = standin.published(records)
    for timing in progress.timings:
        tables.add(table, standin.label(timing.stage, made), f"{timing.seconds:.1f}", timing.note)
    tables.show(progress, table)
    rpms = sum(len(r.rpms) for r in records)
    guests = ", ".join(g.name for g in host.guests) or "no guest"
    progress.say(
        f"target {target.name}: {rpms} RPMs; host {host.name} with {guests}: "
        f"{outcome.passed} checks passed, {outcome.failed} failed; JUnit in {outcome.junit_folder}"
    )
