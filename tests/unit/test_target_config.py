"""What a target starts from, and the user's own settings on top of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sheepvirt.config import inventory
from sheepvirt.core.errors import ConfigError
from sheepvirt.model.targets import Rootfs
from tests.here import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

HASH = "a" * 64


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The user's file; it need not be there."""
    return tmp_path / "sheepvirt.toml"


def test_without_a_file_of_the_user_the_target_is_what_its_toml_says(own: Path) -> None:
    assert not own.exists()
    target = inventory.load_target(replace(SETTINGS, user_config=own), "el6")
    assert (target.rootfs, target.registry_mirror) == (None, "")
    assert target.repos[0].urls[0] == "https://vault.centos.org/6.10/os/$basearch/"


def test_the_users_file_sets_a_rootfs_a_registry_and_mirrors(own: Path) -> None:
    own.write_text(
        f'[el6]\nrootfs = "images/c6.tar"\nrootfs_sha256 = "{HASH}"\n'
        'registry_mirror = "registry.lan:5000/mirror"\n'
        '[el6.mirrors]\n"https://vault.centos.org/" = "http://mirror.lan/vault/"\n',
        encoding="utf-8",
    )
    target = inventory.load_target(replace(SETTINGS, user_config=own), "el6")
    assert target.rootfs == Rootfs(str(own.parent / "images/c6.tar"), HASH)
    assert target.registry_mirror == "registry.lan:5000/mirror"
    os_repo, epel = target.repos[0], target.repos[-1]
    assert os_repo.places[:2] == (
        "http://mirror.lan/vault/6.10/os/$basearch/",
        "https://vault.centos.org/6.10/os/$basearch/",
    )
    assert epel.places[0].startswith("https://archives.fedoraproject.org/")
    assert inventory.load_target(replace(SETTINGS, user_config=own), "rehearsal").rootfs is None


def test_a_url_stays_a_url(own: Path) -> None:
    own.write_text('[el6]\nrootfs = "https://a.invalid/c6.tar.xz"\n', encoding="utf-8")
    rootfs = inventory.load_target(replace(SETTINGS, user_config=own), "el6").rootfs
    assert rootfs == Rootfs("https://a.invalid/c6.tar.xz")
    assert rootfs.remote


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[el66]\n", "did you mean 'el6'"),
        ('[el6]\nrootfss = "a"\n', "'rootfs'"),
        ('[el6]\nrootfs = "a"\nrootfs_sha256 = "12"\n', "64 hex digits"),
        (f'[el6]\nrootfs_sha256 = "{HASH}"\n', "pins nothing"),
        ('[el6]\nregistry_mirror = "https://a.lan/"\n', "without a scheme"),
        ('[el6.mirrors]\n"https://vault.invalid/" = "http://a/"\n', "no URL of el6"),
        ('[el6]\nimages = ["centos:6"]\n', "unknown key 'images'"),
    ],
)
def test_what_is_wrong_in_it_is_named(own: Path, text: str, word: str) -> None:
    own.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        inventory.load_target(replace(SETTINGS, user_config=own), "el6")
    assert word in str(caught.value)
    assert str(own) in caught.value.message


TARGET = 'summary = "s"\nrelease = "R"\n[macros]\ndist = ".x"\n'
KEY = f'[[keys]]\nfile = "K"\nfingerprint = "{"a" * 40}"\n'


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (TARGET.replace('release = "R"\n', ""), "'release' is missing, and so is 'suite'"),
        (TARGET + '[[images]]\nname = "https://a/b"\ntag = "6"\n', "unknown key 'tag'"),
        (TARGET + '[[images]]\nname = "--privileged"\n', "for `docker pull`"),
        (TARGET + KEY.replace("aaaa", "aa", 1), "40 hex digits"),
        (TARGET + KEY.replace('"K"', '"../K"'), "without a folder"),
        (TARGET + KEY + '[[repos]]\nname = "r"\nurls = ["https://a/"]\nkey = "L"\n', "key 'L'"),
        (TARGET + KEY + '[[repos]]\nname = "r"\nurls = ["ftp://a/"]\nkey = "K"\n', "addresses"),
        (TARGET + KEY + '[[repos]]\nname = "r"\nurls = []\nkey = "K"\n', "addresses"),
        (TARGET + KEY + '[[repos]]\nname = "a b"\nurls = ["https://a/"]\nkey = "K"\n', "letters"),
    ],
)
def test_what_is_wrong_in_a_target_is_named(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "target.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        inventory.load_target(replace(SETTINGS, containers=tmp_path), "a")
    assert word in str(caught.value)
