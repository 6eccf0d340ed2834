"""Progress of long work: a live line on a terminal, plain lines elsewhere, a log and a report.

The screen has what a person reads at the end of a run. What is long (a diff, every check) is in the
report, a file beside the log, and on the screen only if the user asks for it. All text is shown by
way of ``visible``: what a host prints does nothing to the terminal.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.syntax import Syntax
from rich.text import Text

from sheepvirt.core import files
from sheepvirt.core.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One finished stage. Seconds, monotonic clock."""

    stage: str
    seconds: float
    note: str = ""


class Stage:
    """One stage of the work; pass each line of its output to ``line``."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.name = name
        self.last = ""
        self.note = ""
        self.started = time.monotonic()
        self._progress = progress

    def line(self, text: str) -> None:
        """Show ``text`` as the last log line and write it to the log file."""
        self.last = visible(text.strip()) or self.last
        self._progress.log(f"{self.name}: {text.rstrip()}")

    def __rich__(self) -> Text:
        elapsed = int(time.monotonic() - self.started)
        text = Text(f"  … {self.name}  {elapsed // 60}:{elapsed % 60:02d}  ", style="cyan")
        text.append(self.last, style="dim")
        text.truncate(max(20, self._progress.console.width - 1), overflow="ellipsis")
        return text


class Progress:
    """Runs stages, nested or in sequence, and records the duration of each."""

    def __init__(
        self,
        log: Path | None = None,
        console: Console | None = None,
        *,
        live: bool = True,
        verbose: bool = False,
    ) -> None:
        """Write to ``log``, if given; with ``live``, show a live line on a terminal.

        With ``verbose``, details are shown too.
        """
        self.verbose = verbose
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.timings: list[Timing] = []
        self._live = live and self.console.is_terminal
        self._depth = 0
        self._view: Live | None = None
        self._log = None
        self.path = log  # of the log file
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = log.open("a", encoding="utf-8", buffering=1)

    def log(self, text: str) -> None:
        """Write one line, with the time, to the log file only."""
        if self._log is not None:
            self._log.write(f"{time.strftime('%H:%M:%S')} {visible(text)}\n")

    def say(self, text: str) -> None:
        """Print one line for the user (no markup) and log it."""
        self.console.print(visible(text), markup=False)
        self.log(text)

    def diff(self, text: str, *, shown: bool = False) -> None:
        """Log a unified diff; print it if details are, or this one is, shown; with colours."""
        if self.verbose or shown:
            plain = visible(text.rstrip())
            self.console.print(Syntax(plain, "diff", background_color="default"))
        self.log(text)

    @property
    def report_path(self) -> Path | None:
        """The report of this run, beside its log; None without a log."""
        return self.path.with_suffix(".report.txt") if self.path else None

    def report(self, text: str) -> None:
        """Append ``text`` to the report."""
        if self.report_path:
            with self.report_path.open("a", encoding="utf-8") as file:
                file.write(f"{visible(text.rstrip())}\n")

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time a stage; set ``stage.note`` inside to describe its result. Stages may nest."""
        stage = Stage(name, self)
        live = self._live and self._depth == 0
        if not live and self._depth == 0:
            self.console.print(f"  … {name}", markup=False)
        self._depth += 1
        self.log(f"{name}: start")
        outcome = "FAILED"
        try:
            if live:
                view = Live(stage, console=self.console, transient=True, refresh_per_second=4)
                self._view = view
                with view:
                    yield stage
            else:
                yield stage
            outcome = "done"
        finally:
            self._depth -= 1
            if live:
                self._view = None
            seconds = time.monotonic() - stage.started
            note = stage.note if outcome == "done" else "failed"
            self.timings.append(Timing(stage=name, seconds=round(seconds, 2), note=note))
            sign = "✔" if outcome == "done" else "✘"
            tail = f"  {note}" if note else ""
            self.say(f"{'  ' * self._depth}{sign} {name}  {seconds:.1f} s{tail}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the live line away, so that the user can be asked something."""
        view = self._view
        if view is not None:
            view.stop()
        try:
            yield
        finally:
            if view is not None:
                view.start(refresh=True)

    def write_timings(self, path: Path) -> None:
        """Write ``[{stage, seconds, note}]`` to ``path``, atomically."""
        rows = [{"stage": t.stage, "seconds": t.seconds, "note": t.note} for t in self.timings]
        files.write_whole(path, json.dumps(rows, indent=2) + "\n")


def quiet() -> Progress:
    """Return a progress that prints messages to standard error and keeps no log."""
    return Progress(console=Console(file=sys.stderr, highlight=False, force_terminal=False))
