"""Builds that go wrong: what is said, what is kept, what is cleaned up. Real engine, real rpmbuild.

The package is a small one of the test's own, so that each case takes seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest
from commands import finish, read_until
from world import run_with, within

from sheepvirt.builds import execute, repo
from sheepvirt.builds.buildroot import owner
from sheepvirt.config import inventory
from sheepvirt.core import paths
from sheepvirt.core.errors import (
    BuildError,
    CompileError,
    ConfigError,
    ContractError,
    RuleMismatchError,
    SheepvirtError,
)
from sheepvirt.core.locks import lock
from sheepvirt.core.progress import Progress, quiet

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker.models.containers import Container

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord, Target

pytestmark = pytest.mark.engine
PACKAGE = (
    'version = "1"\nspec = "tiny.spec"\nspec_from = "here"\ninstalled_subpackages = ["tiny"]\n'
)
SPEC = """\
Name: tiny
Version: 1
Release: 1%{{?dist}}
Summary: A package of a test
License: Public Domain
BuildArch: noarch
{more}
%description
A package of a test.
%build
{build}
%install
mkdir -p %{{buildroot}}%{{_datadir}}/tiny
date > %{{buildroot}}%{{_datadir}}/tiny/date
%files
%{{_datadir}}/tiny
"""
RUN = """\
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from sheepvirt.builds import execute
from sheepvirt.config import catalog, inventory
from sheepvirt.core import settings
from sheepvirt.core.progress import Progress
from sheepvirt.engine.engine import Engine
from sheepvirt.run import Run
# What a shell starts in the background ignores SIGINT, and so would this run of the test's.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
own = replace(settings.from_environment(os.environ), specs=folder, patches=folder)
run = Run(settings=own, engine=Engine(), progress=Progress(folder / "run.log"))
execute.build_rpms(run, inventory.load_target(own, "rehearsal"), [])
"""


@dataclass
class World:
    """A checkout's data folders and results, of one test alone."""

    folder: Path
    settings: Settings
    target: Target

    def write(self, *, build: str = ":", more: str = "", package: str = PACKAGE) -> None:
        """Write the package's spec and package.toml."""
        home = self.folder / "tiny"
        home.mkdir(exist_ok=True)
        (home / "package.toml").write_text(package)
        (home / "tiny.spec").write_text(SPEC.format(build=build, more=more))

    def build(self, progress: Progress | None = None) -> list[BuildRecord]:
        """Build what is there now."""
        return execute.build_rpms(run_with(self.settings, progress), self.target, [])

    def start(self) -> subprocess.Popen[str]:
        """Build in a process of its own, which can be ended."""
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(self.folder)],
            cwd=paths.ROOT,
            text=True,
            env={**os.environ, **self.settings.environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def containers(self) -> list[Container]:
        """Return the build containers that are there, running or not."""
        label = f"sheepvirt.owner={owner(self.settings, self.target)}"
        return docker.from_env().containers.list(all=True, filters={"label": label})

    def published(self) -> dict[str, BuildRecord]:
        """Return what is published, by package."""
        return repo.published(self.settings, self.target.name)

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until ``done``, at most two minutes."""
        deadline = time.monotonic() + 120
        while not done():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def started(self) -> bool:
        """Tell whether rpmbuild has come to the spec's %build."""
        log = self.folder / "run.log"
        return log.exists() and "now it sleeps" in log.read_text()


@pytest.fixture
def world(tmp_path: Path) -> World:
    folder = tmp_path / "specs"
    folder.mkdir()
    settings = within(tmp_path, specs=folder, patches=folder)
    return World(folder, settings, inventory.load_target(settings, "rehearsal"))


def test_a_build_is_published_and_not_repeated(world: World) -> None:
    world.write()
    (record,) = world.build()
    assert [r.name for r in record.rpms] == ["tiny", "tiny"]
    home = repo.home(world.settings, "rehearsal")
    assert all((home / r.file).is_file() for r in record.rpms)
    index = (home / "repodata" / "repomd.xml").read_text()
    assert ".gz" in index
    assert world.build() == [record]
    world.write(build="echo other")
    (other,) = world.build()
    assert other.key != record.key
    assert not world.containers()


def test_a_compile_error_names_the_error_the_log_and_a_shell(world: World) -> None:
    world.write()
    before = world.build()
    world.write(build="echo 'int main(void) { return nothing; }' > a.c\ncc a.c")
    with pytest.raises(CompileError) as caught:
        world.build()
    assert "a.c:1:25: error: 'nothing' undeclared" in caught.value.message.replace(
        "‘", "'"
    ).replace("’", "'")
    log = Path(caught.value.message.partition("log: ")[2].strip())
    assert "nothing" in log.read_text()
    command = caught.value.hint.partition("`")[2].rpartition("`")[0].split()
    shell = [word for word in command if word != "-it"]
    done = subprocess.run([*shell, "-c", "cat a.c"], capture_output=True, text=True)
    assert "int main" in done.stdout
    assert list(world.published().values()) == before
    assert not world.containers()
    world.write()
    assert world.build() == before
    docker.from_env().images.remove(command[-2])


def test_a_missing_build_requirement_is_enforced(world: World) -> None:
    world.write(more="BuildRequires: no-such-thing-devel")
    with pytest.raises(CompileError, match="no-such-thing-devel is needed by tiny"):
        world.build()
    docker.from_env().images.remove("sheepvirt/rehearsal-failed:tiny")


def test_a_feature_without_evidence_is_not_published(world: World) -> None:
    (world.folder / "tiny").mkdir()
    intent = (paths.ROOT / "patches" / "libvirt" / "enable-sheepdog.toml").read_text()
    (world.folder / "tiny" / "enable-sheepdog.toml").write_text(intent)
    feature = '[features.sheepdog]\nintent = "enable-sheepdog"\nrpm_file = "/usr/lib64/a.so"\n'
    world.write(package=PACKAGE + feature)
    with pytest.raises(RuleMismatchError, match="nothing defines with_storage_sheepdog"):
        world.build()
    assert world.published() == {}
    assert not world.containers()


def test_a_patch_is_staged_and_one_that_the_spec_forgets_is_caught(world: World) -> None:
    world.write(more="Patch1: 0001-say.patch", build="cat said && grep -q patched said")
    spec = world.folder / "tiny" / "tiny.spec"
    spec.write_text(spec.read_text().replace("%build", "%prep\n%autosetup -c -T -p1\n%build"))
    change = "--- /dev/null\n+++ b/said\n@@ -0,0 +1 @@\n+patched\n"
    (world.folder / "tiny" / "0001-say.patch").write_text(f"Reason: a test.\n\n{change}")
    (record,) = world.build()
    assert [e.claim for e in record.evidence if e.gate == "spec"] == ["0001-say.patch is applied"]
    (world.folder / "tiny" / "0002-more.patch").write_text(f"Reason: another.\n\n{change}")
    with pytest.raises(ContractError, match=r"0002-more\.patch is applied: %prep does not name"):
        world.build()
    assert list(world.published().values()) == [record]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_half(world: World, number: signal.Signals) -> None:
    world.write()
    before = world.build()
    world.write(build="echo now it sleeps; sleep 600")
    process = world.start()
    world.wait(world.started)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not world.containers()
    assert list(world.published().values()) == before
    assert len(list((world.settings.dist / ".repos" / "rehearsal").iterdir())) == 1


def test_what_a_killed_run_left_is_removed_by_the_next(world: World) -> None:
    world.write(build="echo now it sleeps; sleep 600")
    process = world.start()
    world.wait(world.started)
    process.kill()
    process.communicate(timeout=60)
    assert len(world.containers()) == 1
    world.write()
    world.build()
    assert not world.containers()


def test_a_builder_that_dies_is_named_as_such(world: World) -> None:
    world.write(build="echo now it sleeps; sleep 600")
    caught: list[BaseException] = []

    def run() -> None:
        try:
            world.build(Progress(world.folder / "run.log"))
        except SheepvirtError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    world.wait(world.started)
    for container in world.containers():
        container.kill()
    thread.join(60)
    assert isinstance(caught[0], BuildError)
    assert "was killed" in caught[0].message
    assert not world.containers()


def test_a_second_run_waits_and_says_for_whom(world: World) -> None:
    world.write()
    with lock(world.settings, "target-rehearsal", quiet()):
        process = world.start()
        read_until(process, "waiting: target-rehearsal is in use by process")
        assert process.poll() is None
    finish(process)


def test_a_broken_package_file_is_named_before_anything_runs(world: World) -> None:
    world.write(package=PACKAGE + 'installed_subpackage = ["x"]\n')
    with pytest.raises(ConfigError, match="unknown key 'installed_subpackage'") as caught:
        world.build()
    assert "did you mean 'installed_subpackages'?" in caught.value.hint
