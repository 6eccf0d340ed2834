"""The store: what is whole, what is refused, what a full disk or a killed server leaves."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from pocketsheep import wire
from pocketsheep.errors import Refusal, StoreError
from pocketsheep.store import Store
from pocketsheep.wire import INODE_HEADER, OBJECT_SIZE, Kind, ObjectId, Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    opened = Store(folder)
    opened.format(1)
    yield opened
    opened.close()


def reopened(store: Store, folder: Path) -> Store:
    store.close()
    return Store(folder)


def fill(store: Store, vid: int, index: int, data: bytes) -> ObjectId:
    oid = ObjectId(Kind.DATA, vid, index)
    store.objects.create(oid, 0, data, None, durable=False)
    store.catalog.update(vid, INODE_HEADER + 4 * index, vid.to_bytes(4, "little"))
    return oid


def refused(result: Result) -> pytest.RaisesExc[Refusal]:
    return pytest.raises(Refusal, match=f"^{result.name}$")


def test_a_vdi_and_its_data_survive_a_restart(store: Store, folder: Path) -> None:
    vid = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    oid = fill(store, vid, 3, b"marker")
    again = reopened(store, folder)
    found = again.catalog.find(b"papeete")
    assert (found.vid, found.size, found.owner(3), found.owner(2)) == (vid, 64 * MB, vid, 0)
    assert again.objects.read(oid, 0, 8) == b"marker\0\0"
    assert again.formatted
    again.close()


def test_two_servers_on_one_store_are_refused(store: Store, folder: Path) -> None:
    with pytest.raises(StoreError, match="another server is using"):
        Store(folder)


def test_a_foreign_folder_is_refused_and_left_alone(folder: Path) -> None:
    (folder / "obj").mkdir(parents=True)
    (folder / "config").write_bytes(b"sheep")
    with pytest.raises(StoreError, match="it is not a store of pocketsheep"):
        Store(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["config", "obj"]


def test_a_filesystem_of_its_own_is_an_empty_folder(folder: Path) -> None:
    (folder / "lost+found").mkdir(parents=True)
    Store(folder).close()


@pytest.mark.parametrize(
    "text", ['{"format": 2}', '{"format": "1"}', "{}", "[]", "", "not json", "\0\xff"]
)
def test_a_format_that_is_not_known_is_refused(folder: Path, text: str) -> None:
    Store(folder).close()
    version = folder / "pocketsheep.json"
    version.write_text(text, encoding="latin-1")
    (folder / "scratch" / "of-the-newer-one").touch()
    with pytest.raises(StoreError, match=r"pocketsheep\.json says"):
        Store(folder)
    assert (folder / "scratch" / "of-the-newer-one").exists(), "something was changed"


def test_a_damaged_vdi_is_refused(store: Store, folder: Path) -> None:
    vid = store.catalog.create(b"papeete", MB, 0, snapshot=False).vid
    inode = folder / "vdi" / f"{vid:06x}" / "inode"
    inode.write_bytes(inode.read_bytes()[:100])
    with pytest.raises(StoreError, match="the store is damaged"):
        reopened(store, folder)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be the store"):
        Store(tmp_path / "file")


@pytest.mark.parametrize("name", [b"a/b", b"../../etc/passwd", b'it\'s "x"', b"\xe5\x90\x8d", b"."])
def test_a_name_is_data(store: Store, folder: Path, name: bytes) -> None:
    before = {p for p in folder.parent.rglob("*") if p.is_dir()}
    vid = store.catalog.create(name, MB, 0, snapshot=False).vid
    made = {p for p in folder.parent.rglob("*") if p.is_dir()} - before
    assert made == {folder / "vdi" / f"{vid:06x}"}
    again = reopened(store, folder)
    assert again.catalog.find(name).vid == vid
    again.close()


@pytest.mark.parametrize("name", [b"", b"a\nb", b"a\x7f", b"\x1b[2J", b"x" * 256])
def test_a_name_that_is_no_line_is_refused(store: Store, name: bytes) -> None:
    with refused(Result.INVALID_PARMS):
        store.catalog.create(name, MB, 0, snapshot=False)


def test_names_are_one_each_and_unknown_ones_are_told(store: Store) -> None:
    store.catalog.create(b"papeete", MB, 0, snapshot=False)
    with refused(Result.VDI_EXIST):
        store.catalog.create(b"papeete", MB, 0, snapshot=False)
    with refused(Result.NO_VDI):
        store.catalog.find(b"tahiti")
    with refused(Result.NO_TAG):
        store.catalog.find(b"papeete", b"monday")
    with refused(Result.INVALID_PARMS):
        store.catalog.create(b"large", wire.MAX_VDI_SIZE + 1, 0, snapshot=False)


def test_an_inode_refers_to_what_is_there_alone(store: Store) -> None:
    vid = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    with refused(Result.NO_OBJ):
        store.catalog.update(vid, INODE_HEADER, vid.to_bytes(4, "little"))
    with refused(Result.INVALID_PARMS):
        store.catalog.update(vid, INODE_HEADER, (vid + 1).to_bytes(4, "little"))
    assert store.catalog.get(vid).map == b""


def test_a_discarded_object_is_gone(store: Store, folder: Path) -> None:
    vid = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    oid = fill(store, vid, 3, b"marker")
    assert store.space().used == OBJECT_SIZE
    store.catalog.update(vid, INODE_HEADER + 4 * 3, bytes(4))
    assert not store.objects.exists(oid)
    assert store.space().used == 0


def test_a_snapshot_keeps_its_data_as_long_as_it_is_referred_to(store: Store, folder: Path) -> None:
    old = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    oid = fill(store, old, 0, b"before")
    new = store.catalog.create(b"papeete", 64 * MB, old, snapshot=True).vid
    assert store.catalog.find(b"papeete").vid == new
    assert store.catalog.find(b"papeete", snapid=1).vid == old
    with refused(Result.READONLY):
        store.catalog.update(old, INODE_HEADER, bytes(4))
    mine = ObjectId(Kind.DATA, new, 0)
    store.objects.create(mine, 2, b"XX", oid, durable=True)
    assert store.objects.read(mine, 0, 6) == b"beXXre"
    assert store.objects.read(oid, 0, 6) == b"before"
    store.catalog.delete(b"papeete", snapid=1)
    assert store.objects.exists(oid), "the VDI still refers to it"
    store = reopened(store, folder)
    assert store.objects.exists(oid)
    store.catalog.delete(b"papeete")
    assert not store.objects.exists(oid)
    assert store.catalog.all() == []
    store.close()
    assert list((folder / "scratch").iterdir()) == []


def test_a_deleted_vdis_id_is_not_given_away_while_the_server_runs(store: Store) -> None:
    """A guest that still has the deleted VDI open must not write into its successor."""
    first = store.catalog.create(b"papeete", MB, 0, snapshot=False).vid
    store.catalog.delete(b"papeete")
    assert store.catalog.create(b"papeete", MB, 0, snapshot=False).vid != first


def test_a_snapshot_that_was_not_finished_is_undone(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    fill(store, old, 0, b"before")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt  # nothing that the code handles: as if it had been killed

    monkeypatch.setattr(store.catalog, "_put", killed)
    with pytest.raises(KeyboardInterrupt):
        store.catalog.create(b"papeete", 64 * MB, old, snapshot=True)
    again = reopened(store, folder)
    assert [i.vid for i in again.catalog.all()] == [old]
    assert not again.catalog.find(b"papeete").snapshot
    again.close()


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_what_was_there(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vid = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    oid = fill(store, vid, 0, b"before")
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", full_disk)
        full.setattr(os, "pwrite", full_disk)
        with pytest.raises(OSError, match="No space"):
            store.objects.create(ObjectId(Kind.DATA, vid, 1), 0, b"x", None, durable=False)
        with pytest.raises(OSError, match="No space"):
            store.objects.create(oid, 0, b"after", None, durable=False)
        with pytest.raises(OSError, match="No space"):
            store.catalog.update(vid, 2 * wire.NAME + 24, (128 * MB).to_bytes(8, "little"))
        with pytest.raises(OSError, match="No space"):
            store.catalog.create(b"other", MB, 0, snapshot=False)
        with pytest.raises(OSError, match="No space"):
            store.catalog.create(b"papeete", 64 * MB, vid, snapshot=True)
    assert list((folder / "scratch").iterdir()) == [], "half-written files take the space"
    again = reopened(store, folder)
    assert [i.name for i in again.catalog.all()] == [b"papeete"]
    assert again.catalog.find(b"papeete").size == 64 * MB
    assert again.objects.read(oid, 0, 6) == b"before"
    again.close()


def test_deleting_works_on_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    vid = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    oid = fill(store, vid, 0, b"x")
    monkeypatch.setattr(os, "pwrite", full_disk)
    store.catalog.delete(b"papeete")
    assert not store.objects.exists(oid)
    assert store.catalog.bitmap()[vid // 8] >> vid % 8 & 1, "its id is still taken"


def test_a_flush_syncs_what_was_written_and_says_so_where_it_cannot(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    vid = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    oid = fill(store, vid, 0, b"x")
    store.objects.sync(vid)
    store.objects.write(oid, 5, b"y", durable=False)
    synced: list[int] = []

    def broken(fd: int) -> None:
        synced.append(fd)
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fdatasync", broken)
        for _ in range(2):
            with pytest.raises(OSError, match="broken"):
                store.objects.sync(vid)
    assert len(synced) == 2, "what was not synced has to be, at the next flush"
    monkeypatch.setattr(os, "fdatasync", synced.append)
    store.objects.sync(vid)
    store.objects.sync(vid)
    assert len(synced) == 3, "what was synced need not be again"


def test_the_first_flush_after_a_restart_syncs_what_the_killed_server_had_written(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vid = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    fill(store, vid, 0, b"x")
    fill(store, vid, 1, b"x")
    again = reopened(store, folder)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    again.objects.sync(vid)
    assert len(synced) == 2
    again.close()


def test_an_object_file_that_became_short_is_an_error_not_zeros(store: Store) -> None:
    vid = store.catalog.create(b"papeete", 64 * MB, 0, snapshot=False).vid
    oid = fill(store, vid, 0, b"x")
    os.truncate(store.objects.path(oid), 1000)
    with pytest.raises(OSError, match="shorter"):
        store.objects.read(oid, 900, 200)


def test_a_format_erases_nothing(store: Store) -> None:
    store.format(1)
    store.catalog.create(b"papeete", MB, 0, snapshot=False)
    with refused(Result.VDI_EXIST):
        store.format(1)
    with refused(Result.INVALID_PARMS):
        store.format(2)


def test_the_store_says_what_it_is(store: Store, folder: Path) -> None:
    assert json.loads((folder / "pocketsheep.json").read_text(encoding="utf-8")) == {
        "what": "a store of pocketsheep",
        "format": 1,
    }
