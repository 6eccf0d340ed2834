"""The tag of each image and the key of each build, as golden files.

Who changes one of them has every user build it once more: the diff of the golden file shows what
changed, and it needs a fragment of kind ``rebuild`` (changelog.d/README.md). Values that are hashed
are listed beside their hash, apart from the content of files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sheepvirt.builds import plan, providers
from sheepvirt.config import catalog, inventory, versions
from sheepvirt.core.files import sha256
from sheepvirt.engine import machine
from sheepvirt.images import bases, recipes
from tests.here import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sheepvirt.model.builds import Package, Target

Golden = Callable[[str, str], None]
TARGETS = catalog.target_names(SETTINGS)


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the vsyscall mode, on which the base depends, to one that allows every image."""
    monkeypatch.setattr(machine, "vsyscall", lambda: "xonly")


def as_text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def kinds(target: Target) -> list[str]:
    """Return all kinds of image, variants such as host-sysv among them."""
    folders = target.folder.glob("*/Containerfile.j2")
    return ["base", *sorted(path.parent.name for path in folders)]


def hashed_values(target: Target) -> dict[str, Any]:
    if not target.repos:
        return {"base": bases.recipe(target)}
    return {
        "base": bases.recipe(target),
        "templates": json.loads(recipes.template_values(SETTINGS, target)),
    }


@pytest.mark.parametrize("name", TARGETS)
def test_an_image_tag_changes_only_with_its_golden_file(name: str, golden: Golden) -> None:
    target = inventory.load_target(SETTINGS, name)
    tags = {kind: recipes.tag_of(SETTINGS, target, kind) for kind in kinds(target)}
    golden(f"images-{name}.json", as_text({"tags": tags, "hashed": hashed_values(target)}))


def loaded(target: Target) -> dict[str, Package]:
    """Return all packages, each in the version that ``target`` chooses."""
    names = catalog.package_names(SETTINGS)
    chosen = plan.chosen_versions(names, {}, target)
    packages = (catalog.load_package(SETTINGS, name, chosen.get(name, "")) for name in names)
    return {package.name: package.for_target(target.name) for package in packages}


def build(
    package: Package, packages: Mapping[str, Package], target: Target, chosen: Mapping[str, str]
) -> dict[str, Any]:
    """Return the key of ``package`` and its inputs; of files, only the names."""
    image = recipes.tag_of(SETTINGS, target, "builder")
    keys: dict[str, str] = {}
    rows: dict[str, str] = {}
    here = {**packages, package.name: package}
    for one in plan.order(here, [package.name], target, chosen):
        files = {path: sha256(path) for path in versions.files(one)}
        needs = [chosen.get(need, need) for need in one.build_packages]
        inputs = plan.inputs(one, target, image, files, {need: keys[need] for need in needs})
        keys[one.name] = plan.decide(one, inputs, None, needs).key
        rows = inputs.rows()
    names = {f"{path.parent.name}/{path.name}" for path in versions.files(package)}
    shown = {name: "(a file)" if name in names else value for name, value in rows.items()}
    return {"key": keys[package.name], "inputs": shown}


@pytest.mark.parametrize("name", TARGETS)
def test_a_build_key_changes_only_with_its_golden_file(name: str, golden: Golden) -> None:
    target = inventory.load_target(SETTINGS, name)
    packages = loaded(target)
    known = providers.stand_ins(packages, target)
    rows: dict[str, Any] = {}
    for package in packages.values():
        for version in package.versions:
            one = catalog.load_package(SETTINGS, package.name, version).for_target(name)
            if one.targets and name not in one.targets:
                continue
            title = f"{one.name} {version}"
            rows[title] = build(one, packages, target, {})
            for real in known.keys() & set(package.build_packages):
                provider = {real: known[real]}
                rows[f"{title} with {known[real]}"] = build(one, packages, target, provider)
    golden(f"builds-{name}.json", as_text(rows))


def test_the_mirrors_of_a_user_change_no_tag() -> None:
    target = inventory.load_target(SETTINGS, "el6")
    mirrors = ("http://mirror.lan/os/",)
    with_mirrors = replace(
        target,
        repos=tuple(replace(one, mirrors=mirrors) for one in target.repos),
        keys=tuple(replace(one, mirrors=mirrors) for one in target.keys),
    )
    tags = {recipes.tag_of(SETTINGS, one, "builder") for one in (target, with_mirrors)}
    assert len(tags) == 1
