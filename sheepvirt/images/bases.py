"""The base image of a target: made by mmdebstrap, imported from an archive, or pulled.

An imported or pulled base must be proven: see base_proof.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core import processes, web
from sheepvirt.core.errors import EngineError, RegistryError, SourceError, SourceHashError
from sheepvirt.core.files import sha256
from sheepvirt.engine import machine, registry
from sheepvirt.engine.image_store import LABEL
from sheepvirt.images.base_proof import prove
from sheepvirt.model.builds import Source, Target
from sheepvirt.sources import store

if TYPE_CHECKING:
    from sheepvirt.core.progress import Stage
    from sheepvirt.core.settings import Settings
    from sheepvirt.engine.engine import Engine
    from sheepvirt.model.targets import Image, Rootfs
    from sheepvirt.run import Run

# Use only the plain suite: bullseye's -security pool lists files that answer 404, and a base with
# newer libraries from it cannot install the rest (perl-base against perl).
PLAIN_SUITE = r'sed -i "/-updates\|-security/d" "$1/etc/apt/sources.list"'
ORIGIN = f"{LABEL}.origin"  # the label with a base's origin
ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
BLOCK = 512  # of a tar archive


def usable_images(target: Target, vsyscall: str) -> tuple[Image, ...]:
    """Return the images of ``target`` that can run under a kernel in mode ``vsyscall``."""
    return tuple(i for i in target.images if i.no_vsyscall or vsyscall != "none")


def recipe(target: Target) -> str:
    """Return the recipe of a target's base: equal text, equal origin. Uses no network.

    A Debian suite and an image without a digest change over time; their base is kept until it is
    removed.
    """
    if target.rootfs:
        return f"rootfs {target.rootfs.sha256 or _stamp(target.rootfs)}"
    if target.suite:
        return f"{target.suite} {PLAIN_SUITE}"
    return " ".join(i.name for i in usable_images(target, machine.vsyscall()))


def make(run: Run, target: Target, tag: str) -> None:
    """Make the base image ``tag`` of ``target``.

    Raises EngineError (mmdebstrap, import or every pull failed, or a base is not the right one),
    SourceError (an archive does not exist, is truncated or is not the pinned one).
    """
    cache, engine, progress = run.settings.cache, run.engine, run.progress
    cache.mkdir(parents=True, exist_ok=True)
    if target.rootfs:
        with progress.stage(f"base image (from {target.rootfs.place})") as stage:
            stage.note = _import(run, target, target.rootfs, tag, stage)
    elif target.suite:
        with (
            progress.stage(f"base image ({target.suite})") as stage,
            tempfile.TemporaryDirectory(dir=cache) as scratch,
        ):
            tar = Path(scratch) / "base.tar"
            _mmdebstrap(target.suite, tar, stage)
            engine.import_tar(tar, tag)
    else:
        with progress.stage("base image (from a registry)") as stage:
            stage.note = _pull(engine, target, tag, stage)


# ---- a registry -------------------------------------------------------------------------------


def _pull(engine: Engine, target: Target, tag: str, stage: Stage) -> str:
    """Use the first image that can be pulled and is proven; return its origin."""
    refused: list[str] = []
    fix = ""
    for image in usable_images(target, machine.vsyscall()):
        name = registry.reference(image, target.registry_mirror)
        stage.line(f"pull {name}")
        try:
            digest = engine.pull(name, stage.line)
            origin = name if image.pinned else f"{name} (unpinned: {digest})"
            engine.tag(name, _unproven(tag))
            _adopt(engine, target, name, tag, origin)
            return origin
        except RegistryError as error:
            meaning = registry.refusal(error.words)
            refused.append(f"{name}: {meaning.why} (the engine: {error.words})")
            fix = fix or meaning.fix
        except EngineError as error:
            refused.append(error.message)
            fix = fix or error.hint
    lines = "\n    ".join(refused) or "its target.toml has no image that this kernel can run"
    raise EngineError(f"no base image for {target.name}:\n    {lines}", hint=fix)


# ---- an archive -------------------------------------------------------------------------------


def _import(run: Run, target: Target, rootfs: Rootfs, tag: str, stage: Stage) -> str:
    """Make the base from an archive of a root file system; return its origin."""
    with tempfile.TemporaryDirectory(dir=run.settings.cache) as scratch:
        path = _archive(run.settings, rootfs, Path(scratch), stage)
        digest = sha256(path)
        if rootfs.sha256 and digest != rootfs.sha256:
            raise SourceHashError(
                f"{rootfs.place} is not the pinned archive:\n    wanted: sha256 {rootfs.sha256}\n"
                f"    found:  sha256 {digest}",
                hint="check that it is complete and the right one before you change rootfs_sha256",
            )
        fault = archive_fault(path)
        if fault:
            raise SourceError(
                f"{rootfs.place} {fault}",
                hint="download or make it again; `tar -tf` must list it without an error",
            )
        run.engine.import_tar(path, _unproven(tag))
    origin = f"{rootfs.place} ({'' if rootfs.sha256 else 'unpinned: '}sha256 {digest})"
    _adopt(run.engine, target, rootfs.place, tag, origin)
    return origin


def _archive(settings: Settings, rootfs: Rootfs, scratch: Path, stage: Stage) -> Path:
    """Return the archive as a local file; a pinned one is downloaded once."""
    name = rootfs.place.rpartition("/")[2] or "rootfs"
    if not rootfs.remote:
        path = Path(rootfs.place)
        if not path.is_file():
            raise SourceError(
                f"the rootfs {path} does not exist", hint="correct `rootfs` in your sheepvirt.toml"
            )
        return path
    if rootfs.sha256:
        source = Source(file=name, sha256=rootfs.sha256, urls=(rootfs.place,))
        return store.fetch(settings, source, stage)
    stage.line(f"{rootfs.place}: no rootfs_sha256, so its content is not pinned")
    return web.download(rootfs.place, scratch / name)


def archive_fault(path: Path) -> str:
    """Return the fault of an archive, from its first and last bytes, or "".

    The engine notices a truncation only inside a file or inside compressed data. It imports a tar
    archive that was cut between two files, and an empty one.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        head = handle.read(BLOCK)
        handle.seek(max(0, size - 2 * BLOCK))
        tail = handle.read()
    if not head:
        return "is empty"
    if head.startswith(ARCHIVES):
        return ""
    if head[257:262] != b"ustar":
        start = head[:40].decode(errors="replace").strip()
        return f"is not a tar archive: it starts with {start!r}"
    if size % BLOCK or any(tail):
        return "is truncated: a tar archive ends with two empty blocks"
    return ""


