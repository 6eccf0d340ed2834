"""The interface by which verification shows its results; ``cli/report.py`` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sheepvirt.core.progress import Progress
    from sheepvirt.model.hosts import Check, Host
    from sheepvirt.verify.model import Outcome


class Display(Protocol):
    """Shows results. Verification itself prints no table."""

    def checks(self, progress: Progress, title: str, rows: Sequence[Check]) -> None:
        """Show the checks of one pass."""

    def edited(self, progress: Progress, host: Host, rows: Sequence[str]) -> None:
        """Show the edited configuration files of the host."""

    def controls(
        self,
        progress: Progress,
        rows: Sequence[Outcome],
        untried: Sequence[str],
        reasons: Mapping[str, str],
        stand_ins: Collection[str] = (),
    ) -> None:
        """Show the results of the negative controls."""
