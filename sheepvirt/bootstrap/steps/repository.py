"""Copy the published repo to the host, and write the .repo file for dnf or yum.

Every file of the copy is hashed at every look, at the same time as the rest of the look. Sizes and
times would not do: a disk that forgets a bit changes neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap import space
from sheepvirt.bootstrap.steps import owned_files
from sheepvirt.bootstrap.steps.base import REPO, REPOMD, DesiredState, Step, StepContext
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "repo"
FOLDER = REPO
REPO_FILE = "/etc/yum.repos.d/sheepvirt.repo"
FILES = (REPOMD, REPO_FILE)
SHOWN = 3  # files that a change names


def repo_file(wanted: DesiredState) -> str:
    """Return the content of the .repo file."""
    return wanted.host_files.render("sheepvirt.repo.j2", folder=FOLDER, target=wanted.host.target)


def files(wanted: DesiredState) -> dict[str, bytes]:
    """Return the .repo file: path to content."""
    return {REPO_FILE: repo_file(wanted).encode()}


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The host's copy has every file as published, and is configured."""
    what = _copied(wanted, facts)
    changes = [Change(step=NAME, what=what)] if what else []
    return changes + owned_files.changes(NAME, wanted, facts, files(wanted))


def needs(wanted: DesiredState, facts: Facts) -> list[space.Need]:
    """Return what is going to be written: a whole copy, next to the former one."""
    if not _copied(wanted, facts):
        return []
    return [space.Need(folder=FOLDER, size=wanted.repo_size, what="the copy of the repo")]


def _copied(wanted: DesiredState, facts: Facts) -> str:
    """Return why the repo is copied; "" if the host's copy is as published."""
    if facts.hashes.get(REPOMD) != wanted.repomd:
        return f"{len(wanted.rpms)} RPMs copied to {FOLDER}"
    there = facts.trees.get(FOLDER, {})
    bad = [
        f"{file} {'is altered' if file in there else 'is missing'}"
        for file, digest in sorted(wanted.repo_files.items())
        if there.get(file) != digest
    ]
    if not bad:
        return ""
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return f"{FOLDER} copied again: {', '.join(bad[:SHOWN])}{more}"


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Copy the repo, atomically, and write the file."""
    if _copied(wanted, facts):
        rpms = sorted(rpm.file for rpm in wanted.rpms.values())
        context.connection.put_tree(wanted.repo, ["repodata", *rpms], FOLDER, on_line=context.line)
    owned_files.write(wanted, facts, context, files(wanted))


STEP = Step(name=NAME, check=check, apply=apply)
