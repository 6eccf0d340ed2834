"""What the tests of the pipeline work with: folders and hosts of their own, the real engine."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core import paths, settings
from sheepvirt.core.progress import Progress, quiet
from sheepvirt.engine.engine import Engine
from sheepvirt.run import Run

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings

INVENTORY = Path(__file__).parent / "inventory.toml"
# So that no run of the tests takes the place of what the user has published. The commands that the
# tests start read the same variable.
os.environ.setdefault("SHEEPVIRT_DIST", str(paths.ROOT / "dist" / "tests" / "stand-in"))
SETTINGS = replace(settings.from_environment(os.environ), inventory=INVENTORY)
RUN = Run(settings=SETTINGS, engine=Engine(), progress=Progress())


def within(folder: Path, **changes: Path) -> Settings:
    """Return settings whose results, cache and state are in ``folder``."""
    own = {name: folder / name for name in ("dist", "cache", "state")}
    return replace(SETTINGS, **{**own, **changes})


def run_with(chosen: Settings, progress: Progress | None = None) -> Run:
    """Return a run with other settings, on the same engine; by default it is a quiet one."""
    return replace(RUN, settings=chosen, progress=progress or quiet())
