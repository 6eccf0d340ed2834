"""The published repo of a target: RPMs, repodata, manifest, and the logs and specs of its builds.

A repo is made in a new folder and published by renaming one symlink. So ``dist/<target>`` is always
complete: the former repo or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sheepvirt.core import files, paths
from sheepvirt.core.errors import BuildError, ConfigError
from sheepvirt.core.files import sha256
from sheepvirt.model.builds import BuildRecord, Evidence, PublishedRpm, Target
from sheepvirt.model.enums import Gate
from sheepvirt.model.inputs import from_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sheepvirt.core.progress import Stage
    from sheepvirt.core.settings import Settings
    from sheepvirt.engine.engine import Engine

MANIFEST = paths.MANIFEST


def home(settings: Settings, target: str) -> Path:
    """Return where the repo of ``target`` is published: a symlink, once it is."""
    return settings.dist / target


def read_manifest(folder: Path) -> tuple[BuildRecord, ...]:
    """Read the manifest of the repo in ``folder``. Raises ConfigError: none, or not sheepvirt's."""
    path = folder / MANIFEST
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["packages"]
        return tuple(_record(row) for row in rows)
    except FileNotFoundError as error:
        raise ConfigError(
            f"no repo is published in {folder}",
            hint=f"run `invoke build-rpms --target {folder.name}` first",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not a manifest of sheepvirt: {error}",
            hint="move it away and build again",
        ) from error


def published(settings: Settings, target: str) -> dict[str, BuildRecord]:
    """Return the records of the published repo whose RPM files are all intact."""
    folder = home(settings, target)
    if not (folder / MANIFEST).exists():
        return {}
    return {r.package: r for r in read_manifest(folder) if _intact(folder, r)}


def named(settings: Settings, target: str) -> frozenset[str]:
    """Return the names of the packages that are published for ``target``, intact or not."""
    folder = home(settings, target)
    if not (folder / MANIFEST).exists():
        return frozenset()
    return frozenset(record.package for record in read_manifest(folder))


@contextmanager
def staging(settings: Settings, target: str) -> Iterator[Path]:
    """Yield a folder for the next repo; remove it at the end unless it was published."""
    parent = _parent(settings, target)
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="new-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if home(settings, target).resolve() != folder.resolve():
            shutil.rmtree(folder, ignore_errors=True)


def keep(settings: Settings, target: str, record: BuildRecord, stage: Path) -> None:
    """Take a package over from the published repo, with hard links instead of copies."""
    shutil.copytree(
        home(settings, target) / record.package, stage / record.package, copy_function=_link
    )


def index(
    engine: Engine, target: Target, image: str, folder: Path, stage: Stage, *, owner: str
) -> None:
    """Make repodata for the RPMs in ``folder`` with the target's createrepo. Raises EngineError."""
    with engine.container(
        image, mounts={folder: ("/repo", "ro")}, owner=owner, network="none"
    ) as container:
        container.run(
            [*target.createrepo, "--excludes=*.src.rpm", "--outputdir=/tmp", "/repo"],
            on_line=stage.line,
            check=True,
        )
        container.get("/tmp/repodata", folder)


def publish(settings: Settings, target: str, stage: Path, records: Sequence[BuildRecord]) -> None:
    """Write the manifest to ``stage`` and make it the repo of ``target``, in one rename.

    The former repo stays until the next one is published, for readers that still use it. Raises
    BuildError: ``dist/<target>`` exists and is not a symlink.
    """
    packages = [{**asdict(r), "inputs": r.inputs.rows()} for r in records]
    manifest = {"target": target, "packages": packages}
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    files.write_whole(stage / MANIFEST, text)
    link = home(settings, target)
    if link.exists() and not link.is_symlink():
        raise BuildError(
            f"{link} is not a symlink, so it is not a repo that sheepvirt published",
            hint="move it away and build again: the compiler cache makes that quick",
        )
    former = link.resolve() if link.is_symlink() else None
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(stage, link.parent))
    temporary.replace(link)
    for folder in _parent(settings, target).iterdir():
        if folder.resolve() not in {stage.resolve(), former}:
            shutil.rmtree(folder, ignore_errors=True)


def _parent(settings: Settings, target: str) -> Path:
    return settings.dist / ".repos" / target


def _link(source: str, copy: str) -> str:
    os.link(source, copy)
    return copy


def _intact(folder: Path, record: BuildRecord) -> bool:
    rpms = [(folder / r.file, r.sha256) for r in record.rpms]
    return all(path.is_file() and sha256(path) == digest for path, digest in rpms)


def _installed_subpackages(row: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of the binary RPMs to install; before 0.2.0 the key was ``install``."""
    names: Sequence[str] = row["install" if "install" in row else "installed_subpackages"]
    return names


def _record(row: Mapping[str, Any]) -> BuildRecord:
    return BuildRecord(
        package=row["package"],
        version=row["version"],
        key=row["key"],
        inputs=from_rows(dict(row["inputs"])),
        rpms=tuple(PublishedRpm(**r) for r in row["rpms"]),
        installed_subpackages=tuple(_installed_subpackages(row)),
        evidence=tuple(Evidence(**{**e, "gate": Gate(e["gate"])}) for e in row["evidence"]),
        seconds=row["seconds"],
        stand_in=row["stand_in"],
        unpinned=row.get("unpinned", ""),  # older repos have none
        kernel_module=row.get("kernel_module", ""),  # the same
    )
