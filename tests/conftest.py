"""Golden files (``data/golden`` beside a test; `--regenerate` writes them); hypothesis profiles.

In CI hypothesis draws the same examples each time: a red run is the change's doing. Elsewhere it
draws new ones. No deadlines: a busy machine is no failure.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable

import pytest
from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

os.environ["SHEEPVIRT_CONFIG"] = os.devnull  # whoever runs the tests may have settings of their own

Golden = Callable[[str, str], None]


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
