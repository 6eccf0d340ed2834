"""Publishing is one rename: the repo is the former one or the new one, at every moment."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import factories
import pytest

from sheepvirt.builds import repo
from sheepvirt.core.errors import BuildError, ConfigError
from sheepvirt.model.inputs import BuildInputs, SourceInput, from_rows

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord

TARGET = "rehearsal"

INPUTS = BuildInputs(
    recipe="2",
    builder_image="b:1",
    macros={"dist": ".rehearsal"},
    sources={"x.tar.xz": SourceInput("ca38"), "y.tar": SourceInput("57ab", unpinned=True)},
    files={"libvirt/package.toml": "aa"},
    packages={"sheepdog": "kk"},
)


@pytest.fixture
def dist(settings: Settings) -> Path:
    return settings.dist


def make(stage: Path, package: str, content: bytes = b"rpm") -> BuildRecord:
    (stage / package).mkdir()
    (stage / package / "a.rpm").write_bytes(content)
    rpm = factories.published_rpm(
        name="a",
        nevra="a-1-1.x86_64",
        file=f"{package}/a.rpm",
        sha256=hashlib.sha256(content).hexdigest(),
        header_sha1="00",
    )
    evidence = (factories.evidence(package=package),)
    return factories.record(
        package=package,
        version="1",
        key="key",
        inputs=INPUTS,
        rpms=(rpm,),
        installed_subpackages=("a",),
        evidence=evidence,
        seconds=2.5,
        stand_in="says so",
    )


def publish(settings: Settings, package: str = "libvirt", content: bytes = b"rpm") -> BuildRecord:
    with repo.staging(settings, TARGET) as stage:
        record = make(stage, package, content)
        repo.publish(settings, TARGET, stage, [record])
    return record


def test_a_manifest_of_before_0_2_0_is_read(settings: Settings) -> None:
    record = publish(settings)
    path = repo.home(settings, TARGET) / repo.MANIFEST
    manifest = json.loads(path.read_text())
    row = manifest["packages"][0]
    row["install"] = row.pop("installed_subpackages")
    path.write_text(json.dumps(manifest))
    assert repo.read_manifest(repo.home(settings, TARGET)) == (record,)


def test_a_manifest_names_each_input(settings: Settings) -> None:
    rows = INPUTS.rows()
    assert rows == {
        "recipe": "2",
        "builder image": "b:1",
        "macro dist": ".rehearsal",
        "source x.tar.xz": "ca38",
        "source y.tar (unpinned)": "57ab",
        "libvirt/package.toml": "aa",
        "package sheepdog": "kk",
    }
    assert from_rows(rows) == INPUTS
    assert from_rows({}) == BuildInputs()
    publish(settings)
    row = json.loads((repo.home(settings, TARGET) / repo.MANIFEST).read_text())["packages"][0]
    assert row["inputs"] == rows


def folders(dist: Path) -> int:
    return len(list((dist / ".repos" / "rehearsal").iterdir()))


def test_what_was_published_is_read_back(settings: Settings) -> None:
    record = publish(settings)
    assert repo.read_manifest(repo.home(settings, TARGET)) == (record,)
    assert repo.published(settings, TARGET) == {"libvirt": record}


def test_a_failure_leaves_the_former_repo_and_nothing_else(settings: Settings, dist: Path) -> None:
    record = publish(settings)

    def fail() -> None:
        with repo.staging(settings, TARGET) as stage:
            make(stage, "libvirt", b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert repo.published(settings, TARGET) == {"libvirt": record}
    assert folders(dist) == 1


def test_old_repos_go_but_the_former_stays_for_its_readers(settings: Settings, dist: Path) -> None:
    for content in (b"1", b"2", b"3", b"4"):
        publish(settings, content=content)
    assert folders(dist) == 2
    assert (repo.home(settings, TARGET) / "libvirt" / "a.rpm").read_bytes() == b"4"


def test_a_kept_package_is_in_the_next_repo(settings: Settings) -> None:
    record = publish(settings)
    with repo.staging(settings, TARGET) as stage:
        repo.keep(settings, TARGET, record, stage)
        repo.publish(settings, TARGET, stage, [record, make(stage, "qemu")])
    assert set(repo.published(settings, TARGET)) == {"libvirt", "qemu"}


def test_a_file_that_was_changed_or_lost_is_not_taken_for_published(settings: Settings) -> None:
    publish(settings)
    rpm = repo.home(settings, TARGET) / "libvirt" / "a.rpm"
    rpm.write_bytes(b"changed")
    assert repo.published(settings, TARGET) == {}
    rpm.unlink()
    assert repo.published(settings, TARGET) == {}


def test_no_repo_says_what_to_run(dist: Path) -> None:
    with pytest.raises(ConfigError, match="no repo is published") as caught:
        repo.read_manifest(dist / "rehearsal")
    assert "invoke build-rpms --target rehearsal" in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"packages": [{}]}', '{"packages": 3}'])
def test_a_manifest_that_is_not_ours_is_named(settings: Settings, dist: Path, text: str) -> None:
    publish(settings)
    (dist / "rehearsal" / "manifest.json").write_text(text)
    with pytest.raises(ConfigError, match=r"manifest\.json is not a manifest of sheepvirt"):
        repo.read_manifest(dist / "rehearsal")


def test_a_folder_of_somebody_else_is_not_replaced(settings: Settings, dist: Path) -> None:
    (dist / "rehearsal").mkdir(parents=True)
    (dist / "rehearsal" / "mine").write_text("precious")
    with pytest.raises(BuildError, match="not a symlink"):
        publish(settings)
    assert (dist / "rehearsal" / "mine").read_text() == "precious"


def test_a_manifest_with_an_unknown_gate_is_refused(settings: Settings) -> None:
    publish(settings)
    path = repo.home(settings, TARGET) / repo.MANIFEST
    path.write_text(path.read_text().replace('"gate": "rpm"', '"gate": "moon"'))
    with pytest.raises(ConfigError, match="is not a manifest of sheepvirt: 'moon'"):
        repo.read_manifest(repo.home(settings, TARGET))
