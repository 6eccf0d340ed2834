"""Fetching: any place will do, the hash decides, nothing bad is kept."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sheepvirt.core.errors import SourceHashError, SourceUnreachableError
from sheepvirt.core.progress import Stage, quiet
from sheepvirt.model.builds import BundleSources, DebianSource, Source
from sheepvirt.sources import store

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.core.settings import Settings

GOOD = b"a tarball"
HASH = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def cache(settings: Settings) -> Path:
    return settings.cache


def source(*urls: Path, debian: bool = False) -> Source:
    known = DebianSource(package="a", file="a_1.orig.tar.xz") if debian else None
    return Source(
        file="a-1.tar.xz", sha256=HASH, urls=tuple(u.as_uri() for u in urls), debian=known
    )


def stage() -> Stage:
    return Stage("sources", quiet())


def place(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def kept(cache: Path) -> list[str]:
    return [p.name for p in cache.rglob("*") if p.is_file()]


def no_debian(_source: DebianSource, _folder: Path) -> Path:
    raise AssertionError("Debian was asked although it need not be")


def test_the_first_place_that_answers_is_taken(settings: Settings, tmp_path: Path) -> None:
    there = place(tmp_path / "there", GOOD)
    found = store.fetch(settings, source(tmp_path / "absent", there), stage(), debian=no_debian)
    assert found.read_bytes() == GOOD


def test_the_cache_comes_before_every_place(settings: Settings, tmp_path: Path) -> None:
    there = place(tmp_path / "there", GOOD)
    first = store.fetch(settings, source(there), stage())
    there.unlink()
    assert store.fetch(settings, source(there, debian=True), stage(), debian=no_debian) == first


def test_a_cached_file_that_went_bad_is_fetched_again(settings: Settings, tmp_path: Path) -> None:
    there = place(tmp_path / "there", GOOD)
    store.fetch(settings, source(there), stage()).write_bytes(b"bit rot")
    assert store.fetch(settings, source(there), stage()).read_bytes() == GOOD


def test_debian_has_it_when_upstream_is_out_of_reach(settings: Settings, tmp_path: Path) -> None:
    def debian(known: DebianSource, folder: Path) -> Path:
        return place(folder / known.file, GOOD)

    found = store.fetch(settings, source(tmp_path / "absent", debian=True), stage(), debian=debian)
    assert found.name == "a-1.tar.xz"
    assert found.read_bytes() == GOOD


def test_a_wrong_hash_names_both_and_keeps_nothing(
    settings: Settings, tmp_path: Path, cache: Path
) -> None:
    bad = place(tmp_path / "bad", b"<html>login</html>")
    with pytest.raises(SourceHashError) as caught:
        store.fetch(settings, source(bad), stage())
    assert HASH in caught.value.message
    assert hashlib.sha256(b"<html>login</html>").hexdigest() in caught.value.message
    assert kept(cache) == []
    assert caught.value.exit_code == 3


def test_a_place_with_a_wrong_file_does_not_hide_a_good_one(
    settings: Settings, tmp_path: Path
) -> None:
    bad, good = place(tmp_path / "bad", b"x"), place(tmp_path / "good", GOOD)
    assert store.fetch(settings, source(bad, good), stage()).read_bytes() == GOOD


def test_reach_is_the_cache_or_a_place_that_answers(settings: Settings, tmp_path: Path) -> None:
    there = place(tmp_path / "there", GOOD)
    wanted = source(tmp_path / "absent", there)
    assert store.availability(settings, wanted).why == f"{there.as_uri()} answers"
    store.fetch(settings, wanted, stage())
    there.unlink()
    assert store.availability(settings, wanted).why == "its source is in the cache"


def test_out_of_reach_is_said_of_the_first_source_that_is(
    settings: Settings, tmp_path: Path
) -> None:
    there = place(tmp_path / "there", GOOD)
    found = store.availability_of_all(
        settings, [source(there), source(tmp_path / "one"), source(tmp_path / "two")]
    )
    assert not found.ok
    assert f"{(tmp_path / 'one').as_uri()} does not answer" in found.why
    assert store.availability_of_all(settings, []).ok


def test_no_place_in_reach_names_each_with_its_reason(
    settings: Settings, tmp_path: Path, cache: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with pytest.raises(SourceUnreachableError) as caught:
        store.fetch(settings, source(one, two), stage())
    assert one.as_uri() in caught.value.message
    assert two.as_uri() in caught.value.message
    assert "No such file" in caught.value.message
    assert str(cache) in caught.value.hint
    assert kept(cache) == []


def test_a_run_from_a_bundle_has_no_other_sources(settings: Settings, tmp_path: Path) -> None:
    there = place(tmp_path / "there", GOOD)
    wanted = source(there, debian=True)
    empty, full = (
        BundleSources(name="b.tar", holds=frozenset()),
        BundleSources(name="b.tar", holds=frozenset({(HASH, wanted.file)})),
    )
    store.fetch(
        settings, source(there), stage()
    )  # even what is in the cache stays out of such a run
    with pytest.raises(SourceUnreachableError, match=r"b\.tar lacks .*\n +a-1\.tar\.xz") as caught:
        store.fetch(settings, wanted, stage(), debian=no_debian, bundle_sources=empty)
    assert HASH in caught.value.message
    assert "`invoke bundle" in caught.value.hint
    assert (
        store.fetch(settings, wanted, stage(), debian=no_debian, bundle_sources=full).read_bytes()
        == GOOD
    )


def test_a_run_from_a_bundle_asks_no_location(settings: Settings, tmp_path: Path) -> None:
    there = place(tmp_path / "there", GOOD)
    wanted = source(there, debian=True)
    bundle_sources = BundleSources(name="b.tar", holds=frozenset({(HASH, wanted.file)}))
    assert store.availability(settings, wanted, bundle_sources).why == "its source is in b.tar"
    missing = store.availability_of_all(
        settings, [wanted], BundleSources(name="b.tar", holds=frozenset())
    )
    assert (missing.ok, missing.why) == (False, "its source is not in b.tar")
    with pytest.raises(SourceUnreachableError, match="no longer in the cache"):
        store.fetch(settings, wanted, stage(), debian=no_debian, bundle_sources=bundle_sources)


def test_what_is_put_into_the_cache_is_checked(settings: Settings, cache: Path) -> None:
    with pytest.raises(SourceHashError, match=r"a-1\.tar\.xz: wanted sha256"):
        store.put(settings, source(), [b"a ", b"tarball?"])
    assert kept(cache) == []
    store.put(settings, source(), [b"a ", b"tarball"])
    assert store.fetch(settings, source(), stage()).read_bytes() == GOOD


def test_a_local_source_need_not_be_in_the_bundle(settings: Settings, tmp_path: Path) -> None:
    there = place(tmp_path / "there", GOOD)
    wanted = replace(source(tmp_path / "absent", debian=True), local_file=there)
    empty = BundleSources(name="b.tar", holds=frozenset())
    found = store.fetch(settings, wanted, stage(), debian=no_debian, bundle_sources=empty)
    assert found.read_bytes() == GOOD
