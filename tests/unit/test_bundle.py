"""A bundle is taken in whole or not at all; what does not fit the checkout is said. No engine."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from sheepvirt.bundle import archive, importer
from sheepvirt.bundle.lockfile import REQUIREMENTS, ImageRow, Lock, Member, SourceRow
from sheepvirt.config import inventory
from sheepvirt.core import paths
from sheepvirt.core.errors import BundleError
from sheepvirt.core.progress import Progress, Stage, quiet
from sheepvirt.images import recipes
from sheepvirt.model.builds import Source
from sheepvirt.sources import git, store
from tests.here import SETTINGS, run_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sheepvirt.core.settings import Settings

LAYERS = (f"sha256:{'2' * 64}",)
TARBALL = b"a tarball"
PIN = hashlib.sha256(TARBALL).hexdigest()
TARGET = inventory.load_target(SETTINGS, "rehearsal")
KINDS = recipes.kinds(TARGET)


class Engine:
    """Answers as an engine that has ``here``; notes what it is made to do."""

    def __init__(self, **here: str) -> None:
        self.ids = {recipes.tag_of(SETTINGS, TARGET, kind): ident for kind, ident in here.items()}
        self.loaded: list[bytes] = []
        self.layers_of_loaded = LAYERS

    def image_id(self, tag: str) -> str | None:
        return self.ids.get(tag)

    def layers(self, ident: str) -> tuple[str, ...]:
        return self.layers_of_loaded if ident.startswith("new") else (ident,)

    def load(self, content: Iterable[bytes]) -> str:
        self.loaded.append(b"".join(content))
        return f"new{len(self.loaded)}"

    def tag(self, ident: str, tag: str) -> None:
        self.ids[tag] = ident


@pytest.fixture
def engine() -> Engine:
    return Engine()


def written(folder: Path, **changes: object) -> Path:
    """Write a bundle for this checkout, less ``changes`` of its lock."""
    contents = {f"images/{kind}.tar.gz": kind.encode() for kind in KINDS}
    contents |= {f"sources/{PIN[:12]}/a.tar": TARBALL}
    contents |= {REQUIREMENTS: (paths.ROOT / REQUIREMENTS).read_bytes()}
    lock = Lock(
        target="rehearsal",
        version="0.1.0",
        revision=git.revision(paths.ROOT),
        made="2026-11-25 03:00:00 UTC",
        selectors=("libvirt",),
        images=tuple(
            ImageRow(
                kind=kind,
                tag=recipes.tag_of(SETTINGS, TARGET, kind),
                id=f"sha256:{'1' * 64}",
                layers=LAYERS,
                member=f"images/{kind}.tar.gz",
            )
            for kind in KINDS
        ),
        sources=(
            SourceRow(
                package="a", file="a.tar", pin=PIN, git=False, member=f"sources/{PIN[:12]}/a.tar"
            ),
        ),
        packages=(),
        installed={"rpm": (), "dpkg": ()},
        members=(),
    )
    lock = replace(lock, **changes)  # type: ignore[arg-type]
    members, files = [], []
    for number, (name, data) in enumerate(contents.items()):
        members.append(Member(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
        files.append(folder / str(number))
        files[-1].write_bytes(data)
    used = {row.member for row in lock.images} | {row.member for row in lock.sources}
    kept = [n for n, m in enumerate(members) if m.name in used or m.name == REQUIREMENTS]
    path = folder / "b.tar"
    lock = replace(lock, members=tuple(members[n] for n in kept))
    archive.write(path, lock, [files[n] for n in kept])
    return path


def use(engine: Engine, path: Path, target: str = "") -> tuple[importer.ImportedBundle, str]:
    """Return what is in the bundle, and what was said."""
    said = io.StringIO()
    progress = Progress(console=Console(file=said, width=1000))
    run = run_in(path.parent, engine=engine, progress=progress)
    return importer.use(run, path, target), said.getvalue()


def image(kind: str, tag: str) -> ImageRow:
    return ImageRow(
        kind=kind, tag=tag, id=f"sha256:{'1' * 64}", layers=LAYERS, member=f"images/{kind}.tar.gz"
    )


def test_images_and_sources_are_taken_in_and_the_words_kept(
    settings: Settings, tmp_path: Path, engine: Engine
) -> None:
    imported, said = use(engine, written(tmp_path))
    assert engine.loaded == [kind.encode() for kind in KINDS]
    assert set(engine.ids) == {recipes.tag_of(SETTINGS, TARGET, kind) for kind in KINDS}
    assert imported.target == TARGET
    assert imported.selectors == ("libvirt",)
    wanted = Source(file="a.tar", sha256=PIN)
    assert imported.bundle_sources.has(wanted)
    found = store.fetch(
        settings, wanted, Stage("sources", quiet()), bundle_sources=imported.bundle_sources
    )
    assert found.read_bytes() == TARBALL
    assert "bundle for rehearsal, made 2026-11-25 03:00:00 UTC" in said
    assert "lock: sha256 " in said
    assert "recipe here is" not in said


def test_what_is_here_already_is_not_loaded_again(tmp_path: Path, engine: Engine) -> None:
    engine.ids = {recipes.tag_of(SETTINGS, TARGET, kind): LAYERS[0] for kind in KINDS}
    use(engine, written(tmp_path))
    assert engine.loaded == []


def test_an_image_of_that_tag_with_other_layers_is_kept_by_its_id(
    tmp_path: Path, engine: Engine
) -> None:
    tag = recipes.tag_of(SETTINGS, TARGET, "builder")
    engine.ids = {recipes.tag_of(SETTINGS, TARGET, kind): LAYERS[0] for kind in KINDS}
    engine.ids[tag] = "sha256:other"
    _, said = use(engine, written(tmp_path))
    assert engine.loaded == [b"builder"]
    assert f"{tag} was another image here, which has lost its tag: sha256:other" in said


@pytest.mark.parametrize("cut", [1, 600, 2000])
def test_of_a_broken_bundle_nothing_is_taken_in(
    settings: Settings, tmp_path: Path, engine: Engine, cut: int
) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(BundleError, match="truncated"):
        use(engine, path)
    assert engine.loaded == []
    assert engine.ids == {}
    assert store.cached(settings, Source(file="a.tar", sha256=PIN)) is None


def test_of_a_bundle_for_another_recipe_nothing_is_taken_in(tmp_path: Path, engine: Engine) -> None:
    other = "sheepvirt/rehearsal-builder:00ff00ff00ff00ff"
    path = written(tmp_path, images=(image("builder", other),), revision="ab" * 20)
    with pytest.raises(BundleError) as caught:
        use(engine, path)
    assert f"its builder image is {other}" in caught.value.message
    assert recipes.tag_of(SETTINGS, TARGET, "builder") in caught.value.message
    assert f"use the checkout that it was made from ({'ab' * 6})" in caught.value.hint
    assert "`invoke bundle rehearsal`" in caught.value.hint
    assert engine.loaded == []
    with pytest.raises(BundleError, match="it has no builder image"):
        use(engine, written(tmp_path, images=()))


def test_a_bundle_of_the_former_hash_is_refused_with_that_reason(
    tmp_path: Path, engine: Engine
) -> None:
    former = "sheepvirt/el6-builder:818c70e5df2d5dcd"
    lock = {"target": "el6", "images": (image("builder", former),), "revision": "ab" * 20}
    with pytest.raises(BundleError) as caught:
        use(engine, written(tmp_path, **lock, format=1))
    assert "was made by an older sheepvirt, which hashed the recipes" in caught.value.message
    assert f"its builder image is {former}" in caught.value.message
    assert "`invoke bundle el6`" in caught.value.hint
    with pytest.raises(BundleError, match="does not fit this checkout: its builder image is"):
        use(engine, written(tmp_path, **lock))
    assert engine.loaded == []


def test_a_bundle_of_the_former_format_serves_a_target_without_repos(
    tmp_path: Path, engine: Engine
) -> None:
    use(engine, written(tmp_path, format=1))
    assert set(engine.ids) == {recipes.tag_of(SETTINGS, TARGET, kind) for kind in KINDS}


def test_a_bundle_without_the_host_image_serves_builds_and_says_so(
    tmp_path: Path, engine: Engine
) -> None:
    tag = recipes.tag_of(SETTINGS, TARGET, "builder")
    _, said = use(engine, written(tmp_path, images=(image("builder", tag),), revision=""))
    assert engine.loaded == [b"builder"]
    assert "it serves only builds: it has no host image" in said
    assert "it was made at an unknown revision; the specs of this checkout, at " in said


def test_another_target_is_refused(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(BundleError, match="is for target 'rehearsal', not for 'el6'"):
        use(engine, written(tmp_path), "el6")
    assert engine.loaded == []


def test_an_image_that_is_not_what_the_lock_says_gets_no_tag(
    tmp_path: Path, engine: Engine
) -> None:
    engine.layers_of_loaded = (f"sha256:{'3' * 64}",)
    with pytest.raises(BundleError, match=r"images/builder\.tar\.gz is not the image in its lock"):
        use(engine, written(tmp_path))
    assert engine.ids == {}
