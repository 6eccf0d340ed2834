"""Check what a target needs of this machine and its network, before a build starts.

Pure functions judge the findings; engine/engine.py, core/web.py and engine/machine.py look them up.
A machine that has the builder image needs no network for it, so mirrors and keys are not checked
there. Questions to the network run in parallel and take at most ``PATIENCE`` together.
"""

from __future__ import annotations

import functools
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core import web
from sheepvirt.core.errors import (
    EngineUnavailableError,
    PreflightError,
    RegistryError,
    SheepvirtError,
    WebError,
)
from sheepvirt.engine import machine, registry
from sheepvirt.images import bases, recipes, rpm_keys
from sheepvirt.model.targets import Finding, Image, Rootfs, RpmKey, YumRepo

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings
    from sheepvirt.engine.engine import Engine
    from sheepvirt.model.builds import Target
    from sheepvirt.run import Run

PATIENCE = 8.0  # seconds for all looks together: they run in parallel
SECONDS = 4.0  # without a byte from a server
METADATA = "repodata/repomd.xml"
# libvirt's build root and its images take about 4 GB; the compiler cache grows to 4 GB more.
DISK_GB = {"make images and build": 8.0, "build": 4.0}
MEMORY_MB = 1000  # two compilers, and rpm's compression of payloads

Look = tuple[str, Callable[[], Finding]]  # what to look at, and how


def examine(run: Run, target: Target) -> tuple[Finding, ...]:
    """Check everything that ``target`` needs here; each finding that is not ok has a fix.

    Changes nothing. Raises ConfigError, EngineError.
    """
    settings = run.settings
    try:
        engine = run.engine.within(int(PATIENCE))
        ready = engine.image_id(recipes.tag_of(settings, target, "builder")) is not None
    except EngineUnavailableError as error:
        absent = Finding(what="container engine", ok=False, detail=error.message, fix=error.hint)
        return (absent, *_here(settings, None, True))
    found = [Finding(what="container engine", ok=True, detail="answers")]
    looks: list[Look] = []
    if any(image.no_vsyscall for image in target.images):
        found.append(judge_vsyscall(machine.vsyscall(), target))
    if ready:
        found.append(
            Finding(what="builder image", ok=True, detail="it is here: no network is needed for it")
        )
    else:
        found += [_bundle()] if target.repos else []
        looks.append(("base image", functools.partial(_base, settings, engine, target)))
        looks += [
            (f"repo {r.name}", functools.partial(look_at_repo, target, r)) for r in target.repos
        ]
        looks += [
            (f"key {k.file}", functools.partial(_key, k, run.clock.now()))
            for k in target.keys
            if k.urls
        ]
    return (*found, *side_by_side(looks), *_here(settings, engine, not ready))


def require(target: Target, findings: Sequence[Finding]) -> None:
    """Raise PreflightError with all ``findings`` that are not ok, each with its fix."""
    missing = [finding for finding in findings if not finding.ok]
    if missing:
        lines = "\n".join(f"  {f.sentence}\n    what to do: {f.fix}" for f in missing)
        raise PreflightError(f"target {target.name} cannot be built here:\n{lines}")


