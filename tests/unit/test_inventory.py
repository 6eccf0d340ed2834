"""The inventory: what can be said of hosts, guests and networks, and what is refused how."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap import host_files
from sheepvirt.bootstrap.steps.definition import difference
from sheepvirt.config import inventory
from sheepvirt.core import sizes
from sheepvirt.core.errors import ConfigError, ConfigErrors
from tests.here import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.model.guests import Guest
    from sheepvirt.model.hosts import Host

HOST = '[hosts.a]\ntarget = "rehearsal"\nbridge = "br0"\nnetwork = "lan"\n'
BARE = '[hosts.a.guests.g]\nline = "l"\nnetwork = "lan"\n'
GUEST = BARE + 'memory = "1 GB"\n'


def load(folder: Path, text: str) -> dict[str, Host]:
    path = folder / "inventory.toml"
    path.write_text(text, encoding="utf-8")
    return inventory.load_hosts(replace(SETTINGS, inventory=path))


def guest(folder: Path, text: str) -> Guest:
    return load(folder, HOST + text)["a"].guests[0]


def refused(folder: Path, text: str) -> list[ConfigError]:
    """Return all that is wrong with an inventory."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    error = caught.value
    return list(error.problems) if isinstance(error, ConfigErrors) else [error]


@pytest.mark.parametrize(
    ("written", "memory"),
    [('memory = "512 MiB"', 2**29), ('memory = "1 TiB"', 2**40), ("memory_mb = 256", 256 * 10**6)],
)
def test_memory_has_a_unit(tmp_path: Path, written: str, memory: int) -> None:
    assert guest(tmp_path, BARE + written).memory == memory


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("", 10**9),
        ('disk_size = "20 GB"\n', 20 * 10**9),
        ("disk_gb = 2\n", 2 * 10**9),
        ('disk_size = "4 TiB"\n', 2**42),
    ],
)
def test_a_disk_has_a_size_with_a_unit(tmp_path: Path, written: str, size: int) -> None:
    assert guest(tmp_path, GUEST + written).disk_bytes == size


@pytest.mark.parametrize(
    ("written", "says", "hint"),
    [
        (BARE, "'memory' is missing", 'add `memory = "512 MiB"`'),
        (BARE + 'memmory = "1 GB"', "'memory' is missing", "is 'memmory' it, misspelt?"),
        (
            GUEST + "memory_mb = 512",
            "[hosts.a.guests.g]: 'memory' and 'memory_mb' are both set: '1 GB', 512",
            "remove one of them, such as `memory_mb`",
        ),
        (
            GUEST + 'disk_gb = 1\ndisk_size = "2 GB"',
            "'disk_size' and 'disk_gb' are both set",
            "remove `disk_gb`",
        ),
        (
            GUEST + 'disk = "file"\ndisk_size = "2 GB"',
            "'disk_size' and 'disk' are both set (to 'file'), and a file is as large as its image",
            "remove `disk_size`",
        ),
        (BARE + "memory = 512", "'memory' is 512, without a unit", 'write it as "512 MB"'),
        (
            BARE + 'memory = "512 M"',
            "'memory' is '512 M': the unit 'M' may be one of two",
            'write "512 MiB" (1024) or "512 MB" (1000)',
        ),
        (BARE + 'memory = "512 KB"', "'memory' is '512 KB'", "give at least 1 MB"),
        (GUEST + 'disk_size = "5 TiB"', "'disk_size' is '5 TiB'", "give at most 4 TiB"),
        (
            GUEST + 'disk_size = "1001 B"',
            "'disk_size' is '1001 B', no multiple of 512 bytes",
            'write "1 KiB"',
        ),
    ],
)
def test_a_size_that_is_wrong_says_what_to_write(
    tmp_path: Path, written: str, says: str, hint: str
) -> None:
    (problem,) = refused(tmp_path, HOST + written)
    assert says in problem.message
    assert problem.hint == hint


def domain(one: Guest) -> str:
    return host_files.load(SETTINGS.host).render(
        "domain.xml.j2",
        guest=one,
        type="qemu",
        bridge="br0",
        file="",
        address="127.0.0.1",
        port=7000,
        cache="",
        uuid="",
        mac="",
        interfaceid="",
    )


def test_how_memory_is_written_is_no_change_on_a_host() -> None:
    assert '<memory unit="MB">256</memory>' in domain(factories.guest(memory=256 * 10**6))
    assert '<memory unit="KiB">1048576</memory>' in domain(factories.guest(memory=2**30))


@given(memory=st.integers(min_value=10**6, max_value=2**50))
def test_memory_is_what_libvirt_makes_of_it(memory: int) -> None:
    sent = domain(factories.guest(memory=memory))
    unit = "KiB" if memory % 10**6 else "MB"
    written = f'unit="{unit}">{-(-memory // sizes.unit(unit))}<'
    assert written in sent
    kib = sent.replace(written, f'unit="KiB">{-(-memory // 1024)}<')
    assert difference(kib, sent) == ""
