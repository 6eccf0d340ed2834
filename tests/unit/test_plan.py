"""What is built, in what order, and the reason that is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt import plan
from sheepvirt.errors import ConfigError
from sheepvirt.model import BuildRecord, Package, Target

TARGET = Target("rehearsal", "", "bullseye", "x86_64", {"dist": ".rehearsal"}, Path())


def package(name: str, *needs: str, targets: tuple[str, ...] = ()) -> Package:
    return Package(name, "1", f"{name}.spec", "here", (), (), needs, targets, (), (), "", Path())


def record(name: str, key: str, inputs: dict[str, str]) -> BuildRecord:
    return BuildRecord(name, "1", key, inputs, (), (), (), 1.0)


def order(*packages: Package, wanted: tuple[str, ...] = ()) -> list[str]:
    known = {p.name: p for p in packages}
    return [p.name for p in plan.order(known, wanted or tuple(known), TARGET)]


def test_what_is_needed_comes_first() -> None:
    assert order(package("libvirt", "sheepdog"), package("sheepdog")) == ["sheepdog", "libvirt"]


def test_only_what_is_wanted_and_its_needs() -> None:
    packages = (package("libvirt", "sheepdog"), package("sheepdog"), package("qemu"))
    assert order(*packages, wanted=("libvirt",)) == ["sheepdog", "libvirt"]


def test_a_circle_is_named() -> None:
    with pytest.raises(ConfigError, match="a → b → a"):
        order(package("a", "b"), package("b", "a"))


def test_an_unknown_need_is_named() -> None:
    with pytest.raises(ConfigError, match="'libvirt' needs 'shepdog'"):
        order(package("libvirt", "shepdog"))


def test_a_package_of_another_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="not for target 'rehearsal'"):
        order(package("kmod", targets=("el6",)))


def test_packages_of_other_targets_are_left_out() -> None:
    packages = {"kmod": package("kmod", targets=("el6",)), "qemu": package("qemu")}
    assert plan.buildable(packages, TARGET) == ["qemu"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25))
def test_any_order_respects_every_need_or_is_a_circle(edges: list[tuple[int, int]]) -> None:
    needs: dict[str, set[str]] = {str(n): set() for n in range(10)}
    for a, b in edges:
        needs[str(a)].add(str(b))
    try:
        found = order(*(package(n, *sorted(d)) for n, d in needs.items()))
    except ConfigError as error:
        assert "circle" in error.message
        return
    assert sorted(found) == sorted(needs)
    assert all(found.index(d) < found.index(n) for n, ds in needs.items() for d in ds)


def test_equal_inputs_are_not_built_again() -> None:
    first = plan.decide(package("a"), {"source x": "1"}, None)
    assert first.build
    assert first.reason == "not built yet"
    again = plan.decide(package("a"), {"source x": "1"}, record("a", first.key, {"source x": "1"}))
    assert not again.build


def test_the_reason_names_what_changed() -> None:
    former = record("a", "old", {"source x": "1", "macro rhel": "8", "recipe": "1"})
    row = plan.decide(package("a"), {"source x": "2", "macro rhel": "8", "macro new": ""}, former)
    assert row.reason == "changed: macro new, recipe, source x"


def test_inputs_name_everything_that_goes_in() -> None:
    libvirt = replace(package("libvirt", "sheepdog"))
    files = {Path("specs/libvirt/package.toml"): "aa", Path("patches/libvirt/x.toml"): "bb"}
    found = plan.inputs(libvirt, TARGET, "builder:1", files, {"sheepdog": "kk", "qemu": "no"})
    assert found["libvirt/package.toml"] == "aa"
    assert found["package sheepdog"] == "kk"
    assert found["builder image"] == "builder:1"
    assert found["macro dist"] == ".rehearsal"
    assert "package qemu" not in found