def side_by_side(looks: Sequence[Look], patience: float = PATIENCE) -> tuple[Finding, ...]:
    """Run all ``looks`` in parallel and return their findings in order.

    A look that does not end in time (a name server that never answers) is a finding, too; its
    thread is abandoned.
    """
    found: list[Finding | None] = [None] * len(looks)

    def take(index: int, look: Look) -> None:
        found[index] = look[1]()

    threads = [threading.Thread(target=take, args=row, daemon=True) for row in enumerate(looks)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"nothing answered within {patience:.0f} s"
    fix = "check the network's name server, or name a mirror in sheepvirt.toml (docs/el6.md)"
    return tuple(
        one or Finding(what=what, ok=False, detail=late, fix=fix)
        for one, (what, _) in zip(found, looks, strict=True)
    )


# ---- judgements -------------------------------------------------------------------------------


def judge_vsyscall(mode: str, target: Target) -> Finding:
    """Judge whether programs older than glibc 2.14 run under a kernel with ``mode``. Pure."""
    what = "kernel"
    if mode != "none":
        return Finding(what=what, ok=True, detail=f"vsyscall={mode}")
    dies = "programs of CentOS 6's age die here with exit code 139"
    fix = "boot the kernel with vsyscall=xonly (or emulate)"
    if target.rootfs:
        return Finding(
            what=what, ok=True, detail=f"vsyscall=none: {dies}, unless the rootfs is made for it"
        )
    able = bases.usable_images(target, mode)
    if able:
        return Finding(what=what, ok=True, detail=f"vsyscall=none: {dies}; left is {able[0].name}")
    return Finding(what=what, ok=False, detail=f"vsyscall=none: {dies}", fix=fix)


def judge_repomd(url: str, content: bytes) -> Finding:
    """Judge whether ``content`` is the index of a yum repo. Pure."""
    what = f"mirror {url}"
    start = content[:400].lstrip().lower()
    if b"<repomd" in start and not start.startswith((b"<!doctype", b"<html")):
        return Finding(what=what, ok=True, detail="answers")
    if b"<html" in start or start.startswith(b"<!doctype"):
        return Finding(
            what=what,
            ok=False,
            detail="answers a web page (HTML) instead of repodata",
            fix="log in to your network if it has a login page, or name a mirror in your "
            "sheepvirt.toml (docs/el6.md)",
        )
    shown = content[:40].decode(errors="replace").strip()
    return Finding(
        what=what,
        ok=False,
        detail=f"answers something that is not repodata: {shown!r}",
        fix="name a mirror in your sheepvirt.toml (docs/el6.md)",
    )


def judge_refusals(what: str, rows: Sequence[Finding]) -> Finding:
    """Sum up the findings at each location of ``what``: one good location is enough. Pure."""
    good = next((row for row in rows if row.ok), None)
    if good:
        passed = [row.sentence for row in rows[: rows.index(good)]]
        return Finding(
            what=what, ok=True, detail="; ".join([f"{good.what}: {good.detail}", *passed])
        )
    fix = next((row.fix for row in rows), "")
    return Finding(
        what=what,
        ok=False,
        detail="; ".join(row.sentence for row in rows) or "it has no URL",
        fix=fix,
    )


def judge_disk(folder: Path, free: float, wanted: float, why: str) -> Finding:
    """Judge whether ``free`` disk space at ``folder`` is enough; in 10**9 bytes. Pure."""
    detail = f"{free:.1f} GB free at {folder}; {wanted:.0f} GB are needed to {why}"
    return Finding(
        what="disk", ok=free >= wanted, detail=detail, fix=f"free some space at {folder}"
    )


def judge_memory(mb: int | None) -> Finding:
    """Judge whether ``mb`` (10**6 bytes) of available memory are enough. Pure."""
    if mb is None:
        return Finding(what="memory", ok=True, detail="unknown: /proc/meminfo does not say")
    detail = f"{mb} MB available; {MEMORY_MB} MB are needed"
    return Finding(
        what="memory", ok=mb >= MEMORY_MB, detail=detail, fix="stop another program (see `free -m`)"
    )


# ---- looks ------------------------------------------------------------------------------------


def _base(settings: Settings, engine: Engine, target: Target) -> Finding:
    what = "base image"
    tag = recipes.tag_of(settings, target, "base")
    if engine.image_id(tag) is not None:
        origin = engine.labels(tag).get(bases.ORIGIN, target.suite)
        return Finding(what=what, ok=True, detail=f"is here: {origin}")
    if target.rootfs:
        return look_at_rootfs(target.rootfs)
    if target.suite:
        program = shutil.which("mmdebstrap", path=machine.PATH)
        return Finding(
            what=what,
            ok=program is not None,
            detail=f"made by mmdebstrap ({target.suite})" if program else "mmdebstrap is missing",
            fix="run `make engine` as root, which installs it",
        )
    rows: list[Finding] = []
    for image in bases.usable_images(target, machine.vsyscall()):
        rows.append(_image(engine, target, image))
        if rows[-1].ok:
            break
    return judge_refusals(what, rows)


def _image(engine: Engine, target: Target, image: Image) -> Finding:
    name = registry.reference(image, target.registry_mirror)
    shown = name.partition("@")[0]
    if engine.image_id(name) is not None:
        return Finding(what=shown, ok=True, detail="is in the engine")
    try:
        digest = engine.manifest(name)
    except RegistryError as error:
        meaning = registry.refusal(error.words)
        return Finding(
            what=shown, ok=False, detail=f"{meaning.why} ({error.words})", fix=meaning.fix
        )
    return Finding(
        what=shown,
        ok=True,
        detail="answers (pinned)" if image.pinned else f"answers (unpinned: {digest})",
    )


def look_at_rootfs(rootfs: Rootfs) -> Finding:
    """Tell whether the archive exists and its start and end look intact; download nothing."""
    what = f"rootfs {rootfs.place}"
    pin = "pinned" if rootfs.sha256 else "unpinned: no rootfs_sha256"
    fix = "correct `rootfs` in your sheepvirt.toml"
    if rootfs.remote:
        try:
            web.ask(rootfs.place, seconds=SECONDS)
        except WebError as error:
            return Finding(what=what, ok=False, detail=error.message, fix=fix)
        return Finding(what=what, ok=True, detail=f"answers ({pin})")
    path = Path(rootfs.place)
    if not path.is_file():
        return Finding(what=what, ok=False, detail="is not a file here", fix=fix)
    fault = bases.archive_fault(path)
    return Finding(
        what=what, ok=not fault, detail=fault or f"is here ({pin})", fix="download or make it again"
    )


def look_at_repo(target: Target, repo: YumRepo) -> Finding:
    """Look for a URL of a repo that serves repodata; the first one is enough."""
    rows: list[Finding] = []
    for url in repo.places:
        place = url.replace("$basearch", target.arch)
        try:
            content = web.read(place + METADATA, 1 << 16, seconds=SECONDS)
            rows.append(judge_repomd(place, content))
        except WebError as error:
            rows.append(
                Finding(what=f"mirror {place}", ok=False, detail=error.message, fix=_web_fix(error))
            )
        if rows[-1].ok:
            break
    return judge_refusals(f"repo {repo.name}", rows)


def _key(key: RpmKey, now: float) -> Finding:
    try:
        return rpm_keys.judge(key, rpm_keys.fetch(key), now)
    except SheepvirtError as error:
        return Finding(what=f"key {key.file}", ok=False, detail=error.message, fix=error.hint)


def _bundle() -> Finding:
    bundle = web.ca_bundle()
    return Finding(
        what="CA bundle",
        ok=bundle is not None,
        detail=str(bundle or "this machine has none for the base image"),
        fix="`apt-get install ca-certificates`, or name one in $SSL_CERT_FILE",
    )


def _web_fix(error: WebError) -> str:
    if error.tls:
        return (
            "TLS: check this machine's clock and CA bundle (`apt-get install ca-certificates`); "
            "$SSL_CERT_FILE can name another bundle"
        )
    return "repair the network, or name a mirror in your sheepvirt.toml (docs/el6.md)"


def _here(settings: Settings, engine: Engine | None, make_images: bool) -> list[Finding]:
    """Check the disk space where files are kept, and the memory."""
    why = "make images and build" if make_images else "build"
    root = engine.root if engine else None
    folders = {p for p in (root, settings.cache, settings.dist) if p}
    rooms = {folder: machine.free_gb(folder) for folder in sorted(folders)}
    tightest = min(rooms, key=lambda folder: rooms[folder])
    return [
        judge_disk(tightest, rooms[tightest], DISK_GB[why], why),
        judge_memory(machine.available_memory_mb()),
    ]
