"""Preflight: findings and their fixes, and which target they lead to."""

from __future__ import annotations

import http.server
import ssl
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sheepvirt import pipeline
from sheepvirt.builds import preflight
from sheepvirt.config import inventory
from sheepvirt.core import web
from sheepvirt.core.errors import PreflightError, WebError
from sheepvirt.core.progress import Progress
from sheepvirt.engine import machine
from sheepvirt.model.targets import Finding, Rootfs
from tests.here import SETTINGS, run_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.model.builds import Target

EL6 = inventory.load_target(SETTINGS, "el6")
GOOD = Finding(what="a", ok=True, detail="fine")
BAD = Finding(
    what="base image", ok=False, detail="the registry\nis out of reach", fix="name a mirror"
)
REPOMD = b'<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="http://linux.duke.edu/">\n'

MAPS = (
    "5597-55a0 r--p 00000000 fe:00 12 /usr/bin/cat\n"
    "7ffc1f5f9000-7ffc1f5fb000 r-xp 00000000 00:00 0 [vdso]\n"
)
PAGE = "ffffffffff600000-ffffffffff601000 {} 00000000 00:00 0                  [vsyscall]\n"


@pytest.mark.parametrize(
    ("maps", "cmdline", "mode"),
    [
        (MAPS + PAGE.format("--xp"), "quiet", "xonly"),
        (MAPS + PAGE.format("r-xp"), "quiet", "emulate"),
        (MAPS, "quiet", "none"),
        (MAPS + PAGE.format("--xp"), "vsyscall=none", "xonly"),  # what is there decides
        ("", "quiet vsyscall=emulate ro", "emulate"),
        ("", "vsyscall=xonly vsyscall=none", "none"),  # the last one counts
        ("", "quiet novsyscall=1", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_the_mode_of_the_running_kernel(maps: str, cmdline: str, mode: str) -> None:
    assert machine.vsyscall_mode(maps, cmdline) == mode


def test_this_kernel_has_a_mode_and_this_machine_has_memory() -> None:
    assert machine.vsyscall() in {"none", "xonly", "emulate"}
    memory = machine.available_memory_mb()
    assert memory is not None
    assert memory > 0


def test_memory_is_read_from_meminfo() -> None:
    text = "MemTotal:       24680000 kB\nMemAvailable:    1000000 kB\n"
    assert machine.memory_mb(text) == 1024
    assert machine.memory_mb("MemTotal: 1 kB\n") is None


def test_vsyscall_none_leaves_the_image_that_is_made_for_it() -> None:
    found = preflight.judge_vsyscall("none", EL6)
    assert found.ok
    assert "no_vsyscall" in found.detail
    assert "139" in found.detail
    stock = replace(EL6, images=EL6.images[:2])
    found = preflight.judge_vsyscall("none", stock)
    assert not found.ok
    assert "139" in found.detail
    assert "vsyscall=xonly" in found.fix
    assert preflight.judge_vsyscall("none", replace(stock, rootfs=Rootfs("/a"))).ok
    assert preflight.judge_vsyscall("xonly", stock).ok


@pytest.mark.parametrize(
    ("content", "ok", "word"),
    [
        (REPOMD, True, "answers"),
        (b"<!DOCTYPE html>\n<html><title>log in</title>", False, "web page (HTML) instead of"),
        (b"  <html><body>moved</body></html>", False, "web page"),
        (b"<html>about <repomd", False, "web page"),
        (b"404", False, "not repodata: '404'"),
        (b"", False, "not repodata"),
    ],
)
def test_a_mirror_is_judged_by_what_it_serves(content: bytes, ok: bool, word: str) -> None:
    found = preflight.judge_repomd("http://m/", content)
    assert found.ok == ok
    assert word in found.detail
    assert "http://m/" in found.what
    assert ok or found.fix


def test_the_second_place_will_do_and_the_first_is_told() -> None:
    found = preflight.judge_refusals("repo os", [replace(BAD, what="m1"), replace(GOOD, what="m2")])
    assert found.ok
    assert found.detail == "m2: fine; m1: the registry is out of reach"
    found = preflight.judge_refusals("repo os", [BAD, replace(BAD, fix="other")])
    assert not found.ok
    assert found.fix == "name a mirror"


def test_room_is_judged_with_its_figures() -> None:
    found = preflight.judge_disk(Path("/a"), 3.25, 4.0, "build")
    assert not found.ok
    assert "3.2 GB free at /a; 4 GB" in found.detail
    assert "/a" in found.fix
    assert not preflight.judge_memory(999).ok
    assert preflight.judge_memory(1000).ok
    assert preflight.judge_memory(None).ok


def test_all_that_is_missing_is_said_with_its_fix() -> None:
    preflight.require(EL6, [GOOD])
    with pytest.raises(PreflightError) as caught:
        preflight.require(EL6, [GOOD, BAD, replace(BAD, what="disk", fix="make room")])
    text = str(caught.value)
    assert "base image: the registry is out of reach" in text
    assert "what to do: name a mirror" in text
    assert "make room" in text
    assert "fine" not in text
    assert caught.value.exit_code == 12


def test_looks_are_side_by_side_and_one_without_an_end_is_a_finding() -> None:
    forever = threading.Event()

    def stuck() -> Finding:
        forever.wait()
        return GOOD

    found = preflight.side_by_side([("slow", stuck), ("quick", lambda: GOOD)], patience=0.2)
    forever.set()
    assert found[1] == GOOD
    assert not found[0].ok
    assert found[0].what == "slow"
    assert "nothing answered" in found[0].detail


def choose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Finding) -> str:
    asked: list[str] = []

    def examine(_run: object, target: Target) -> tuple[Finding, ...]:
        asked.append(target.name)
        return (GOOD, found)

    monkeypatch.setattr(preflight, "examine", examine)
    chosen, why = pipeline.choose_target(run_in(progress=Progress(log=tmp_path / "log")), "")
    assert asked == ["el6"]
    assert why.startswith(f"target {chosen.name}: ")
    return chosen.name


def test_el6_is_taken_where_nothing_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose(monkeypatch, tmp_path, GOOD) == "el6"
    first, second = capsys.readouterr().out.splitlines()
    assert "target el6: this is the first run of its kind" in first
    assert "CentOS 6" in first
    assert f"its log, {tmp_path / 'log'}, to the project's issue tracker" in first
    assert second.startswith("target el6: the best one, and it can be built here")


def test_the_fall_back_says_in_one_line_what_made_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose(monkeypatch, tmp_path, BAD) == "rehearsal"
    line, *rest = capsys.readouterr().out.splitlines()
    assert not rest
    assert line.startswith(
        "target rehearsal: the embedded default, since el6 cannot be built here: base image: the "
        "registry is out of reach (`invoke doctor` says more) (Debian bullseye"
    )


class Page(http.server.BaseHTTPRequestHandler):
    """Serves repodata below /good/, a login page everywhere else, nothing below /gone/."""

    def do_GET(self) -> None:
        if self.path.startswith("/gone/"):
            self.send_error(404)
            return
        body = REPOMD if self.path.startswith("/good/") else b"<html>please log in</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 10 * self.path.startswith("/short")))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_mirrors_that_answer_something_else_are_told_apart(server: str) -> None:
    repo = replace(EL6.repos[0], urls=(f"{server}/gone/$basearch/", f"{server}/login/"))
    found = preflight.look_at_repo(EL6, repo)
    assert not found.ok
    assert f"{server}/gone/x86_64/: HTTP Error 404" in found.detail
    assert "web page (HTML)" in found.detail
    assert found.fix
    found = preflight.look_at_repo(EL6, replace(repo, urls=(*repo.urls, f"{server}/good/")))
    assert found.ok
    assert found.detail.startswith(f"mirror {server}/good/: answers")


def test_tls_that_is_not_trusted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ssl.SSLCertVerificationError("certificate verify failed: self-signed certificate")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(WebError) as caught:
        web.read("https://vault.invalid/", 1, seconds=1)
    assert caught.value.tls
    assert "self-signed" in caught.value.message
    found = preflight.look_at_repo(EL6, EL6.repos[0])
    assert not found.ok
    assert "CA bundle" in found.fix
    assert "SSL_CERT_FILE" in found.fix


def test_a_download_that_ends_too_early_is_no_download(server: str, tmp_path: Path) -> None:
    with pytest.raises(WebError, match="only 26 of 36 bytes"):
        web.download(f"{server}/short", tmp_path / "a")
    assert web.download(f"{server}/whole", tmp_path / "a").read_bytes().startswith(b"<html>")


def test_a_rootfs_is_looked_at_before(tmp_path: Path) -> None:
    path = tmp_path / "c6.tar"
    gone = preflight.look_at_rootfs(Rootfs(str(path)))
    path.write_text("<html>", encoding="utf-8")
    page = preflight.look_at_rootfs(Rootfs(str(path)))
    assert not gone.ok
    assert "not a file here" in gone.detail
    assert not page.ok
    assert "not a tar archive" in page.detail
    assert page.fix
