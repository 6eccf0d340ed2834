"""Becoming root: with a password, without one, and what sudo says when it refuses."""

import io
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import factories
import pytest

from sheepvirt.core import processes
from sheepvirt.core.errors import (
    NoSudoError,
    NoSudoRightsError,
    RemoteCommandError,
    SudoError,
    SudoPasswordError,
    SudoTerminalError,
)
from sheepvirt.core.processes import OnLine, Result
from sheepvirt.core.secret import Secret
from sheepvirt.ssh import client, route, sudo
from sheepvirt.ssh.sudo import Root, Sudo
from tests.here import SETTINGS

TARO = factories.host(rehearsal=False, address="192.0.2.7", port=22, user="taro")
PASSWORD = "open $esame 'x'"
FINE = Result(code=0)
WANTED = Result(code=1, stderr="sudo: a password is required\n")
WRONG = Result(
    code=1,
    stderr="Sorry, try again.\n\n"
    "sudo: no password was provided\nsudo: 1 incorrect password attempt\n",
)


class There:
    """In ssh's place, below the connection: keeps what it was asked, answers in order."""

    def __init__(self, *answers: Result) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[str], bytes]] = []

    def __call__(
        self, argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None
    ) -> Result:
        assert self.answers, f"nobody planned {argv}"
        words = shlex.split(argv[-1].partition("; exec ")[2])  # after the mark
        self.asked.append((words, stdin.read() if stdin else b""))
        return self.answers.pop(0)


Connect = Callable[..., client.Connection]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    def make(there: There, given: Sudo | None = None, **changes: Any) -> client.Connection:
        host = replace(TARO, **changes)
        way = route.by_config(host, Path("/config"))
        made = client.Connection(SETTINGS, host, way, there, sudo=given)
        monkeypatch.setattr(made, "_alive", lambda: True)
        return made

    return make


def answering(*answers: str | None) -> Callable[[str], str | None]:
    left = list(answers)
    return lambda _: left.pop(0)


def test_root_needs_no_sudo(connect: Connect) -> None:
    there = There(FINE)
    connect(there, user="root").run(["id"])
    assert there.asked == [(["env", "LC_ALL=C", "id"], b"")]


def test_sudo_is_asked_once_whether_it_wants_a_password(connect: Connect) -> None:
    there = There(FINE, FINE, FINE)
    connection = connect(there)
    connection.run(["id"], stdin=b"in")
    connection.run(["true"])
    probe, first, second = there.asked
    assert probe == (list(sudo.PROBE), b"")
    assert first == (["env", "LC_ALL=C", "sudo", "-n", "env", "LC_ALL=C", "id"], b"in")
    assert second[0][-1] == "true"


def test_a_password_goes_ahead_of_the_commands_own_input(connect: Connect) -> None:
    there = There(WANTED, FINE, FINE)
    connection = connect(there, Sudo(answering(PASSWORD)))
    connection.run(["cat", "a b"], stdin=b"one\ntwo\n")
    _, trial, real = there.asked
    assert trial == (list(sudo.TRIAL), f"{PASSWORD}\n".encode())
    words, given = real
    mark = words[words.index(sudo.DROP) + 1]
    assert words[-2:] == ["cat", "a b"]
    assert given == f"{PASSWORD}\n{mark}\none\ntwo\n".encode()
    assert PASSWORD not in "".join(words)


@pytest.mark.parametrize("reads", [True, False], ids=["sudo reads it", "sudo does not read it"])
@pytest.mark.parametrize("content", [b"", b"no end of line", b"a\n\xff\0\n" * 100_000])
def test_the_command_gets_its_input_whether_or_not_sudo_reads_the_password(
    reads: bool, content: bytes, tmp_path: Path
) -> None:
    """A program of the test plays sudo: it reads a line from its input, or it does not."""
    (tmp_path / "sudo").write_text(
        "#!/bin/sh\n" + ("IFS= read -r line\n" if reads else "") + 'shift 3; exec "$@"\n'
    )
    (tmp_path / "sudo").chmod(0o755)
    root = Root(sudo=True, password=Secret(PASSWORD), mark="mark-1")
    assert root.first
    done = subprocess.run(
        root.words(["cat"]),
        input=root.first.encode() + content,
        capture_output=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, content, b"")


def test_a_command_never_runs_on_input_without_the_mark() -> None:
    done = subprocess.run(
        ["sh", "-c", sudo.DROP, "mark-1", "echo", "ran"], input=b"a\nb\nc\n", capture_output=True
    )
    assert (done.returncode, done.stdout) == (125, b"")


def test_a_wrong_password_is_asked_for_again_and_a_right_one_only_once_a_run(
    connect: Connect,
) -> None:
    given = Sudo(answering("wrong", PASSWORD))
    there = There(WANTED, WRONG, FINE, FINE, FINE)
    connect(there, given).run(["id"])
    connect(there, given).run(["id"])  # another connection of the same run
    assert not there.answers
    assert given.password(TARO) == Secret(PASSWORD)


def test_three_wrong_passwords_are_enough(connect: Connect) -> None:
    with pytest.raises(SudoPasswordError, match="did not accept the password of 'taro'"):
        connect(There(WANTED, WRONG, WRONG, WRONG), Sudo(answering("a", "b", "c"))).open()


