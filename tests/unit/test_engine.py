"""Where no engine answers, that is said; output comes in whole lines."""

from __future__ import annotations

import http.server
import json
import socketserver
import struct
import threading
from typing import TYPE_CHECKING

import docker
import pytest

from sheepvirt.core.errors import EngineUnavailableError
from sheepvirt.core.processes import Result
from sheepvirt.engine.container import Container, Lines
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


class Daemon(http.server.BaseHTTPRequestHandler):
    """An engine that runs one command; its output comes in one piece with the answer's header."""

    output = b"".join(
        struct.pack(">BxxxL", stream, len(text)) + text
        for stream, text in ((1, b"first\nsec"), (2, b"bad\n"), (1, b"ond\n"), (1, b"x" * 9000))
    )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/start"):
            self.wfile.write(
                b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                b"Content-Type: application/vnd.docker.raw-stream\r\n\r\n" + self.output
            )
            self.close_connection = True
        else:
            self._answer({"Id": "e"})

    def do_GET(self) -> None:
        self._answer({"ExitCode": 7})

    def _answer(self, value: object) -> None:
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_args: object) -> None:
        return

    def address_string(self) -> str:
        return "here"


def test_output_that_comes_with_the_answers_header_is_not_lost(tmp_path: Path) -> None:
    """On a busy machine it often does: a short command has ended when the header is read."""
    path = str(tmp_path / "engine.sock")
    with socketserver.ThreadingUnixStreamServer(path, Daemon) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            client = docker.DockerClient(base_url=f"unix://{path}", version="1.41")
            lines: list[str] = []
            result = Container(client, "c").run(["true"], on_line=lines.append)
            client.close()
        finally:
            server.shutdown()
    assert result == Result(code=7, stdout=f"first\nsecond\n{'x' * 9000}", stderr="bad\n")
    assert lines[0] == "first"
