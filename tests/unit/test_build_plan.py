"""What a run is going to do: whose source is asked after, what a switch of providers rebuilds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest

from sheepvirt.builds import execute
from sheepvirt.core.errors import ConfigError, SourceUnreachableError
from sheepvirt.model.builds import Availability, BuildPlan, BuildRecord, BundleSources, Source
from sheepvirt.sources import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.settings import Settings

TARGET = factories.target()
EL6 = factories.target(name="el6", suite="", macros={"dist": ".el6"})
HEAD = 'version = "1"\nspec = "a.spec"\nspec_from = "here"\n'
PACKAGES = {
    "qemu": "",
    "libvirt": 'build_packages = ["sheepdog"]\n',
    "sheepdog": '[[sources]]\nfile = "s-1.tar.gz"\n'
    'git = { url = "https://a.invalid/s.git", commit = "' + "a" * 40 + '" }\n',
    "pocket": 'targets = ["rehearsal"]\nstand_in = "so"\nstands_in_for = "sheepdog"\n',
}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    for name, text in PACKAGES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "package.toml").write_text(HEAD + text)
    return replace(settings, specs=tmp_path, patches=tmp_path / "none")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which sources are asked after; what is planned here is that none answers."""
    files: list[str] = []

    def availability(
        _settings: object, wanted: Sequence[Source], bundle_sources: object = None
    ) -> Availability:
        files.extend(s.file for s in wanted)
        return Availability(False, "no route")

    monkeypatch.setattr(store, "availability_of_all", availability)
    return files


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "availability_of_all", lambda *_: Availability(True, "it answers"))


def make(
    settings: Settings,
    *words: str,
    published: Sequence[BuildRecord] = (),
    bundle_sources: BundleSources | None = None,
) -> BuildPlan:
    rows = {r.package: r for r in published}
    return execute.make_plan(
        settings, TARGET, words, "builder:1", rows, named=rows.keys(), bundle_sources=bundle_sources
    )


def names(planned: BuildPlan) -> list[str]:
    return [row.package.name for row in planned.builds]


def records(planned: BuildPlan) -> list[BuildRecord]:
    return [
        factories.record(package=r.package.name, version="1", key=r.key, inputs=r.inputs)
        for r in planned.builds
    ]


def test_out_of_reach_the_stand_in_is_built_in_its_place(
    settings: Settings, asked: list[str]
) -> None:
    planned = make(settings)
    assert names(planned) == ["pocket", "libvirt", "qemu"]
    assert planned.builds[1].build_packages == ("pocket",)
    assert [c.sentence for c in planned.choices] == ["sheepdog: the stand-in pocket: no route"]
    assert asked == ["s-1.tar.gz"]


@pytest.mark.parametrize("words", [["sheepdog=stand-in"], ["qemu"]])
def test_a_source_that_does_not_matter_is_not_asked_after(
    settings: Settings, asked: list[str], words: list[str]
) -> None:
    make(settings, *words)
    assert asked == []


def test_where_there_is_no_stand_in_there_is_no_choice(
    settings: Settings, asked: list[str]
) -> None:
    planned = execute.make_plan(settings, EL6, [], "builder:1", {})
    assert names(planned) == ["sheepdog", "libvirt", "qemu"]
    assert planned.choices == ()
    assert asked == []


def test_the_real_one_cannot_be_forced_out_of_reach(settings: Settings, asked: list[str]) -> None:
    with pytest.raises(SourceUnreachableError, match="no route"):
        make(settings, "sheepdog=real")
    assert asked == ["s-1.tar.gz"]


@pytest.mark.parametrize("provider", ["real", "stand-in"])
def test_a_later_run_keeps_the_provider_and_asks_no_network(
    settings: Settings, asked: list[str], monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(store, "availability_of_all", lambda *_: Availability(True, "it answers"))
        before = records(make(settings, f"sheepdog={provider}"))
    planned = make(settings, published=before)
    assert not any(row.build for row in planned.builds)
    assert [c.stand_in for c in planned.choices] == [provider == "stand-in"]
    assert asked == []


def test_a_bundle_that_has_not_the_published_provider_decides(
    settings: Settings, asked: list[str]
) -> None:
    former = [factories.record(package="sheepdog", version="1")]
    planned = make(
        settings, published=former, bundle_sources=BundleSources(name="b.tar", holds=frozenset())
    )
    assert [c.provider for c in planned.choices] == ["pocket"]


def test_a_force_that_changes_nothing_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="sheepdog=stand-in has no effect: qemu"):
        make(settings, "qemu", "sheepdog=stand-in")


@pytest.mark.usefixtures("there")
def test_a_switch_rebuilds_what_depends_on_it_and_nothing_else(settings: Settings) -> None:
    before = records(make(settings))
    assert not any(row.build for row in make(settings, published=before).builds)
    planned = make(settings, "sheepdog=stand-in", published=before)
    assert {row.package.name: row.reason for row in planned.builds} == {
        "pocket": "not built yet",
        "libvirt": "changed: package pocket, package sheepdog",
        "qemu": "nothing changed",
    }


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("words", [["sheepdog"], []])
def test_a_repo_never_keeps_both_providers(settings: Settings, words: list[str]) -> None:
    former = {r.package: r for r in records(make(settings, "sheepdog=stand-in"))}
    former["former stand-in"] = replace(former["pocket"], package="former stand-in")
    planned = make(settings, *words, "sheepdog=real", published=list(former.values()))
    kept = execute._kept(settings, planned, former)
    assert not {"pocket", "former stand-in"} & kept
    assert "qemu" in kept
