"""The inventory: what can be said of hosts, guests and networks, and what is refused how."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap import host_files
from sheepvirt.bootstrap.steps.definition import Interface, difference
from sheepvirt.bootstrap.steps.domain import wanted_interfaces
from sheepvirt.config import inventory
from sheepvirt.core import sizes
from sheepvirt.core.errors import ConfigError, ConfigErrors
from sheepvirt.model.guests import Nic
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
        interfaces=[Interface()],
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


SECOND = HOST.replace("hosts.a", "hosts.b")
REHEARSAL = HOST + "rehearsal = true\n"


@pytest.mark.parametrize(
    ("written", "says", "hint"),
    [
        (
            HOST + GUEST.replace('"lan"', '"lna"'),
            "[hosts.a.guests.g]: 'network' is 'lna', and the network of [hosts.a] is 'lan'",
            "did you mean 'lan'?",
        ),
        (
            HOST + GUEST.replace('"lan"', '"dmz"'),
            "[hosts.a.guests.g]: 'network' is 'dmz', and the network of [hosts.a] is 'lan'",
            "write `network = 'lan'`, or remove it",
        ),
        (
            HOST + 'uplink = "br0"\n',
            "[hosts.a]: 'uplink' is the bridge itself: 'bridge' is 'br0' as well",
            "name a network interface: eth0",
        ),
        (
            HOST + 'uplink = "lo"\n',
            "'uplink' is 'lo': that is the loopback interface",
            "choose another name",
        ),
        (
            HOST.replace("br0", "virbr0"),
            "'bridge' is 'virbr0': that is libvirt's own, of networks such as 'default'",
            "choose another name",
        ),
        (
            HOST.replace("br0", "vnet7"),
            "'bridge' is 'vnet7': that is libvirt's, of a guest's interface",
            "choose another name",
        ),
        (
            HOST.replace('"lan"', '"default"'),
            "'network' is libvirt's 'default'",
            "choose another network name",
        ),
        (
            HOST + 'bridge_address = "dhcp"\n',
            "'bridge_address' is 'dhcp', and there is no 'uplink'",
            'add `uplink = "eth0"`, or remove bridge_address',
        ),
        (
            HOST + 'uplink = "eth0"\nbridge_address = "192.0.2.7/24"\ngateway = "192.0.3.1"\n',
            "'gateway' is '192.0.3.1', and bridge_address is '192.0.2.7/24'",
            "give an address in 192.0.2.0/24",
        ),
        (
            HOST + 'sudo_password_command = ["pass", "a"]\n',
            "'sudo_password_command' is set, and 'user' is 'root', its default, who needs no sudo",
            "remove `sudo_password_command`, or name the `user` who logs in",
        ),
        (
            HOST + 'sudo_password_command = ["pass", "a"]\nuser = "root"\n',
            "and 'user' is 'root', who needs no sudo",
            "remove `sudo_password_command`, or name the `user` who logs in",
        ),
        (
            REHEARSAL + 'address = "192.0.2.7"\n',
            "'address' is '192.0.2.7', and 'rehearsal' is true: that is a container",
            "set `rehearsal = false` for a real machine, else remove `address`",
        ),
        (
            HOST + 'init = "sysv"\n',
            "'init' is 'sysv', and 'rehearsal' is false",
            "use systemd or sysv on a rehearsal host; remove it for a real machine",
        ),
        (
            HOST + "sheepdog_listen = []\n",
            "'sheepdog_listen' is empty",
            "name an address, or remove it: then it is 127.0.0.1",
        ),
        (
            HOST + 'address = "lab.lan"\n' + SECOND + 'address = "LAB.lan"\nport = 22\n',
            "[hosts.b]: 'address' is 'LAB.lan' with port 22, and so it is of [hosts.a]",
            "remove one of the two hosts, 'a' or 'b', or correct its `address` or `port`",
        ),
        (
            HOST + 'ssh = "lab"\n' + SECOND + 'ssh = "lab"\n',
            "[hosts.b]: 'ssh' is 'lab', and so is that of [hosts.a]",
            "remove one of the two hosts, 'a' or 'b', or correct its alias",
        ),
        (
            REHEARSAL + "port = 2222\n" + SECOND + "rehearsal = true\nport = 2222\n",
            "[hosts.b]: 'address' is '127.0.0.1' with port 2222, and so it is of [hosts.a]",
            "remove one of the two hosts, 'a' or 'b', or correct its `address` or `port`",
        ),
        (
            HOST + 'ssh = "lab"\nrehearsal = true\n',
            "'ssh' and 'rehearsal' are both set",
            "remove `ssh`: the engine knows how to reach a rehearsal host",
        ),
        (
            HOST + GUEST.replace('"l"', '" "'),
            "[hosts.a.guests.g]: 'line' is ' ': it is empty or ends in a space",
            "use one line of visible text",
        ),
        (
            HOST + GUEST + '[hosts.a.guests."g h"]\nmemory = "1 GB"\nline = "l"\n',
            "[hosts.a.guests.'g h']: 'name' is 'g h'",
            "allowed: 1 to 63 of A-Z a-z 0-9 . _ - (not . or - first)",
        ),
        (
            HOST + GUEST + GUEST,
            "Cannot declare ('hosts', 'a', 'guests', 'g') twice (at line 9",
            "the first is in line 5: remove one, or rename it",
        ),
        (
            HOST + 'uplink = "eth0"\nuplink = "eth1"\n',
            "Cannot overwrite a value (at line 6",
            "the first is in line 5: remove one, or rename it",
        ),
        (HOST + "guests = 3\n", "'guests' is int, wanted dict", "change the value to dict"),
        (HOST + "guests.g = 3\n", "[guests] 'g' is not a table", ""),
        ("hosts = []\n", "'hosts' is list, wanted dict", "change the value to dict"),
    ],
)
def test_what_contradicts_is_refused_with_both_places(
    tmp_path: Path, written: str, says: str, hint: str
) -> None:
    (problem,) = refused(tmp_path, written)
    assert says in problem.message
    assert problem.hint == hint


def test_a_guest_is_on_its_hosts_network_unless_it_says_another(tmp_path: Path) -> None:
    one = guest(tmp_path, GUEST.replace('network = "lan"\n', ""))
    assert [nic.network for nic in one.nics] == ["lan"]


def test_two_hosts_behind_one_address_have_two_ports(tmp_path: Path) -> None:
    found = load(tmp_path, HOST + "port = 2201\n" + SECOND + "port = 2202\n")
    assert [host.port for host in found.values()] == [2201, 2202]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = (
        HOST.replace('"br0"', '"b r"')
        + 'adress = "x"\n'
        + BARE
        + SECOND
        + 'bridge_address = "x/24"\nport = 0\n'
    )
    problems = refused(tmp_path, text)
    assert [problem.message.partition("inventory.toml: ")[2] for problem in problems] == [
        "[hosts.a]: 'bridge' is 'b r'",
        "[hosts.a]: unknown key 'adress'",
        "[hosts.a.guests.g]: 'memory' is missing",
        "[hosts.b]: 'bridge_address' is 'x/24'",
        "[hosts.b]: 'port' is 0",
    ]
    whole = ConfigErrors(problems)
    assert "5 things are wrong" in whole.message
    assert all(problem.message in whole.message for problem in problems)
    assert "did you mean 'address'?" in whole.message
    assert whole.exit_code == 2


def test_a_target_that_does_not_exist_is_found_by_looking(tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text(HOST.replace('"rehearsal"', '"rehersal"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\[hosts.a\]: 'target' is 'rehersal'") as caught:
        inventory.check(replace(SETTINGS, inventory=path))
    assert caught.value.hint == "did you mean 'rehearsal'?"


def test_hosts_of_one_target_that_need_different_rpms_are_found_by_looking(tmp_path: Path) -> None:
    el6 = HOST.replace('"rehearsal"', '"el6"') + 'ssh = "{0}"\nkversion = "2.6.32-{0}"\n'
    text = el6.format(1) + el6.format(2).replace("hosts.a", "hosts.b")
    path = tmp_path / "inventory.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"differ in kversion: a '2\.6\.32-1', b '2\.6\.32-2'"):
        inventory.check(replace(SETTINGS, inventory=path))


NICS = """
nics = [
  { vlan = 10, mac = "52:54:00:00:00:0A" },
  { network = "lan" },
]
"""
UNNAMED = GUEST.replace('network = "lan"\n', "")


def test_a_guest_has_several_network_interfaces(tmp_path: Path) -> None:
    one = guest(tmp_path, UNNAMED + NICS)
    assert one.nics == (
        Nic(network="lan", vlan=10, mac="52:54:00:00:00:0a"),
        Nic(network="lan"),
    )


@pytest.mark.parametrize(
    ("written", "says", "hint"),
    [
        (
            GUEST + NICS,
            "[hosts.a.guests.g]: 'nics' and 'network' are both set, and each of them has its own",
            "say `network` in `nics`, or remove it: without one it is the host's",
        ),
        (
            UNNAMED + "nics = []\n",
            "[hosts.a.guests.g]: 'nics' is empty",
            "remove it: then there is one on the network",
        ),
        (
            UNNAMED + NICS.replace("10", "4095"),
            "[[hosts.a.guests.g.nics]] 1: 'vlan' is 4095",
            "give a tag from 1 to 4094, or remove it: untagged",
        ),
        (
            UNNAMED + NICS.replace('"lan"', '"lna"'),
            "[hosts.a.guests.g]: 'network' is 'lna', and the network of [hosts.a] is 'lan'",
            "did you mean 'lan'?",
        ),
        (
            UNNAMED + NICS.replace("vlan", "vlna"),
            "[[hosts.a.guests.g.nics]] 1: unknown key 'vlna'",
            "did you mean 'vlan'?",
        ),
        (
            UNNAMED + NICS.replace("52:54", "53:54"),
            "[[hosts.a.guests.g.nics]] 1: 'mac' is '53:54:00:00:00:0a', which is no address of one",
            "start it with 52:54:00, as libvirt does",
        ),
        (
            UNNAMED + NICS.replace(":0A", ""),
            "[[hosts.a.guests.g.nics]] 1: 'mac' is '52:54:00:00:00'",
            "write six bytes: 52:54:00:12:34:56",
        ),
        (
            UNNAMED + NICS + UNNAMED.replace("guests.g", "guests.h") + NICS.replace("0A", "0a"),
            "[[hosts.a.guests.h.nics]] 1: 'mac' is '52:54:00:00:00:0a', and so is that of "
            "[[hosts.a.guests.g.nics]] 1",
            "give one of them another, or remove it: libvirt chooses one then",
        ),
        (UNNAMED + "nics = [3]\n", "'nics' must be [[nics]] tables", ""),
    ],
)
def test_a_network_interface_that_is_wrong_is_named(
    tmp_path: Path, written: str, says: str, hint: str
) -> None:
    (problem,) = refused(tmp_path, HOST + written)
    assert says in problem.message
    assert problem.hint == hint


def test_an_interface_keeps_what_libvirt_chose_for_it() -> None:
    first = Interface(mac="52:54:00:00:00:01", interfaceid="i-1", device="vnet0")
    second = Interface(mac="52:54:00:00:00:02", interfaceid="i-2")

    def macs(*nics: Nic) -> list[tuple[str, str, str]]:
        found = wanted_interfaces(factories.guest(nics=nics), (first, second))
        return [(one.mac, one.interfaceid, one.vlan) for one in found]

    auto, tagged = Nic(network="lan"), Nic(network="lan", vlan=7)
    assert macs(auto) == [("52:54:00:00:00:01", "i-1", "")]
    assert macs(auto, tagged, auto) == [
        ("52:54:00:00:00:01", "i-1", ""),
        ("52:54:00:00:00:02", "i-2", "7"),
        ("", "", ""),
    ]
    # One that is named by its MAC is that one, wherever it is in the list.
    named = Nic(network="lan", mac="52:54:00:00:00:02")
    assert macs(named, auto) == [
        ("52:54:00:00:00:02", "i-2", ""),
        ("52:54:00:00:00:01", "i-1", ""),
    ]
    assert macs(Nic(network="lan", mac="52:54:00:00:00:03")) == [("52:54:00:00:00:03", "", "")]
