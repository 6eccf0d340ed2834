"""The settings of a run: folders and files that the user's environment can choose.

The entry points read the environment once and pass the settings down. Nothing else keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core import paths

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Absolute paths. No folder is made here: whoever writes makes it."""

    specs: Path  # packages
    patches: Path  # intents and patches, by package
    containers: Path  # targets and images
    host: Path  # templates, files and dependencies of hosts
    inventory: Path  # the hosts
    user_config: Path  # the user's own settings of targets; may be absent
    dist: Path  # results of builds and runs
    cache: Path  # downloads and compiler cache; safe to delete
    state: Path  # keys, pinned host keys, locks: only for this user
    runtime: Path | None = None  # $XDG_RUNTIME_DIR: sockets of ssh

    @property
    def sources(self) -> Path:
        """The cache of sources."""
        return self.cache / "sources"

    @property
    def logs(self) -> Path:
        """The folder of the runs' logs."""
        return self.dist / "logs"

    @property
    def timings(self) -> Path:
        """The file with the durations of the last run's stages."""
        return self.dist / "timings.json"

    def environment(self) -> dict[str, str]:
        """Return the variables that give another process the same results, keys and hosts."""
        return {
            "SHEEPVIRT_DIST": str(self.dist),
            "SHEEPVIRT_CACHE": str(self.cache),
            "SHEEPVIRT_STATE": str(self.state),
            "SHEEPVIRT_INVENTORY": str(self.inventory),
            "SHEEPVIRT_CONFIG": str(self.user_config),
        }


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings that ``environment`` chooses; ARCHITECTURE.md lists the variables.

    Results go to ``dist/`` of the checkout; where sheepvirt is installed, of the current folder.
    """
    home = Path(environment.get("HOME") or Path.home())

    def xdg(variable: str, *default: str) -> Path:
        return Path(environment.get(variable) or home.joinpath(*default)) / "sheepvirt"

    def chosen(variable: str, default: Path) -> Path:
        return Path(environment.get(variable, default)).absolute()

    runtime = environment.get("XDG_RUNTIME_DIR", "")
    top = paths.ROOT if paths.IN_CHECKOUT else Path()
    return Settings(
        specs=paths.DATA / "specs",
        patches=paths.DATA / "patches",
        containers=paths.DATA / "containers",
        host=paths.DATA / "host",
        inventory=chosen("SHEEPVIRT_INVENTORY", paths.DATA / "host" / "inventory.toml"),
        user_config=chosen(
            "SHEEPVIRT_CONFIG", xdg("XDG_CONFIG_HOME", ".config") / "sheepvirt.toml"
        ),
        dist=chosen("SHEEPVIRT_DIST", top / "dist"),
        cache=chosen("SHEEPVIRT_CACHE", xdg("XDG_CACHE_HOME", ".cache")),
        state=chosen("SHEEPVIRT_STATE", xdg("XDG_STATE_HOME", ".local", "state")),
        runtime=Path(runtime) if runtime else None,
    )
