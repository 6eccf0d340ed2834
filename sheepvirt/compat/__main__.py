"""The command that checks RPMs and repos against a target's oldest tools.

    python -m sheepvirt.compat --target NAME FILE_OR_REPO…    one line for each violation

The target must have ``[ceilings]``, such as el6. That an RPM is for this target is only required of
sheepvirt's RPMs: those in a repo of sheepvirt, and those built for a rehearsal.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.config import catalog, inventory
from sheepvirt.core import output, paths, settings
from sheepvirt.core.errors import ConfigError, SheepvirtError
from sheepvirt.rpm import rpm_features
from sheepvirt.rpm.compat_rules import check, check_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sheepvirt.model.builds import Target
    from sheepvirt.rpm.compat_rules import Violation


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all violations; return 1 if there are any, 2 for a wrong name or file, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m sheepvirt.compat", description="Check RPMs and repos against old tools."
    )
    parser.add_argument("--target", required=True, help="a folder of containers/")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE_OR_REPO")
    given = parser.parse_args(arguments)
    chosen = settings.from_environment(os.environ)
    try:
        target = inventory.load_target(chosen, given.target)
        rehearsals = _rehearsals(chosen)
        if target.ceilings is None:
            raise ConfigError(
                f"target {target.name!r} has no [ceilings]: its tools read every RPM built here",
                hint="name a target that has them, such as el6",
            )
    except SheepvirtError as error:
        output.complain(f"error: {error}")
        return 2
    return max(_report(path, target, rehearsals) for path in given.files)


def _report(path: Path, target: Target, rehearsals: tuple[str, ...]) -> int:
    """Print the violations of a file or repo; report broken files and continue."""
    code = 0
    parts: list[Callable[[], list[Violation]]] = []
    try:
        published = (path / paths.MANIFEST).is_file()
        for file in rpm_features.rpm_files(path):
            ends = ("",) if published else rehearsals
            parts.append(partial(_check_file, file, target, ends))
    except SheepvirtError as error:
        output.complain(f"error: {error}")
        return 2
    parts.append(lambda: check_metadata(rpm_features.read_metadata(path), target))
    for part in parts:
        try:
            found = part()
        except SheepvirtError as error:
            output.complain(f"error: {error}")
            code = 2
            continue
        output.say(*found)
        code = max(code, bool(found))
    return code


def _check_file(path: Path, target: Target, own_ends: tuple[str, ...]) -> list[Violation]:
    """Check one RPM. It is sheepvirt's own if its release has one of these ends."""
    rpm = rpm_features.read(path)
    return check(rpm, target, ours=rpm.release.endswith(own_ends))


def _rehearsals(chosen: settings.Settings) -> tuple[str, ...]:
    """Return the %dist of the targets that are no distribution: only sheepvirt builds for them."""
    targets = (inventory.load_target(chosen, name) for name in catalog.target_names(chosen))
    return tuple(target.dist for target in targets if target.ceilings is None)


if __name__ == "__main__":
    sys.exit(output.status(main))
