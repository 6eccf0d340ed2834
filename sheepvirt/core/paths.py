"""Locations of files: data folders in checkout or wheel, caches and keys outside of both."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "data"  # pyproject.toml puts it there; a checkout has no such folder
ROOT = _PACKAGE.parent  # the checkout, or the folder that sheepvirt is installed in
IN_CHECKOUT = not _IN_WHEEL.is_dir()
DATA = ROOT if IN_CHECKOUT else _IN_WHEEL
SPECS = DATA / "specs"
PATCHES = DATA / "patches"
CONTAINERS = DATA / "containers"
HOST = DATA / "host"
PROJECT = DATA / "pyproject.toml"  # the version, and pytest's settings for the verification
LOCK = DATA / "requirements.lock"
CHECKS = _PACKAGE / "verify" / "checks"  # the verification: pytest, on any host
MANIFEST = "manifest.json"  # in a published repo: its packages and their evidence


def version() -> str:
    """Return sheepvirt's version. pyproject.toml is the one place that has it."""
    return str(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"])


def dist() -> Path:
    """Results of builds and runs: ``$SHEEPVIRT_DIST``, else ``dist/`` in the checkout.

    Where sheepvirt is installed, ``dist/`` in the current folder.
    """
    top = ROOT if IN_CHECKOUT else Path()
    return Path(os.environ.get("SHEEPVIRT_DIST", top / "dist")).absolute()


def cache() -> Path:
    """Downloads and compiler cache (safe to delete): ``$SHEEPVIRT_CACHE`` or the XDG cache."""
    xdg = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("SHEEPVIRT_CACHE", Path(xdg) / "sheepvirt")).absolute()


def state() -> Path:
    """Keys, pinned host keys, locks (0700): ``$SHEEPVIRT_STATE`` or the XDG state folder."""
    xdg = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(os.environ.get("SHEEPVIRT_STATE", Path(xdg) / "sheepvirt")).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def inventory() -> Path:
    """The inventory: ``host/inventory.toml`` or ``$SHEEPVIRT_INVENTORY``."""
    return Path(os.environ.get("SHEEPVIRT_INVENTORY", HOST / "inventory.toml")).absolute()


def user_config() -> Path:
    """The user's own settings of targets: ``$SHEEPVIRT_CONFIG`` or a file in the XDG config."""
    xdg = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(os.environ.get("SHEEPVIRT_CONFIG", Path(xdg) / "sheepvirt" / "sheepvirt.toml"))
