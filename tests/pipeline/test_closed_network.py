"""From a bundle, with the network cut: the same RPMs. Real engine, real rpmbuild, no network.

The run on the closed side is a process in a network namespace of its own, in which there is
nothing, with caches of its own and without the image: all it has is bundle, checkout and engine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
from world import RUN, SETTINGS, run_with, within

from sheepvirt import rpm_compare
from sheepvirt.builds import execute, repo
from sheepvirt.bundle import archive, importer, writer
from sheepvirt.config import inventory
from sheepvirt.core import paths
from sheepvirt.core.errors import BundleError
from sheepvirt.images import recipes
from sheepvirt.sources import git

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import Target
    from sheepvirt.run import Run

pytestmark = pytest.mark.engine
URL = "https://upstream.invalid/flock.git"
NO_ROUTE = 'test -z "$(sed 1d /proc/net/route)"'
SPEC = """\
Name: {name}
Version: 1
Release: 1%{{?dist}}
Summary: A package of a test
License: Public Domain
Source0: {source}
%define debug_package %{{nil}}
%description
A package of a test.
%prep
%setup -q -n {name}-1
%build
# A control of the test itself: this fails where there is a network.
{check}
cc -g -o {name} {name}.c
%install
install -D {name} %{{buildroot}}%{{_bindir}}/{name}
install -D -p -m 644 {name}.c %{{buildroot}}%{{_datadir}}/{name}/{name}.c
%files
%{{_bindir}}/{name}
%{{_datadir}}/{name}
"""
SOURCE = '#include <stdio.h>\nint main(void) { puts(__DATE__ " " __TIME__); return 0; }\n'
HEAD = (
    'version = "1"\nspec = "{name}.spec"\nspec_from = "here"\ninstalled_subpackages = ["{name}"]\n'
)
# What --from-bundle does, in a process that can be put into a namespace without a network.
SCRIPT = """\
import os, socket, sys
from dataclasses import replace
from pathlib import Path
from sheepvirt.builds import execute
from sheepvirt.bundle import importer
from sheepvirt.core import settings
from sheepvirt.core.errors import SheepvirtError
from sheepvirt.core.progress import quiet
from sheepvirt.engine.engine import Engine
from sheepvirt.run import Run
own = replace(
    settings.from_environment(os.environ), specs=Path(sys.argv[2]), containers=Path(sys.argv[3])
)
run = Run(settings=own, engine=Engine(), progress=quiet())
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print("network:", error.strerror)
try:
    imported = importer.use(run, Path(sys.argv[1]), "")
    sources = imported.bundle_sources
    execute.build_rpms(run, imported.target, imported.selectors, bundle_sources=sources)
