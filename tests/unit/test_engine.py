"""Where no engine answers, that is said; output comes in whole lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sheepvirt.core.errors import EngineUnavailableError
from sheepvirt.engine.container import Lines
from sheepvirt.engine.engine import Engine
from sheepvirt.engine.image_store import proxies

if TYPE_CHECKING:
    from pathlib import Path


def test_no_engine_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(EngineUnavailableError, match="no container engine answers") as caught:
        Engine().connect()
    assert "`make engine`" in caught.value.hint
    assert caught.value.exit_code == 5


def test_proxies_of_the_user_reach_image_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert proxies() == {}
    monkeypatch.setenv("https_proxy", "http://proxy.lan:3128")
    monkeypatch.setenv("NO_PROXY", "")
    assert proxies() == {"https_proxy": "http://proxy.lan:3128"}


def test_output_is_cut_into_lines_wherever_the_engine_cuts_it() -> None:
    seen: list[str] = []
    lines = Lines(seen.append)
    for chunk in (b"one\ntw", b"o\n", "中".encode()[:1], "中".encode()[1:] + b"\nend"):
        lines.feed(chunk)
    lines.end()
    assert seen == ["one", "two", "中", "end"]
