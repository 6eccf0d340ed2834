"""Files are written whole or not at all, and private folders are private."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from sheepvirt.core import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_written_with_its_folder_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    files.write_whole(path, "日本語\n", mode=0o600)
    assert path.read_text(encoding="utf-8") == "日本語\n"
    assert mode(path) == 0o600
    files.write_whole(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert mode(path) == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_a_failure_keeps_the_former_file_and_leaves_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    files.write_whole(path, "former")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_whole(path, "new")
    assert path.read_text() == "former"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_private_folder_and_what_leads_to_it_is_for_this_user_alone(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        made = files.private_folder(tmp_path / "state" / "hosts" / "tahiti")
    finally:
        os.umask(former)
    assert [mode(p) for p in (made, made.parent, made.parent.parent)] == [0o700] * 3
    assert files.private_folder(made) == made


def test_the_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
