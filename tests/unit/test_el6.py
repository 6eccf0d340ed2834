"""The el6 target: what works of it without an image, and what is said where it does not."""

from __future__ import annotations

import configparser
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sheepvirt.builds import execute, preflight
from sheepvirt.config import inventory
from sheepvirt.core import paths
from sheepvirt.core.errors import PreflightError
from sheepvirt.engine import machine
from sheepvirt.images import recipes
from sheepvirt.model.targets import Ceilings, Finding, Rootfs
from tests.here import SETTINGS, run_in

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parent / "data" / "spec"
EL6 = inventory.load_target(SETTINGS, "el6")


def test_the_target_is_data() -> None:
    assert EL6.dist == ".el6"
    assert EL6.macros["rhel"] == "6"
    assert EL6.ceilings == Ceilings(rpm="4.8", yum="3.2.29", glibc="2.12")
    assert [i.pinned for i in EL6.images] == [True, False, False]


@pytest.mark.parametrize("name", ["el6", "el7", "el8"])
def test_each_el_has_an_image_that_is_pinned_and_repos_that_are_signed(name: str) -> None:
    target = inventory.load_target(SETTINGS, name)
    assert target.images[0].pinned
    assert target.dist == f".{name}"
    assert target.ceilings
    assert "unverified" in target.summary
    assert all(len(repo.urls) > 1 for repo in target.repos)
    assert {repo.key for repo in target.repos} == {key.file for key in target.keys}


@pytest.mark.parametrize("name", ["daemon.spec", "plugin.spec.in"])
def test_a_spec_is_patched_for_it(name: str, tmp_path: Path) -> None:
    def run(file: Path) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "sheepvirt.spec", "--target", "el6", str(file)]
        return subprocess.run(argv, cwd=paths.ROOT, capture_output=True, text=True)

    first = run(DATA / name)
    (tmp_path / name).write_text(first.stdout, encoding="utf-8")
    second = run(tmp_path / name)
    assert (first.returncode, second.returncode) == (0, 0)
    assert second.stdout == first.stdout
    assert "0%{!?_without_storage_sheepdog:" in first.stdout
    assert "already enabled" in second.stderr
    assert "already enabled" not in first.stderr


def test_building_on_it_says_what_is_missing_before_anything_is_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def begun(*_: object) -> None:
        raise AssertionError("something was begun")

    missing = Finding(what="base image", ok=False, detail="out of reach", fix="name a mirror")
    monkeypatch.setattr(preflight, "examine", lambda *_: (missing,))
    monkeypatch.setattr(execute, "lock", begun)
    with pytest.raises(PreflightError, match=r"base image: out of reach\n.*name a mirror"):
        execute.build_rpms(run_in(), EL6, [])


def test_its_tags_need_neither_engine_nor_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "vsyscall", lambda: "xonly")
    base, builder = recipes.tag_of(SETTINGS, EL6, "base"), recipes.tag_of(SETTINGS, EL6, "builder")
    assert base.startswith("sheepvirt/el6-base:")
    assert builder.startswith("sheepvirt/el6-builder:")
    other = replace(EL6, repos=EL6.repos[:1])
    assert recipes.tag_of(SETTINGS, other, "base") == base
    assert recipes.tag_of(SETTINGS, other, "builder") != builder
    mine = replace(EL6, repos=tuple(replace(r, mirrors=("http://m.lan/",)) for r in EL6.repos))
    assert (
        recipes.tag_of(SETTINGS, mine, "builder") == builder
    )  # the same RPMs, whoever context them over
    monkeypatch.setattr(machine, "vsyscall", lambda: "none")
    assert recipes.tag_of(SETTINGS, EL6, "base") != base  # other images are left


def test_a_rootfs_is_known_by_its_hash_else_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "c6.tar"
    path.write_text("one", encoding="utf-8")

    def tag(sha256: str = "") -> str:
        return recipes.tag_of(SETTINGS, replace(EL6, rootfs=Rootfs(str(path), sha256)), "base")

    unpinned, pinned = tag(), tag("a" * 64)
    path.write_text("another", encoding="utf-8")
    assert tag() != unpinned
    assert tag("a" * 64) == pinned
    assert tag("b" * 64) != pinned


def test_the_builder_is_what_it_was(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    recipes.write_context(SETTINGS, EL6, "builder", "sheepvirt/el6-base:0", tmp_path / "context")
    files = sorted(p.name for p in (tmp_path / "context").iterdir())
    assert files == ["Containerfile", "sheepvirt.repo"]
    for name in files:
        golden(f"el6-{name}", (tmp_path / "context" / name).read_text(encoding="utf-8"))


def test_its_repos_can_be_read_as_yum_does(tmp_path: Path) -> None:
    recipes.write_context(SETTINGS, EL6, "builder", "b", tmp_path / "context")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(tmp_path / "context" / "sheepvirt.repo", encoding="utf-8")
    assert parser.sections() == ["os", "updates", "extras", "epel"]
    for repo in EL6.repos:
        row = parser[repo.name]
        assert tuple(row["baseurl"].split()) == repo.urls
        assert row["gpgcheck"] == "1"
        assert row["gpgkey"].endswith(f"/{repo.key}")
