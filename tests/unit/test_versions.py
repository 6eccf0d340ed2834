"""Versions of a package side by side: which there are, what one has, which files are its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.builds import lookup, plan
from sheepvirt.config import catalog, versions
from sheepvirt.core.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord
    from sheepvirt.model.plans import BuildPlan

TARGET = factories.target()
SHARED = """\
version = "7.0.0"
spec = "a.spec"
spec_from = "here"
installed_subpackages = ["a"]
[features.f]
intent = "on"
rpm_requires = "x"
"""
OLD = """\
installed_subpackages = ["a", "a-old"]
[features.f]
rpm_file = "/old.so"
[macros.rehearsal]
rhel = "6"
"""


Put = Callable[[str, str], None]


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    folders = {name: tmp_path / name for name in ("specs", "patches", "containers")}
    return replace(settings, **folders)


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return write


@pytest.fixture(autouse=True)
def data(put: Put, tmp_path: Path) -> Path:
    put("specs/a/package.toml", SHARED)
    put("specs/a/7.0.0.toml", "")
    put("specs/a/10.0.0.toml", "")
    put("specs/a/1.0.3.toml", OLD)
    put("specs/a/ruff.toml", "")
    put("specs/a/a.spec", "for all")
    put("specs/a/1.0.3/a.spec", "its own")
    put("containers/rehearsal/target.toml", 'summary = "s"\n[macros]\ndist = ".x"\n')
    put("patches/a/on.toml", "")
    put("patches/a/0001-all.patch", "")
    put("patches/a/1.0.3/0001-old.patch", "")
    put("patches/a/7.0.0/0002-new.patch", "")
    return tmp_path


def test_versions_are_told_from_other_files_and_sorted_by_age(settings: Settings) -> None:
    assert catalog.load_package(settings, "a").versions == ("1.0.3", "7.0.0", "10.0.0")


def test_a_version_is_laid_over_what_all_share(settings: Settings) -> None:
    old, new = catalog.load_package(settings, "a", "1.0.3"), catalog.load_package(settings, "a")
    assert (old.version, new.version) == ("1.0.3", "7.0.0")
    assert (old.installed_subpackages, new.installed_subpackages) == (("a", "a-old"), ("a",))
    assert (old.features[0].rpm_file, old.features[0].rpm_requires) == ("/old.so", "x")
    assert new.features[0].rpm_file == ""
    assert TARGET.for_package(old).macros == {"dist": ".rehearsal", "rhel": "6"}
    assert TARGET.for_package(new) == TARGET


def test_an_unknown_version_gets_a_suggestion(settings: Settings) -> None:
    with pytest.raises(UnknownNameError, match=r"no version '1\.0\.2' of 'a'") as caught:
        catalog.load_package(settings, "a", "1.0.2")
    assert caught.value.hint == "did you mean '1.0.3'?"


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("package.toml", SHARED.replace("7.0.0", "7.0.1"), "'version' is '7.0.1'"),
        ("7.0.0.toml", 'version = "7"\n', "'version' repeats the file's name"),
        (
            "7.0.0.toml",
            'installed_subpackage = ["x"]\n',
            r"7\.0\.0\.toml.*unknown key 'installed_subpackage'",
        ),
        ("7.0.0.toml", "[features.f]\nrpm_fle = '/x'\n", "unknown key 'rpm_fle'"),
        ("7.0.0.toml", "[macros.rehersal]\na = '1'\n", "no target 'rehersal'"),
        ("7.0.0.toml", "[macros]\nrehearsal = '1'\n", "'rehearsal' is str, wanted dict"),
        ("7.0.0.toml", 'init = "upstart"\n', "'init' is 'upstart'"),
        ("7.0.0.toml", "features = 1\n", "'features' is int, wanted dict"),
    ],
)
def test_what_is_wrong_in_a_version_is_named(
    put: Put, settings: Settings, file: str, text: str, says: str
) -> None:
    put(f"specs/a/{file}", text)
    with pytest.raises(ConfigError, match=says):
        catalog.load_package(settings, "a")


@pytest.mark.parametrize(
    ("former", "key"), [("needs", "build_packages"), ("install", "installed_subpackages")]
)
@pytest.mark.parametrize("file", ["package.toml", "7.0.0.toml"])
def test_the_former_name_of_a_key_is_refused_with_its_new_one(
    put: Put, settings: Settings, file: str, former: str, key: str
) -> None:
    text = SHARED.partition("[features")[0] if file == "package.toml" else ""
    put(f"specs/a/{file}", f'{text}{former} = ["x"]\n')
    with pytest.raises(ConfigError, match=f"'{former}' has another name now") as caught:
        catalog.load_package(settings, "a", "7.0.0")
    assert caught.value.hint == f"write `{key} = …`"


def test_a_package_with_one_version_has_it_in_package_toml(settings: Settings) -> None:
    for version in ("1.0.3", "7.0.0", "10.0.0"):
        (settings.specs / "a" / f"{version}.toml").unlink()
    assert catalog.load_package(settings, "a").versions == ("7.0.0",)
    with pytest.raises(UnknownNameError, match="'8'"):
        catalog.load_package(settings, "a", "8")


def test_patches_and_files_are_those_of_the_version(settings: Settings) -> None:
    old, new = catalog.load_package(settings, "a", "1.0.3"), catalog.load_package(settings, "a")
    assert [p.name for p in versions.patches(old)] == ["0001-all.patch", "0001-old.patch"]
    assert [p.name for p in versions.patches(new)] == ["0001-all.patch", "0002-new.patch"]
    seen = {str(p.relative_to(settings.specs.parent)) for p in versions.files(old)}
    shared = {"specs/a/package.toml", "specs/a/ruff.toml", "specs/a/a.spec"}
    shared |= {"patches/a/on.toml", "patches/a/0001-all.patch"}
    assert seen - shared == {
        "specs/a/1.0.3.toml",
        "specs/a/1.0.3/a.spec",
        "patches/a/1.0.3/0001-old.patch",
    }
    assert versions.own_file(old.folder, "1.0.3", "a.spec").read_text() == "its own"
    assert versions.own_file(old.folder, "7.0.0", "a.spec").read_text() == "for all"


def test_a_change_of_one_version_builds_no_other_and_a_switch_replaces(
    put: Put, settings: Settings
) -> None:
    def make(*selectors: str, published: Mapping[str, BuildRecord] | None = None) -> BuildPlan:
        return plan.make_plan(
            lookup.look_up(settings, TARGET, selectors, "builder:1", published=published)
        )

    (row,) = make().builds
    done = {"a": factories.record(package="a", key=row.key, inputs=row.inputs)}
    put("specs/a/1.0.3.toml", OLD + "# more\n")
    again = make(published=done)
    assert not again.builds[0].build
    assert again.kept == {"a"}
    switched = make("a=1.0.3", published=done)
    assert switched.builds[0].package.version == "1.0.3"
    assert switched.builds[0].reason == "in place of version 7.0.0"
    assert switched.kept == frozenset()
    put("specs/a/a.spec", "for all, and changed")
    assert make(published=done).kept == frozenset()


VALUES = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
TABLE = st.dictionaries(st.sampled_from("abc"), VALUES)


@given(TABLE, TABLE)
def test_what_lies_above_is_there_and_what_it_does_not_name_stays(
    below: dict[str, object], above: dict[str, object]
) -> None:
    found = versions.overlaid(below, above)
    assert found.keys() == below.keys() | above.keys()
    assert all(found[key] == below[key] for key in below.keys() - above.keys())
    assert all(found[k] == above[k] for k in above if not isinstance(above[k], dict))
    assert versions.overlaid(found, above) == found
    assert versions.overlaid(below, {}) == below
