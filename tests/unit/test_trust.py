"""Pinning: the keys are scanned once, shown, and exactly those are pinned."""

import os
import pty
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest

from sheepvirt.core import processes
from sheepvirt.core.errors import (
    HostKeyChangedError,
    HostKeyUnknownError,
    HostNameError,
    HostUnreachableError,
    SshError,
)
from sheepvirt.core.processes import Result
from sheepvirt.core.settings import Settings
from sheepvirt.ssh import hostkeys, trust
from tests.here import PlayedRun, run_in

TAHITI = factories.host(rehearsal=False, address="192.0.2.7", port=2222)
Present = Callable[..., list[list[str]]]


def key_of(folder: Path, kind: str) -> str:
    """Return a new public key, without its comment."""
    path = folder / f"{kind}-{len(list(folder.iterdir()))}"
    made = processes.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)])
    assert made.code == 0, made.stderr
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> Present:
    """Let the host present keys, other ones at each scan, and keep the scans."""
    scans: list[list[str]] = []
    real = processes.run

    def make(*each: list[str], said: str = "") -> list[list[str]]:
        left = list(each)

        def run(argv: list[str], **options: Any) -> Result:
            if "ssh-keyscan" not in argv:
                return real(argv, **options)
            scans.append(argv)
            rows = [f"[192.0.2.7]:2222 {key}\n" for key in (left.pop(0) if left else [])]
            return Result(code=0, stdout="".join(["# a comment\n", *rows]), stderr=said)

        monkeypatch.setattr(processes, "run", run)
        return scans

    return make


def test_what_was_shown_is_pinned_though_the_host_presents_another_key_later(
    settings: Settings, present: Present, tmp_path: Path
) -> None:
    first, later = key_of(tmp_path, "ed25519"), key_of(tmp_path, "ed25519")
    scans = present([first], [later])
    offer = trust.look(settings, TAHITI)
    assert offer.keys[0].fingerprint in offer.lines()[1]
    trust.pin(settings, offer, offer.keys)
    known = hostkeys.known_hosts(settings, TAHITI)
    assert known.read_text() == f"[192.0.2.7]:2222 {first}\n"
    assert len(scans) == 1
    assert hostkeys.pinned(settings, TAHITI) == offer.keys


def test_only_a_key_with_the_given_fingerprint_is_pinned(
    settings: Settings, present: Present, tmp_path: Path
) -> None:
    keys = [key_of(tmp_path, kind) for kind in ("rsa", "ed25519")]
    present(keys)
    offer = trust.look(settings, TAHITI)
    assert [key.kind for key in offer.keys] == ["ssh-ed25519", "ssh-rsa"]  # the strongest first
    trust.pin(settings, offer, trust.matching(offer, offer.keys[1].fingerprint))
    assert hostkeys.known_hosts(settings, TAHITI).read_text() == f"[192.0.2.7]:2222 {keys[0]}\n"


@pytest.mark.parametrize("wrong", ["SHA256:nono", "SHA256", ""])
def test_another_fingerprint_pins_nothing(
    settings: Settings, present: Present, tmp_path: Path, wrong: str
) -> None:
    present([key_of(tmp_path, "ed25519")])
    offer = trust.look(settings, TAHITI)
    with pytest.raises(HostKeyChangedError, match="nothing was pinned"):
        trust.matching(offer, wrong)
    assert not hostkeys.known_hosts(settings, TAHITI).exists()


def test_a_changed_key_is_shown_beside_the_pinned_one(
    settings: Settings, present: Present, tmp_path: Path
) -> None:
    old, new = key_of(tmp_path, "ed25519"), key_of(tmp_path, "ed25519")
    hostkeys.pin(settings, TAHITI, 2222, old)
    present([new])
    offer = trust.look(settings, TAHITI)
    assert not offer.known
    assert offer.lines()[-1].strip() == hostkeys.pinned(settings, TAHITI)[0].line


def test_a_name_that_does_not_resolve_is_told(settings: Settings, present: Present) -> None:
    present(said="getaddrinfo nosuch.invalid: Name or service not known\n")
    with pytest.raises(HostNameError, match="does not resolve"):
        trust.look(settings, replace(TAHITI, address="nosuch.invalid"))


def test_a_silent_host_is_told(settings: Settings, present: Present) -> None:
    present()
    with pytest.raises(HostUnreachableError, match="nothing answers"):
        trust.look(settings, TAHITI)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [({"ssh": "lab"}, "`ssh lab`"), ({"rehearsal": True}, "`invoke bootstrap tahiti`")],
)
def test_keys_that_are_not_pinned_here_are_refused(
    settings: Settings, changes: dict[str, Any], hint: str
) -> None:
    with pytest.raises(SshError) as caught:
        trust.look(settings, replace(TAHITI, **changes))
    assert hint in caught.value.hint


def test_an_unconfirmed_offer_names_the_command_with_the_fingerprint(
    settings: Settings, present: Present, tmp_path: Path
) -> None:
    present([key_of(tmp_path, "ed25519")])
    offer = trust.look(settings, TAHITI)
    error = trust.unconfirmed(offer)
    assert isinstance(error, HostKeyUnknownError)
    assert f"--fingerprint {offer.keys[0].fingerprint}" in error.hint


def test_a_new_key_is_announced_once_with_its_line(
    present: Present, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present()
    said: list[str] = []
    played = run_in(tmp_path)
    monkeypatch.setattr(played.progress, "say", said.append)
    for _ in range(2):
        with pytest.raises(HostKeyUnknownError):
            super(PlayedRun, played).connect(TAHITI)
    (text,) = said
    assert hostkeys.public_key(played.settings, TAHITI) in text
    assert str(hostkeys.folder(played.settings, TAHITI) / "id_ed25519") in text
    assert "~root/.ssh/authorized_keys" in text


ASK = """
from sheepvirt.cli import terminal
from sheepvirt.core.progress import Progress
progress = Progress()
with progress.stage("look"):
    password = terminal.passwords(progress)("password of taro: ")
print("length", -1 if password is None else len(password))
print("confirmed", terminal.confirmed("Are these the keys?"))
"""


def on_terminal(answers: str) -> str:
    """Run ASK with a terminal of its own; return all that the user would see."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", ASK])
    seen = b""
    left = answers.splitlines(keepends=True)
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
            if left and seen.rstrip().endswith((b"taro:", b"[yes/no]")):
                os.write(terminal, left.pop(0).encode())
    except OSError:  # Linux says so where the other end is closed
        pass
    assert os.waitpid(pid, 0)[1] == 0, seen
    os.close(terminal)
    return seen.decode()


@pytest.mark.parametrize(("answer", "agreed"), [("yes", True), ("y", False), ("", False)])
def test_a_password_is_asked_without_an_echo_and_only_yes_agrees(answer: str, agreed: bool) -> None:
    seen = on_terminal(f"open sesame\n{answer}\n")
    assert "length 11" in seen
    assert "sesame" not in seen
    assert f"confirmed {agreed}" in seen


def test_nobody_is_asked_without_a_terminal() -> None:
    done = processes.run([sys.executable, "-c", ASK])
    assert done.stdout.splitlines()[-2:] == ["length -1", "confirmed False"]
