"""Trace a running host back to its origin: RPM, build, spec's diff, sources, image, tests.

The digests of the installed RPMs' headers and the running programs are read from the host, the
repo's files are hashed, and the JUnit reports are read. Of the sources and the builder image the
chain has what the build noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap import installed_rpms
from sheepvirt.builds import repo
from sheepvirt.core import tables
from sheepvirt.core.files import sha256
from sheepvirt.model.enums import CheckResult
from sheepvirt.model.hosts import Host, Link
from sheepvirt.model.inputs import source_name
from sheepvirt.verify import junit_reports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord
    from sheepvirt.run import Run
    from sheepvirt.ssh.client import Connection

# Prints "package<TAB>program" for every running program from an RPM. "(deleted)" is kept: such a
# program was replaced by another build after its start.
RUNNING = """
for link in /proc/[0-9]*/exe; do readlink "$link"; done 2>/dev/null | sort -u |
while read -r program; do
  name=$(rpm -qf --qf '%{NAME}' "${program% (deleted)}" 2>/dev/null) || continue
  printf '%s\\t%s\\n' "$name" "$program"
done
"""


def trace(run: Run, host: Host, package: str) -> tuple[Link, ...]:
    """Return the chain from the programs on ``host`` back to the inputs of ``package``.

    Raises UnknownNameError (no such package is published), ConfigError, SshError.
    """
    folder = repo.home(run.settings, host.target)
    records = {r.package: r for r in repo.read_manifest(folder)}
    record = records[tables.pick("published package", package, records)]
    connection = run.connect(host)
    return (
        *_on_host(connection, record),
        *_in_repo(folder, record),
        *_built_from(record, records, folder),
        *_seen(record),
        *_verified(run.settings, host, (folder / repo.MANIFEST).stat().st_mtime),
    )


def _on_host(connection: Connection, record: BuildRecord) -> list[Link]:
    name = connection.host.name
    installed = installed_rpms.installed(
        connection.run(["rpm", "-qa", "--qf", installed_rpms.INSTALLED]).stdout
    )
    ours = {r.name: (r.nevra, r.header_sha1) for r in record.rpms if not r.is_source}
    there = sorted(ours.keys() & installed.keys())
    wrong = installed_rpms.differing(ours, installed)
    listing = connection.run(["sh", "-s"], stdin=RUNNING.encode()).stdout
    rows = [row.split("\t") for row in listing.splitlines() if "\t" in row]
    links = [
        Link(
            what=f"runs on {name}",
            found=f"{program} of {ours[owner][0]}",
            ok="(deleted)" not in program,
        )
        for owner, program in rows
        if owner in ours
    ] or [Link(what=f"runs on {name}", found=f"no program of {record.package} runs now", ok=True)]
    if not there:
        return [
            *links,
            Link(what=f"installed on {name}", found=f"nothing of {record.package}", ok=False),
        ]
    said = f"{len(there)} RPMs, each the published build (by its header's SHA-1)"
    if wrong:
        said = f"{len(wrong)} of {len(there)} RPMs are not the published ones, such as {wrong[0]}"
    return [*links, Link(what=f"installed on {name}", found=said, ok=not wrong)]


def _in_repo(folder: Path, record: BuildRecord) -> list[Link]:
    files = [(r, folder / r.file) for r in record.rpms]
    bad = [r.file for r, path in files if not path.is_file() or sha256(path) != r.sha256]
    what = f"{len(files)} RPMs in {folder / record.package}, hashes as published"
    said = f"changed since: {', '.join(bad)}" if bad else what
    return [Link(what="published", found=said, ok=not bad)]


def _built_from(
    record: BuildRecord, records: Mapping[str, BuildRecord], folder: Path
) -> list[Link]:
    own = folder / record.package
    inputs = record.inputs
    note = f" ({record.stand_in})" if record.stand_in else ""
    note += f" (UNPINNED: {record.unpinned})" if record.unpinned else ""
    build = (
        f"{record.package} {record.version}{note}, key {record.key[:16]}, {record.seconds:.0f} s"
    )
    links = [
        Link(
            what="built",
            found=f"{build}; log: {own / 'build.log'}",
            ok=(own / "build.log").is_file(),
        )
    ]
    diff = own / "spec.diff"
    text = diff.read_text(encoding="utf-8", errors="replace") if diff.is_file() else ""
    said = f"{diff}" if text else "unchanged" if diff.is_file() else f"{diff} is missing"
    links.append(Link(what="spec", found=said, ok=diff.is_file(), detail=text))
    for file, source in inputs.sources.items():
        kind = "git commit" if len(source.pin) == 40 else "sha256"
        links.append(Link(what=source_name(file, source), found=f"{kind} {source.pin}", ok=True))
    links.append(Link(what="builder image", found=inputs.builder_image or "unknown", ok=True))
    for name, key in inputs.packages.items():
        other = records.get(name)
        same = other is not None and other.key == key
        stand_in = f" ({other.stand_in})" if other and other.stand_in else ""
        stand_in += f" (UNPINNED: {other.unpinned})" if other and other.unpinned else ""
        what = f"{name}{stand_in}, key {key[:16]}"
        links.append(
            Link(what="build root had", found=what if same else f"{what}: rebuilt since", ok=same)
        )
    return links


def _seen(record: BuildRecord) -> list[Link]:
    return [
        Link(what=f"gate {e.gate}", found=f"{e.feature}: {e.claim}: {e.observed}", ok=e.ok)
        for e in record.evidence
    ]


def _verified(settings: Settings, host: Host, published: float) -> list[Link]:
    links = []
    for path in sorted((settings.dist / "verify" / host.name).glob("*.xml")):
        checks = junit_reports.read_junit(path, host)
        good = sum(c.result != CheckResult.FAILED for c in checks)
        older = path.stat().st_mtime < published
        note = "; that was before this repo was published" if older else ""
        said = f"{good} of {len(checks)} checks good ({path}){note}"
        links.append(Link(what="verified", found=said, ok=0 < good == len(checks) and not older))
    nothing = f"not yet: run `invoke verify {host.name}`"
    return links or [Link(what="verified", found=nothing, ok=False)]