except SheepvirtError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@dataclass
class World:
    """A checkout's data, what is upstream, and the two sides."""

    folder: Path
    settings: Settings  # of the open side
    target: Target
    file: Path
    commit: str

    @property
    def bundle(self) -> Path:
        """Where the bundle is."""
        return self.folder / "stick" / "bundle.tar"

    @property
    def tag(self) -> str:
        """The tag of the test's own builder image."""
        return recipes.tag_of(self.settings, self.target, "builder")

    @property
    def run(self) -> Run:
        """A run on the open side."""
        return run_with(self.settings)

    @property
    def other(self) -> Settings:
        """The settings of the closed side: the same checkout, nothing else."""
        own = self.settings
        return within(self.folder / "closed", specs=own.specs, containers=own.containers)

    def closed(self, file: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Build on the closed side."""
        other = self.other
        argv = [
            "unshare",
            "--net",
            sys.executable,
            "-c",
            SCRIPT,
            str(file or self.bundle),
            str(other.specs),
            str(other.containers),
        ]
        env = {**os.environ, **other.environment()}
        return subprocess.run(argv, cwd=paths.ROOT, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("bundle")
    real = recipes.ensure(RUN, inventory.load_target(SETTINGS, "rehearsal"), "builder")
    with pytest.MonkeyPatch.context() as patch:
        # An image of the test's own, so that it can be taken away: the real one, labelled.
        containers = folder / "containers" / "rehearsal"
        (containers / "builder").mkdir(parents=True)
        shutil.copyfile(
            SETTINGS.containers / "rehearsal" / "target.toml", containers / "target.toml"
        )
        text = f"FROM {real}\nLABEL test={folder}\nRUN echo {folder} > /etc/test\n"
        (containers / "builder" / "Containerfile.j2").write_text(text)
        specs = folder / "specs"
        for name in ("sheepdog", "pocketsheep"):
            shutil.copytree(SETTINGS.specs / name, specs / name)
        settings = within(folder / "open", specs=specs, containers=containers.parent)
        _package(specs, "tiny", _tarball(folder), "")
        commit = _repository(folder, patch)
        _package(
            specs, "flock", "flock-1.tar.gz", f'git = {{ url = "{URL}", commit = "{commit}" }}'
        )
        target = inventory.load_target(settings, "rehearsal")
        one = World(folder, settings, target, folder / "tiny-1.tar.gz", commit)
        try:
            yield one
        finally:
            RUN.engine.remove_image(one.tag)


def _package(specs: Path, name: str, source: str | Path, pin: str) -> None:
    home = specs / name
    home.mkdir()
    file = Path(source).name
    if not pin:
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
        pin = f'sha256 = "{digest}"\nurls = ["{Path(source).as_uri()}"]'
    rows = f'[[sources]]\nfile = "{file}"\n{pin}\n'
    (home / "package.toml").write_text(HEAD.format(name=name) + rows)
    (home / f"{name}.spec").write_text(SPEC.format(name=name, source=file, check=NO_ROUTE))


def _tarball(folder: Path) -> Path:
    (folder / "tiny.c").write_text(SOURCE)
    path = folder / "tiny-1.tar.gz"
    with tarfile.open(path, "w:gz") as opened:
        opened.add(folder / "tiny.c", "tiny-1/tiny.c")
    return path


def _repository(folder: Path, patch: pytest.MonkeyPatch) -> str:
    config = folder / "gitconfig"
    config.write_text(
        f'[user]\nname = A\nemail = a@b.invalid\n[url "{folder}/upstream/"]\n'
        "insteadOf = https://upstream.invalid/\n"
    )
    patch.setenv("GIT_CONFIG_GLOBAL", str(config))
    tree = folder / "upstream" / "flock.git"
    tree.mkdir(parents=True)
    (tree / "flock.c").write_text(SOURCE)
    for argv in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(tree), *argv], check=True)
    return git.revision(tree)


def test_a_build_root_has_no_route_and_the_check_would_see_one(world: World) -> None:
    image = recipes.ensure(world.run, world.target, "builder")
    for network, code in (("none", 0), ("bridge", 1)):
        with RUN.engine.container(image, network=network) as container:
            assert container.run(["sh", "-c", NO_ROUTE]).code == code


def test_from_a_bundle_without_network_come_the_same_rpms(world: World) -> None:
    writer.make(world.run, world.target, ["sheepdog=stand-in"], world.bundle)
    execute.build_rpms(world.run, world.target, ["sheepdog=stand-in"])
    opened = repo.home(world.settings, "rehearsal")

    # Over there: no image, no upstream, no cache, no network.
    docker.from_env().images.remove(world.tag, force=True)
    world.file.unlink()
    (world.folder / "upstream").rename(world.folder / "gone")
    done = world.closed()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "network: Network is unreachable"

    found = rpm_compare.compare_all(opened, repo.home(world.other, "rehearsal"))
    assert {row.name.partition("-")[0] for row in found} == {"tiny", "flock", "pocketsheep"}
    assert len(found) == 6
    assert [row for row in found if row.verdict != rpm_compare.IDENTICAL] == []
    # That it is on the other side's own engine again is the bundle's doing.
    assert RUN.engine.image_id(world.tag) is not None


def test_the_lock_says_what_the_bundle_is_made_of(world: World) -> None:
    lock = archive.read(world.bundle).lock
    assert {(s.package, s.pin) for s in lock.sources if s.git} == {("flock", world.commit)}
    assert [s.file for s in lock.sources if not s.git] == ["tiny-1.tar.gz"]
    assert any(name.startswith("gcc_") for name in lock.installed["dpkg"])
    assert any(name.startswith("rehearsal-debian-") for name in lock.installed["rpm"])
    names = [member.name for member in lock.members]
    assert "repos/etc/apt/sources.list" in names
    assert any(name.startswith("repos/etc/apt/trusted.gpg.d/") for name in names)
    assert lock.selectors == ("sheepdog=stand-in",)


def test_a_changed_bundle_is_refused_before_anything_of_it_is_used(world: World) -> None:
    docker.from_env().images.remove(world.tag, force=True)
    shutil.rmtree(world.folder / "closed")
    evil = world.folder / "evil.tar"
    shutil.copyfile(world.bundle, evil)
    found = archive.read(evil)
    with evil.open("r+b") as handle:
        handle.seek(found.starts["images/builder.tar.gz"] + 1000)
        byte = handle.read(1)
        handle.seek(-1, os.SEEK_CUR)
        handle.write(bytes([byte[0] ^ 1]))
    done = world.closed(evil)
    assert done.returncode == 1
    assert f"BundleError: {evil}: images/builder.tar.gz was changed" in done.stderr
    assert RUN.engine.image_id(world.tag) is None
    assert not world.other.cache.exists()


def test_what_the_bundle_lacks_is_named_and_not_looked_for(world: World) -> None:
    path = world.settings.specs / "tiny" / "package.toml"
    text = path.read_text()
    other = hashlib.sha256(b"other").hexdigest()
    path.write_text(
        f'{text}[[sources]]\nfile = "more.tar"\nsha256 = "{other}"\nurls = ["file:///etc/passwd"]\n'
    )
    done = world.closed()
    assert done.returncode == 1
    assert "SourceUnreachableError: the network is off, and bundle.tar lacks" in done.stderr
    assert f"more.tar (sha256 {other})" in done.stderr
    assert "tiny-1.tar.gz" not in done.stderr


def test_a_checkout_with_another_recipe_is_told_apart(world: World) -> None:
    recipe = world.settings.containers / "rehearsal" / "builder" / "Containerfile.j2"
    recipe.write_text(recipe.read_text() + "RUN true\n")
    with pytest.raises(BundleError, match="does not fit this checkout: its builder image is"):
        importer.use(world.run, world.bundle, "rehearsal")
