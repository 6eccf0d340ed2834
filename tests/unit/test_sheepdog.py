"""Who listens on sheepdog's port, as a kernel's table says, and what keeps a bootstrap off it."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from finished import WANTED, done
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap import refusals
from sheepvirt.bootstrap.facts import gather, sheepdog
from sheepvirt.bootstrap.facts.services import ServiceState
from sheepvirt.bootstrap.facts.sheepdog import Listener
from sheepvirt.core.errors import BootstrapError

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid inode\n"
REST = "00000000:00000000 00:00000000 00000000     0        0"
ALL4 = f"   0: 00000000:1B58 00000000:0000 0A {REST} 41 1 0000000000000000 100 0 0 10 0\n"
OWN = f"  12: 0100007F:1B58 00000000:0000 0A {REST} 42 1 0000000000000000 100 0 0 10 0\n"
ALL6 = f"   1: {'0' * 32}:1B58 {'0' * 32}:0000 0A {REST} 43 1 0000000000000000 100 0 0 10 0\n"
MAPPED = f"   2: {'0' * 16}FFFF00000100007F:1B58 {'0' * 32}:0000 0A {REST} 44 1 0 100 0 0 10 0\n"
SSH = f"   3: 00000000:0016 00000000:0000 0A {REST} 45 1 0000000000000000 100 0 0 10 0\n"
TALKS = f"   4: 0100007F:1B58 0100007F:9C40 01 {REST} 46 1 0000000000000000 100 0 0 10 0\n"


@pytest.mark.parametrize(
    ("table", "addresses"),
    [
        ("", []),
        (HEAD + OWN, ["127.0.0.1"]),
        (HEAD + ALL4 + HEAD + ALL6, ["0.0.0.0", "::"]),
        (MAPPED, ["127.0.0.1"]),
        (SSH + TALKS, []),  # another port; a connection, which does not listen
    ],
)
def test_the_kernels_table_is_read(table: str, addresses: list[str]) -> None:
    assert [one.address for one in sheepdog.listeners(table)] == addresses


@given(st.ip_addresses())
def test_every_address_comes_out_as_the_kernel_wrote_it(address: object) -> None:
    packed = ip_address(str(address)).packed
    words = [packed[i : i + 4][::-1].hex().upper() for i in range(0, len(packed), 4)]
    (found,) = sheepdog.listeners(OWN.replace("0100007F:1B58", "".join(words) + ":1B58", 1))
    seen = ip_address(found.address)
    mapped = getattr(ip_address(str(address)), "ipv4_mapped", None)
    assert seen == (mapped or ip_address(str(address)))


@given(st.text())
def test_no_table_breaks_the_reader(table: str) -> None:
    assert isinstance(sheepdog.listeners(table, table), tuple)


def test_a_listener_is_named_by_its_process() -> None:
    (found,) = sheepdog.listeners(OWN, "42 17 tmux: server\n")
    assert found == Listener(address="127.0.0.1", pid=17, program="tmux: server")
    assert found.title == "tmux: server (pid 17) on 127.0.0.1"
    assert sheepdog.listeners(OWN)[0].title == "some process on 127.0.0.1"


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (("127.0.0.1",), ["0.0.0.0", "192.0.2.7", "::"]),
        (("127.0.0.1", "192.0.2.7"), ["0.0.0.0", "::"]),
        (("0.0.0.0",), ["::"]),
        (("0.0.0.0", "::"), []),
    ],
)
def test_what_the_inventory_does_not_want_is_found(
    wanted: tuple[str, ...], left: list[str]
) -> None:
    found = tuple(Listener(address=a) for a in ("0.0.0.0", "127.0.0.1", "192.0.2.7", "::"))
    assert [one.address for one in sheepdog.unwanted(found, wanted)] == left


def test_the_script_finds_a_process_that_really_listens(tmp_path: Path) -> None:
    """On this machine's own kernel; the port may be taken here by a sheepdog, which is as good."""
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", sheepdog.PORT))
        except OSError:
            pytest.skip(f"port {sheepdog.PORT} of this machine is in use")
        server.listen()
        said = subprocess.run(
            ["sh", "-s", "--", "@@b"],
            input=gather.SCRIPT,
            env={**os.environ, "HOME": str(tmp_path)},  # Debian's rpm makes a database there
            capture_output=True,
            text=True,
        ).stdout
        found = gather.parse(gather.sections(said, "@@b")).listeners
    mine = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert Listener(address="127.0.0.1", pid=os.getpid(), program=mine) in found


def test_nodes_are_rows_that_begin_with_a_number() -> None:
    assert sheepdog.nodes("0 77 0 77 0%\n12 77 0 77 0%\nTotal 154 0 154 0% 0\n") == 2
    assert sheepdog.nodes("Total 0 0 0 0% 0\n\n") == 0


SHEEPDOG = replace(
    WANTED,
    dependencies=replace(WANTED.dependencies, services=("openvswitch", "sheepdog", "libvirtd")),
)
TAKEN = (Listener(address="0.0.0.0", pid=99, program="java"),)


def test_a_port_that_another_program_has_is_refused_before_anything_is_done() -> None:
    with pytest.raises(BootstrapError, match=r"port 7000 is taken by java \(pid 99\)") as caught:
        refusals.require(SHEEPDOG, replace(done(), listeners=TAKEN))
    assert "Nothing was changed" in caught.value.message


@pytest.mark.parametrize("addresses", [(), ("192.0.2.7",)])
def test_a_port_of_another_address_is_no_obstacle(addresses: tuple[str, ...]) -> None:
    refusals.require(
        SHEEPDOG, replace(done(), listeners=tuple(Listener(address=a) for a in addresses))
    )


def test_sheepdogs_own_port_is_no_obstacle() -> None:
    services = {**done().services, "sheepdog": ServiceState(active=True, enabled=True)}
    refusals.require(SHEEPDOG, replace(done(), listeners=TAKEN, services=services))


def test_a_store_of_the_other_provider_is_refused_with_the_way_out() -> None:
    wanted = replace(WANTED, rejected_rpms={"pocketsheep": "sheepdog"})
    refusals.require(wanted, done())
    there = {**done().packages, "pocketsheep": "pocketsheep-0.1.0-1.rehearsal.noarch"}
    with pytest.raises(BootstrapError, match=r"pocketsheep-0\.1\.0.* has sheepdog in") as caught:
        refusals.require(wanted, replace(done(), packages=there))
    assert "`invoke destroy tahiti`" in caught.value.hint
