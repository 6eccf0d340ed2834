"""Two builds held against each other: the same, or every difference by name."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rpm_bytes

from sheepvirt import rpm_compare
from sheepvirt.core import paths
from sheepvirt.core.errors import BuildError
from sheepvirt.rpm import rpms
from sheepvirt.rpm_compare import DIFFERENT, IDENTICAL, SAME

DATA = Path(__file__).parent / "data"
SAMPLE = DATA / "sheepdog-placeholder-0.0.1-1.rehearsal.noarch.rpm"
OTHER = DATA / "compat" / "old-tools-1-1.el6.noarch.rpm"
ZSTD = DATA / "compat" / "old-tools-zstd.rpm"


def run(*arguments: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sheepvirt.rpm_compare", *map(str, arguments)]
    return subprocess.run(argv, cwd=paths.ROOT, capture_output=True, text=True)


def changed(path: Path, tmp_path: Path, tag: bytes) -> Path:
    """Return a copy of an RPM in which the value of a string tag (its text) differs."""
    data = path.read_bytes()
    assert data.count(tag) == 1
    copy = tmp_path / path.name
    copy.write_bytes(data.replace(tag, bytes([tag[0] ^ 1]) + tag[1:]))
    return copy


def test_a_copy_is_identical(tmp_path: Path) -> None:
    copy = tmp_path / SAMPLE.name
    shutil.copyfile(SAMPLE, copy)
    assert rpm_compare.compare(SAMPLE, copy).verdict == IDENTICAL


def test_another_build_host_is_the_same_contents(tmp_path: Path) -> None:
    tags = rpms.header(SAMPLE).tags
    cookie = tags["cookie"]  # the host's name is at its start, and in a tag of its own
    data = SAMPLE.read_bytes()
    at = data.index(cookie)
    copy = tmp_path / SAMPLE.name
    copy.write_bytes(data[:at] + bytes([cookie[0] ^ 1]) + data[at + 1 :])
    found = rpm_compare.compare(SAMPLE, copy)
    assert (found.verdict, found.differences) == (SAME, ())


def test_a_changed_summary_is_named(tmp_path: Path) -> None:
    summary = rpms.header(SAMPLE).tags["summary"]
    found = rpm_compare.compare(SAMPLE, changed(SAMPLE, tmp_path, bytes(summary)))
    assert found.verdict == DIFFERENT
    assert [d for d in found.differences if d.startswith("header: summary: ")]


def test_two_other_rpms_differ_in_files_and_tags() -> None:
    found = rpm_compare.compare(SAMPLE, OTHER)
    assert found.verdict == DIFFERENT
    text = "\n".join(found.differences)
    assert "header: name: 'sheepdog-placeholder' against 'old-tools'" in text
    assert "file only in the one: /usr/bin/dog" in text


def test_the_payload_is_read_and_not_the_header_believed(tmp_path: Path) -> None:
    data = SAMPLE.read_bytes()
    copy = tmp_path / SAMPLE.name
    copy.write_bytes(data[:-40] + bytes([data[-40] ^ 255]) + data[-39:])
    with pytest.raises(BuildError, match="is a broken RPM"):
        rpm_compare.compare(SAMPLE, copy)


def test_a_payload_that_cannot_be_read_is_no_pass(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="sheepvirt cannot read a zstd payload"):
        rpm_compare.compare(ZSTD, OTHER)


def test_an_archive_that_is_stripped_or_not_compressed_is_the_same_contents(
    tmp_path: Path,
) -> None:
    files = rpm_bytes.files(["a", "b"], [3, 5], [rpm_bytes.FILE, rpm_bytes.FILE])
    stripped = rpm_bytes.stripped(1, b"hello") + rpm_bytes.stripped(0, b"abc") + rpm_bytes.END
    named = rpm_bytes.newc("./a/a", b"abc") + rpm_bytes.newc("./a/b", b"hello") + rpm_bytes.END
    one = rpm_bytes.make(tmp_path / "one.rpm", gzip.compress(stripped), files)
    other = rpm_bytes.make(tmp_path / "other.rpm", named, files)
    assert rpm_compare.compare(one, other).verdict == SAME
    altered = rpm_bytes.make(tmp_path / "altered.rpm", named.replace(b"hello", b"jello"), files)
    found = rpm_compare.compare(one, altered)
    assert (found.verdict, found.differences) == (DIFFERENT, ("content of /a/b",))


def test_repos_are_compared_by_name_of_package(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "deeper").mkdir(parents=True)
        shutil.copyfile(SAMPLE, folder / "deeper" / f"{folder.name}.rpm")
    shutil.copyfile(OTHER, other / "b.rpm")
    found = rpm_compare.compare_all(one, other)
    assert [(row.name, row.verdict) for row in found] == [
        ("sheepdog-placeholder-0.0.1-1.rehearsal.noarch", IDENTICAL),
        ("old-tools-1-1.el6.noarch", DIFFERENT),
    ]
    assert found[1].differences == (f"only {other} has it",)
    done = run(one, other)
    assert done.returncode == 1
    assert f"  only {other} has it\n" in done.stdout
    assert run(one, one).returncode == 0


def test_a_wrong_path_is_no_traceback(tmp_path: Path) -> None:
    done = run(SAMPLE, tmp_path / "absent")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert run(tmp_path, tmp_path).returncode == 2
