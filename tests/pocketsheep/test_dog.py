"""dog: what it prints is what libvirt reads, and what it is told is done or said to have failed."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketsheep import commands, dog, listing
from pocketsheep.client import Connection, Refused
from pocketsheep.inode import Inode
from pocketsheep.wire import Kind, ObjectId
from tests.here import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 1 << 20
SERVER = [sys.executable, "-m", "pocketsheep"]


def number(text: str) -> tuple[int, str]:
    """Read a number as libvirt's virStrToLong does; return it and what follows the next byte."""
    found = re.match(r"\s*(\d+)", text)
    if not found:
        raise ValueError(text)
    return int(found[1]), text[found.end() + 1 :]


def libvirt_reads_node(output: str) -> tuple[int, int]:
    """Return (capacity, allocation): virStorageBackendSheepdogParseNodeInfo of libvirt 7.0.0."""
    for line in output.split("\n")[:-1]:
        if line.startswith("Total "):
            capacity, rest = number(line[6:])
            return capacity, number(rest)[0]
    raise ValueError(output)


def libvirt_reads_list(output: str) -> tuple[int, int]:
    """Return (capacity, allocation): virStorageBackendSheepdogParseVdiList of libvirt 7.0.0."""
    for line in output.split("\n")[:-1]:
        if not line.startswith("="):
            continue
        rest = line[2:]
        while rest and rest[0] != " ":
            rest = rest[2:] if rest[0] == "\\" else rest[1:]
        _, rest = number(rest)
        capacity, rest = number(rest)
        return capacity, number(rest)[0]
    raise ValueError(output)


def test_the_reader_is_libvirts() -> None:
    """Its own test data (tests/storagebackendsheepdogtest.c)."""
    assert libvirt_reads_node("stuff\nTotal 1 2 \n") == (1, 2)
    assert libvirt_reads_list("= test\\ with\\ spaces 3 10 20 0 1336557216 7c2b27\n") == (10, 20)
    assert libvirt_reads_list("= backslashattheend\\\\ 3 10 20 0 1 7c2b27\n") == (10, 20)
    assert libvirt_reads_list("s test 1 10 20 0 1 7c2b25\n= test 3 50 60 0 1 7\n") == (50, 60)


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60),
    st.integers(0, 1 << 42),
    st.integers(0, 5),
)
def test_libvirt_reads_any_name(name: str, size: int, objects: int) -> None:
    inode = Inode(0x7C2B27, name.encode(), size, map=(0x7C2B27).to_bytes(4, "little") * objects)
    assert libvirt_reads_list(listing.raw_line(inode).decode()) == (size, objects * 4 * MB)


def test_the_lines_of_the_node() -> None:
    status = {"capacity": 15245667872, "used": 117571104, "promised": 20972341}
    raw = listing.node_lines(status, raw=True)
    assert raw.startswith("0 15245667872 117571104 15128096768 0%\nTotal 15245667872 117571104 ")
    assert libvirt_reads_node(raw) == (15245667872, 117571104)
    assert "14 GB" in listing.node_lines(status, raw=False)


