"""Where things live: data folders in the checkout, caches and keys outside of it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "specs"
PATCHES = ROOT / "patches"
CONTAINERS = ROOT / "containers"
HOST = ROOT / "host"
CHECKS = ROOT / "sheepvirt" / "verify" / "checks"  # the verification: pytest, on any host
MANIFEST = "manifest.json"  # in a published repo: what it has and what was seen of it


def dist() -> Path:
    """Results of builds and runs: ``dist/`` in the checkout, or ``$SHEEPVIRT_DIST``."""
    return Path(os.environ.get("SHEEPVIRT_DIST", ROOT / "dist"))


def cache() -> Path:
    """Downloads and compiler cache (safe to delete): ``$SHEEPVIRT_CACHE`` or the XDG cache."""
    xdg = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("SHEEPVIRT_CACHE", Path(xdg) / "sheepvirt"))


def state() -> Path:
    """Keys, pinned host keys, locks (0700): ``$SHEEPVIRT_STATE`` or the XDG state folder."""
    xdg = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(os.environ.get("SHEEPVIRT_STATE", Path(xdg) / "sheepvirt"))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def inventory() -> Path:
    """The inventory: ``host/inventory.toml`` or ``$SHEEPVIRT_INVENTORY``."""
    return Path(os.environ.get("SHEEPVIRT_INVENTORY", HOST / "inventory.toml"))


def user_config() -> Path:
    """The user's own settings of targets: ``$SHEEPVIRT_CONFIG`` or a file in the XDG config."""
    xdg = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(os.environ.get("SHEEPVIRT_CONFIG", Path(xdg) / "sheepvirt" / "sheepvirt.toml"))
