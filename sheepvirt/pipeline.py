"""The whole job, gate by gate: RPMs, repo, host, guest, verification, summary."""

from __future__ import annotations

from sheepvirt import bootstrap, build, config, inventory, paths, report, verify
from sheepvirt.errors import ConfigError, suggest
from sheepvirt.model import Target
from sheepvirt.progress import Progress

# From the real thing to the embedded default; the first that exists here is taken.
PREFERENCE = ("rehearsal",)


def choose_target(name: str, progress: Progress) -> Target:
    """Return the target called ``name``, or the best one here; say which, and why."""
    if name:
        target = config.load_target(name)
        progress.say(f"target {target.name}: asked for ({target.summary})")
        return target
    known = config.target_names()
    for candidate in PREFERENCE:
        if candidate in known:
            target = config.load_target(candidate)
            why = "the embedded default: needs no image registry"
            progress.say(f"target {target.name}: {why} ({target.summary})")
            return target
    raise ConfigError("no target of containers/ can be used", hint=suggest("rehearsal", known))


def everything(host_name: str, progress: Progress) -> None:
    """Build, bootstrap ``host_name``, verify it across a reboot and print the summary.

    Raises whatever stage fails; timings of what ran are written in any case.
    """
    host = inventory.load_host(host_name)
    target = choose_target(host.target, progress)
    try:
        records = build.build_rpms(target, [], progress)
        changes = bootstrap.bootstrap(host, plan=False, progress=progress)
        outcome = verify.verify(host, reboot=True, progress=progress)
    finally:
        progress.write_timings(paths.dist() / "timings.json")
    report.builds(progress, target, records)
    report.changes(progress, host, changes, plan=False)
    report.summary(progress, target, host, records, outcome)
