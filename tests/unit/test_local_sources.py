"""A source from --source: pinned after all, or unpinned and said to be so everywhere."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import factories
import pytest
from rich.console import Console

from sheepvirt.builds import lookup, plan, repo
from sheepvirt.cli import report
from sheepvirt.core.errors import BootstrapError, ConfigError, SheepvirtError
from sheepvirt.core.progress import Progress, quiet
from sheepvirt.model.builds import BuildRecord, Package, Source
from sheepvirt.sources import local, store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.plans import BuildPlan

TARGET = factories.target()
PINNED = hashlib.sha256(b"upstream's").hexdigest()
OTHER = hashlib.sha256(b"somebody's").hexdigest()
TOML = f"""\
version = "1.0.3"
spec = "a.spec"
spec_from = "tarball"
[[sources]]
file = "libvirt-1.0.3.tar.gz"
sha256 = "{PINNED}"
urls = ["https://a.invalid/libvirt-1.0.3.tar.gz"]
"""
OURS = 'version = "1"\nspec = "a.spec"\nspec_from = "here"\n'


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    folders = {name: tmp_path / name for name in ("specs", "patches", "containers")}
    return replace(settings, **folders)


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> Path:
    for name, text in (("libvirt", TOML), ("qemu", OURS)):
        (tmp_path / "specs" / name).mkdir(parents=True)
        (tmp_path / "specs" / name / "package.toml").write_text(text)
    (tmp_path / "mine.tgz").write_bytes(b"somebody's")
    (tmp_path / "copy.tgz").write_bytes(b"upstream's")
    return tmp_path


def package(*more: Source) -> Package:
    own = (Source(file="libvirt-1.0.3.tar.gz", sha256=PINNED, urls=("https://a.invalid/l",)), *more)
    return factories.package(version="1.0.3", spec="a.spec", sources=own)


def record(unpinned: str = "") -> BuildRecord:
    return factories.record(version="1.0.3", unpinned=unpinned)


def make(
    settings: Settings,
    *selectors: str,
    files: Sequence[str] = (),
    published: Mapping[str, BuildRecord] | None = None,
) -> BuildPlan:
    return plan.make_plan(
        lookup.look_up(settings, TARGET, selectors, "i", local_files=files, published=published)
    )


def test_a_file_with_the_pinned_hash_is_the_pinned_source(settings: Settings, data: Path) -> None:
    row = make(settings, files=[f"libvirt={data / 'copy.tgz'}"]).builds[0]
    plain = make(settings).builds[0]
    assert (row.package.unpinned, row.key) == ("", plain.key)
    with quiet().stage("sources") as stage:
        home = store.fetch(settings, row.package.sources[0], stage)
    assert home.read_bytes() == b"upstream's"
    assert (
        store.availability(settings, plain.package.sources[0]).why == "its source is in the cache"
    )


def test_any_other_file_is_unpinned_and_no_pinned_build_is_taken_for_it(
    settings: Settings, data: Path
) -> None:
    options = [f"libvirt={data / 'mine.tgz'}"]
    row = make(settings, "libvirt", files=options).builds[0]
    assert OTHER in row.package.unpinned
    assert PINNED in row.package.unpinned
    assert row.inputs.rows()["source libvirt-1.0.3.tar.gz (unpinned)"] == OTHER
    assert row.inputs.macros["dist"] == ".unpinned.rehearsal"
    with quiet().stage("sources") as stage:
        home = store.fetch(settings, row.package.sources[0], stage)
    assert (home.name, home.read_bytes()) == ("libvirt-1.0.3.tar.gz", b"somebody's")
    done = {"libvirt": replace(record("so"), key=row.key, inputs=row.inputs)}
    assert not make(settings, "libvirt", published=done, files=options).builds[0].build
    later = make(settings, "libvirt", published=done).builds[0]
    assert later.build
    assert "source libvirt-1.0.3.tar.gz (unpinned)" in later.reason


def test_a_file_that_changes_or_goes_between_plan_and_build_is_not_taken(
    settings: Settings, data: Path
) -> None:
    row = make(settings, files=[f"libvirt={data / 'mine.tgz'}"]).builds[0]
    (data / "mine.tgz").write_bytes(b"another")
    with quiet().stage("sources") as stage, pytest.raises(SheepvirtError, match="from --source"):
        store.fetch(settings, row.package.sources[0], stage)
    (data / "mine.tgz").unlink()
    with quiet().stage("sources") as stage, pytest.raises(SheepvirtError, match="No such file"):
        store.fetch(settings, row.package.sources[0], stage)


@pytest.mark.parametrize(
    ("word", "says", "hint"),
    [
        ("libvirt", "names no file", "--source NAME=FILE"),
        ("libvirt=", "names no file", "--source NAME=FILE"),
        ("libvrit=FILE", "no package 'libvrit'", "did you mean 'libvirt'?"),
        ("qemu=FILE", "qemu has no source: all its files are in this checkout", "libvirt"),
        ("libvirt=/nowhere/a.tgz", "no readable file /nowhere/a.tgz", "correct the path"),
        ("libvirt=/", "no readable file /", "correct the path"),
    ],
)
def test_what_is_no_source_is_refused(
    settings: Settings, data: Path, word: str, says: str, hint: str
) -> None:
    file = word.replace("FILE", str(data / "mine.tgz"))
    with pytest.raises(ConfigError, match=says) as caught:
        make(settings, files=[file])
    assert hint in caught.value.hint


def test_a_source_that_nothing_needs_is_refused(settings: Settings, data: Path) -> None:
    with pytest.raises(ConfigError, match="has no effect: libvirt is not built"):
        make(settings, "qemu", files=[f"libvirt={data / 'mine.tgz'}"])


def test_of_several_sources_it_is_the_one_of_its_hash_or_name() -> None:
    two = package(Source(file="more.tar.gz", sha256=OTHER))
    assert local.use(two, Path("/x.tgz"), OTHER).sources[1].local_file == Path("/x.tgz")
    named = local.use(two, Path("/more.tar.gz"), "c" * 64)
    assert (named.sources[0], named.sources[1].pin) == (two.sources[0], "c" * 64)
    with pytest.raises(ConfigError, match="has 2 sources") as caught:
        local.use(two, Path("/x.tgz"), "c" * 64)
    assert "more.tar.gz" in caught.value.hint


def test_evidence_names_both_hashes_and_the_version_that_is_in_it() -> None:
    found = local.evidence(local.use(package(), Path("/x.tgz"), OTHER), "1.0.3")
    assert [e.ok for e in found] == [True, True]
    assert OTHER in found[0].observed
    assert not local.evidence(local.use(package(), Path("/x.tgz"), OTHER), "7.0.0")[1].ok
    assert local.evidence(package(), "") == []


def test_what_was_built_is_found_again_in_the_cache_by_its_record() -> None:
    made = local.use(package(), Path("/x.tgz"), OTHER)
    inputs = plan.inputs(made, TARGET, "i", {}, {})
    again = local.recall(package(), replace(record(made.unpinned), inputs=inputs))
    assert again.sources == (Source(file="libvirt-1.0.3.tar.gz", sha256=OTHER),)
    assert again.unpinned == made.unpinned
    assert local.recall(package(), record()) == package()


def test_the_manifest_keeps_it_and_one_of_before_has_none() -> None:
    row = {
        "package": "a",
        "version": "1",
        "key": "k",
        "inputs": {},
        "rpms": [],
        "installed_subpackages": [],
        "evidence": [],
        "seconds": 1.0,
        "stand_in": "",
    }
    assert repo._record(row).unpinned == ""
    assert repo._record({**row, "unpinned": "so"}).unpinned == "so"


def test_a_real_machine_gets_nothing_unpinned_and_a_rehearsal_hears_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    host = factories.host(name="moorea", address="::1", port=22, bridge="b", network="n")
    local.admit(host, [record("from a stranger"), record()], Progress())
    assert capsys.readouterr().out.count("UNPINNED: libvirt 1.0.3: from a stranger") == 1
    real = replace(host, rehearsal=False)
    local.admit(real, [record()], quiet())
    with pytest.raises(BootstrapError, match=r"real machine.*libvirt 1\.0\.3") as caught:
        local.admit(real, [record("from a stranger")], quiet())
    assert "build-rpms --target rehearsal" in caught.value.hint


def test_the_report_says_it_in_its_rows_and_last() -> None:
    progress = Progress(console=Console(record=True, width=200, file=io.StringIO()))
    report.builds(
        progress, TARGET, Path("/repo"), [record("from a stranger"), replace(record(), package="b")]
    )
    text = progress.console.export_text()
    assert "libvirt (unpinned)" in text
    assert text.rstrip().splitlines()[-1].startswith("UNPINNED: libvirt 1.0.3: from a stranger")


def test_inputs_of_what_is_pinned_are_what_they_were() -> None:
    found = plan.inputs(package(), TARGET, "i", {}, {})
    assert found.rows()["source libvirt-1.0.3.tar.gz"] == PINNED
    assert found.macros["dist"] == ".rehearsal"
