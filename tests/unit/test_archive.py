"""A bundle's file: what was written is read back; what is cut, changed or foreign is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sheepvirt.bundle import archive, lockfile
from sheepvirt.bundle.lockfile import ImageRow, Lock, Member, PackageRow, SourceRow
from sheepvirt.core.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("sources/aaaa/one.tar.xz", "images/builder.tar.gz", "repos/etc/apt/sources.list",
         "requirements.lock")  # fmt: skip  # a table
CONTENTS = (b"one", b"x" * 1500, b"", b"invoke==2\n" * 52)  # the last is 520 bytes: two blocks
FILES_OK = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)


def lock_of(*contents: bytes, names: tuple[str, ...] = NAMES) -> Lock:
    members = tuple(
        Member(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in zip(names, contents, strict=True)
    )
    return Lock(
        target="rehearsal",
        version="0.1.0",
        revision="ab" * 20,
        made="2026-11-25 03:00:00 UTC",
        selectors=("libvirt",),
        images=(
            ImageRow(
                kind="builder",
                tag="sheepvirt/rehearsal-builder:00ff",
                id=f"sha256:{'1' * 64}",
                layers=(f"sha256:{'2' * 64}",),
                member=names[1],
            ),
        ),
        sources=(
            SourceRow(
                package="libvirt",
                file="one.tar.xz",
                pin=members[0].sha256,
                git=False,
                member=names[0],
            ),
        ),
        packages=(PackageRow(name="libvirt", version="7.0.0", key="k"),),
        installed={"rpm": ("a-1-1.x86_64",), "dpkg": ()},
        members=members,
    )


def written(folder: Path, *contents: bytes, lock: Lock | None = None) -> Path:
    files = []
    for number, data in enumerate(contents):
        files.append(folder / f"member-{number}")
        files[-1].write_bytes(data)
    path = folder / "bundle.tar"
    archive.write(path, lock or lock_of(*contents), files)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return written(tmp_path, *CONTENTS)


@FILES_OK
@given(contents=st.tuples(*[st.binary(max_size=2000)] * 4))
def test_what_was_written_is_read_back(tmp_path: Path, contents: tuple[bytes, ...]) -> None:
    found = archive.read(written(tmp_path, *contents))
    assert found.lock == lock_of(*contents)
    assert tuple(b"".join(found.content(name)) for name in NAMES) == contents


def test_the_same_contents_make_the_same_file(tmp_path: Path) -> None:
    first = written(tmp_path, *CONTENTS).read_bytes()
    assert written(tmp_path, *CONTENTS).read_bytes() == first


def test_tar_itself_reads_it_and_sha256sum_its_seal(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", bundle, "-C", out], check=True)
    assert tuple((out / name).read_bytes() for name in NAMES) == CONTENTS
    subprocess.run(["sha256sum", "--quiet", "-c", archive.SEAL], cwd=out, check=True)
    with tarfile.open(bundle) as opened:
        assert opened.getnames() == [lockfile.NAME, archive.SEAL, *NAMES]


@FILES_OK
@given(place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_bit_of_it_may_change(bundle: Path, place: int, bit: int) -> None:
    good = bundle.read_bytes()
    data = bytearray(good)
    data[place % len(data)] ^= 1 << bit
    bundle.write_bytes(data)
    try:
        with pytest.raises(BundleError):
            archive.read(bundle)
    finally:
        bundle.write_bytes(good)


@FILES_OK
@given(left=st.integers(min_value=0))
def test_no_byte_of_its_end_may_be_missing(bundle: Path, left: int) -> None:
    good = bundle.read_bytes()
    bundle.write_bytes(good[: left % len(good)])
    try:
        with pytest.raises(BundleError):
            archive.read(bundle)
    finally:
        bundle.write_bytes(good)


@pytest.mark.parametrize("name", [lockfile.NAME, archive.SEAL, *NAMES[:2], NAMES[3]])
def test_what_was_changed_or_cut_is_named(bundle: Path, name: str) -> None:
    with tarfile.open(bundle) as opened:
        start = opened.getmember(name).offset_data
    data = bytearray(bundle.read_bytes())
    data[start + 1] ^= 1
    changed = bundle.with_name("changed.tar")
    changed.write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}.* was changed") as caught:
        archive.read(changed)
    assert str(changed) in caught.value.message
    assert caught.value.exit_code == 13
    cut = bundle.with_name("cut.tar")
    cut.write_bytes(bundle.read_bytes()[: start + 1])
    with pytest.raises(BundleError, match=f"truncated at {start + 1} bytes: {name} is incomplete"):
        archive.read(cut)


def test_more_after_its_end_is_refused(bundle: Path) -> None:
    bundle.write_bytes(bundle.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="it has data after its last member"):
        archive.read(bundle)


@pytest.mark.parametrize("content", [b"", b"<html>login</html>", b"\x1f\x8b" + bytes(2000)])
def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page.tar"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"page\.tar is not a bundle: its start is wrong"):
        archive.read(path)
    with pytest.raises(BundleError, match="cannot be read: No such file"):
        archive.read(tmp_path / "absent.tar")
    with pytest.raises(BundleError, match="cannot be read: Is a directory"):
        archive.read(tmp_path)


def test_a_tar_of_somebody_else_is_refused(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xf", bundle, "-C", out], check=True)
    again = tmp_path / "again.tar"
    names = [lockfile.NAME, archive.SEAL, *NAMES]
    subprocess.run(["tar", "-cf", again, "-C", out, *names], check=True)
    with pytest.raises(BundleError, match="is not a bundle"):
        archive.read(again)


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/passwd", "a//b", "./a", "", "a\0b", "a" * 101, "a b"]
)
def test_a_name_that_leads_elsewhere_is_refused_when_it_is_read(tmp_path: Path, name: str) -> None:
    names = (*NAMES[:2], name, NAMES[3])
    lock = lock_of(*CONTENTS, names=names)
    with pytest.raises(BundleError, match="'name'"):
        lockfile.load(lockfile.dump(lock))


def test_a_file_name_of_a_source_is_one(tmp_path: Path) -> None:
    lock = lock_of(*CONTENTS)
    for file in ("..", "a/b", "", "/a", "a\0"):
        evil = replace(lock, sources=(replace(lock.sources[0], file=file),))
        with pytest.raises(BundleError, match="'file'"):
            lockfile.load(lockfile.dump(evil))


def test_members_and_what_they_are_for_must_match() -> None:
    lock = lock_of(*CONTENTS)
    cases = {
        "lists requirements.lock twice": (*lock.members, lock.members[3]),
        "lacks the member images/builder": (lock.members[0], *lock.members[2:]),
        "does not use the member evil": (
            *lock.members,
            Member(name="evil", size=0, sha256="0" * 64),
        ),
    }
    for words, members in cases.items():
        with pytest.raises(BundleError, match=words):
            lockfile.load(lockfile.dump(replace(lock, members=members)))


@pytest.mark.parametrize(
    "change",
    [
        {"format": 0},
        {"format": 3},
        {"format": None},
        {"extra": 1},
        {"members": 3},
        {"words": [1]},
        {"target": []},
        {"members": [{"name": "a", "size": -1, "sha256": "0" * 64}]},
        {"members": [{"name": "a", "size": True, "sha256": "0" * 64}]},
        {"members": [{"name": "a", "size": 1, "sha256": "0" * 63}]},
    ],
)
def test_a_lock_of_another_shape_is_refused(change: dict[str, object]) -> None:
    rows = json.loads(lockfile.dump(lock_of(*CONTENTS)))
    with pytest.raises(BundleError, match=r"bundle\.json"):
        lockfile.load(json.dumps({**rows, **change}).encode())


def test_a_lock_keeps_the_key_of_its_selectors() -> None:
    lock = lock_of(*CONTENTS)
    rows = json.loads(lockfile.dump(lock))
    assert (rows["words"], "selectors" in rows) == (["libvirt"], False)
    assert lockfile.load(lockfile.dump(lock)) == lock


@settings(deadline=None)  # no timing decides a test
@given(st.binary(max_size=200) | st.recursive(st.integers(), st.lists).map(str).map(str.encode))
def test_no_lock_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"bundle\.json"):
        lockfile.load(data)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        lockfile.load(b"[" * 100_000 + data)


def test_a_file_that_changes_meanwhile_leaves_the_former_bundle(tmp_path: Path) -> None:
    former = written(tmp_path, *CONTENTS).read_bytes()
    lock = lock_of(b"two", *CONTENTS[1:])
    with pytest.raises(BundleError, match="changed while it was bundled"):
        written(tmp_path, *CONTENTS, lock=lock)
    assert (tmp_path / "bundle.tar").read_bytes() == former
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        archive.write(tmp_path / "file" / "b.tar", lock_of(*CONTENTS), [])


def test_odd_names_of_files_in_an_image_become_plain_ones() -> None:
    assert lockfile.member_name("repos", "/etc/a b@c.gpg") == "repos/etc/a%20b%40c.gpg"
    for name in ("/etc/../x", "/" + "a" * 120):
        with pytest.raises(BundleError, match="under its name"):
            lockfile.member_name("repos", name)


def test_a_header_is_what_tar_writes(tmp_path: Path) -> None:
    info = tarfile.TarInfo.frombuf(archive.header("a/b", 12345), "ascii", "strict")
    assert (info.name, info.size, info.mode, info.isreg()) == ("a/b", 12345, 0o644, True)
    assert len(archive.header("a" * 100, lockfile.BIGGEST)) == archive.BLOCK
