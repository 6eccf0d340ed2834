"""Edited configuration: told and not judged, and shown only where everyone may read it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rpm_bytes

from sheepvirt.bootstrap import edited, installed_rpms
from sheepvirt.bootstrap.installed_rpms import Altered
from sheepvirt.core.errors import NotShownError
from sheepvirt.rpm import rpms

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parent / "data" / "compat"
OLD = DATA / "old-tools-1-1.el6.noarch.rpm"
ONE = "/usr/share/old-tools/one"
CONF = "/etc/sysconfig/x"
OPEN = {
    **dict.fromkeys(["/", "/etc", "/etc/sysconfig"], stat.S_IFDIR | 0o755),
    CONF: stat.S_IFREG | 0o644,
}
CONFIDENTIAL = 0o100640


def row(what: str, kind: str = "c", path: str = ONE) -> Altered:
    return Altered(path=path, what=what, kind=kind)


def host(content: bytes) -> Callable[[str], bytes]:
    return lambda _path: content


@pytest.mark.parametrize(
    ("line", "edit"),
    [
        ("S.5....T.  c /etc/libvirt/qemu.conf", True),
        (".......T.  c /etc/a file", True),
        (".M...UG..  c /etc/x", True),
        ("S.5....T   c /etc/x", True),  # eight signs, as rpm 4.6 prints them
        ("S.5....T.    /usr/bin/virsh", False),  # a program
        ("S.5....T.  d /usr/share/doc/x", False),
        ("SM5..UGT.  g /var/lib/x", False),
        ("missing    c /etc/x", False),  # gone is not edited
        ("..?......  c /etc/x", False),  # nobody could look at it
        ("Unsatisfied dependencies for libvirt-7.0.0-1.x86_64:", False),
    ],
)
def test_what_counts_as_edited(line: str, edit: bool) -> None:
    (found,) = installed_rpms.altered(line)
    assert edited.is_edit(found) is edit


def test_a_difference_is_shown_against_the_published_rpm() -> None:
    told = edited.told(row("S.5....T."), [OLD], host(b"one\nmore\n"))
    assert told.splitlines() == [
        f"{ONE} (size, content, time)",
        f"--- {ONE} (packaged)",
        f"+++ {ONE}",
        "@@ -1 +1,2 @@",
        " one",
        "+more",
    ]


@pytest.mark.parametrize(
    ("files", "content", "why"),
    [
        ([], b"", "its RPM is not in the published repo"),
        ([DATA / "gone.rpm"], b"", "its RPM is not in the published repo"),
        (
            [DATA / "new-tools-1-rc1.rpm"],
            b"",
            "its RPM is not in the published repo",
        ),  # of another RPM
        ([DATA / "old-tools-zstd.rpm"], b"", "old-tools-zstd.rpm cannot be read here: 'zstd'"),
        ([DATA / "old.spec"], b"", "old.spec cannot be read here: old.spec is not a readable RPM"),
        ([OLD], b"\xff\xfe", "it is not text"),
        ([OLD], b"a\0b", "it is not text"),
        ([OLD], b"\x1b[2J", "it is not text"),  # nothing of a host moves our cursor
        ([OLD], b"x" * 300_000, "it is too large to be shown"),
    ],
)
def test_where_there_is_nothing_to_show_the_file_is_named(
    files: list[Path], content: bytes, why: str
) -> None:
    told = edited.told(row("S.5....T."), files, host(content))
    assert told.startswith(f"{ONE} (size, content, time); no diff: {why}")
    assert "\n" not in told or "old.spec" in told


def test_a_file_of_the_same_content_is_not_even_read() -> None:
    def never(path: str) -> bytes:
        raise AssertionError(path)

    assert edited.told(row(".M....G.."), [OLD], never) == f"{ONE} (mode, group)"


def test_a_long_difference_is_cut() -> None:
    told = edited.told(row("S.5......"), [OLD], host(b"x\n" * 500)).splitlines()
    assert len(told) == 1 + edited.MOST_LINES + 1
    assert told[-1] == "(444 more lines)"


def test_what_was_packaged_for_few_is_not_shown(tmp_path: Path) -> None:
    tags = rpm_bytes.files(["secret", "open"], [7, 3], [CONFIDENTIAL, rpm_bytes.FILE])
    archive = rpm_bytes.newc("./a/secret", b"sesame\n") + rpm_bytes.newc("./a/open", b"ok\n")
    rpm = rpm_bytes.make(tmp_path / "a.rpm", archive + rpm_bytes.END, tags)
    assert rpms.modes(rpms.header(rpm)) == {"/a/secret": CONFIDENTIAL, "/a/open": rpm_bytes.FILE}
    assert "+no" in edited.told(row("S.5......", path="/a/open"), [rpm], host(b"no\n"))
    told = edited.told(row("S.5......", path="/a/secret"), [rpm], host(b"open sesame\n"))
    assert told == "/a/secret (size, content); no diff: not everyone may read the packaged file"


def test_what_few_may_read_on_the_host_is_not_shown() -> None:
    def refuse(path: str) -> bytes:
        raise NotShownError("not everyone may read it")

    assert edited.told(row("..5......"), [OLD], refuse) == (
        f"{ONE} (content); no diff: not everyone may read it"
    )


@pytest.mark.parametrize(
    ("path", "mode", "public"),
    [
        (CONF, stat.S_IFREG | 0o644, True),
        (CONF, stat.S_IFREG | 0o640, False),
        (CONF, stat.S_IFLNK | 0o777, False),  # leads elsewhere
        ("/etc/sysconfig", stat.S_IFDIR | 0o711, True),
        ("/etc/sysconfig", stat.S_IFDIR | 0o700, False),  # as /etc/libvirt is
        ("/etc", stat.S_IFLNK | 0o777, False),
        (CONF, 0, False),
    ],
)
def test_what_everyone_may_read(path: str, mode: int, public: bool) -> None:
    assert edited.folders(CONF) == ["/", "/etc", "/etc/sysconfig"]
    assert edited.is_public(CONF, {**OPEN, path: mode}) is public
