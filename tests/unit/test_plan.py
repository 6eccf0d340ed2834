"""What is built, in what order, and the reason that is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.builds import plan, providers
from sheepvirt.core.errors import ConfigError, SourceUnreachableError, UnknownNameError
from sheepvirt.model.builds import Availability, BuildRecord, Package
from sheepvirt.model.enums import Provider
from sheepvirt.model.inputs import BuildInputs, SourceInput
from sheepvirt.model.plans import Request

NO_INPUTS = BuildInputs()
TARGET = factories.target()


def package(name: str, *needs: str, targets: tuple[str, ...] = ()) -> Package:
    return factories.package(
        name=name,
        version="1",
        spec=f"{name}.spec",
        spec_from="here",
        build_packages=needs,
        targets=targets,
    )


def record(name: str, key: str, inputs: BuildInputs = NO_INPUTS) -> BuildRecord:
    return factories.record(package=name, version="1", key=key, inputs=inputs)


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
        said = error.message
    else:
        assert sorted(found) == sorted(needs)
        assert all(found.index(d) < found.index(n) for n, ds in needs.items() for d in ds)
        return
    assert "circle" in said


def test_equal_inputs_are_not_built_again() -> None:
    inputs = BuildInputs(sources={"x": SourceInput("1")})
    first = plan.decide(package("a"), inputs, None)
    assert first.build
    assert first.reason == "not built yet"
    again = plan.decide(package("a"), inputs, record("a", first.key, inputs))
    assert not again.build


def test_the_reason_names_what_changed() -> None:
    former = BuildInputs(recipe="1", sources={"x": SourceInput("1")}, macros={"rhel": "8"})
    now = BuildInputs(sources={"x": SourceInput("2")}, macros={"rhel": "8", "new": ""})
    row = plan.decide(package("a"), now, record("a", "old", former))
    assert row.reason == "changed: macro new, recipe, source x"


def test_inputs_name_everything_that_goes_in() -> None:
    libvirt = replace(package("libvirt", "sheepdog"))
    files = {Path("specs/libvirt/package.toml"): "aa", Path("patches/libvirt/x.toml"): "bb"}
    found = plan.inputs(libvirt, TARGET, "builder:1", files, {"sheepdog": "kk"})
    assert found.rows() == {
        "recipe": plan.RECIPE,
        "builder image": "builder:1",
        "macro dist": ".rehearsal",
        "libvirt/package.toml": "aa",
        "libvirt/x.toml": "bb",
        "package sheepdog": "kk",
    }


def stand_in(name: str, real: str, targets: tuple[str, ...] = ("rehearsal",)) -> Package:
    return replace(package(name, targets=targets), stand_in="says so", stands_in_for=real)


def test_what_is_needed_is_its_chosen_provider() -> None:
    packages = (package("libvirt", "sheepdog"), package("sheepdog"), stand_in("pocket", "sheepdog"))
    known = {p.name: p for p in packages}
    rows = plan.order(known, ["libvirt", "sheepdog"], TARGET, {"sheepdog": "pocket"})
    assert [p.name for p in rows] == ["pocket", "libvirt"]
    assert plan.buildable(known, TARGET) == ["libvirt", "sheepdog"]


def test_a_stand_in_is_for_its_own_targets() -> None:
    known = {p.name: p for p in (package("sheepdog"), stand_in("pocket", "sheepdog", ("el6",)))}
    assert providers.stand_ins(known, TARGET) == {}
    assert providers.stand_ins(known, replace(TARGET, name="el6")) == {"sheepdog": "pocket"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (stand_in("other", "sheepdog"), "'other' and 'pocket' both stand in for 'sheepdog'"),
        (stand_in("other", "shepdog"), "'other' stands in for 'shepdog', which does not exist"),
        (stand_in("other", "pocket"), "'other' stands in for 'pocket', which is a stand-in itself"),
    ],
)
def test_stand_ins_that_leave_it_open_are_refused(more: Package, says: str) -> None:
    known = {p.name: p for p in (package("sheepdog"), stand_in("pocket", "sheepdog"), more)}
    with pytest.raises(ConfigError, match=says):
        providers.stand_ins(known, TARGET)


@pytest.mark.parametrize(
    ("forced", "availability", "provider", "why"),
    [
        (None, Availability(True, "it answers"), "sheepdog", "it answers"),
        (None, Availability(False, "it does not"), "pocket", "it does not"),
        (Provider.REAL, Availability(True, "it answers"), "sheepdog", "asked for; it answers"),
        (Provider.STAND_IN, None, "pocket", "asked for"),
    ],
)
def test_the_choice_is_made_by_reach_or_by_force(
    forced: Provider | None, availability: Availability | None, provider: str, why: str
) -> None:
    found = providers.choose("sheepdog", "pocket", forced, availability)
    assert (found.provider, found.why, found.stand_in) == (provider, why, provider == "pocket")
    assert {found.provider, found.rejected} == {"sheepdog", "pocket"}


@pytest.mark.parametrize(
    ("published", "provider", "other"),
    [
        ({"libvirt", "pocket"}, "pocket", "real"),
        ({"libvirt", "sheepdog"}, "sheepdog", "stand-in"),
    ],
)
def test_the_provider_of_the_published_repo_stays(
    published: set[str], provider: str, other: str
) -> None:
    found = providers.keep("sheepdog", "pocket", published)
    assert found
    assert (found.provider, found.stand_in) == (provider, provider == "pocket")
    assert {found.provider, found.rejected} == {"sheepdog", "pocket"}
    assert f"`--package sheepdog={other}` changes that" in found.sentence


def test_a_first_run_has_no_provider_to_keep() -> None:
    assert providers.keep("sheepdog", "pocket", {"qemu"}) is None


def test_the_real_one_by_force_without_its_source_is_an_error_of_the_source() -> None:
    with pytest.raises(SourceUnreachableError, match="no route") as caught:
        providers.choose("sheepdog", "pocket", Provider.REAL, Availability(False, "no route"))
    assert "sheepdog=stand-in" in caught.value.hint


def request(*selectors: str) -> Request:
    libvirt = replace(package("libvirt", "sheepdog"), versions=("1.0.3", "7.0.0"))
    sheepdog = replace(package("sheepdog"), versions=("1.0.1",))
    packages = (libvirt, sheepdog, stand_in("pocket", "sheepdog"))
    return providers.request(
        selectors, {p.name: p for p in packages}, {"sheepdog": "pocket"}, TARGET
    )


def test_a_forced_provider_names_nothing_to_build() -> None:
    assert request("sheepdog=real", "libvirt") == Request(
        names=("libvirt",), providers={"sheepdog": Provider.REAL}, versions={}
    )


def test_a_version_names_what_is_built_and_is_the_real_ones() -> None:
    assert request("libvirt=1.0.3", "libvirt") == Request(
        names=("libvirt",), providers={}, versions={"libvirt": "1.0.3"}
    )
    found = request("sheepdog=1.0.1")
    assert found == Request(
        names=("sheepdog",), providers={"sheepdog": Provider.REAL}, versions={"sheepdog": "1.0.1"}
    )


def test_the_target_chooses_versions_and_the_command_line_overrules_it() -> None:
    target = replace(TARGET, versions={"libvirt": "1.0.3", "qemu": "2.12.1"})
    found = plan.chosen_versions(["libvirt", "qemu"], {"libvirt": "7.0.0"}, target)
    assert found == {"libvirt": "7.0.0", "qemu": "2.12.1"}
    with pytest.raises(UnknownNameError, match=r"\[versions\] of target rehearsal") as caught:
        plan.chosen_versions(["libvrt", "qemu"], {}, target)
    assert caught.value.hint == "did you mean 'libvrt'?"


def test_another_version_is_a_reason_to_build() -> None:
    row = plan.decide(package("a"), BuildInputs(), replace(record("a", "old"), version="0.9"))
    assert (row.build, row.reason) == (True, "in place of version 0.9")


def test_macros_of_a_version_on_this_target_are_its_inputs() -> None:
    macros = {"rehearsal": {"rhel": "6"}, "el6": {"rhel": "5"}}
    found = plan.inputs(replace(package("a"), macros=macros), TARGET, "i", {}, {})
    assert found.macros == {"rhel": "6", "dist": ".rehearsal"}


@pytest.mark.parametrize(
    ("selectors", "says", "hint"),
    [
        (
            ["sheepdog=rael"],
            "'rael' is neither a version nor a provider of 'sheepdog'",
            "mean 'real'?",
        ),
        (["sheepdog="], "'' is neither a version", "known: 1.0.1, real, stand-in"),
        (
            ["libvirt=1.0.2"],
            "'1.0.2' is neither a version nor a provider of 'libvirt'",
            "did you mean '1.0.3'?",
        ),
        (["libvirt=1.0.3", "libvirt=7.0.0"], "both as 1.0.3 and as 7.0.0", "remove one of them"),
        (
            ["sheepdog=stand-in", "sheepdog=1.0.1"],
            "both as real and as stand-in",
            "remove one of them",
        ),
        (["shepdog=real"], "no package 'shepdog'", "did you mean 'sheepdog'?"),
        (["libvirt=stand-in"], "'libvirt' has no stand-in on target 'rehearsal'", "sheepdog"),
        (["pocket"], "'pocket' is a stand-in", "use sheepdog=stand-in"),
        (
            ["sheepdog=real", "sheepdog=stand-in"],
            "both as real and as stand-in",
            "remove one of them",
        ),
    ],
)
def test_a_request_that_cannot_be_met_says_what_can(
    selectors: list[str], says: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        request(*selectors)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20),
    st.sets(st.integers(0, 7)),
    st.sets(st.integers(0, 7)),
    st.integers(0, 7),
)
def test_no_order_ever_has_a_package_and_its_stand_in(
    edges: list[tuple[int, int]], doubled: set[int], chosen: set[int], wanted: int
) -> None:
    needs = {n: sorted({str(b) for a, b in edges if a == n and b < a}) for n in range(8)}
    known = {str(n): package(str(n), *needs[n]) for n in needs}
    known |= {f"s{n}": stand_in(f"s{n}", str(n)) for n in doubled}
    have = providers.stand_ins(known, TARGET)
    asked = providers.asked_about(known, [str(wanted)], have)
    choices = [
        providers.choose(n, have[n], None, Availability(int(n) in chosen, "")) for n in asked
    ]
    rows = plan.order(known, [str(wanted)], TARGET, {c.package: c.provider for c in choices})
    names = {p.name for p in rows}
    assert not names & {c.rejected for c in choices}
    assert all(
        c.provider in names or c.package not in {n for p in rows for n in p.build_packages}
        for c in choices
        if c.package != str(wanted)
    )
    assert not any(str(n) in names and f"s{n}" in names for n in doubled)
