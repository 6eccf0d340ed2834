"""The environment chooses the folders; a checkout's data is where the checkout is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import factories
import pytest

from sheepvirt.core import paths
from sheepvirt.core.settings import from_environment
from sheepvirt.ssh import hostkeys

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings


def test_the_defaults_are_the_checkout_and_the_xdg_folders_of_the_home() -> None:
    found = from_environment({"HOME": "/home/taro"})
    assert found.specs == paths.ROOT / "specs"
    assert found.inventory == paths.ROOT / "host" / "inventory.toml"
    assert found.dist == paths.ROOT / "dist"
    assert found.cache == Path("/home/taro/.cache/sheepvirt")
    assert found.state == Path("/home/taro/.local/state/sheepvirt")
    assert found.user_config == Path("/home/taro/.config/sheepvirt/sheepvirt.toml")
    assert found.runtime is None


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("SHEEPVIRT_DIST", "dist"),
        ("SHEEPVIRT_CACHE", "cache"),
        ("SHEEPVIRT_STATE", "state"),
        ("SHEEPVIRT_CONFIG", "user_config"),
        ("SHEEPVIRT_INVENTORY", "inventory"),
    ],
)
def test_a_variable_overrides_its_default_and_another_process_gets_the_same(
    variable: str, field: str
) -> None:
    found = from_environment({"HOME": "/home/taro", variable: "somewhere"})
    assert getattr(found, field) == Path("somewhere").absolute()
    again = from_environment({"HOME": "/root", **found.environment()})
    assert again == found


def test_nothing_is_made_by_asking_for_a_path(settings: Settings, tmp_path: Path) -> None:
    host = factories.host(
        rehearsal=False, address="192.0.2.7", port=22, bridge="br0", network="br0"
    )
    hostkeys.folder(settings, host)
    hostkeys.control_path(settings, host)
    assert list(tmp_path.iterdir()) == []
