"""What a target needs of this machine and its network, looked at before anything long starts.

Findings are judged by pure functions; what they judge is looked up by the module of each outside
world: engine/engine.py, web.py, machine.py. What an image that is already there made needless is
not asked for, so that a machine without a network can go on. No look takes longer than
``PATIENCE``.
"""

from __future__ import annotations

import functools
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sheepvirt.core import paths, web
from sheepvirt.core.errors import (
    EngineUnavailableError,
    PreflightError,
    RegistryError,
    SheepvirtError,
    WebError,
)
from sheepvirt.engine import machine, registry
from sheepvirt.engine.engine import Engine
from sheepvirt.images import bases, recipes, rpm_keys
from sheepvirt.model.builds import Target
from sheepvirt.model.targets import Finding, Image, Rootfs, RpmKey, YumRepo

PATIENCE = 8.0  # seconds for all looks together: they are taken side by side
SECONDS = 4.0  # without a byte from a server
METADATA = "repodata/repomd.xml"
# A build root of libvirt with its images takes about 4 GB, the compiler cache grows to 4 GB more.
DISK_GB = {"make images and build": 8.0, "build": 4.0}
MEMORY_MB = 1000  # two compilers, and rpm's own compression of payloads

Look = tuple[str, Callable[[], Finding]]  # at what, and how


def examine(target: Target) -> tuple[Finding, ...]:
    """Look at everything that ``target`` needs here; each finding that is not ok has its fix.

    Changes nothing. Raises ConfigError alone.
    """
    try:
        engine = Engine(seconds=int(PATIENCE))
    except EngineUnavailableError as error:
        return (Finding("container engine", False, error.message, error.hint), *_here(None, True))
    ready = engine.image_id(recipes.tag_of(target, "builder")) is not None
    found = [Finding("container engine", True, "answers")]
    looks: list[Look] = []
    if any(image.no_vsyscall for image in target.images):
        found.append(judge_vsyscall(machine.vsyscall(), target))
    if ready:
        found.append(Finding("builder image", True, "it is here: no network is needed for it"))
    else:
        found += [_bundle()] if target.repos else []
        looks.append(("base image", functools.partial(_base, engine, target)))
        looks += [
            (f"repo {r.name}", functools.partial(look_at_repo, target, r)) for r in target.repos
        ]
        looks += [(f"key {k.file}", functools.partial(_key, k)) for k in target.keys if k.urls]
    return (*found, *side_by_side(looks), *_here(engine, not ready))


def require(target: Target, findings: Sequence[Finding]) -> None:
    """Raise PreflightError where one of ``findings`` is not ok: all of those, each with its fix."""
    missing = [finding for finding in findings if not finding.ok]
    if missing:
        lines = "\n".join(f"  {f.sentence}\n    what to do: {f.fix}" for f in missing)
        raise PreflightError(f"target {target.name} cannot be built here:\n{lines}")


