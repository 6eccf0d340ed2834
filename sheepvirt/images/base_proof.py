"""Prove that a pulled or imported base is the system that its target needs.

Its release and its tools must match ``release`` and ``[ceilings]`` of target.toml, and its rpm and
yum must run under this kernel. Nothing is built on a base before this proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.core.errors import EngineError

if TYPE_CHECKING:
    from sheepvirt.core.processes import Result
    from sheepvirt.engine.engine import Engine
    from sheepvirt.model.builds import Target

RELEASE = "/etc/redhat-release"
SEGFAULT, ABSENT = 139, {126, 127}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Observations of a base: two files (None: absent) and the results of two commands."""

    release: str | None
    os_release: str | None
    saved: bool  # manifest.json is at its root: it is an archive of `docker save`
    rpm: Result
    yum: Result


def prove(engine: Engine, target: Target, image: str, name: str) -> None:
    """Raise EngineError unless ``image``, called ``name``, is a base for ``target``."""

    def text(path: str) -> str | None:
        content = engine.read_file(image, path)
        return None if content is None else content.decode(errors="replace")

    seen = Seen(
        release=text(RELEASE),
        os_release=text("/etc/os-release"),
        saved=text("/manifest.json") is not None,
        rpm=engine.try_command(image, ["rpm", "--version"]),
        yum=engine.try_command(image, ["yum", "--version"]),
    )
    problem = judge(target, seen)
    if problem:
        raise EngineError(f"{name} {problem[0]}", hint=problem[1])


def judge(target: Target, seen: Seen) -> tuple[str, str] | None:
    """Return what is wrong with a base and what to do, or None if it is right. Pure."""
    if seen.release is None or not seen.release.startswith(target.release):
        if seen.saved:
            return (
                "is an image archive of `docker save`, not a root file system",
                "`docker load` it, `docker create` a container from it, and `docker export` that",
            )
        return (
            f"is not {target.release.strip()!r}: it is {_what_it_is(seen)}",
            f"give an image or rootfs of {target.name}: {RELEASE} must start with "
            f"{target.release!r}",
        )
    said = seen.release.strip().splitlines()[0]
    limits = target.ceilings
    for tool, result, wanted in (
        ("rpm", seen.rpm, limits.rpm if limits else ""),
        ("yum", seen.yum, limits.yum if limits else ""),
    ):
        problem = _tool(tool, result, wanted)
        if problem:
            return f"says it is {said!r}, but {problem[0]}", problem[1]
    return None


def _tool(tool: str, result: Result, wanted: str) -> tuple[str, str] | None:
    if result.code == SEGFAULT:
        return (
            f"{tool} dies there with exit code {SEGFAULT} (SIGSEGV)",
            "if this kernel has vsyscall=none (`invoke doctor`), boot it with vsyscall=xonly, or "
            "use an image that is made for it",
        )
    if result.code in ABSENT:
        return f"it has no {tool}", "use a complete system: a minimal installation has rpm and yum"
    words = result.stdout.split()
    version = next((w for w in words if w[:1].isdigit()), "")
    if result.code or not version:
        last = (result.stderr or result.stdout).strip().splitlines()[-1:]
        return f"{tool} fails there: {last[0] if last else result.code}", "use a complete system"
    if wanted and not f"{version}.".startswith(f"{wanted}."):
        return (
            f"its {tool} is {version}, not {wanted}",
            "use the right release: [ceilings] in target.toml has the versions of its tools",
        )
    return None


def _what_it_is(seen: Seen) -> str:
    """Return the name that a system gives itself."""
    if seen.release and seen.release.strip():
        return repr(seen.release.strip().splitlines()[0])
    for line in (seen.os_release or "").splitlines():
        key, equals, value = line.partition("=")
        if key == "PRETTY_NAME" and equals:
            return repr(value.strip().strip("\"'"))
    return "a system without a name (no /etc/redhat-release, no /etc/os-release)"
