"""What a run prints and writes while it works."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sheepvirt.core.progress import Progress
from sheepvirt.core.visible import visible


def plain(path: Path) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(path / "run.log", Console(file=out, width=100, highlight=False)), out


def test_stages_are_plain_lines_without_a_terminal(tmp_path: Path) -> None:
    progress, out = plain(tmp_path)
    with progress.stage("libvirt: rpmbuild") as stage:
        stage.line("compiling [1/2]\n")
        stage.note = "29 RPMs"
    assert "… libvirt: rpmbuild\n" in out.getvalue()
    assert "✔ libvirt: rpmbuild" in out.getvalue()
    assert "29 RPMs" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert "libvirt: rpmbuild: compiling [1/2]" in (tmp_path / "run.log").read_text()


def test_a_failed_stage_says_so_and_is_timed(tmp_path: Path) -> None:
    progress, out = plain(tmp_path)
    with pytest.raises(ValueError, match="boom"), progress.stage("outer"), progress.stage("inner"):
        raise ValueError("boom")
    assert "✘ inner" in out.getvalue()
    assert [(t.stage, t.note) for t in progress.timings] == [
        ("inner", "failed"),
        ("outer", "failed"),
    ]


def test_timings_are_written_whole(tmp_path: Path) -> None:
    progress, _ = plain(tmp_path)
    with progress.stage("one"):
        pass
    progress.write_timings(tmp_path / "deep" / "timings.json")
    rows = json.loads((tmp_path / "deep" / "timings.json").read_text())
    assert rows[0]["stage"] == "one"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["timings.json"]


def test_a_terminal_gets_stage_elapsed_and_last_line(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = Progress(console=Console(file=out, width=60, force_terminal=True))
    with progress.stage("libvirt: rpmbuild") as stage:
        stage.line("x" * 500)
        assert len(stage.__rich__().plain) < 60
        assert stage.__rich__().plain.startswith("  … libvirt: rpmbuild  0:0")


EVIL = "\x1b]0;pwned\x07\x1b[2J\r\x9b31m\u202eabc\x00\tend"
HARMLESS = "\\x1b]0;pwned\\x07\\x1b[2J\\x0d\\x9b31m\\u202eabc\\x00\tend"


@pytest.mark.parametrize("terminal", [False, True])
def test_what_a_host_prints_does_nothing_to_terminal_and_log(
    tmp_path: Path, terminal: bool
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=terminal, color_system=None)
    progress = Progress(tmp_path / "run.log", console)
    with progress.stage("a stage") as stage:
        stage.line(EVIL)
        assert stage.last == HARMLESS
        stage.note = EVIL
    progress.say(EVIL)
    progress.diff(f"+{EVIL}")
    for text in (out.getvalue(), (tmp_path / "run.log").read_text(encoding="utf-8")):
        for evil in ("\x1b]0", "\x07", "\x1b[2J\r", "\x9b", "\u202e", "\0"):
            assert evil not in text
    assert (tmp_path / "run.log").read_text(encoding="utf-8").count(HARMLESS) == 4


def test_text_of_any_language_is_shown_as_it_is() -> None:
    text = "名前\u3000状態 – ✔ é \t\n"
    assert visible(text) == text
