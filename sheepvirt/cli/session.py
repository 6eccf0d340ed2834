"""One command from start to end: what it works with, how it ends, and what is left of it.

Every end is in the log: an error with its hint, an interrupt with what may still run on a host.
With ``--json`` the end is one document on standard output; all else goes to standard error.
"""

from __future__ import annotations

import functools
import os
import time
import traceback
from typing import TYPE_CHECKING, Any

from invoke import Exit
from rich.console import Console

from sheepvirt.cli import json_output, terminal
from sheepvirt.core import settings
from sheepvirt.core.errors import OutputError, SheepvirtError
from sheepvirt.core.progress import Progress
from sheepvirt.core.visible import visible
from sheepvirt.engine.engine import Engine
from sheepvirt.run import Run
from sheepvirt.ssh.sudo import Sudo

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130  # as a shell reports SIGINT
DEFECT = 1  # an error that is not in core/errors.py: a defect of sheepvirt


class Session:
    """One command. ``fields`` are those of its JSON document."""

    def __init__(self, name: str, *, json: bool = False, verbose: bool = False) -> None:
        self.name = name
        self.json = json
        self.fields: dict[str, Any] = {}
        self._verbose = verbose
        self._run: Run | None = None

    def start(self) -> Run:
        """Return what the command works with. Only here is the environment read."""
        chosen = settings.from_environment(os.environ)
        log = chosen.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{self.name}.log"
        live = "CI" not in os.environ
        console = (
            Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
            if self.json
            else None
        )
        progress = Progress(log=log, console=console, live=live, verbose=self._verbose)
        sudo = Sudo(terminal.passwords(progress))
        self._run = Run(settings=chosen, engine=Engine(), progress=progress, sudo=sudo)
        return self._run

    def interrupted(self) -> tuple[str, str]:
        """Return what an interrupt left behind, and what to do about it."""
        commands = self._run.sent.unfinished if self._run else []
        if self._run is None or not self._run.sent.used:
            return "interrupted; former results are unchanged", ""
        if not commands:
            return (
                "interrupted between two commands: none of this run is running on a host",
                "run the same command again: it looks first, and goes on with what is left",
            )
        return (
            f"interrupted. An interrupt ends nothing on a host. {self._still_running()}",
            f"wait a moment; then `invoke bootstrap {commands[0].host} --plan` shows what is left. "
            "A bootstrap itself waits for transactions of RPMs and for reboots",
        )

    def failed(self, error: SheepvirtError) -> str:
        """Return what an error says, and what a broken connection has left on a host."""
        left = self._still_running()
        return f"{error.message}\n{left}" if left else error.message

    def _still_running(self) -> str:
        if self._run is None or not self._run.sent.unfinished:
            return ""
        now = self._run.clock.now()
        lines = "\n".join(f"  {one.sentence(now)}" for one in self._run.sent.unfinished)
        return (
            "This may still be running there, until it has ended or next prints something:\n"
            f"{lines}"
        )

    def finish(self, code: int, message: str = "", hint: str = "") -> None:
        """Write the end to the log; with ``--json``, print the document."""
        if self._run:
            progress = self._run.progress
            if message:
                progress.log(f"error: {message}" + (f"\n  what to do: {hint}" if hint else ""))
            progress.log(f"{self.name}: exit code {code}")
            self.fields["log"] = str(progress.path)
            report = progress.report_path
            self.fields["report"] = str(report) if report and report.exists() else None
            self.fields["still_running"] = json_output.commands(self._run.sent.unfinished)
        if self.json:
            error = json_output.error(message, hint) if message else None
            made = json_output.document(self.name, code, error=error, fields=self.fields)
            try:
                json_output.write(made)
            except OutputError as unwritten:
                raise Exit(f"error: {unwritten}", code=unwritten.exit_code) from None


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a command in a session, which takes the place of invoke's context.

    A sheepvirt error becomes its message and hint on standard error, and its exit code.
    """

    @functools.wraps(function)
    def wrapper(_context: object, *args: Any, **kwargs: Any) -> Any:
        session = Session(
            function.__name__.replace("_", "-"),
            json=bool(kwargs.get("json")),
            verbose=bool(kwargs.get("verbose")),
        )
        try:
            result = function(session, *args, **kwargs)
        except SheepvirtError as error:
            message = session.failed(error)
            session.finish(error.exit_code, message, error.hint)
            said = f"{message}\n  what to do: {error.hint}" if error.hint else message
            raise Exit(visible(f"\nerror: {said}"), code=error.exit_code) from None
        except KeyboardInterrupt:
            message, hint = session.interrupted()
            session.finish(INTERRUPTED, message, hint)
            said = f"{message}\n  what to do: {hint}" if hint else message
            raise Exit(f"\n{said}", code=INTERRUPTED) from None
        except Exit as ended:
            session.finish(ended.code, (ended.message or "").strip())
            raise
        except Exception as error:
            said = "".join(traceback.format_exception(error)).rstrip()
            session.finish(DEFECT, f"a defect of sheepvirt: {said}", "report it with the log")
            raise
        session.finish(0)
        return result

    return wrapper
