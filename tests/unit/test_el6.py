"""The el6 target: what works of it without an image, and what is said where it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sheepvirt import build, config, images, paths, pipeline
from sheepvirt.compat_model import Ceilings
from sheepvirt.engine import Engine
from sheepvirt.errors import EngineError
from sheepvirt.progress import Progress

DATA = Path(__file__).parent / "data" / "spec"
EL6 = config.load_target("el6")


def test_the_target_is_data() -> None:
    assert EL6.dist == ".el6" and EL6.macros["rhel"] == "6"
    assert EL6.ceilings == Ceilings(rpm="4.8", yum="3.2.29", glibc="2.12")
    assert [i.pinned for i in EL6.images] == [True, False, False]


@pytest.mark.parametrize("name", ["daemon.spec", "plugin.spec.in"])
def test_a_spec_is_patched_for_it(name: str, tmp_path: Path) -> None:
    def run(file: Path) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "sheepvirt.spec", "--target", "el6", str(file)]
        return subprocess.run(argv, cwd=paths.ROOT, capture_output=True, text=True)

    first = run(DATA / name)
    (tmp_path / name).write_text(first.stdout, encoding="utf-8")
    second = run(tmp_path / name)
    assert (first.returncode, second.returncode) == (0, 0)
    assert second.stdout == first.stdout and "0%{!?_without_storage_sheepdog:" in first.stdout
    assert "already enabled" in second.stderr and "already enabled" not in first.stderr


def test_building_on_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Engine) -> None:
        raise AssertionError("the engine was asked")

    monkeypatch.setattr(Engine, "__init__", refuse)
    progress = Progress(log=tmp_path / "log")
    with pytest.raises(EngineError) as caught:
        build.build_rpms(EL6, [], progress)
    assert "centos:6@sha256:" in caught.value.message and "not built yet" in caught.value.message
    assert "--target rehearsal" in caught.value.hint
    with pytest.raises(EngineError):
        build.explain(EL6, [])
    with pytest.raises(EngineError):
        images.tag_of(EL6, "base")


def test_nobody_gets_it_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline.choose_target("", Progress(log=tmp_path / "log")).name == "rehearsal"
    assert "needs no image registry" in capsys.readouterr().out