@pytest.mark.parametrize(
    ("text", "size"), [("10", 10), ("10K", 10240), ("3m", 3 * MB), ("2G", 2 << 30), ("1T", 1 << 40)]
)
def test_sizes(text: str, size: int) -> None:
    assert dog.size_of(text) == size


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run the real program on a free port; stop it as systemd does."""
    folder = tmp_path_factory.mktemp("dog") / "store"
    with subprocess.Popen(
        [*SERVER, "--store", str(folder), "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(SETTINGS.specs / "pocketsheep")},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "stand-in for sheepdog" in process.stderr.readline()
        found = re.fullmatch(r"serving 127\.0\.0\.1 port (\d+)\n", process.stderr.readline())
        assert found
        with Connection("127.0.0.1", int(found[1])) as connection:
            connection.format(1)
        yield int(found[1])
        process.terminate()
        assert process.wait(10) == 0


class Ran:
    """What a run of dog came to."""

    def __init__(self, code: int, out: bytes, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runner:
    return Runner(port, monkeypatch, tmp_path)


class Runner:
    """Runs dog in this process."""

    def __init__(self, port: int, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._port = port
        self._monkeypatch = monkeypatch
        self._input = folder / "input"

    def __call__(self, *words: str, given: bytes = b"") -> Ran:
        self._input.write_bytes(given)
        out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with self._monkeypatch.context() as here, self._input.open() as source:
            here.setattr(sys, "stdin", source)
            here.setattr(sys, "stdout", out)
            here.setattr(sys, "stderr", err)
            code = dog.main([*words, "-a", "127.0.0.1", "-p", str(self._port)])
            out.flush()
        assert isinstance(out.buffer, io.BytesIO)
        return Ran(code, out.buffer.getvalue(), err.getvalue())


def test_what_libvirt_calls(run: Runner) -> None:
    assert run("vdi", "create", "papeete", str(64 * MB)).code == 0
    assert run("vdi", "create", "papeete", str(64 * MB)).code == commands.EXISTS
    raw = run("vdi", "list", "-r").out.decode()
    assert [line.split(" ")[1] for line in raw.splitlines()] == ["papeete"]
    one = run("vdi", "list", "papeete", "-r").out.decode()
    assert libvirt_reads_list(one) == (64 * MB, 0)
    assert run("vdi", "resize", "papeete", str(128 * MB)).code == 0
    assert libvirt_reads_list(run("vdi", "list", "papeete", "-r").out.decode())[0] == 128 * MB
    node = run("node", "info", "-r")
    assert libvirt_reads_node(node.out.decode())[1] == 0
    assert "stand-in for sheepdog" in node.err
    assert run("vdi", "delete", "papeete").code == 0
    assert run("vdi", "list", "-r").out == b""


def test_what_cannot_be_done_is_said(run: Runner) -> None:
    for words, code, said in (
        (("vdi", "delete", "none"), commands.MISSING, "no such VDI"),
        (("vdi", "create", "large", "5T"), commands.FAILURE, "invalid parameters"),
        (("vdi", "create", "two\nlines", "5M"), commands.FAILURE, "invalid parameters"),
        (("vdi", "create", "x" * 300, "5M"), commands.FAILURE, "a name of 300 bytes"),
        (("vdi", "create", "none"), commands.USAGE, ""),
        (("vdi", "create", "none", "5Q"), commands.USAGE, ""),
        (("cluster", "format", "-c", "3"), commands.USAGE, "single node"),
        (("vdi", "frobnicate"), commands.USAGE, ""),
    ):
        ran = run(*words)
        assert (ran.code, said in ran.err) == (code, True), (words, ran.err)
    assert run("vdi", "list", "none", "-r").out == b""


def test_a_server_that_is_gone_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert dog.main(["node", "info", "-r", "-p", "1"]) == commands.SYSFAIL
    assert "no server answers at 127.0.0.1 port 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["it's", 'a "name"', "a/b", "../x", "sp ace", "$(id)", "名前", ";"]
)
def test_a_name_is_data(run: Runner, name: str) -> None:
    assert run("vdi", "create", name, "8M").code == 0
    assert libvirt_reads_list(run("vdi", "list", name, "-r").out.decode()) == (8 * MB, 0)
    assert run("vdi", "write", name, given=b"inside").code == 0
    assert run("vdi", "read", name, "0", "6").out == b"inside"
    assert run("vdi", "delete", name).code == 0


def test_an_image_goes_in_and_comes_out(run: Runner) -> None:
    image = os.urandom(5 * MB) + bytes(4 * MB) + b"end"
    assert run("vdi", "create", "image", "16M").code == 0
    assert run("vdi", "write", "image", given=image).code == 0
    assert run("vdi", "read", "image").out == image.ljust(16 * MB, b"\0")
    used = libvirt_reads_list(run("vdi", "list", "image", "-r").out.decode())[1]
    assert used == 12 * MB, "the object of zeros was left out"
    assert run("vdi", "write", "image", "3", "2", given=b"XY and more").code == 0
    assert run("vdi", "read", "image", "2", "4").out == image[2:3] + b"XY" + image[5:6]
    assert run("vdi", "delete", "image").code == 0


def test_an_image_larger_than_the_vdi_is_refused_before_anything_is_written(run: Runner) -> None:
    assert run("vdi", "create", "small", "1M").code == 0
    ran = run("vdi", "write", "small", given=b"x" * (MB + 1))
    assert ran.code == commands.FAILURE
    assert f"{MB + 1} bytes do not fit" in ran.err
    assert run("vdi", "read", "small", "0", "4").out == bytes(4)
    assert run("vdi", "write", "small", given=b"x" * MB).code == 0
    assert run("vdi", "delete", "small").code == 0


def test_snapshots(run: Runner) -> None:
    assert run("vdi", "create", "snap", "8M").code == 0
    assert run("vdi", "write", "snap", given=b"before").code == 0
    assert run("vdi", "snapshot", "snap", "-s", "monday").code == 0
    assert run("vdi", "write", "snap", given=b"after!").code == 0
    assert run("vdi", "read", "snap", "-s", "monday", "0", "6").out == b"before"
    assert run("vdi", "read", "-s", "1", "snap", "0", "6").out == b"before"
    assert run("vdi", "read", "snap", "0", "6").out == b"after!"
    lines = run("vdi", "list", "-r", "snap").out.decode().splitlines()
    assert [(line[0], line.split(" ")[2]) for line in lines] == [("s", "1"), ("=", "2")]
    assert run("vdi", "object", "snap", "-i", "0").out.endswith(b"on this node\n")
    assert run("vdi", "delete", "-s", "monday", "snap").code == 0
    assert run("vdi", "read", "snap", "0", "6").out == b"after!"
    assert run("vdi", "delete", "snap").code == 0


def test_a_vdi_that_a_guest_writes_is_not_deleted(run: Runner, port: int) -> None:
    assert run("vdi", "create", "busy", "8M").code == 0
    with Connection("127.0.0.1", port) as guest:
        vid = guest.find(b"busy")
        guest.write(ObjectId(Kind.DATA, vid, 0), 0, b"x", create=True)
        assert "in use" in run("vdi", "delete", "busy").err
    assert run("vdi", "delete", "busy").code == 0


def test_the_cluster_in_sheepdogs_words(run: Runner) -> None:
    ran = run("cluster", "info")
    assert ran.out == b"Cluster status: running\n"
    assert "stand-in" in ran.err
    assert run("cluster", "format", "-c", "1").code == 0


def test_refused_has_words() -> None:
    assert "in use" in str(Refused(7))
    assert str(Refused(0x99)) == "error 0x99"