def side_by_side(looks: Sequence[Look], patience: float = PATIENCE) -> tuple[Finding, ...]:
    """Take all ``looks`` at once and return their findings in order.

    One that has no end in time (a name server that never answers) is a finding, too; its thread is
    left behind.
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
    fix = "does the network's name server answer? a mirror in sheepvirt.toml helps (docs/el6.md)"
    return tuple(
        one or Finding(what, False, late, fix) for one, (what, _) in zip(found, looks, strict=True)
    )


# ---- judgements -------------------------------------------------------------------------------


def judge_vsyscall(mode: str, target: Target) -> Finding:
    """Pure: tell whether programs of before glibc 2.14 run under a kernel of ``mode``."""
    what = "kernel"
    if mode != "none":
        return Finding(what, True, f"vsyscall={mode}")
    dies = "programs of CentOS 6's age die here with exit code 139"
    fix = "boot the kernel with vsyscall=xonly (or emulate)"
    if target.rootfs:
        return Finding(what, True, f"vsyscall=none: {dies}, unless the rootfs is made for it")
    able = bases.usable_images(target, mode)
    if able:
        return Finding(what, True, f"vsyscall=none: {dies}; left is {able[0].name}")
    return Finding(what, False, f"vsyscall=none: {dies}", fix)


def judge_repomd(url: str, content: bytes) -> Finding:
    """Pure: tell whether ``content`` is the index of a yum repo."""
    what = f"mirror {url}"
    start = content[:400].lstrip().lower()
    if b"<repomd" in start and not start.startswith((b"<!doctype", b"<html")):
        return Finding(what, True, "answers")
    if b"<html" in start or start.startswith(b"<!doctype"):
        return Finding(
            what, False, "answers a web page (HTML) instead of repodata",
            "does a login page of your network answer in its place? name a mirror in your "
            "sheepvirt.toml (docs/el6.md)",
        )  # fmt: skip
    shown = content[:40].decode(errors="replace").strip()
    return Finding(
        what, False, f"answers something that is no repodata: {shown!r}",
        "name a mirror in your sheepvirt.toml (docs/el6.md)",
    )  # fmt: skip


def judge_refusals(what: str, rows: Sequence[Finding]) -> Finding:
    """Pure: sum up what was found at each place of ``what``: the first that is good will do."""
    good = next((row for row in rows if row.ok), None)
    if good:
        passed = [row.sentence for row in rows[: rows.index(good)]]
        return Finding(what, True, "; ".join([f"{good.what}: {good.detail}", *passed]))
    fix = next((row.fix for row in rows), "")
    return Finding(what, False, "; ".join(row.sentence for row in rows) or "no place is named", fix)


def judge_disk(folder: Path, free: float, wanted: float, why: str) -> Finding:
    """Pure: tell whether ``free`` is enough where ``folder`` is; both in 10**9 bytes."""
    detail = f"{free:.1f} GB free at {folder}; {wanted:.0f} GB are wanted to {why}"
    return Finding("disk", free >= wanted, detail, f"make room at {folder}")


def judge_memory(mb: int | None) -> Finding:
    """Pure: tell whether ``mb`` (10**6 bytes) of memory that is to be had are enough."""
    if mb is None:
        return Finding("memory", True, "unknown: /proc/meminfo does not tell")
    detail = f"{mb} MB to be had; {MEMORY_MB} MB are wanted"
    return Finding("memory", mb >= MEMORY_MB, detail, "stop something else (`free -m`)")


# ---- looks ------------------------------------------------------------------------------------


def _base(engine: Engine, target: Target) -> Finding:
    what = "base image"
    if engine.image_id(recipes.tag_of(target, "base")) is not None:
        origin = engine.labels(recipes.tag_of(target, "base")).get(bases.ORIGIN, target.suite)
        return Finding(what, True, f"is here: {origin}")
    if target.rootfs:
        return look_at_rootfs(target.rootfs)
    if target.suite:
        program = shutil.which("mmdebstrap", path=machine.PATH)
        return Finding(
            what, program is not None,
            f"made by mmdebstrap ({target.suite})" if program else "mmdebstrap is missing",
            "run `make engine` (as root), which installs it",
        )  # fmt: skip
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
        return Finding(shown, True, "is in the engine")
    try:
        digest = engine.manifest(name)
    except RegistryError as error:
        meaning = registry.refusal(error.words)
        return Finding(shown, False, f"{meaning.why} ({error.words})", meaning.fix)
    return Finding(
        shown, True, "answers (pinned)" if image.pinned else f"answers (unpinned: {digest})"
    )


def look_at_rootfs(rootfs: Rootfs) -> Finding:
    """Tell whether the archive is there and whole, as far as its ends tell; nothing is fetched."""
    what = f"rootfs {rootfs.place}"
    pin = "pinned" if rootfs.sha256 else "unpinned: no rootfs_sha256"
    fix = "mend `rootfs` in your sheepvirt.toml"
    if rootfs.remote:
        try:
            web.ask(rootfs.place, seconds=SECONDS)
        except WebError as error:
            return Finding(what, False, error.message, fix)
        return Finding(what, True, f"answers ({pin})")
    path = Path(rootfs.place)
    if not path.is_file():
        return Finding(what, False, "is no file here", fix)
    fault = bases.archive_fault(path)
    return Finding(what, not fault, fault or f"is here ({pin})", "fetch or make it again")


def look_at_repo(target: Target, repo: YumRepo) -> Finding:
    """Tell which of a repo's places serves repodata; the first that does will do."""
    rows: list[Finding] = []
    for url in repo.places:
        place = url.replace("$basearch", target.arch)
        try:
            content = web.read(place + METADATA, 1 << 16, seconds=SECONDS)
            rows.append(judge_repomd(place, content))
        except WebError as error:
            rows.append(Finding(f"mirror {place}", False, error.message, _web_fix(error)))
        if rows[-1].ok:
            break
    return judge_refusals(f"repo {repo.name}", rows)


def _key(key: RpmKey) -> Finding:
    try:
        return rpm_keys.judge(key, rpm_keys.fetch(key))
    except SheepvirtError as error:
        return Finding(f"key {key.file}", False, error.message, error.hint)


def _bundle() -> Finding:
    bundle = web.ca_bundle()
    return Finding(
        "CA bundle", bundle is not None, str(bundle or "this machine has none to give to the base"),
        "`apt-get install ca-certificates`, or name one in $SSL_CERT_FILE",
    )  # fmt: skip


def _web_fix(error: WebError) -> str:
    if error.tls:
        return (
            "TLS: is this machine's clock right, and its CA bundle whole (`apt-get install "
            "ca-certificates`)? $SSL_CERT_FILE names another bundle"
        )
    return "mend the network, or name a mirror in your sheepvirt.toml (docs/el6.md)"


def _here(engine: Engine | None, make_images: bool) -> list[Finding]:
    """Look at this machine's room: disk where things are kept, and memory."""
    why = "make images and build" if make_images else "build"
    root = engine.root if engine else None
    folders = {p for p in (root, paths.cache(), paths.dist()) if p}
    rooms = {folder: machine.free_gb(folder) for folder in sorted(folders)}
    tightest = min(rooms, key=lambda folder: rooms[folder])
    return [
        judge_disk(tightest, rooms[tightest], DISK_GB[why], why),
        judge_memory(machine.available_memory_mb()),
    ]
