"""What the last screen of a run has, and what is only in its report."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import factories
from rich.console import Console

from sheepvirt.cli import report, tables
from sheepvirt.core.progress import Progress
from sheepvirt.model.enums import CheckResult
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from pathlib import Path

HOST = factories.host()
DIFF = "--- on the host\n+++ wanted\n@@ -1 +1,2 @@\n-<a/>\n+<b/>\n+<c/>"
CHANGES = [
    Change(step="network", what="ovsbr0 defined", diff=DIFF),
    Change(step="domain", what="papeete restarted", waits_for="--allow-guest-restart"),
    Change(step="reboot", what="due", waits_for="--allow-reboot"),
]


def screen(
    folder: Path | None = None, *, width: int = 80, verbose: bool = False
) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, soft_wrap=True)
    log = folder / "run.log" if folder else None
    return Progress(log, console, verbose=verbose), out


def test_a_diff_is_one_line_on_the_screen_and_whole_in_the_report(tmp_path: Path) -> None:
    progress, out = screen(tmp_path)
    report.changes(progress, HOST, CHANGES, plan=False)
    said = out.getvalue()
    assert "  network: ovsbr0 defined [diff: +2 -1 lines]\n" in said
    assert "<b/>" not in said
    assert f"the diffs are in {tmp_path / 'run.report.txt'}" in said
    for file in ("run.report.txt", "run.log"):
        assert "+<b/>" in (tmp_path / file).read_text()
    progress, out = screen(tmp_path, verbose=True)
    report.changes(progress, HOST, CHANGES, plan=False)
    assert "+<b/>" in out.getvalue()


def test_a_plan_shows_the_diffs_that_remove_something() -> None:
    new = Change(step="pool", what="sheepdog defined", diff="--- a\n+++ b\n@@ -0,0 +1 @@\n+<pool/>")
    progress, out = screen()
    report.changes(progress, HOST, [CHANGES[0], new], plan=True)
    assert "-<a/>" in out.getvalue()
    assert "<pool/>" not in out.getvalue()


def test_the_verdict_is_the_last_word_about_the_host() -> None:
    def verdict(rows: list[Change], plan: bool) -> str:
        return report.verdict(HOST, rows, plan=plan)

    assert verdict([], False) == "tahiti: no change: it is as the inventory wants it"
    assert verdict(CHANGES, True) == "tahiti: this was a plan, and nothing was changed"
    assert verdict(CHANGES[:1], False) == "tahiti: it is as the inventory wants it"
    assert verdict(CHANGES, False) == (
        "tahiti: not yet as the inventory wants it: 2 changes wait for --allow-guest-restart, "
        "--allow-reboot"
    )


def test_what_was_done_before_an_error_is_told() -> None:
    progress, out = screen()
    report.stopped(progress, HOST, CHANGES[:1])
    assert out.getvalue().startswith("tahiti: changed before the run ended:\n  network: ovsbr0")
    progress, out = screen()
    report.stopped(progress, HOST, [])
    assert out.getvalue() == ""


def test_checks_are_one_line_a_topic_and_all_of_them_in_the_report(tmp_path: Path) -> None:
    progress, out = screen(tmp_path)
    rows = [factories.check(name="packages: dependency", subject=f"p{i}") for i in range(6)]
    rows += [
        factories.check(subject="a", result=CheckResult.FAILED, message="a is not"),
        factories.check(subject="b", result=CheckResult.SKIPPED, message="too old"),
    ]
    report.checks(progress, "verify", rows)
    assert out.getvalue().splitlines() == [
        "  packages: 6 checks passed",
        "  networks: 0 checks passed, 1 failed, 1 skipped",
        "  skipped (1): too old",
    ]
    kept = (tmp_path / "run.report.txt").read_text()
    assert "passed packages: dependency [p5]" in kept
    assert "failed networks: active [a]: a is not" in kept


def test_with_verbose_what_passed_for_many_is_one_row_and_each_failure_its_own() -> None:
    progress, out = screen(width=120, verbose=True)
    rows = [
        factories.check(name="packages: dependency", subject=f"p{i}", seconds=0.5) for i in range(6)
    ]
    bad = [
        factories.check(subject=n, result=CheckResult.FAILED, seconds=0.1, message=f"{n} is not")
        for n in ("a", "b")
    ]
    report.checks(progress, "verify", [*rows, *bad])
    for words in (
        "packages: dependency [all 6: p0, p1, p2, p3, p4, p5]",
        "3.0",
        "networks: active [a]",
        "b is not",
    ):
        assert words in out.getvalue()


def test_a_table_that_is_too_wide_becomes_a_list() -> None:
    table = tables.table("Evidence", "gate", "claim", "")
    tables.add(table, "rpm", "a claim of [some] length\nin two lines", "ok")
    progress, out = screen(width=80)
    tables.show(progress, table)
    assert "┏" in out.getvalue()
    progress, out = screen(width=30)
    tables.show(progress, table)
    assert out.getvalue().splitlines() == [
        "Evidence",
        "  rpm",
        "    claim: a claim of [some] length",
        "        in two lines",
        "    ok",
    ]
