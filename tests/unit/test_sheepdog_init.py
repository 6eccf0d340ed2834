"""The init script that sheepdog's RPM gets: it obeys SHEEP_OPTS, and answers as LSB has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sheepvirt.bootstrap.facts import sysv
from sheepvirt.bootstrap.steps import held
from tests.here import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = SETTINGS.specs / "sheepdog"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Path]:
    """A folder with a program that plays sheep: it stays, under its own path, until it is ended."""
    code = (
        "#!/bin/bash\n"
        f'echo "$@" >"{tmp_path}/asked"\n'
        f'[ ! -e "{tmp_path}/refuse" ] || exit 1\n'
        f'(exec -a "{tmp_path}/sheep" sleep 60) </dev/null >/dev/null 2>&1 &\n'
        'echo $! >"$2"\n'
        "sleep 0.2\n"
    )
    (tmp_path / "sheep").write_text(code)
    (tmp_path / "sheep").chmod(0o755)
    yield tmp_path
    script(tmp_path, "stop")


def script(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the init script with everything it touches in ``folder``."""
    places = {
        "SHEEPDOG_PROGRAM": str(folder / "sheep"),
        "SHEEPDOG_CONFIG": str(folder / "sysconfig"),
        "SHEEPDOG_RUN": str(folder),
        "SHEEPDOG_LOCK": str(folder / "lock"),
        "SHEEPDOG_SYSTEMD": str(folder / "systemd"),
        "SHEEPDOG_SECONDS": "5",
    }
    return subprocess.run(
        ["sh", str(FOLDER / "sheepdog.init"), *argv],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
    )


def test_it_starts_stops_and_says_so(node: Path) -> None:
    assert script(node, "status").returncode == 3
    assert script(node, "start").returncode == 0
    said = script(node, "status")
    assert (said.returncode, "is running" in said.stdout) == (0, True)
    assert (node / "lock" / "sheepdog").exists()
    pid = (node / "sheep.pid").read_text()
    assert script(node, "start").returncode == 0  # a second start starts no second one
    assert (node / "sheep.pid").read_text() == pid
    assert script(node, "stop").returncode == 0
    assert script(node, "status").returncode == 3
    assert not (node / "lock" / "sheepdog").exists()
    assert script(node, "stop").returncode == 0


def test_it_obeys_the_options_of_its_file(node: Path) -> None:
    script(node, "start")
    asked = (node / "asked").read_text()
    assert "--bindaddr 127.0.0.1 --port 7000 /var/lib/sheepdog" in asked
    script(node, "stop")
    (node / "sysconfig").write_text('SHEEP_OPTS="--cluster corosync --port 7001 /srv/sheep"\n')
    script(node, "start")
    assert "--cluster corosync --port 7001 /srv/sheep\n" in (node / "asked").read_text()


def test_a_restart_of_what_does_not_run_is_no_start(node: Path) -> None:
    assert script(node, "condrestart").returncode == 0
    assert not (node / "asked").exists()
    script(node, "start")
    pid = (node / "sheep.pid").read_text()
    assert script(node, "condrestart").returncode == 0
    assert (node / "sheep.pid").read_text() != pid


def test_while_sheepvirt_replaces_rpms_their_scriptlets_do_not_restart_it(node: Path) -> None:
    script(node, "start")
    pid = (node / "sheep.pid").read_text()
    (node / Path(held.FILE).name).touch()
    for word in ("condrestart", "try-restart"):
        said = script(node, word)
        assert (said.returncode, "runs on as it is" in said.stdout) == (0, True)
        assert (node / "sheep.pid").read_text() == pid
    assert script(node, "restart").returncode == 0, "who asks for a restart gets it"
    assert (node / "sheep.pid").read_text() != pid


def test_a_sheep_that_does_not_start_is_a_failure_with_its_options(node: Path) -> None:
    (node / "refuse").touch()
    said = script(node, "start")
    assert said.returncode == 1
    assert "did not start with: --cluster local" in said.stderr


def test_a_sheep_that_ends_after_it_has_become_a_daemon_is_a_failure(node: Path) -> None:
    """As 1.0.1 does where the store is of another version: the command itself ends well."""
    (node / "sheep").write_text("#!/bin/sh\nexit 0\n")
    said = script(node, "start")
    assert said.returncode == 1
    assert "did not start with" in said.stderr
    assert script(node, "status").returncode == 3


def test_without_its_program_it_cannot_start(node: Path) -> None:
    (node / "sheep").unlink()
    assert script(node, "start").returncode == 5


def test_a_number_that_is_another_process_now_is_no_sheep(node: Path) -> None:
    (node / "sheep.pid").write_text(f"{os.getpid()}\n")
    assert script(node, "status").returncode == 1
    assert script(node, "stop").returncode == 0
    assert Path(f"/proc/{os.getpid()}").exists()


def test_under_systemd_the_unit_keeps_the_server(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (node / "systemd").mkdir()
    called = node / "systemctl"
    called.write_text(f'#!/bin/sh\necho "$@" >"{node}/called"\n')
    called.chmod(0o755)
    monkeypatch.setenv("PATH", f"{node}:{os.environ['PATH']}")
    script(node, "condrestart")
    assert (node / "called").read_text() == "try-restart sheepdog.service\n"


def test_words_that_it_does_not_know_are_refused(node: Path) -> None:
    assert script(node, "strat").returncode == 2


def test_it_starts_before_libvirt_in_every_runlevel_of_a_host() -> None:
    text = (FOLDER / "sheepdog.init").read_text(encoding="utf-8")
    found = sysv.read("sheepdog", text, "")
    assert found
    assert (found.levels, found.start, found.stop) == (frozenset("2345"), 21, 79)


def test_both_keepers_have_the_same_default() -> None:
    wanted = 'SHEEP_OPTS="--cluster local --log dst=syslog --bindaddr 127.0.0.1 --port 7000 '
    for name in ("sheepdog.init", "sheepdog.sysconfig"):
        assert wanted in (FOLDER / name).read_text(encoding="utf-8")
