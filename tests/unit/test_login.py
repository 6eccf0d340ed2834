"""What ssh prints, as it was read off a real one, and the error that the user sees."""

from dataclasses import replace
from pathlib import Path

import factories
import pytest

from sheepvirt.core.errors import (
    HostKeyChangedError,
    HostKeyUnknownError,
    HostNameError,
    HostUnreachableError,
    JumpHostError,
    LoginRefusedError,
    SshError,
)
from sheepvirt.ssh import login, route
from tests.here import SETTINGS

TAHITI = factories.host(rehearsal=False, address="192.0.2.7", user="taro", port=22)
ALIAS = replace(TAHITI, address="", user="", ssh="lab")
RESOLVED = {"user": "taro", "hostname": "192.0.2.7"}
BROKEN = (
    "\nkex_exchange_identification: Connection closed by remote host\n"
    "Connection closed by UNKNOWN port 65535\n"
)
CHANGED = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nOffending key in f:1\n"


def by_alias(said: str, tmp_path: Path, jump: str = "none") -> SshError:
    settings = replace(SETTINGS, runtime=tmp_path)
    way = route.by_alias(settings, ALIAS, {**RESOLVED, "proxyjump": jump})
    return login.explain(ALIAS, way, said)


@pytest.mark.parametrize(
    ("said", "word", "hint"),
    [
        (
            "ssh: connect to host j port 9: Connection refused" + BROKEN,
            "its jump host j was not: ssh: connect to host j port 9",
            "`ssh -o BatchMode=yes j true`",
        ),
        (
            "ssh: Could not resolve hostname j: Name or service not known" + BROKEN,
            "its jump host j was not: ssh: Could not resolve",
            "`ssh -o BatchMode=yes j true`",
        ),
        ("me@j: Permission denied (publickey)." + BROKEN, "Permission denied", "succeed first"),
        ("Host key verification failed." + BROKEN, "verification failed", "succeed first"),
        (
            "channel 0: open failed: connect failed: Connection refused\n"
            "stdio forwarding failed" + BROKEN,
            "jump host j was reached, and cannot reach tahiti",
            "HostName and Port of 'lab'",
        ),
        (
            "Connection to UNKNOWN port 65535 timed out",
            "does not answer through its jump host j",
            "`ssh -o BatchMode=yes j true`",
        ),
    ],
)
def test_a_jump_host_is_named(said: str, word: str, hint: str, tmp_path: Path) -> None:
    error = by_alias(said, tmp_path, "j")
    assert type(error) is JumpHostError
    assert word in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("jump", "hint"),
    [
        ("[192.0.2.1]:2222", "`ssh -o BatchMode=yes ssh://[192.0.2.1]:2222 true`"),
        ("a,b", "`ssh -o BatchMode=yes lab true` succeed; with -v"),
    ],
)
def test_the_hint_for_a_jump_is_a_command_that_ssh_takes(
    jump: str, hint: str, tmp_path: Path
) -> None:
    assert hint in by_alias(f"ssh: connect: Connection refused{BROKEN}", tmp_path, jump).hint


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("ssh: Could not resolve hostname x: Name unknown", HostNameError, "HostName of 'lab'"),
        (
            "ssh: connect to host x port 22: Connection refused",
            HostUnreachableError,
            "Port of 'lab' in ~/.ssh/config",
        ),
        ("taro@x: Permission denied (publickey).", LoginRefusedError, "ssh-add"),
        ("Host key verification failed.", HostKeyUnknownError, "run `ssh lab` once"),
        (f"{CHANGED}Host key verification failed.", HostKeyChangedError, "run `ssh lab`"),
        # The host itself failed, after its jump host worked.
        ("kex_exchange_identification: Connection reset", HostUnreachableError, "Port of 'lab'"),
    ],
)
def test_an_aliass_errors_name_its_own_configuration(
    said: str, kind: type[SshError], hint: str, tmp_path: Path
) -> None:
    error = by_alias(said, tmp_path, "j")
    assert type(error) is kind
    assert hint in error.hint


def test_a_refused_login_names_user_and_line(tmp_path: Path) -> None:
    way = route.by_config(TAHITI, tmp_path)
    error = login.explain(TAHITI, way, "taro@x: Permission denied (publickey).", key="ssh-x AAA me")
    assert "for the user 'taro'" in error.message
    assert "~taro/.ssh/authorized_keys" in error.hint
    assert error.hint.endswith("ssh-x AAA me")


def test_a_changed_key_names_the_command_that_shows_and_pins() -> None:
    way = route.by_config(TAHITI, Path("/config"))
    error = login.explain(TAHITI, way, CHANGED, known=Path("/state/known_hosts"))
    assert "/state/known_hosts" in error.message
    assert "invoke trust tahiti" in error.hint


def test_an_account_without_a_shell_is_told_with_what_it_printed() -> None:
    way = route.by_config(TAHITI, Path("/config"))
    error = login.no_shell(TAHITI, way, "This account is currently not available.\n")
    assert "currently not available" in error.message
    assert "`user` of tahiti" in error.hint
    assert "printed: nothing" in login.no_shell(TAHITI, way, "").message
