"""Two worlds: sheepdog's stand-in, always there, and the real one, where it can be fetched.

What these tests publish goes into folders of their own, so that no run of them takes the place of
what the user has published.
"""

from __future__ import annotations

import functools

import pytest
from commands import invoke
from world import SETTINGS

from sheepvirt.config import catalog
from sheepvirt.sources import store

REAL = "real_sheepdog"


@functools.cache
def out_of_reach() -> str:
    """Return why sheepdog's source cannot be fetched here, or "". Asked once a session."""
    package = catalog.load_package(SETTINGS, "sheepdog")
    found = store.availability_of_all(SETTINGS, package.sources)
    return "" if found.ok else found.why


@pytest.fixture(scope="session")
def published() -> str:
    """What the build of the repo said that the hosts install from: the stand-in is in it.

    No work where it is published already.
    """
    with pytest.MonkeyPatch.context() as patch:  # whoever asks first may have a dist of its own
        patch.setenv("SHEEPVIRT_DIST", str(SETTINGS.dist))
        return invoke("build-rpms", "--target", "rehearsal", "--package", "sheepdog=stand-in")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs the real sheepdog where its source cannot be fetched, with that reason."""
    if item.get_closest_marker(REAL) and out_of_reach():
        pytest.skip(f"the real sheepdog cannot be built here: {out_of_reach()}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in which worlds the run has been."""
    passed = terminalreporter.stats.get("passed", [])
    seen = {
        "the stand-in pocketsheep": any("test_end_to_end" in r.nodeid for r in passed),
        "the real sheepdog": any(REAL in r.keywords for r in passed),
    }
    there = [name for name, yes in seen.items() if yes]
    missing = [name for name, yes in seen.items() if not yes]
    line = f"end to end, this run has seen {' and '.join(there) or 'no sheepdog'}"
    if missing:
        line += f"; not {' nor '.join(missing)}"
    if not seen["the real sheepdog"] and any(
        REAL in r.keywords for r in terminalreporter.stats.get("skipped", [])
    ):
        line += f" ({out_of_reach()})"
    terminalreporter.write_line(line)
