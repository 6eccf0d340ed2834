"""Copy the published repo to the host, and write the .repo file for dnf or yum."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps.base import STATE, DesiredState, Step, StepContext
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "repo"
FOLDER = f"{STATE}/repo"
REPOMD = f"{FOLDER}/repodata/repomd.xml"
REPO_FILE = "/etc/yum.repos.d/sheepvirt.repo"
FILES = (REPOMD, REPO_FILE)


def repo_file(wanted: DesiredState) -> str:
    """Return the content of the .repo file."""
    return wanted.host_files.render("sheepvirt.repo.j2", folder=FOLDER, target=wanted.host.target)


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """The host's copy has the same index, which has every RPM's hash, and is configured."""
    changes = []
    if facts.hashes.get(REPOMD) != wanted.repomd:
        changes.append(Change(step=NAME, what=f"{len(wanted.rpms)} RPMs copied to {FOLDER}"))
    if facts.hashes.get(REPO_FILE) != hashlib.sha256(repo_file(wanted).encode()).hexdigest():
        changes.append(Change(step=NAME, what=f"{REPO_FILE} written"))
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Copy the repo, atomically, and write the file."""
    if facts.hashes.get(REPOMD) != wanted.repomd:
        files = sorted(rpm.file for rpm in wanted.rpms.values())
        context.connection.put_tree(wanted.repo, ["repodata", *files], FOLDER, on_line=context.line)
    context.connection.write(REPO_FILE, repo_file(wanted).encode())


STEP = Step(name=NAME, check=check, apply=apply)
