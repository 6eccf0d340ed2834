"""What verification needs of whoever shows its results to the user: ``cli/report.py`` is one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from sheepvirt.core.progress import Progress
from sheepvirt.model.hosts import Check, Host
from sheepvirt.verify.model import Outcome


class Display(Protocol):
    """Shows results. Verification only returns and hands over data: it prints no table."""

    def checks(self, progress: Progress, title: str, rows: Sequence[Check]) -> None:
        """Show the checks of one pass."""

    def edited(self, progress: Progress, host: Host, rows: Sequence[str]) -> None:
        """Show what configuration was edited on the host."""

    def controls(
        self,
        progress: Progress,
        rows: Sequence[Outcome],
        untried: Sequence[str],
        reasons: Mapping[str, str],
        stand_ins: Collection[str] = (),
    ) -> None:
        """Show what came of the negative controls."""
