"""A package's files of this tree: packed as upstream would, without what tools leave."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import factories
import pytest

from sheepvirt.builds import staging
from sheepvirt.config import catalog, versions
from tests.here import SETTINGS

if TYPE_CHECKING:
    from sheepvirt.model.builds import Package

DATA = Path(__file__).parent / "data" / "spec"


@pytest.fixture
def ours(tmp_path: Path) -> Package:
    folder = tmp_path / "ours"
    for name in (
        "src/a.py",
        "src/__pycache__/a.pyc",
        "src/sub/b.py",
        "unit",
        "ours.spec",
        ".cache/x",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    (folder / "src/a.py").chmod(0o755)
    files = ("src", "unit")
    return factories.package(
        name="ours",
        version="1.0",
        spec="ours.spec",
        spec_from="here",
        folder=folder,
        patches=folder,
        files=files,
    )


def test_what_is_named_is_packed_below_one_folder_and_belongs_to_root(
    ours: Package, tmp_path: Path
) -> None:
    path = staging.pack(ours, tmp_path)
    assert path.name == "ours-1.0.tar", "the name that the spec's Source0 has"
    with tarfile.open(path) as archive:
        found = {m.name: m for m in archive if m.isfile()}
    assert found.keys() == {f"ours-1.0/{n}" for n in ("src/a.py", "src/sub/b.py", "unit")}
    assert {(m.uid, m.gid, m.uname) for m in found.values()} == {(0, 0, "root")}
    assert found["ours-1.0/src/a.py"].mode & 0o111


def test_what_tools_leave_is_no_input_of_a_build(ours: Package) -> None:
    names = {str(p.relative_to(ours.folder)) for p in versions.files(ours)}
    assert names == {"ours.spec", "src/a.py", "src/sub/b.py", "unit"}


def test_the_stand_ins_spec_installs_what_is_packed() -> None:
    package = catalog.load_package(SETTINGS, "pocketsheep")
    text = (package.folder / package.spec).read_text(encoding="utf-8")
    assert f"Version:        {package.version}\n" in text
    assert "Source0:        %{name}-%{version}.tar\n" in text
    for name in package.files:
        assert name in text
    source = (SETTINGS.specs / "pocketsheep" / "pocketsheep" / "__init__.py").read_text("utf-8")
    assert f'VERSION = "{package.version}"' in source


def test_the_pack_is_the_same_whatever_the_checkouts_dates_and_modes(
    ours: Package, tmp_path: Path
) -> None:
    first = staging.pack(ours, tmp_path).read_bytes()
    for path in ours.folder.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
    assert staging.pack(ours, tmp_path).read_bytes() == first


def test_the_date_of_a_build_is_that_of_its_first_tarball(tmp_path: Path) -> None:
    patch, tar = tmp_path / "a.patch", tmp_path / "a.tar.xz"
    patch.write_text("no tar")
    with tarfile.open(tar, "w:xz") as archive:
        for name, date in (("a", 1500000000), ("a/newer", 1600000000)):
            info = tarfile.TarInfo(name)
            info.mtime = date
            archive.addfile(info)
    assert staging.epoch([patch, tar]) == 1500000000
    assert staging.epoch([patch]) == staging.epoch([]) == staging.EPOCH
    tar.write_bytes(tar.read_bytes()[:40])
    assert staging.epoch([tar]) == staging.EPOCH


@pytest.mark.parametrize("version", ["0.10.2", "1.0.3"])
def test_what_an_intent_says_names_upstreams_own_lines(tmp_path: Path, version: str) -> None:
    """The spec was adjusted before: a tag was added above, and our patches."""
    package = catalog.load_package(SETTINGS, "libvirt", version)
    spec = (DATA / "daemon.spec").read_text(encoding="utf-8")
    for shift, text in enumerate((spec, "# one line\n" + spec)):
        (tmp_path / "libvirt.spec").write_text(text, encoding="utf-8")
        tarball = tmp_path / package.sources[0].file
        with tarfile.open(tarball, "w:gz") as archive:
            archive.add(tmp_path / "libvirt.spec", f"libvirt-{version}/libvirt.spec")
        done = staging.patched_spec(package, [tarball], {"rhel": "6", "dist": ".el6"})
        assert "BuildRequires: libgcrypt-devel: after line " in "".join(done.actions)
        number = text.split("\n").index("Requires: sheepdog", 70) + 1
        assert number == 74 + shift
        assert f"Requires: sheepdog: there already (line {number})" in done.actions
