"""A package from a git commit, by the spec.in of its tree, and its stand-in. Real git and engine.

The tree has the shape of sheepdog's: a spec.in, a configure, a Makefile, a program called dog.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from world import run_with, within

from sheepvirt.builds import execute, repo
from sheepvirt.config import inventory
from sheepvirt.core.errors import ContractError, SourceUnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord

pytestmark = pytest.mark.engine
URL = "https://upstream.invalid/flock.git"
TREE = {
    "flock.spec.in": """\
Name: flock
Version: @VERSION@
Release: 1%{?dist}
Summary: A package of a test
License: Public Domain
Source0: %{name}-%{version}.tar.gz
Requires: corosync %{_requires}
BuildRequires: corosynclib-devel make
%define debug_package %{nil}
%description
A package of a test.
%prep
%setup -q
%build
%{configure} --with-x
make
%install
make install DESTDIR=%{buildroot}
%files
%{_sbindir}/dog
%if 0%{_have_zookeeper}
%{_sbindir}/zk_control
%endif
""",
    "configure": '#!/bin/sh\necho "configure: $*"\necho "CFLAGS = $CFLAGS" > flags.mk\n',
    # Two tentative definitions of one variable: what -fcommon is for.
    "a.c": "int herd;\nint main(void) { return herd; }\n",
    "b.c": "int herd;\n",
    "Makefile": "include flags.mk\ndog: a.o b.o\n\t$(CC) -o $@ $^\n"
    "install:\n\tinstall -D dog $(DESTDIR)/usr/sbin/dog\n"
    "\tinstall dog $(DESTDIR)/usr/sbin/zk_control\n",
}
REAL = """\
version = "1.2"
spec = "flock.spec.in"
spec_from = "tarball"
installed_subpackages = ["flock"]
[[sources]]
file = "flock-1.2.tar.gz"
git = {{ url = "{url}", commit = "{commit}" }}
[adjust]
without = ["corosync", "corosynclib-devel", "%{{_requires}}"]
build_requires = ["gcc", "%{{?_zookeeper:zookeeper-lib-devel}}"]
configure = ["--disable-corosync", "%{{?_zookeeper:--enable-zookeeper}}"]
substitute = {{ "@VERSION@" = "1.2" }}
define = {{ optflags = "%{{optflags}} -fcommon", _have_zookeeper = "0%{{?_zookeeper}}" }}
[macros.rehearsal]
_zookeeper = "1"
"""
SPEC = """\
Name: {name}
Version: 1
Release: 1%{{?dist}}
Summary: A package of a test
License: Public Domain
BuildArch: noarch
{more}
%description
A package of a test.
%install
mkdir -p %{{buildroot}}/usr/share/{name}
%files
/usr/share/{name}
"""


def ours(folder: Path, name: str, toml: str, more: str) -> None:
    (folder / name).mkdir()
    head = f'version = "1"\nspec = "{name}.spec"\nspec_from = "here"\n'
    (folder / name / "package.toml").write_text(head + toml)
    (folder / name / f"{name}.spec").write_text(SPEC.format(name=name, more=more))


@dataclass
class World:
    """A checkout of three packages, and the folder that git is told has the upstream of one."""

    settings: Settings
    mirror: Path

    def published(self) -> dict[str, BuildRecord]:
        """Return what is published, by package."""
        return repo.published(self.settings, "rehearsal")

    def build(self, *selectors: str) -> dict[str, BuildRecord]:
        """Build and publish; the repo is what the build returns."""
        target = inventory.load_target(self.settings, "rehearsal")
        built = execute.build_rpms(run_with(self.settings), target, selectors)
        found = {r.package: r for r in built}
        assert found == self.published()
        home = repo.home(self.settings, "rehearsal")
        folders = {p.name for p in home.iterdir() if p.is_dir()}
        assert folders == {*found, "repodata"}
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[user]\nname = A\nemail = a@b.invalid\n[url "{tmp_path}/mirror/"]\n'
        "insteadOf = https://upstream.invalid/\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    tree = tmp_path / "mirror" / "flock.git"
    tree.mkdir(parents=True)
    for name, text in TREE.items():
        (tree / name).write_text(text)
    (tree / "configure").chmod(0o755)
    for argv in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "1.2"]):
        subprocess.run(["git", "-C", str(tree), *argv], check=True)
    argv = ["git", "-C", str(tree), "rev-parse", "HEAD"]
    commit = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    specs = tmp_path / "specs"
    (specs / "flock").mkdir(parents=True)
    (specs / "flock" / "package.toml").write_text(REAL.format(url=URL, commit=commit))
    toml = 'targets = ["rehearsal"]\nstand_in = "it says so"\nstands_in_for = "flock"\n'
    ours(specs, "pocketflock", toml, "Provides: flock")
    ours(specs, "guest", 'build_packages = ["flock"]\n', "BuildRequires: flock")
    return World(within(tmp_path, specs=specs, patches=specs), tmp_path / "mirror")


def test_the_real_one_its_stand_in_and_back(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    real = world.build()
    assert real.keys() == {"flock", "guest"}
    assert f"flock: the real one: {URL} answers" in capsys.readouterr().err
    folder = repo.home(world.settings, "rehearsal") / "flock"
    assert "configure: " in (folder / "build.log").read_text()
    assert "--disable-corosync --enable-zookeeper" in (folder / "build.log").read_text()
    assert "-Requires: corosync %{_requires}" in (folder / "spec.diff").read_text()
    claims = {e.claim for e in real["flock"].evidence}
    assert {"nothing asks for corosync", "BuildRequires: zookeeper-lib-devel"} <= claims
    assert [r.nevra for r in real["flock"].rpms if "src" not in r.nevra] == [
        "flock-1.2-1.rehearsal.x86_64"
    ]

    world.mirror.rename(world.mirror.with_name("gone"))
    assert world.build() == real
    assert "flock: the real one: the published repo has it" in capsys.readouterr().err
    assert world.build("flock=real") == real
    assert "asked for; its source is in the cache" in capsys.readouterr().err

    other = world.build("flock=stand-in")
    assert other.keys() == {"pocketflock", "guest"}
    assert other["pocketflock"].stand_in == "it says so"
    assert other["guest"].key != real["guest"].key
    assert "guest 1: changed: package flock, package pocketflock" in capsys.readouterr().err

    shutil.rmtree(world.settings.sources)
    assert world.build() == other
    assert "flock: the stand-in pocketflock: the published repo" in capsys.readouterr().err
    with pytest.raises(SourceUnreachableError):
        world.build("flock=real")
    assert world.published() == other


def test_a_dependency_that_comes_back_by_a_macro_is_seen_by_rpm(world: World) -> None:
    path = world.settings.specs / "flock" / "package.toml"
    path.write_text(
        path.read_text()
        .replace('"corosynclib-devel", ', "")
        .replace('optflags = "', '_requires = "corosync", optflags = "')
        .replace(', "%{_requires}"]', "]")
    )
    with pytest.raises(ContractError, match=r"nothing asks for corosync: Requires: corosync"):
        world.build()
    assert world.published() == {}
