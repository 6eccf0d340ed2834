"""Fixtures; golden files (`--regenerate` writes them); hypothesis profiles.

In CI hypothesis draws the same examples each time: a red run is the change's doing. Elsewhere it
draws new ones. No deadlines: a busy machine is no failure.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.here import PlayedRun, run_in, within

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.core.settings import Settings

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

os.environ["SHEEPVIRT_CONFIG"] = os.devnull  # whoever runs the tests may have settings of their own

Golden = Callable[[str, str], None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The checkout's data; results, cache and state in a folder of the test."""
    return within(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> PlayedRun:
    """A run with folders of the test, without an engine, with a clock that never waits."""
    return run_in(tmp_path)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write golden files; read the diff")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Return ``compare(name, text)``: fails with a diff where text is not the golden file's."""
    folder = request.path.parent / "data" / "golden"

    def compare(name: str, text: str) -> None:
        path = folder / name
        if request.config.getoption("--regenerate"):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        wanted = path.read_text(encoding="utf-8") if path.exists() else ""
        if text != wanted:
            lines = difflib.unified_diff(
                wanted.splitlines(), text.splitlines(), name, "this run", lineterm=""
            )
            pytest.fail("\n".join([*lines, "as it should be? pytest --regenerate"]), pytrace=False)

    return compare
