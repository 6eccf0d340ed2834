"""An alias of the user's: what is added to ssh's command line, and what the inventory refuses."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import factories
import pytest

from sheepvirt.config import inventory
from sheepvirt.core.errors import ConfigError, SshError
from sheepvirt.core.processes import OnLine, Result
from sheepvirt.core.settings import Settings
from sheepvirt.ssh import client, route

HOST = factories.host(rehearsal=False, address="", user="", port=22, ssh="lab")
CONFIG = """
Host lab
  HostName 192.0.2.7
  User taro
  Port 2200
  ProxyJump jump
  RemoteCommand tmux attach
  RequestTTY force
  ForwardAgent yes
  LocalForward 8080 localhost:80
  ControlPath none
  IdentityFile /keys/mine
"""


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, state=tmp_path / "state", runtime=tmp_path)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """ssh as if a text were the user's own configuration: ssh takes no other home than passwd's."""

    def configure(text: str) -> None:
        (tmp_path / "config").write_text(text)
        program = tmp_path / "bin" / "ssh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {tmp_path}/config "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    return configure


def test_an_alias_keeps_what_the_user_set_but_for_what_hinders(
    settings: Settings, configured: Callable[[str], None]
) -> None:
    configured(CONFIG)
    way = route.find(settings, HOST)
    assert (way.destination, way.user, way.jump) == ("lab", "taro", "jump")
    assert "taro@192.0.2.7" in way.where
    assert "-F" not in way.options
    said = subprocess.run(
        ["ssh", *way.options, "-G", way.destination], capture_output=True, text=True, check=True
    ).stdout
    read = dict(line.partition(" ")[::2] for line in said.splitlines())
    own = {"hostname": "192.0.2.7", "port": "2200", "identityfile": "/keys/mine"}
    added = {
        "batchmode": "yes",
        "controlmaster": "auto",
        "controlpersist": "60",
        "forwardagent": "no",
        "requesttty": "false",
        "serveraliveinterval": "5",
        "connecttimeout": "10",
    }
    assert {key: read[key] for key in own | added} == own | added
    assert "/sheepvirt-" in read["controlpath"]
    assert read.get("remotecommand", "none") == "none"
    assert "clearallforwardings yes" in said
    assert not (settings.state / "hosts").exists()  # no key and no pin of sheepvirt


def test_old_ssh_is_combined_with_an_alias(
    settings: Settings, configured: Callable[[str], None]
) -> None:
    configured(CONFIG)
    way = route.find(settings, replace(HOST, old_ssh=True))
    argv = ["ssh", *way.options, "-G", "lab"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    row = next(line for line in said.splitlines() if line.startswith("hostkeyalgorithms "))
    assert row.endswith(",ssh-rsa")


def test_an_alias_that_leads_elsewhere_gets_another_socket(
    settings: Settings, configured: Callable[[str], None]
) -> None:
    seen = set()
    for address in ("192.0.2.7", "192.0.2.8"):
        configured(CONFIG.replace("192.0.2.7", address))
        seen.add(route.find(settings, HOST).options)
    assert len(seen) == 2


def test_a_broken_configuration_is_the_users_to_correct(
    settings: Settings, configured: Callable[[str], None]
) -> None:
    configured("Host lab\n  HostNam x\n")
    with pytest.raises(SshError, match=r"cannot be read for tahiti.*hostnam"):
        route.find(settings, HOST)


def test_ssh_is_called_with_the_alias_and_without_a_configuration_of_ours(
    settings: Settings, configured: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(CONFIG.replace("taro", "root"))
    asked: list[list[str]] = []

    def record(argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None) -> Result:
        asked.append(list(argv))
        return Result(code=0)

    connection = client.Connection(settings, HOST, route.find(settings, HOST), record)
    monkeypatch.setattr(connection, "_alive", lambda: True)
    connection.run(["id"])
    (argv,) = asked
    assert argv[-3:-1] == ["lab", "--"]
    assert argv[-1].endswith("; exec env LC_ALL=C id")
    assert argv[1:3] == ["-o", "ControlMaster=no"]


HEAD = '[hosts.x]\ntarget = "rehearsal"\nbridge = "b"\nnetwork = "b"\n'


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("address", 'address = "192.0.2.7"'),
        ("port", "port = 22"),
        ("user", 'user = "root"'),
        ("rehearsal", "rehearsal = true"),
    ],
)
def test_what_contradicts_an_alias_is_refused_with_both_keys(
    settings: Settings, tmp_path: Path, key: str, line: str
) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text(f'{HEAD}ssh = "lab"\n{line}\n')
    with pytest.raises(ConfigError) as caught:
        inventory.load_hosts(replace(settings, inventory=path))
    assert f"'ssh' and '{key}' are both set" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("word", ["-oProxyCommand=x", "taro@lab", "a b", "a;b", "$(x)"])
def test_an_alias_is_no_option_and_no_shell(settings: Settings, tmp_path: Path, word: str) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text(f'{HEAD}ssh = "{word}"\n')
    with pytest.raises(ConfigError, match="'ssh'"):
        inventory.load_hosts(replace(settings, inventory=path))


def test_an_alias_and_a_password_command_are_read(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text(f'{HEAD}ssh = "lab"\nsudo_password_command = ["pass", "show", "x"]\n')
    host = inventory.load_hosts(replace(settings, inventory=path))["x"]
    assert (host.ssh, host.address, host.user) == ("lab", "", "")
    assert host.sudo_password_command == ("pass", "show", "x")
