"""What pyproject.toml says of the project: what it needs, and what goes into its wheel."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from sheepvirt.core import paths
from tests.here import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = tomllib.loads(paths.PROJECT.read_text(encoding="utf-8"))["project"]
RUNTIME = PROJECT["dependencies"]
DEVELOPMENT = [*RUNTIME, *PROJECT["optional-dependencies"]["dev"]]
COMMON = SETTINGS.containers / "rehearsal" / "common"


def imported(folder: Path) -> set[str]:
    """Return the top-level names of all imports in ``folder``, standard library left out."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("folder", "requirements", "own"),
    [
        ("sheepvirt", RUNTIME, {"sheepvirt"}),
        ("bench", RUNTIME, {"sheepvirt", "bench"}),
        ("tests", DEVELOPMENT, {"sheepvirt", "pocketsheep", "tests"}),
    ],
)
def test_every_import_is_declared(folder: str, requirements: list[str], own: set[str]) -> None:
    declared = {re.split(r"[^A-Za-z0-9._-]", text)[0].lower() for text in requirements}
    own = own | {path.stem for path in (paths.ROOT / "tests").glob("*/*.py")}
    providers = importlib.metadata.packages_distributions()
    undeclared = {
        name
        for name in imported(paths.ROOT / folder) - own
        if not declared & {d.lower() for d in providers.get(name, ())}
    }
    assert undeclared == set()


def test_every_declared_dependency_is_locked() -> None:
    locked = set(re.findall(r"^([a-z0-9.-]+)==", paths.LOCK.read_text("utf-8"), re.MULTILINE))
    assert {text.partition(" ")[0] for text in DEVELOPMENT} <= locked


def test_the_lock_names_no_registry() -> None:
    assert not re.search(r"://|^\s*--(?!hash=)", paths.LOCK.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("kind", ["builder", "host"])
def test_a_shared_folder_is_linked_file_by_file(kind: str) -> None:
    """A wheel takes a folder in once: of two links to one folder, one would be missing."""
    folder = COMMON.parent / kind / "chkconfig"
    assert not folder.is_symlink()
    shared = {p.name for p in (COMMON / "chkconfig").iterdir() if p.is_file()}
    assert {p.name for p in folder.iterdir() if p.is_symlink()} == shared


def test_the_newest_release_of_the_changelog_is_the_version() -> None:
    text = (paths.ROOT / "CHANGELOG.md").read_text("utf-8")
    found = re.search(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", text, re.MULTILINE)
    assert found
    assert found.group(1) == paths.version()
