"""Copy the published repo to the host, and write the .repo file for dnf or yum."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def repo_file(wanted: DesiredState) -> str:
    """Return the content of the .repo file."""
    return wanted.host_files.render("sheepvirt.repo.j2", folder=FOLDER, target=wanted.host.target)


def files(wanted: DesiredState) -> dict[str, bytes]:
    """Return the .repo file: path to content."""
    return {REPO_FILE: repo_file(wanted).encode()}


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The host's copy has the same index, which has every RPM's hash, and is configured."""
    changes = []
    if facts.hashes.get(REPOMD) != wanted.repomd:
        changes.append(Change(step=NAME, what=f"{len(wanted.rpms)} RPMs copied to {FOLDER}"))
    return changes + owned_files.changes(NAME, wanted, facts, files(wanted))


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Copy the repo, atomically, and write the file."""
    if facts.hashes.get(REPOMD) != wanted.repomd:
        rpms = sorted(rpm.file for rpm in wanted.rpms.values())
        context.connection.put_tree(wanted.repo, ["repodata", *rpms], FOLDER, on_line=context.line)
    owned_files.write(wanted, facts, context, files(wanted))


STEP = Step(name=NAME, check=check, apply=apply)
