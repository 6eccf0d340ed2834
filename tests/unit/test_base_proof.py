"""A base is believed only when it says what its target wants and its tools run."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sheepvirt.config import inventory
from sheepvirt.core.processes import Result
from sheepvirt.images import bases
from sheepvirt.images.base_proof import Seen, judge
from tests.here import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

EL6 = inventory.load_target(SETTINGS, "el6")
GOOD = Seen(
    release="CentOS release 6.10 (Final)\n",
    os_release=None,
    saved=False,
    rpm=Result(code=0, stdout="RPM version 4.8.0\n", stderr=""),
    yum=Result(
        code=0,
        stdout="3.2.29\n  Installed: rpm-4.8.0-59.el6.x86_64 at 2018-06-26 14:34\n",
        stderr="",
    ),
)
DEBIAN = replace(
    GOOD, release=None, os_release='NAME="D"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n'
)


def test_what_centos_6_says_is_enough() -> None:
    assert judge(EL6, GOOD) is None


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (DEBIAN, "is not 'CentOS release 6.': it is 'Debian GNU/Linux 11 (bullseye)'"),
        (
            replace(GOOD, release="CentOS Linux release 7.9.2009 (Core)\n"),
            "it is 'CentOS Linux release 7.9.2009 (Core)'",
        ),
        (
            replace(GOOD, release="Red Hat Enterprise Linux Server release 6.10 (Santiago)\n"),
            "'Red Hat Enterprise Linux Server release 6.10 (Santiago)'",
        ),
        (replace(GOOD, release=None), "a system without a name"),
        (replace(GOOD, release=""), "a system without a name"),
        (replace(GOOD, release=None, saved=True), "`docker save`"),
        (replace(GOOD, rpm=Result(code=139, stdout="", stderr="")), "exit code 139"),
        (replace(GOOD, rpm=Result(code=127, stdout="", stderr="")), "it has no rpm"),
        (replace(GOOD, yum=Result(code=127, stdout="", stderr="")), "it has no yum"),
        (
            replace(GOOD, rpm=Result(code=0, stdout="RPM version 4.11.3\n", stderr="")),
            "its rpm is 4.11.3, not 4.8",
        ),
        (replace(GOOD, rpm=Result(code=0, stdout="RPM version 4.80.1\n", stderr="")), "not 4.8"),
        (
            replace(GOOD, yum=Result(code=0, stdout="3.4.3\n", stderr="")),
            "its yum is 3.4.3, not 3.2.29",
        ),
        (
            replace(
                GOOD,
                yum=Result(
                    code=1, stdout="", stderr="Traceback\nImportError: No module named yum\n"
                ),
            ),
            "ImportError: No module named yum",
        ),
    ],
)
def test_what_is_not_it_is_named_for_what_it_is(seen: Seen, word: str) -> None:
    problem = judge(EL6, seen)
    assert problem is not None
    assert word in problem[0]
    assert problem[1]


def test_under_vsyscall_none_only_an_image_for_it_is_left() -> None:
    assert bases.usable_images(EL6, "xonly") == EL6.images
    left = bases.usable_images(EL6, "none")
    assert [i.no_vsyscall for i in left] == [True]


def archive(path: Path) -> bytes:
    with tarfile.open(path, "w") as tar:
        for name in ("etc/a", "etc/b", "etc/c"):
            info = tarfile.TarInfo(name)
            info.size = 700
            tar.addfile(info, io.BytesIO(b"x" * 700))
    return path.read_bytes()


def test_a_whole_archive_has_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    archive(path)
    assert bases.archive_fault(path) == ""


def test_a_truncated_archive_has_one_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    whole = archive(path)
    end = 3 * (512 + 1024)  # of the third file: after it come the empty blocks
    for size in (512, 600, 1536, 2048, 3000, end):
        path.write_bytes(whole[:size])
        assert "truncated" in bases.archive_fault(path), size


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (b"<html>no such file</html>", "starts with '<html>no such file</html>'"),
        (b"PK\x03\x04" + b"x" * 600, "is not a tar archive"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    assert word in bases.archive_fault(path)


@pytest.mark.parametrize("start", [b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"BZh9", b"\x28\xb5\x2f\xfd"])
def test_compressed_archives_are_the_engines_to_judge(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "a.tar.x"
    path.write_bytes(start + b"whatever")
    assert bases.archive_fault(path) == ""
