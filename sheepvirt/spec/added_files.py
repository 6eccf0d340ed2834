"""Add files to upstream's RPM: install them at the end of %install, list them in %files. Pure.

``[[adjust.files]]`` of package.toml names each one. The commands come last, so they replace a file
that upstream installs at the same path. If %files lists that path already, its line stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.core.errors import SpecError
from sheepvirt.model.builds import AddedFile, Evidence
from sheepvirt.model.enums import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sheepvirt.spec.lines import Line, Spec

FIRST = 9001  # number of the first Source tag; no upstream spec has as many


def add(spec: Spec, new: list[str], files: Sequence[AddedFile], name: str) -> list[str]:
    """Change ``new``, the lines of ``spec``, so that its main RPM has ``files``.

    Returns one sentence for each file. Raises SpecError: a section is missing.
    """
    if not files:
        return []
    tags = _last(spec, "", name, lambda line: bool(line.tag))
    install = _last(spec, "install", name)
    listing = _last(spec, "files", name)
    listed = {"".join(spec.expand(line.text).split()[-1:]) for line in _of(spec, "files")}
    actions = []
    for number, added in enumerate(files, FIRST):
        new[tags] = _ended(new[tags]) + f"Source{number}: {added.file}\n"
        new[install] = _ended(new[install]) + f"{_command(added, f'%{{SOURCE{number}}}')}\n"
        if spec.expand(added.path) in listed:
            actions.append(f"{added.path}: {added.file}, replaces upstream's")
            continue
        words = [f"%{added.config}"] if added.config else []
        words += [f"%attr({added.mode},root,root)", added.path]
        new[listing] = _ended(new[listing]) + " ".join(words) + "\n"
        actions.append(f"{added.path}: {added.file}, added to %files")
    return actions


def prove(
    files: Sequence[AddedFile],
    values: Mapping[str, str],
    sections: Mapping[str, Sequence[str]],
    *,
    package: str,
) -> list[Evidence]:
    """Check the sections of the expanded spec. ``values`` has the expansion of each path."""
    found = []
    for added in files:
        path = values[added.path]
        commands = [line.strip() for line in sections.get("install", ()) if "install " in line]
        seen = next((c for c in commands if c.endswith(path) and f"/{added.file} " in c), "")
        claim = f"%install puts {added.file} at {path}"
        found.append(_evidence(package, claim, seen))
        listed = [line.strip() for line in sections.get("files", ()) if line.split()[-1:] == [path]]
        claim = f"%files lists {path}"
        found.append(_evidence(package, claim, "; ".join(listed)))
    return found


def _evidence(package: str, claim: str, seen: str) -> Evidence:
    return Evidence(
        gate=Gate.SPEC,
        package=package,
        feature="adjust",
        claim=claim,
        observed=seen or "it does not",
        ok=bool(seen),
    )


def _command(added: AddedFile, source: str) -> str:
    return f"install -D -p -m {added.mode} {source} %{{buildroot}}{added.path}"


def _of(spec: Spec, section: str) -> list[Line]:
    return [line for line in spec.lines if line.section == section and line.live]


def _last(
    spec: Spec, section: str, name: str, fits: Callable[[Line], bool] = lambda _line: True
) -> int:
    """Return the index of a section's last line that is active on every target."""
    found = [
        line
        for line in _of(spec, section)
        if not line.branches and line.role == "text" and line.text.strip() and fits(line)
    ]
    if not found:
        raise SpecError(
            f"{name} has no {f'%{section}' if section else 'tag in its preamble'}",
            hint="remove `files` from [adjust] in package.toml, or write your own spec",
        )
    return found[-1].number - 1


def _ended(line: str) -> str:
    return line if line.endswith("\n") else line + "\n"
