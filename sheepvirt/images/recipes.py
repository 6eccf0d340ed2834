"""Images of a target, tagged by a hash of their recipe: same recipe, same image, no work.

``base`` comes from bases.py. Every other kind is a folder ``containers/<target>/<kind>/`` with a
``Containerfile.j2`` that starts from it (``host-sysv`` from ``host``). Each ``NAME.j2`` there is a
template of ``NAME``. A file that two kinds share is a symlink in both to ``common/``.

If the target has repos, the build context also has ``pki/``: this machine's ``ca-bundle.crt`` (the
base's own may be too old for today's servers) and the keys of those repos.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from sheepvirt.config import inventory
from sheepvirt.core import web
from sheepvirt.core.errors import EngineError
from sheepvirt.images import bases, rpm_keys

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import Target
    from sheepvirt.run import Run

PKI = "pki"


def parent(kind: str) -> str:
    """Return the kind of image that ``kind`` starts from: ``host`` for ``host-sysv``."""
    before, _, variant = kind.partition("-")
    return before if variant else "base"


def kinds(target: Target) -> list[str]:
    """Return the kinds of image that ``target`` has a recipe for, without base and variants."""
    found = sorted(path.parent.name for path in target.folder.glob("*/Containerfile.j2"))
    return [kind for kind in found if parent(kind) == "base"]


def tag_of(settings: Settings, target: Target, kind: str) -> str:
    """Return the tag of ``target``'s image ``kind``, from its recipe.

    The image need not exist; neither the engine nor the network is used.
    """
    if kind == "base":
        recipe = hashlib.sha256(bases.recipe(target).encode())
    else:
        recipe = hashlib.sha256(tag_of(settings, target, parent(kind)).encode())
        for path in _files(target.folder / kind):
            name = path.relative_to(target.folder).as_posix()
            recipe.update(name.encode() + b"\0" + path.read_bytes())
        if target.repos:
            recipe.update(template_values(settings, target).encode())
    return f"sheepvirt/{target.name}-{kind}:{recipe.hexdigest()[:16]}"


def template_values(settings: Settings, target: Target) -> str:
    """Return the values that templates are filled with, as the text that a tag is a hash of.

    The text is JSON: named fields in the order below, macros in that of target.toml, which
    templates keep. Each field is named here, so that a new field of a dataclass changes no tag by
    itself. The user's mirrors are left out: where an RPM comes from does not change it.
    """
    values = {
        "repos": [{"name": repo.name, "urls": repo.urls, "key": repo.key} for repo in target.repos],
        "keys": [
            {
                "file": key.file,
                "fingerprint": key.fingerprint,
                "urls": key.urls,
                "expired_ok": key.expired_ok,
            }
            for key in target.keys
        ],
        "macros": dict(target.macros),
        "host_packages": _host_packages(settings),
    }
    return json.dumps(values)


def _files(folder: Path) -> list[Path]:
    """Return the files of a recipe, also those in symlinked folders."""
    found = (
        Path(top) / name for top, _, names in os.walk(folder, followlinks=True) for name in names
    )
    return sorted(path for path in found if path.is_file() and path.suffix != ".pyc")


def ensure(run: Run, target: Target, kind: str) -> str:
    """Return the tag of ``target``'s image ``kind`` ("base", "builder", "host"); make it if absent.

    Raises EngineError (the target has no such image or no base, or a build step fails),
    SourceError (an archive or a key is not the pinned one).
    """
    tag = tag_of(run.settings, target, kind)
    if run.engine.image_id(tag) is not None:
        return tag
    if kind == "base":
        bases.make(run, target, tag)
        return tag
    if not (target.folder / kind / "Containerfile.j2").is_file():
        raise EngineError(
            f"target {target.name!r} has no {kind} image", hint=f"see {target.folder}"
        )
    base = ensure(run, target, parent(kind))
    with run.progress.stage(f"{kind} image") as stage, tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch) / "context"
        write_context(run.settings, target, kind, base, context)
        if target.repos:
            _write_pki(run, target, base, context / PKI)
        run.engine.build(context, tag, stage.line)
        stage.note = tag
    return tag


def write_context(settings: Settings, target: Target, kind: str, base: str, context: Path) -> None:
    """Make the folder ``context``: the files of image ``kind``, with its templates rendered."""
    shutil.copytree(target.folder / kind, context)
    templates = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    for path in sorted(context.rglob("*.j2")):
        template = templates.from_string(path.read_text(encoding="utf-8"))
        text = template.render(base=base, target=target, host_packages=_host_packages(settings))
        path.with_suffix("").write_text(text, encoding="utf-8")
        path.unlink()


def _host_packages(settings: Settings) -> tuple[str, ...]:
    return inventory.load_dependencies(settings).packages


def _write_pki(run: Run, target: Target, base: str, folder: Path) -> None:
    folder.mkdir()
    bundle = web.ca_bundle()
    if bundle is None:
        raise EngineError(
            "this machine has no bundle of CA certificates for the build root",
            hint="`apt-get install ca-certificates`, or name one in $SSL_CERT_FILE",
        )
    shutil.copyfile(bundle, folder / "ca-bundle.crt")
    for key in target.keys:
        content = run.engine.read_file(base, rpm_keys.path_of(key)) if not key.urls else None
        (folder / key.file).write_bytes(rpm_keys.checked(key, content, run.clock.now()))