def _stamp(rootfs: Rootfs) -> str:
    """Return an identity of an unpinned archive, without reading all of it."""
    if rootfs.remote or not Path(rootfs.place).exists():
        return rootfs.place
    status = Path(rootfs.place).stat()
    return f"{rootfs.place} {status.st_size} {status.st_mtime_ns}"


def _unproven(tag: str) -> str:
    return f"{tag}-unproven"


def _adopt(engine: Engine, target: Target, name: str, tag: str, origin: str) -> None:
    """Prove the image with the unproven tag, then make the base ``tag`` from it."""
    try:
        prove(engine, target, _unproven(tag), name)
        engine.adopt(_unproven(tag), tag, {ORIGIN: origin})
    finally:
        engine.remove_image(_unproven(tag))


# ---- Debian -----------------------------------------------------------------------------------


def _mmdebstrap(suite: str, tar: Path, stage: Stage) -> None:
    argv = [
        "mmdebstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        f"--setup-hook={PLAIN_SUITE}",
        suite,
        str(tar),
    ]
    done = processes.run(argv, env={"LC_ALL": "C.UTF-8"}, on_line=stage.line, merged=True)
    if done.code:
        lines = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise EngineError(
            f"mmdebstrap could not make a {suite} base:\n{lines}",
            hint="check that a Debian mirror is reachable; if mmdebstrap is missing, run "
            "`make engine` first",
        )
