"""The whole job: RPMs, repo, host, guests, verification.

What each part needs is imported when it runs: commands for a host start without the builds' code.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.config import catalog, inventory
from sheepvirt.core.errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.progress import Progress
    from sheepvirt.model.builds import BuildRecord, Target
    from sheepvirt.model.hosts import Change, Host, VerifyOutcome
    from sheepvirt.run import Run
    from sheepvirt.verify.display import Display

# From the real target to the embedded default; the first that can be built here is used.
PREFERENCE = ("el6", "rehearsal")
# No address: a checkout does not know which copy of the project it is from.
TRACKER = "the project's issue tracker"
SHOWN = 160  # characters of a finding in one line


def choose_target(run: Run, name: str) -> tuple[Target, str]:
    """Return the target ``name``, or the best one that can be built here, with the reason.

    The reason is one line, which is also printed, after a note about an unproven target. Raises
    UnknownNameError, ConfigError.
    """
    target, why = (
        _best(run) if not name else (inventory.load_target(run.settings, name), "asked for")
    )
    say_unproven(target, run.progress)
    sentence = f"target {target.name}: {why} ({target.summary})"
    run.progress.say(sentence)
    return target, sentence


def say_unproven(target: Target, progress: Progress) -> None:
    """Print a note about an untested target: where to report the result of this run."""
    if target.unproven:
        log = f", with its log, {progress.path}," if progress.path else ""
        progress.say(
            f"target {target.name}: this is the first run of its kind: {target.unproven}; please "
            f"report the result{log} to {TRACKER}"
        )


def _best(run: Run) -> tuple[Target, str]:
    from sheepvirt.builds import preflight

    known = catalog.target_names(run.settings)
    candidates = [inventory.load_target(run.settings, one) for one in PREFERENCE if one in known]
    if not candidates:
        raise ConfigError("containers/ has no usable target", hint=suggest("rehearsal", known))
    lacks = ""
    for target in candidates[:-1]:
        missing = next((f for f in preflight.examine(run, target) if not f.ok), None)
        if missing is None:
            return target, "the best one, and it can be built here"
        found = textwrap.shorten(missing.sentence, SHOWN)
        lacks += f", since {target.name} cannot be built here: {found} (`invoke doctor` says more)"
    return candidates[-1], f"the embedded default{lacks}"


@dataclass(frozen=True, kw_only=True)
class Done:
    """The result of the whole job."""

    target: Target
    host: Host
    records: Sequence[BuildRecord]
    changes: Sequence[Change]
    outcome: VerifyOutcome


def everything(run: Run, host_name: str, display: Display, from_bundle: Path | None = None) -> Done:
    """Build, bootstrap ``host_name`` and verify it; a rehearsal host across a reboot.

    With ``from_bundle``, images and sources come from there, and the network is off. Raises the
    error of the stage that fails; the timings are always written.
    """
    from sheepvirt.bootstrap import runner
    from sheepvirt.builds import execute
    from sheepvirt.bundle import importer
    from sheepvirt.verify import verification

    host = inventory.load_host(run.settings, host_name)
    target, _ = choose_target(run, host.target)
    try:
        selectors, bundle_sources = [], None
        if from_bundle:
            imported = importer.use(run, from_bundle, target.name)
            selectors, bundle_sources = list(imported.selectors), imported.bundle_sources
        records = execute.build_rpms(run, target, selectors, bundle_sources=bundle_sources)
        changes = runner.bootstrap(run, host, plan=False)
        outcome = verification.verify(run, host, stop=verification.stop_of(host), display=display)
    finally:
        run.progress.write_timings(run.settings.timings)
    return Done(target=target, host=host, records=records, changes=changes, outcome=outcome)
