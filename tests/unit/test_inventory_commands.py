"""`invoke inventory check` and `invoke inventory schema`: what they print, and how they end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import factories
import pytest
from invoke import Exit

from sheepvirt.cli import json_output
from sheepvirt.cli.inventory_commands import inventory_command, line
from sheepvirt.config import inventory, schema
from sheepvirt.model.enums import Disk
from sheepvirt.model.guests import GuestDisk
from tests.here import with_bridge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Golden

    Written = Callable[[str], Path]

FINE = """
[hosts.papara]
target = "el6"
ssh = "lab-papara"
bridge = "ovsbr0"
network = "lan"
uplink = "eth0"

[hosts.tahiti]
target = "rehearsal"
rehearsal = true
bridge = "ovsbr0"
network = "ovsbr0"

[hosts.tahiti.guests.papeete]
memory = "256 MB"
line = "up"
"""
PAPARA = (
    "papara: real machine ssh lab-papara, target el6; guests: none; networks: lan on ovsbr0; "
    "bridges: ovsbr0 (system datapath, uplink eth0, dhcp)"
)
TAHITI = (
    "tahiti: rehearsal host, target rehearsal; guests: papeete (256 MB, VDI of 1 GB); "
    "networks: ovsbr0 on ovsbr0; bridges: ovsbr0 (netdev datapath, no uplink)"
)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """The user's inventory is what the test writes; results are in the test's folder."""
    path = tmp_path / "inventory.toml"
    monkeypatch.setenv("SHEEPVIRT_DIST", str(tmp_path / "dist"))
    monkeypatch.setenv("SHEEPVIRT_INVENTORY", str(path))

    def write(text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        return path

    return write


def run(action: str, **options: Any) -> Exit | None:
    """Run the command; return how it left."""
    try:
        inventory_command.body(None, action=action, **options)
    except Exit as left:
        return left
    return None


def test_a_check_says_what_each_host_has(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(FINE)
    assert run("check") is None
    said = capsys.readouterr().out.splitlines()
    assert said == [PAPARA, TAHITI, f"{path}: the inventory is fine"]


def test_a_check_of_one_host_says_its_line_alone(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    written(FINE)
    assert run("check", host="tahiti") is None
    assert capsys.readouterr().out.splitlines()[:-1] == [TAHITI]
    left = run("check", host="tahti")
    assert left is not None
    assert left.code == 2
    assert "did you mean 'tahiti'?" in str(left.message)


def test_a_check_says_all_that_is_wrong_and_ends_with_2(written: Written) -> None:
    path = written(FINE.replace('"256 MB"', '"256 M"').replace("uplink", "upling"))
    left = run("check")
    assert left is not None
    assert left.code == 2
    assert left.message == (
        "\nerror: 2 things are wrong:\n"
        f"  {path}: [hosts.papara]: unknown key 'upling'\n"
        "    did you mean 'uplink'?\n"
        f"  {path}: [hosts.tahiti.guests.papeete]: 'memory' is '256 M': the unit 'M' may be one "
        "of two\n"
        '    write "256 MiB" (1024) or "256 MB" (1000)\n'
        "  what to do: correct each as the line below it says"
    )


def test_the_documents_of_a_check_are_as_documented(
    written: Written, capfd: pytest.CaptureFixture[str], golden: Golden
) -> None:
    documents = {"inventory": FINE, "inventory-wrong": FINE.replace("uplink", "upling")}
    for name, text in documents.items():
        path = written(text)
        run("check", json=True)
        made = json.loads(capfd.readouterr().out)
        made["log"] = "dist/logs/20261128-090000-NAME.log"
        golden(
            f"json-{name}.json",
            json_output.text(made).replace(str(path), "host/inventory.toml"),
        )


def test_the_schema_is_one_document(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("schema") is None
    assert json.loads(capfd.readouterr().out) == schema.document(inventory.SECTION)


@pytest.mark.parametrize(
    ("action", "options", "says"),
    [
        ("chek", {}, "did you mean 'check'?"),
        ("schema", {"host": "tahiti"}, "remove --host"),
        ("schema", {"json": True}, "remove --json"),
    ],
)
def test_what_the_command_does_not_take_is_an_error(
    action: str, options: dict[str, Any], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    left = run(action, **options)
    assert left is not None
    assert left.code == 2
    assert says in str(left.message)
    assert "$schema" not in capfd.readouterr().out


def test_the_line_of_a_host_says_where_it_is() -> None:
    guest = factories.guest(disks=(GuestDisk(kind=Disk.FILE),))
    host = factories.host(rehearsal=False, address="2001:db8::7", port=22, guests=(guest,))
    static = with_bridge(host, uplink="eth0", address="192.0.2.7/24", gateway="192.0.2.1")
    assert line(static) == (
        "tahiti: real machine root@[2001:db8::7]:22, target rehearsal; guests: papeete (256 MB, "
        "file); networks: ovsbr0 on ovsbr0; bridges: ovsbr0 (system datapath, uplink eth0, "
        "192.0.2.7/24, gateway 192.0.2.1)"
    )
