"""What a run will do: whose sources are asked after, what a switch of providers rebuilds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest

from sheepvirt.builds import plan, providers
from sheepvirt.core.errors import ConfigError, SourceUnreachableError
from sheepvirt.model.builds import Availability, BuildRecord, BundleSources, GitSource, Source
from sheepvirt.model.plans import BuildPlan, PlanValues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.model.builds import Target

TARGET = factories.target()
EL6 = factories.target(name="el6", suite="", macros={"dist": ".el6"})
GIT = GitSource(url="https://a.invalid/s.git", commit="a" * 40)
PACKAGES = {
    package.name: package
    for package in (
        factories.package(name="qemu", version="1"),
        factories.package(name="libvirt", version="1", build_packages=("sheepdog",)),
        factories.package(
            name="sheepdog", version="1", sources=(Source(file="s-1.tar.gz", git=GIT),)
        ),
        factories.package(
            name="pocket",
            version="1",
            targets=("rehearsal",),
            stand_in="so",
            stands_in_for="sheepdog",
        ),
    )
}
OUT_OF_REACH = Availability(False, "no route")
IN_REACH = Availability(True, "it answers")


def looked_up(
    *selectors: str,
    published: Sequence[BuildRecord] = (),
    bundle_sources: BundleSources | None = None,
    target: Target = TARGET,
) -> PlanValues:
    """Return the values of a plan, but for the availability of sources."""
    stand_ins = providers.stand_ins(PACKAGES, target)
    rows = {record.package: record for record in published}
    return PlanValues(
        target=target,
        request=providers.request(selectors, PACKAGES, stand_ins, target),
        packages=PACKAGES,
        file_hashes={n: {p.folder / n / "package.toml": "aa"} for n, p in PACKAGES.items()},
        builder_image="builder:1",
        published=rows,
        published_names=rows.keys(),
        bundle_sources=bundle_sources,
    )


def make(
    *selectors: str,
    sheepdog: Availability = OUT_OF_REACH,
    published: Sequence[BuildRecord] = (),
    bundle_sources: BundleSources | None = None,
) -> BuildPlan:
    values = looked_up(*selectors, published=published, bundle_sources=bundle_sources)
    return plan.make_plan(replace(values, availability={"sheepdog": sheepdog}))


def names(planned: BuildPlan) -> list[str]:
    return [row.package.name for row in planned.builds]


def records(planned: BuildPlan) -> list[BuildRecord]:
    return [
        factories.record(package=r.package.name, version="1", key=r.key, inputs=r.inputs)
        for r in planned.builds
    ]


def test_out_of_reach_the_stand_in_is_built_in_its_place() -> None:
    planned = make()
    assert names(planned) == ["pocket", "libvirt", "qemu"]
    assert planned.builds[1].build_packages == ("pocket",)
    assert [c.sentence for c in planned.choices] == ["sheepdog: the stand-in pocket: no route"]
    assert plan.sources_to_ask(looked_up()) == ["sheepdog"]


@pytest.mark.parametrize("selectors", [["sheepdog=stand-in"], ["qemu"]])
def test_a_source_that_does_not_matter_is_not_asked_after(selectors: list[str]) -> None:
    values = looked_up(*selectors)
    assert plan.sources_to_ask(values) == []
    assert plan.make_plan(values).builds


def test_where_there_is_no_stand_in_there_is_no_choice() -> None:
    values = looked_up(target=EL6)
    assert plan.sources_to_ask(values) == []
    planned = plan.make_plan(values)
    assert names(planned) == ["sheepdog", "libvirt", "qemu"]
    assert planned.choices == ()


def test_the_real_one_cannot_be_forced_out_of_reach() -> None:
    with pytest.raises(SourceUnreachableError, match="no route"):
        make("sheepdog=real")
    assert plan.sources_to_ask(looked_up("sheepdog=real")) == ["sheepdog"]


@pytest.mark.parametrize("provider", ["real", "stand-in"])
def test_a_later_run_keeps_the_provider_and_asks_no_network(provider: str) -> None:
    before = records(make(f"sheepdog={provider}", sheepdog=IN_REACH))
    values = looked_up(published=before)
    assert plan.sources_to_ask(values) == []
    planned = plan.make_plan(values)
    assert not any(row.build for row in planned.builds)
    assert [c.stand_in for c in planned.choices] == [provider == "stand-in"]


def test_a_bundle_that_has_not_the_published_provider_decides() -> None:
    former = [factories.record(package="sheepdog", version="1")]
    bundle = BundleSources(name="b.tar", holds=frozenset())
    assert plan.sources_to_ask(looked_up(published=former, bundle_sources=bundle)) == ["sheepdog"]
    planned = make(published=former, bundle_sources=bundle)
    assert [c.provider for c in planned.choices] == ["pocket"]


def test_a_force_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="sheepdog=stand-in has no effect: qemu"):
        make("qemu", "sheepdog=stand-in")
    with pytest.raises(ConfigError, match="sheepdog=stand-in has no effect: qemu"):
        plan.sources_to_ask(looked_up("qemu", "sheepdog=stand-in"))


def test_a_switch_rebuilds_what_depends_on_it_and_nothing_else() -> None:
    before = records(make(sheepdog=IN_REACH))
    again = make(sheepdog=IN_REACH, published=before)
    assert not any(row.build for row in again.builds)
    planned = make("sheepdog=stand-in", published=before)
    assert {row.package.name: row.reason for row in planned.builds} == {
        "pocket": "not built yet",
        "libvirt": "changed: package pocket, package sheepdog",
        "qemu": "nothing changed",
    }


@pytest.mark.parametrize("selectors", [["sheepdog"], []])
def test_a_repo_never_keeps_both_providers(selectors: list[str]) -> None:
    former = {r.package: r for r in records(make("sheepdog=stand-in"))}
    former["former stand-in"] = replace(former["pocket"], package="former stand-in")
    planned = make(*selectors, "sheepdog=real", sheepdog=IN_REACH, published=list(former.values()))
    assert not {"pocket", "former stand-in"} & planned.kept
    assert "qemu" in planned.kept
