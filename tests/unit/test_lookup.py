"""What a plan is made from: which sources are asked after, which files are hashed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest

from sheepvirt.builds import lookup
from sheepvirt.core.errors import ConfigError
from sheepvirt.core.files import sha256
from sheepvirt.model.builds import Availability, Source
from sheepvirt.sources import store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import Target
    from sheepvirt.model.plans import PlanValues

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
OUT_OF_REACH = Availability(False, "no route")


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    for name, text in PACKAGES.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "package.toml").write_text(HEAD + text)
    return replace(settings, specs=tmp_path, patches=tmp_path / "none")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which sources are asked after; none answers."""
    files: list[str] = []

    def availability(
        _settings: object, wanted: Sequence[Source], bundle_sources: object = None
    ) -> Availability:
        files.extend(s.file for s in wanted)
        return OUT_OF_REACH

    monkeypatch.setattr(store, "availability_of_all", availability)
    return files


def look_up(
    settings: Settings, *selectors: str, target: Target = TARGET, published: Sequence[str] = ()
) -> PlanValues:
    return lookup.look_up(
        settings, target, selectors, "builder:1", published_names=frozenset(published)
    )


@pytest.mark.parametrize("selectors", [[], ["libvirt"], ["sheepdog=real"]])
def test_the_source_that_decides_a_choice_is_asked_after(
    settings: Settings, asked: list[str], selectors: list[str]
) -> None:
    values = look_up(settings, *selectors)
    assert asked == ["s-1.tar.gz"]
    assert values.availability == {"sheepdog": OUT_OF_REACH}


@pytest.mark.parametrize("selectors", [["sheepdog=stand-in"], ["qemu"]])
def test_a_source_that_does_not_matter_is_not_asked_after(
    settings: Settings, asked: list[str], selectors: list[str]
) -> None:
    assert look_up(settings, *selectors).availability == {}
    assert asked == []


def test_where_there_is_no_stand_in_no_source_is_asked_after(
    settings: Settings, asked: list[str]
) -> None:
    look_up(settings, target=EL6)
    assert asked == []


@pytest.mark.parametrize("provider", ["sheepdog", "pocket"])
def test_a_later_run_asks_no_network(settings: Settings, asked: list[str], provider: str) -> None:
    look_up(settings, published=["libvirt", provider])
    assert asked == []


def test_before_an_error_of_the_user_no_source_is_asked_after(
    settings: Settings, asked: list[str]
) -> None:
    with pytest.raises(ConfigError, match="sheepdog=real has no effect: qemu"):
        look_up(settings, "qemu", "sheepdog=real")
    assert asked == []


@pytest.mark.usefixtures("asked")
def test_the_files_of_each_package_are_hashed(settings: Settings) -> None:
    values = look_up(settings)
    path = settings.specs / "libvirt" / "package.toml"
    assert values.file_hashes["libvirt"] == {path: sha256(path)}
    assert values.file_hashes.keys() == values.packages.keys() == PACKAGES.keys()
