"""TOML files: what is right is read, what is wrong is named with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sheepvirt.config import catalog, inventory
from sheepvirt.core.errors import ConfigError, UnknownNameError
from tests.here import SETTINGS

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings

HASH = "a" * 64


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path


def below(folder: Path) -> Settings:
    """Return settings whose packages, targets and hosts are in ``folder``."""
    folders = {name: folder / name for name in ("specs", "containers", "host")}
    return replace(SETTINGS, **folders, inventory=folder / "host" / "inventory.toml")


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


PACKAGE = 'version = "1"\nspec = "a.spec"\nspec_from = "here"\n'
GIT = (
    PACKAGE + '[[sources]]\nfile = "a-1.tar.gz"\n'
    'git = { url = "https://a.invalid/a.git", commit = "' + "b" * 40 + '" }\n'
)
TARGET = 'summary = "s"\nsuite = "b"\n[macros]\ndist = ".x"\n'
CEILINGS = TARGET + '[ceilings]\nrpm = "4.8"\nyum = "3.2.29"\nglibc = "2.12"\n'
HOST = '[hosts.a]\ntarget = "x"\nbridge = "b"\nnetwork = "n"\n'
GUEST = '[hosts.a.guests.g]\nmemory_mb = 1\nnetwork = "n"\nline = "l"\n'


def package(folder: Path, text: str) -> Callable[[], object]:
    put(folder / "specs" / "a" / "package.toml", text)
    return lambda: catalog.load_package(below(folder), "a")


def target(folder: Path, text: str) -> Callable[[], object]:
    put(folder / "containers" / "a" / "target.toml", text)
    return lambda: inventory.load_target(below(folder), "a")


def hosts(folder: Path, text: str) -> Callable[[], object]:
    put(folder / "host" / "inventory.toml", text)
    return lambda: inventory.load_hosts(below(folder))


def dependencies(folder: Path, text: str) -> Callable[[], object]:
    put(folder / "host" / "dependencies.toml", text)
    return lambda: inventory.load_dependencies(below(folder))


Reader = Callable[[Path, str], Callable[[], object]]


@pytest.mark.parametrize(
    ("read", "text", "key", "near"),
    [
        (package, PACKAGE + 'verison = "2"\n', "verison", "version"),
        (
            package,
            PACKAGE + f'[[sources]]\nfile = "f"\nsha256 = "{HASH}"\nurl = []\n',
            "url",
            "urls",
        ),
        (package, PACKAGE + '[features.f]\nintent = "i"\nrpm_fle = "x"\n', "rpm_fle", "rpm_file"),
        (target, TARGET.replace("summary", 'suit = "b"\nsummary'), "suit", "suite"),
        (target, CEILINGS + 'rmp = "4"\n', "rmp", "rpm"),
        (hosts, HOST + 'adress = "x"\n', "adress", "address"),
        (hosts, HOST + GUEST + "memory_gb = 1\n", "memory_gb", "memory_mb"),
        (hosts, "[host.a]\n", "host", "hosts"),
        (dependencies, 'package = ["x"]\n', "package", "packages"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known(
    data: Path, read: Reader, text: str, key: str, near: str
) -> None:
    with pytest.raises(ConfigError, match=f"unknown key '{key}'") as caught:
        read(data, text)()
    assert caught.value.hint == f"did you mean '{near}'?"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (package, "version = ", "not TOML"),
        (package, PACKAGE.replace('"1"', "1"), "'version' is int, wanted str"),
        (package, PACKAGE.replace("here", "there"), "spec_from is 'there'"),
        (package, PACKAGE + '[[sources]]\nfile = "f"\nsha256 = "abc"\n', "not 64 hex digits"),
        (
            package,
            PACKAGE + f'[[sources]]\nfile = "../f"\nsha256 = "{HASH}"\n',
            "must be a plain file name",
        ),
        (
            package,
            PACKAGE + "[features.f]\nintent = 'i'\nbuild_log = '('\n",
            "not a regular expression",
        ),
        (package, PACKAGE + "[features.f]\nintent = 'i'\nbuild_tool = 'x'\n", "has no group"),
        (package, PACKAGE + "[features.f]\nspec_text = '('\n", "not a regular expression"),
        (package, PACKAGE + "[features.f]\nrpm_file = '/f'\n", "and so is 'intent'"),
        (package, PACKAGE + "[features.f]\nintent = 'i'\nrpm_text = 'x'\n", "needs a file"),
        (package, GIT + f'sha256 = "{HASH}"\n', "unknown key 'sha256'"),
        (package, GIT.replace("b" * 40, "v1.0.1"), "'commit' is 'v1.0.1'"),
        (package, GIT.replace("https:", "--upload-pack=x:"), "'url' is '--upload-pack=x:"),
        (package, GIT.replace(".tar.gz", ".zip"), "'file' is 'a-1.zip'"),
        (package, PACKAGE + 'stand_in = "it says so"\n', "'stands_in_for' is missing"),
        (package, PACKAGE + 'stands_in_for = "b"\n', "'stand_in' is missing"),
        (package, PACKAGE + "files = ['absent']\n", "'files' names 'absent'"),
        (package, PACKAGE + "files = ['../a']\n", "'files' names '../a'"),
        (package, PACKAGE + "[adjust]\ndefine = { a = 1 }\n", "takes strings only"),
        (target, 'summary = "s"\n', "has no dist"),
        (target, TARGET + "rhel = 8\n", "takes strings only"),
        (target, CEILINGS.replace('glibc = "2.12"', ""), "'glibc' is missing"),
        (target, CEILINGS.replace('"4.8"', '"4.8-59.el6"'), "'rpm' is '4.8-59.el6'"),
        (target, CEILINGS.replace('"2.12"', "2.12"), "'glibc' is float, wanted str"),
        (hosts, HOST.replace('"b"', '"a b"'), "'bridge' is 'a b'"),
        (hosts, HOST.replace('"b"', '"$(reboot)"'), "'bridge' is '$(reboot)'"),
        (hosts, HOST.replace("[hosts.a]", "[hosts.'a/../b']"), "'name' is 'a/../b'"),
        *(
            (hosts, HOST + f"address = '{written}'\n", f"'address' is '{written}'")
            for written in (
                "192.0.2.7:2222",
                "[::1]:22",
                "[::1]",
                "h.lan:22",
                "root@h.lan",
                "-oProxyCommand=x",
                "a%h",
                "192.0.2.7%eth0",
                "fe80::1%",
                "fe80::1%eth0 x",
                "fe80::1%$(x)",
                "a b",
                "",
            )
        ),
        (hosts, HOST + "port = 70000\n", "'port' is 70000"),
        (hosts, HOST + "port = true\n", "'port' is bool, wanted int"),
        (hosts, HOST + GUEST.replace("= 1", "= 0"), "'memory_mb' is 0"),
        (hosts, HOST + GUEST + "disk_gb = 0\n", "'disk_gb' is 0"),
        (hosts, HOST + GUEST + "disk_gb = 4399\n", "a VDI has at most 4398046511104 bytes"),
        (hosts, HOST + GUEST + 'disk = "vdi"\n', "'disk' is 'vdi'"),
        (hosts, HOST + "init = 'sysv'\n", "'init' is 'sysv'"),  # a real machine has its own
        (hosts, HOST + "rehearsal = true\ninit = 'upstart'\n", "'init' is 'upstart'"),
        (hosts, HOST + "rehearsal = true\ninit = 'other'\n", "'init' is 'other'"),
        (hosts, HOST + "datapath = 'dpdk'\n", "'datapath' is 'dpdk'"),
        (hosts, HOST + "datapath = 1\n", "'datapath' is int, wanted str"),
        (package, PACKAGE + "init = 'systemd'\n", "'init' is 'systemd'"),
        (hosts, HOST + "uplink = 'eth 0'\n", "'uplink' is 'eth 0'"),
        (hosts, HOST + "uplink = 'b'\n", "'uplink' is the bridge itself"),
        (hosts, HOST + "bridge_address = '192.0.2.7'\n", "'bridge_address' is '192.0.2.7'"),
        (hosts, HOST + "bridge_address = 'x/24'\n", "'bridge_address' is 'x/24'"),
        (hosts, HOST + "gateway = '192.0.2.1'\n", "'gateway' is set, and bridge_address is 'dhcp'"),
        (
            hosts,
            HOST + "bridge_address = '192.0.2.7/24'\ngateway = '198.51.100.1'\n",
            "'gateway' is '198.51.100.1', and bridge_address is '192.0.2.7/24'",
        ),
        (
            hosts,
            HOST + "bridge_address = '192.0.2.7/24'\ngateway = '192.0.2.7'\n",
            "'gateway' is '192.0.2.7', the host's own address: bridge_address is '192.0.2.7/24'",
        ),
        (
            hosts,
            HOST + "bridge_address = '192.0.2.7/24'\ngateway = '192.0.2.255'\n",
            "'gateway' is the broadcast address of 192.0.2.0/24 (bridge_address is",
        ),
        (
            hosts,
            HOST + "bridge_address = '192.0.2.0/24'\n",
            "'bridge_address' is the network address of 192.0.2.0/24",
        ),
        (hosts, HOST + "bridge_address = '127.0.0.2/8'\n", "no network interface can have"),
        (hosts, HOST + "pool = 'a/b'\n", "'pool' is 'a/b'"),
        (hosts, HOST + GUEST.replace('"l"', '"l\\u0007"'), "control character"),
        (hosts, HOST.replace('network = "n"\n', ""), "'network' is missing"),
    ],
)
def test_a_wrong_value_is_named(data: Path, read: Reader, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(data, text)()
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("192.0.2.7:2222", 'write address = "192.0.2.7" and port = 2222'),
        ("[fe80::1%eth0]:22", 'write address = "fe80::1%eth0" and port = 22'),
        ("root@h.lan", "write user = 'root'"),
    ],
)
def test_what_is_no_part_of_an_address_is_shown_its_key(
    data: Path, written: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        hosts(data, HOST + f"address = '{written}'\n")()
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("h-1.lan", "h-1.lan"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("FE80:0::1%eth0.7", "fe80::1%eth0.7"),  # ssh looks for a key by the short form alone
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_an_address_is_kept_as_ssh_writes_it(data: Path, written: str, address: str) -> None:
    hosts(data, HOST + f"address = '{written}'\n")()
    assert inventory.load_host(below(data), "a").address == address


def test_a_git_source_is_pinned_by_its_commit(data: Path) -> None:
    package(data, GIT + '[adjust]\nwithout = ["x"]\n')()
    found = catalog.load_package(below(data), "a")
    assert found.sources[0].pin == "b" * 40
    assert found.adjust
    assert found.adjust.without == ("x",)


def test_a_misspelt_key_is_named_where_the_right_one_is_missing(data: Path) -> None:
    with pytest.raises(ConfigError, match="'version' is missing") as caught:
        package(data, PACKAGE.replace("version", "verison"))()
    assert caught.value.hint == "is 'verison' it, misspelt?"


def test_a_missing_file_is_named(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"inventory\.toml: No such file"):
        inventory.load_hosts(below(data))


@pytest.mark.parametrize(
    ("load", "name", "near"),
    [
        (inventory.load_target, "rehersal", "rehearsal"),
        (catalog.load_package, "libvrit", "libvirt"),
        (inventory.load_host, "tahti", "tahiti"),
    ],
)
def test_a_misspelt_name_gets_a_suggestion(
    load: Callable[[Settings, str], object], name: str, near: str
) -> None:
    with pytest.raises(UnknownNameError, match=name) as caught:
        load(SETTINGS, name)
    assert caught.value.hint == f"did you mean '{near}'?"


def test_what_is_in_the_repo_is_right() -> None:
    for name in catalog.target_names(SETTINGS):
        inventory.load_target(SETTINGS, name)
    for name in catalog.package_names(SETTINGS):
        for version in catalog.load_package(SETTINGS, name).versions:
            catalog.load_package(SETTINGS, name, version)
    assert "tahiti" in inventory.load_hosts(SETTINGS)
    assert len(inventory.load_dependencies(SETTINGS).packages) == 23


ADDED = PACKAGE + '[[adjust.files]]\nfile = "a.init"\npath = "/etc/init.d/a"\n'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('path = "etc/a"', "'path' is 'etc/a'"),
        ('path = "/etc/a b"', "'path' is '/etc/a b'"),
        ('path = "/etc/a"\nmode = "755"', "'mode' is '755'"),
        ('path = "/etc/a"\nconfig = "noreplace"', "'config' is 'noreplace'"),
    ],
)
def test_an_added_file_that_rpm_would_misread_is_refused(data: Path, line: str, says: str) -> None:
    put(data / "specs" / "a" / "a.init", "#!/bin/sh\n")
    assert package(data, ADDED)()
    with pytest.raises(ConfigError, match=re.escape(says)):
        package(data, ADDED.replace('path = "/etc/init.d/a"', line))()


def test_an_added_file_must_be_there(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"names 'a\.init'"):
        package(data, ADDED)()


def test_a_feature_may_be_one_of_some_targets(data: Path) -> None:
    for name in ("x", "y"):
        put(data / "containers" / name / "target.toml", TARGET)
    text = PACKAGE + '[features.f]\nspec_text = "a"\n[features.g]\nspec_text = "a"\n'
    put(data / "specs" / "a" / "package.toml", text + 'targets = ["x"]\n')
    loaded = catalog.load_package(below(data), "a")
    assert [f.name for f in loaded.for_target("x").features] == ["f", "g"]
    assert [f.name for f in loaded.for_target("y").features] == ["f"]


def test_sheepdog_listens_on_addresses_alone(data: Path) -> None:
    hosts(data, HOST)
    assert inventory.load_hosts(below(data))["a"].sheepdog_listen == ("127.0.0.1",)
    hosts(data, HOST + 'sheepdog_listen = ["127.0.0.1", "fe80::1"]\n')
    assert inventory.load_hosts(below(data))["a"].sheepdog_listen == ("127.0.0.1", "fe80::1")
    with pytest.raises(ConfigError, match="'sheepdog_listen' names 'eth0'"):
        hosts(data, HOST + 'sheepdog_listen = ["eth0"]\n')()