def test_where_nobody_can_be_asked_the_error_names_the_way_out(connect: Connect) -> None:
    with pytest.raises(SudoPasswordError, match="no terminal to ask") as caught:
        connect(There(WANTED)).open()
    assert 'sudo_password_command = ["pass", "show", "tahiti"]' in caught.value.hint


def test_a_password_comes_from_a_command(connect: Connect) -> None:
    there = There(WANTED, FINE)
    argv = ("printf", "%s\\nuser: taro\\n", PASSWORD)  # as `pass` prints more lines
    connect(there, sudo_password_command=argv).open()
    assert there.asked[1][1] == f"{PASSWORD}\n".encode()


@pytest.mark.parametrize("argv", [("false",), ("sh", "-c", "echo hm >&2"), ("absent-program",)])
def test_a_command_without_a_password_is_named(connect: Connect, argv: tuple[str, ...]) -> None:
    with pytest.raises(SudoPasswordError, match=f"`{argv[0]}`"):
        connect(There(WANTED), sudo_password_command=argv).open()


def test_a_wrong_password_of_a_command_is_tried_once(connect: Connect) -> None:
    there = There(WANTED, WRONG)
    with pytest.raises(SudoPasswordError, match="did not accept"):
        connect(there, sudo_password_command=("echo", "wrong")).open()
    assert not there.answers


def test_no_password_is_in_an_error_a_repr_or_a_temporary_file(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bytes] = []

    class Watched(io.BytesIO):
        def __exit__(self, *_: object) -> None:
            kept.append(self.getvalue())

    monkeypatch.setattr(tempfile, "TemporaryFile", Watched)
    given = Sudo(answering(PASSWORD))
    connection = connect(There(WANTED, FINE, Result(code=1, stderr="no\n")), given)
    with pytest.raises(RemoteCommandError) as caught:
        connection.run(["false"], stdin=b"in")
    root = connection._sudo.root(connection.host, "taro", connection._plainly)
    shown = f"{caught.getrepr(showlocals=True, funcargs=True)}{root!r}{root.first!r}{vars(given)}"
    assert PASSWORD not in shown
    assert b"in" in kept
    assert not any(PASSWORD.encode() in content for content in kept)


@pytest.mark.parametrize(
    ("said", "code", "kind", "word", "hint"),
    [
        # What sudo 1.9.5 and 1.8 print under LC_ALL=C.
        (
            "taro is not in the sudoers file.  This incident will be reported.",
            1,
            NoSudoRightsError,
            "no right",
            "taro ALL=(ALL) ALL",
        ),
        (
            "Sorry, user taro is not allowed to execute '/usr/bin/env' as root on x.",
            1,
            NoSudoRightsError,
            "no right",
            "taro ALL=(ALL) ALL",
        ),
        (
            "sudo: sorry, you must have a tty to run sudo",
            1,
            SudoTerminalError,
            "without a terminal",
            "!requiretty",
        ),
        (
            "sudo: no tty present and no askpass program specified",
            1,
            SudoPasswordError,
            "wants a password",
            "sudo_password_command",
        ),
        (
            "env: `sudo': そのようなファイルやディレクトリはありません",
            127,
            NoSudoError,
            "no sudo on tahiti",
            'user = "root"',
        ),
        (
            'sudo: The "no new privileges" flag is set',
            1,
            SudoError,
            "no new privileges",
            "sudo true",
        ),
        ("", 1, SudoError, "printed nothing", "sudo true"),
    ],
)
def test_what_sudo_says_becomes_an_error_with_one_thing_to_do(
    connect: Connect, *, said: str, code: int, kind: type[SudoError], word: str, hint: str
) -> None:
    with pytest.raises(SudoError) as caught:
        connect(There(Result(code=code, stderr=f"{said}\n"))).open()
    assert type(caught.value) is kind
    assert word in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 8


def test_rights_that_sudo_denies_only_after_the_password(connect: Connect) -> None:
    lecture = "\nWe trust you have received the usual lecture\n\n"
    denied = Result(code=1, stderr=f"{lecture}taro is not in the sudoers file.\n")
    there = There(WANTED, denied)
    with pytest.raises(NoSudoRightsError):
        connect(there, Sudo(answering(PASSWORD, PASSWORD))).open()
    assert not there.answers


def test_a_password_that_expires_during_a_run_is_told(connect: Connect) -> None:
    there = There(WANTED, FINE, WRONG)
    with pytest.raises(SudoPasswordError, match="did not accept"):
        connect(there, Sudo(answering(PASSWORD))).run(["id"])


def test_a_command_that_talks_like_sudo_is_not_believed_where_root_logs_in(
    connect: Connect,
) -> None:
    with pytest.raises(RemoteCommandError):
        connect(There(WANTED), user="root").run(["sh", "-c", "exit 1"])


def test_a_handed_password_is_read_from_an_open_file() -> None:
    code = "import os, sys; print(os.fdopen(int(sys.argv[1])).read())"
    with processes.handed(Secret(PASSWORD)) as number:
        done = processes.run([sys.executable, "-c", code, str(number)], keep=(number,))
    assert done.stdout == f"{PASSWORD}\n"
