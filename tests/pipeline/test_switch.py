"""A host goes from one version of a package to another and back, by dnf itself. Real engine.

The newer one has a sub-package that the older one lacks and that asks for its own version, as
libvirt 7.0.0's have it beside 1.0.3's.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from world import SETTINGS, run_with, within

from sheepvirt.bootstrap import consent, host_files
from sheepvirt.bootstrap.facts import gather
from sheepvirt.bootstrap.steps import packages
from sheepvirt.bootstrap.steps.base import DesiredState
from sheepvirt.builds import execute, repo
from sheepvirt.config import inventory
from sheepvirt.core.progress import quiet
from sheepvirt.images import recipes
from sheepvirt.model.hosts import Dependencies, Host
from sheepvirt.model.networks import Bridge, Network

if TYPE_CHECKING:
    from sheepvirt.bootstrap.schemas import Schemas
    from sheepvirt.engine.container import Container
    from sheepvirt.model.builds import BuildRecord
    from sheepvirt.run import Run

pytestmark = pytest.mark.engine
HOST = Host(
    name="h",
    target="rehearsal",
    rehearsal=True,
    address="::1",
    port=0,
    user="root",
    bridges=(Bridge(name="b"),),
    networks=(Network(name="n", bridge="b"),),
    guests=(),
)
SPEC = """\
Name: tiny
Version: {version}
Release: 1%{{?dist}}
Summary: A package of a test
License: Public Domain
BuildArch: noarch
{more}
%description
A package of a test.
%install
mkdir -p %{{buildroot}}%{{_datadir}}/tiny
touch %{{buildroot}}%{{_datadir}}/tiny/file
%files {files}
%{{_datadir}}/tiny
"""
LIBS = """\
Requires: tiny-libs = %{version}
%package libs
Summary: A part of it
Requires: tiny = %{version}
%description libs
What the older version has in its main package.
%files
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    home = tmp_path / "specs" / "tiny"
    home.mkdir(parents=True)
    (home / "package.toml").write_text(
        'version = "2"\nspec = "tiny.spec"\nspec_from = "here"\ninstalled_subpackages = ["tiny"]\n'
    )
    for version, more, files in (("1", "", ""), ("2", LIBS, "libs")):
        (home / f"{version}.toml").write_text("")
        (home / version).mkdir()
        text = SPEC.format(version=version, more=more, files=files)
        (home / version / "tiny.spec").write_text(text)
    return run_with(within(tmp_path, specs=tmp_path / "specs", patches=tmp_path / "none"))


def published(run: Run, version: str, shelf: Path) -> tuple[BuildRecord, ...]:
    """Build a version; copy its repo to ``shelf``, which the host has."""
    target = inventory.load_target(run.settings, "rehearsal")
    records = execute.build_rpms(run, target, [f"tiny={version}"])
    shutil.copytree(repo.home(run.settings, target.name), shelf / version)
    return tuple(records)


def switch(host: Container, records: tuple[BuildRecord, ...], folder: str) -> list[str]:
    """Let the step look, change what differs, look again; return what it said it would do."""
    host.write(
        "/etc/yum.repos.d/ours.repo", f"[ours]\nname=o\nbaseurl=file://{folder}\ngpgcheck=0\n"
    )
    wanted = DesiredState(
        host=HOST,
        dependencies=Dependencies(packages=(), services=()),
        repo=Path(),
        repomd="",
        records=records,
        images={},
        consent=consent.EVERYTHING,
        schemas=cast("Schemas", None),  # the step makes no XML
        host_files=host_files.load(SETTINGS.host),
    )
    listed = "%{NAME}\\t%{NEVRA}\\t%{SHA1HEADER}\\t%{SOURCERPM}\\n"

    def look() -> Any:
        rows = host.run(["rpm", "-qa", "--qf", listed], check=True).stdout
        return gather.parse({"packages": rows, "installer": "dnf", "boot": "b"})

    def write(path: str, content: bytes) -> None:
        host.run(["mkdir", "-p", str(Path(path).parent)], check=True)
        host.write(path, content.decode())

    def run_with_input(*argv: str, stdin: bytes) -> Any:
        host.write("/stdin", stdin.decode())
        fed = ("sh", "-c", 'exec "$@" </stdin', "sh", *argv)
        return host.run(fed, env={"LC_ALL": "C"}, check=True)

    context = SimpleNamespace(
        connection=SimpleNamespace(host=HOST, write=write), progress=quiet(), run=run_with_input
    )
    seen = look()
    said = [change.what for change in packages.check(wanted, seen, ())]
    packages.apply(wanted, seen, context)  # type: ignore[arg-type]
    assert packages.check(wanted, look(), ()) == []
    return said


def test_there_and_back(run: Run, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    new, old = (published(run, version, shelf) for version in ("2", "1"))
    image = recipes.ensure(run, inventory.load_target(run.settings, "rehearsal"), "host")
    with run.engine.container(image, mounts={shelf: ("/shelf", "ro")}, network="none") as host:
        switch(host, new, "/shelf/2")
        asked = switch(host, old, "/shelf/1")
        assert asked == [
            "tiny-1-1.rehearsal.noarch by dnf, in place of another version",
            "tiny-libs removed by dnf: from another version, and not in this repo",
        ]
        assert host.run(["rpm", "-q", "tiny-libs"]).code
        assert host.run(["rpm", "-q", "tiny"]).stdout.strip() == "tiny-1-1.rehearsal.noarch"
        switch(host, new, "/shelf/2")
        assert not host.run(["rpm", "-q", "tiny-libs"]).code
