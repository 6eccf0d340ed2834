"""Quoting, errors and files over SSH, with a recorder in ssh's place."""

import shlex
import stat
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.core import processes
from sheepvirt.core.errors import (
    ConnectionBrokenError,
    HostKeyChangedError,
    HostKeyUnknownError,
    HostNameError,
    HostUnreachableError,
    LoginRefusedError,
    OutputLimitError,
    RemoteCommandError,
    SshError,
)
from sheepvirt.core.processes import OnLine, Result
from sheepvirt.core.settings import Settings
from sheepvirt.model.hosts import Host
from sheepvirt.ssh import client, hostkeys, route
from tests.here import SETTINGS

TAHITI = factories.host(rehearsal=False, address="192.0.2.7", port=2222)
ROUTE = route.by_config(TAHITI, Path("/config"))
CHANGED = (
    "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed."
)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """A state folder whose name has what ssh's configuration treats specially."""
    return replace(settings, state=tmp_path / "state of 100%")


class Recorder:
    """In ssh's place: keeps what it was asked, answers what it was told to."""

    def __init__(self, *answers: Result) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[str], bytes]] = []

    def __call__(
        self, argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None
    ) -> Result:
        assert self.answers, f"nobody planned {argv}"
        self.asked.append((list(argv), stdin.read() if stdin else b""))
        return self.answers.pop(0)


Connect = Callable[..., tuple[client.Connection, Recorder]]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Connect:
    def make(
        *answers: Result, host: Host = TAHITI, alive: Sequence[bool] = ()
    ) -> tuple[client.Connection, Recorder]:
        left = list(alive)
        recorder = Recorder(*answers)
        connection = client.Connection(
            SETTINGS, host, route.by_config(host, tmp_path / "config"), recorder
        )
        monkeypatch.setattr(connection, "_alive", lambda: left.pop(0) if left else True)
        return connection, recorder

    return make


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_quoting_survives_a_shell(words: list[str]) -> None:
    assert shlex.split(client.quote(words)) == words


@pytest.mark.parametrize("word", ['it\'s "quoted"', "$(touch /tmp/pwned)", "`id`", "a\nb", "", "*"])
def test_a_real_shell_sees_the_same_words(word: str) -> None:
    line = client.quote(["printf", "%s", word])
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert done.stdout == word


def test_commands_run_in_c_and_as_root(connect: Connect) -> None:
    connection, recorder = connect(
        Result(code=0, stdout="", stderr=""), Result(code=0, stdout="", stderr="")
    )
    connection.run(["virsh", "desc", "a b"])
    assert recorder.asked[0][0][-1].endswith("; exec env LC_ALL=C virsh desc 'a b'")


