"""Images of a target, tagged by a hash of their recipe: same recipe, same image, no work.

``base`` is made by mmdebstrap (no registry needed); every other kind is a folder
``containers/<target>/<kind>/`` with a ``Containerfile.j2`` that starts from it. A file that two
kinds share is a symlink in both to ``common/``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import jinja2

from sheepvirt import paths
from sheepvirt.engine import Engine
from sheepvirt.errors import EngineError
from sheepvirt.model import Target
from sheepvirt.progress import Progress, Stage

# bullseye's -security pool lists files that answer 404, and a base with newer libraries from it
# cannot install the rest (perl-base against perl): the plain suite alone.
PLAIN_SUITE = r'sed -i "/-updates\|-security/d" "$1/etc/apt/sources.list"'


def require_recipe(target: Target) -> None:
    """Raise EngineError where no image of ``target`` can be made, and say what is missing."""
    if target.suite:
        return
    wanted = f"; it would start from {target.images[0].name}" if target.images else ""
    raise EngineError(
        f"target {target.name!r} has no image here: its target.toml names no Debian suite to make "
        f"one from, and pulling one from a registry is not built yet{wanted}",
        hint="use `--target rehearsal`, which needs no registry",
    )


def tag_of(target: Target, kind: str) -> str:
    """Return the tag of ``target``'s image ``kind`` by its recipe, whether it is there or not.

    Raises EngineError: there is no recipe.
    """
    require_recipe(target)
    if kind == "base":
        recipe = hashlib.sha256(f"{target.suite} {PLAIN_SUITE}".encode())
    else:
        recipe = hashlib.sha256(tag_of(target, "base").encode())
        files = (target.folder / kind).rglob("*")
        for path in sorted(p for p in files if p.is_file() and p.suffix != ".pyc"):
            name = path.relative_to(target.folder).as_posix()
            recipe.update(name.encode() + b"\0" + path.read_bytes())
    return f"sheepvirt/{target.name}-{kind}:{recipe.hexdigest()[:16]}"


def ensure(engine: Engine, target: Target, kind: str, progress: Progress) -> str:
    """Return the tag of ``target``'s image ``kind`` ("base", "builder", "host"); make it if absent.

    Raises EngineError when mmdebstrap or a build step fails.
    """
    tag = tag_of(target, kind)
    if engine.image_id(tag) is not None:
        return tag
    if kind == "base":
        _make_base(engine, target, tag, progress)
        return tag
    base = ensure(engine, target, "base", progress)
    folder = target.folder / kind
    with progress.stage(f"{kind} image") as stage, tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch) / "context"
        shutil.copytree(folder, context)
        template = jinja2.Environment(
            undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
        ).from_string((folder / "Containerfile.j2").read_text(encoding="utf-8"))
        text = template.render(base=base, target=target)
        (context / "Containerfile").write_text(text, encoding="utf-8")
        engine.build(context, tag, stage.line)
        stage.note = tag
    return tag


def _make_base(engine: Engine, target: Target, tag: str, progress: Progress) -> None:
    with progress.stage(f"base image ({target.suite})") as stage:
        paths.cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=paths.cache()) as scratch:
            tar = Path(scratch) / "base.tar"
            _mmdebstrap(target.suite, tar, stage)
            engine.import_tar(tar, tag)


def _mmdebstrap(suite: str, tar: Path, stage: Stage) -> None:
    argv = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates",
            f"--setup-hook={PLAIN_SUITE}", suite, str(tar)]  # fmt: skip
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as process:  # fmt: skip
        tail: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            stage.line(line)
            tail = [*tail[-7:], line.rstrip()]
    if process.returncode:
        lines = "\n".join(tail)
        raise EngineError(
            f"mmdebstrap could not make a {suite} base:\n{lines}",
            hint="is a Debian mirror in reach? run `make engine` first if mmdebstrap is missing",
        )
