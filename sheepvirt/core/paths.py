"""Where sheepvirt itself is: the checkout, or the folder that it is installed in.

These paths follow from the place of this file. What a user can choose is in settings.py.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "data"  # pyproject.toml puts it there; a checkout has no such folder
ROOT = _PACKAGE.parent  # the checkout, or the folder that sheepvirt is installed in
IN_CHECKOUT = not _IN_WHEEL.is_dir()
DATA = ROOT if IN_CHECKOUT else _IN_WHEEL
PROJECT = DATA / "pyproject.toml"  # the version, and pytest's settings for the verification
LOCK = DATA / "requirements.lock"
CHECKS = _PACKAGE / "verify" / "checks"  # the verification: pytest, on any host
MANIFEST = "manifest.json"  # in a published repo: its packages and their evidence


def version() -> str:
    """Return sheepvirt's version. pyproject.toml is the one place that has it."""
    return str(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"])