@pytest.mark.parametrize("noise", ["", "motd\n", "no newline", "a\n@@deadbeef\n\x1b[31m"])
def test_what_the_login_shell_prints_is_not_the_commands_output(
    noise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ssh's place a real shell, which prints before the command, and has a trap for its end."""
    shown: list[str] = []

    def shell(argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None) -> Result:
        text = f"printf '%s' \"$NOISE\"; trap 'echo bye' EXIT; {argv[-1]}"
        return processes.run(["bash", "-c", text], env={"NOISE": noise}, on_line=on_line)

    connection = client.Connection(
        SETTINGS, TAHITI, route.by_config(TAHITI, tmp_path / "config"), shell
    )
    monkeypatch.setattr(connection, "_alive", lambda: True)
    done = connection.run(["printf", "one\ntwo"], on_line=shown.append)
    assert done.stdout == "one\ntwo"
    assert shown[-2:] == ["one", "two"]
    assert not any("@@" in line for line in shown if line != "@@deadbeef")


def test_an_answer_that_is_not_whole_is_an_error(connect: Connect) -> None:
    connection, _ = connect(Result(code=0, stdout="x", dropped=400 << 20))
    with pytest.raises(OutputLimitError, match="printed 400 MiB more than the 32 MiB") as caught:
        connection.run(["virsh", "list"], check=False)
    assert caught.value.exit_code == 8


def test_a_failed_command_quotes_its_last_lines(connect: Connect) -> None:
    connection, _ = connect(Result(code=1, stdout="one\n", stderr="no such package\n"))
    with pytest.raises(RemoteCommandError, match="no such package") as caught:
        connection.run(["dnf", "install", "it's"])
    assert "on tahiti with exit code 1" in caught.value.message


def test_255_is_the_commands_own_while_the_connection_lives(connect: Connect) -> None:
    connection, _ = connect(Result(code=255, stdout="", stderr="mine"))
    assert connection.run(["false"], check=False).code == 255


def test_255_of_a_lost_connection_is_an_ssh_error(connect: Connect) -> None:
    lost = Result(
        code=255,
        stdout="",
        stderr="mux_client_request_session: read from master failed: Broken pipe",
    )
    connection, _ = connect(lost, alive=[True, False])
    with pytest.raises(HostUnreachableError, match="broke"):
        connection.run(["dnf"], check=False)


def test_the_words_of_a_command_are_not_taken_for_those_of_ssh(connect: Connect) -> None:
    connection, recorder = connect(Result(code=0), alive=[True, True, False])
    connection.run(["true"])
    start = recorder.asked[0][0][-1].split()[1].rstrip(";")  # echo START; exec ...
    recorder.answers.append(Result(code=255, stdout=f"{start}\n", stderr="Permission denied"))
    with pytest.raises(ConnectionBrokenError, match="broke: a command was running"):
        connection.run(["cat", "/x"], check=False)


def test_an_ssh_that_is_killed_here_is_no_answer_of_the_command(connect: Connect) -> None:
    connection, _ = connect(Result(code=-9))
    with pytest.raises(ConnectionBrokenError, match="ssh was ended here, by signal 9"):
        connection.run(["test", "-e", "/x"], check=False)


def test_the_commands_of_a_run_with_the_lock_are_marked(connect: Connect) -> None:
    connection, recorder = connect(*[Result(code=0)] * 3)
    for token in ("", "abc", ""):
        connection.marking.hold(token)
        connection.run(["printenv", "SHEEPVIRT_COMMAND"])
    lines = [argv[-1].partition("; ")[2] for argv, _ in recorder.asked]
    assert lines[0] == lines[2] == "exec env LC_ALL=C printenv SHEEPVIRT_COMMAND"
    process = subprocess.Popen(["sh", "-c", lines[1]], stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0] == f"abc-0.{process.pid}\n"


def test_what_a_broken_connection_left_is_ended_before_the_next_command(connect: Connect) -> None:
    broken, answer = Result(code=255), Result(code=0)
    connection, recorder = connect(broken, answer, answer, alive=[True, False])
    marks = []

    def recover() -> None:
        marks.append(connection.marking.mark)
        connection.run(["recover"])

    connection.marking.hold("abc", recover)
    with pytest.raises(ConnectionBrokenError):
        connection.run(["one"])
    connection.run(["two"])
    asked = [argv[-1].rpartition(" ")[2] for argv, _ in recorder.asked]
    assert (asked, marks) == (["one", "recover", "two"], ["abc-1"])


def test_files_are_written_under_another_name_and_renamed(connect: Connect) -> None:
    connection, recorder = connect(Result(code=0, stdout="", stderr=""))
    connection.write("/etc/a b.repo", b"x", mode=0o600)
    argv, sent = recorder.asked[0]
    assert sent == b"x"
    assert shlex.split(argv[-1])[-3:] == ["/etc/a b.repo", "600", ".new"]
    assert 'mv -f "$1$3" "$1"' in argv[-1]


def test_a_file_is_sent_as_a_tar_that_keeps_holes(connect: Connect, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as handle:
        handle.truncate(50_000_000)
    connection, recorder = connect(Result(code=0, stdout="", stderr=""))
    connection.put(image, "/var/disk.img")
    assert len(recorder.asked[0][1]) < 100_000


def test_an_unreadable_file_is_an_error(connect: Connect, tmp_path: Path) -> None:
    connection, _ = connect(Result(code=0, stdout="", stderr=""))
    with pytest.raises(SshError, match="tar could not read"):
        connection.put_tree(tmp_path, ["absent"], "/var/repo")


@pytest.mark.parametrize(
    ("said", "kind", "word"),
    [
        (CHANGED, HostKeyChangedError, "another host key"),
        ("ssh: connect to host x port 22: Connection refused", HostUnreachableError, "refused"),
        ("ssh: connect to host x port 22: Connection timed out", HostUnreachableError, "answer"),
        ("ssh: Could not resolve hostname x: Name unknown", HostNameError, "address"),
        ("kex_exchange_identification: Connection reset", HostUnreachableError, "no sshd"),
        ("root@x: Permission denied (publickey).", LoginRefusedError, "refused sheepvirt's key"),
        ("Unable to negotiate with x: no matching host key type found.", SshError, "in common"),
        ("", ConnectionBrokenError, "ssh printed nothing"),
    ],
)
def test_what_ssh_says_becomes_an_error_with_a_hint(
    settings: Settings, said: str, kind: type[SshError], word: str
) -> None:
    error = client.explain(settings, TAHITI, ROUTE, said)
    assert type(error) is kind
    assert word in error.message
    assert error.hint
    assert error.exit_code == 8


def test_a_first_contact_is_refused_with_the_command_that_pins(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hostkeys.ensure_key(settings, TAHITI)
    public = hostkeys.public_key(settings, TAHITI)

    def scan(argv: list[str], **options: Any) -> Result:
        if "ssh-keyscan" in argv:
            return Result(code=0, stdout=f"[192.0.2.7]:2222 {public}\n")
        return real(argv, **options)

    real = processes.run
    monkeypatch.setattr(processes, "run", scan)
    with pytest.raises(HostKeyUnknownError, match="SHA256:") as caught:
        hostkeys.write_config(settings, TAHITI)
    fingerprint = caught.value.message.partition("SHA256:")[2].split()[0]
    assert caught.value.hint.endswith(f"`invoke trust tahiti --fingerprint SHA256:{fingerprint}`")


def test_the_configuration_is_what_openssh_reads(settings: Settings) -> None:
    hostkeys.pin(settings, TAHITI, 2222, "ssh-ed25519 AAAAC3Nza comment")
    config = hostkeys.write_config(settings, TAHITI)
    done = subprocess.run(
        ["ssh", "-G", "-F", str(config), "tahiti"], capture_output=True, text=True, check=True
    )
    read = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    assert read["hostname"] == "192.0.2.7"
    assert read["port"] == "2222"
    assert read["stricthostkeychecking"] == "true"
    assert read["batchmode"] == "yes"
    assert read["identitiesonly"] == "yes"
    assert len(read["controlpath"]) < 80
    known = hostkeys.folder(settings, TAHITI) / "known_hosts"
    assert known.read_text() == "[192.0.2.7]:2222 ssh-ed25519 AAAAC3Nza\n"
    for path in (known, config, hostkeys.ensure_key(settings, TAHITI)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(hostkeys.folder(settings, TAHITI).stat().st_mode) == 0o700


def test_the_zone_of_an_address_is_no_token_of_openssh(settings: Settings) -> None:
    host = replace(TAHITI, address="fe80::1%eth0")
    hostkeys.pin(settings, host, 2222, "ssh-ed25519 AAAAC3Nza")
    argv = ["ssh", "-G", "-F", str(hostkeys.write_config(settings, host)), "tahiti"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "\nhostname fe80::1%eth0\n" in f"\n{said}"
    known = hostkeys.folder(settings, host) / "known_hosts"
    assert known.read_text() == "[fe80::1%eth0]:2222 ssh-ed25519 AAAAC3Nza\n"


@pytest.mark.parametrize("name", ['a "b"', "a\\\\b", "${HOME}", "a\nb"])
def test_a_folder_that_openssh_cannot_be_told_of_is_refused(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    settings = replace(settings, state=tmp_path / name)
    hostkeys.pin(settings, TAHITI, 2222, "ssh-ed25519 AAAAC3Nza")
    with pytest.raises(SshError, match="ssh cannot use") as caught:
        hostkeys.write_config(settings, TAHITI)
    assert "SHEEPVIRT_STATE" in caught.value.hint


def test_old_algorithms_are_allowed_for_that_host_alone(settings: Settings) -> None:
    old = replace(TAHITI, name="papara", old_ssh=True)
    for host in (TAHITI, old):
        hostkeys.pin(settings, host, 2222, "ssh-rsa AAAAB3Nza")
    algorithms = {"hostkeyalgorithms", "pubkeyacceptedalgorithms", "kexalgorithms"}
    read = {}
    for host in (TAHITI, old):
        argv = ["ssh", "-G", "-F", str(hostkeys.write_config(settings, host)), host.name]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        found = dict(line.partition(" ")[::2] for line in said.splitlines())
        read[host.name] = {k: set(v.split(",")) for k, v in found.items() if k in algorithms}
    added = {k: read["papara"][k] - read["tahiti"][k] for k in algorithms}
    assert added == {
        "hostkeyalgorithms": {"ssh-rsa"},
        "pubkeyacceptedalgorithms": {"ssh-rsa"},
        "kexalgorithms": {"diffie-hellman-group-exchange-sha1", "diffie-hellman-group14-sha1"},
    }
    assert hostkeys.public_key(settings, old).startswith("ssh-rsa ")  # its sshd knows no ed25519
    assert hostkeys.public_key(settings, TAHITI).startswith("ssh-ed25519 ")


def test_an_old_sshd_is_named_with_the_key_that_lets_it_in(settings: Settings) -> None:
    said = "Unable to negotiate with 192.0.2.7: no matching host key type found."
    assert "`old_ssh = true` for tahiti" in client.explain(settings, TAHITI, ROUTE, said).hint
    assert (
        "needs older ones"
        in client.explain(settings, replace(TAHITI, old_ssh=True), ROUTE, said).hint
    )


def test_a_recreated_host_never_gets_the_connection_of_its_former_self(settings: Settings) -> None:
    hostkeys.pin(settings, TAHITI, 2222, "ssh-ed25519 AAAA1")
    first = hostkeys.control_path(settings, TAHITI)
    hostkeys.pin(settings, TAHITI, 2222, "ssh-ed25519 AAAA2")
    assert hostkeys.control_path(settings, TAHITI) != first


def test_forgetting_a_host_leaves_nothing(settings: Settings) -> None:
    hostkeys.ensure_key(settings, TAHITI)
    folder = hostkeys.folder(settings, TAHITI)
    hostkeys.forget(settings, TAHITI)
    assert not folder.exists()


def test_output_arrives_by_lines_and_whole() -> None:
    lines: list[str] = []
    result = client.execute(
        ["sh", "-c", "echo one; echo two >&2; printf three"], None, lines.append
    )
    assert sorted(lines) == ["one", "three", "two"]
    assert (result.stdout, result.stderr) == ("one\nthree", "two\n")
