"""A full disk: said before anything is done, named in errors; files stay as they were.

In place of a full disk the scripts of a host get a limit of a file's size: each write fails, while
names, folders and empty files can still be made.
"""

from __future__ import annotations

import resource
import shlex
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from finished import HOST, WANTED, context, done
from test_bootstrap import looks, step

from sheepvirt.bootstrap import full_disk, host_lock, kept, marks, restore, runner, space
from sheepvirt.bootstrap.consent import NOTHING
from sheepvirt.bootstrap.facts.space import FOLDERS, Space
from sheepvirt.bootstrap.marks import Mark
from sheepvirt.bootstrap.steps import guard, ifcfg, kvm, marking, reboot
from sheepvirt.core.errors import (
    BootstrapError,
    HostUnreachableError,
    LockedError,
    NoSpaceError,
    RemoteCommandError,
    SheepvirtError,
    SshError,
)
from sheepvirt.core.processes import Result
from sheepvirt.model.enums import ObjectKind, Origin
from sheepvirt.ssh import client
from sheepvirt.ssh.route import by_config
from tests.here import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.core.processes import OnLine
    from sheepvirt.run import Run

ROOMY = Space(mount="/", free=1 << 30, size=4 << 30, inodes=10**6, device="/dev/sda1")
FULL = replace(ROOMY, mount="/var", free=8192, device="/dev/sda2")
GUARD = SETTINGS.host / "files" / "network-guard.sh"
SHELLS = ("dash", "bash")


def test_a_filesystem_without_blocks_or_inodes_is_full() -> None:
    assert space.full({"/a": ROOMY, "/b": replace(ROOMY, inodes=None)}) == {}
    said = space.full({"/a": ROOMY, "/var/b": FULL})
    assert said == {"/var": "the filesystem /var is full: 0 of its 4096 MiB are free"}
    (words,) = space.full({"/a": replace(ROOMY, inodes=3)}).values()
    assert words == "the filesystem / has only 3 inodes left"


def test_one_filesystem_that_is_mounted_twice_is_named_once() -> None:
    again = replace(FULL, mount="/etc")
    assert list(space.full({"/var/b": FULL, "/etc": again})) == ["/var"]
    tmpfs = replace(FULL, mount="/run", device="tmpfs")
    other = replace(tmpfs, mount="/tmp", size=0)
    assert list(space.full({"/run": tmpfs, "/tmp": other})) == ["/run", "/tmp"]


def test_a_plan_is_refused_only_if_it_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    full = replace(done(), space=dict.fromkeys(FOLDERS, FULL))
    assert runner.differences(WANTED, full) == []
    assert space.notes(full) == [
        "the filesystem /var is full: 0 of its 4096 MiB are free. While it is, a run is refused"
    ]
    waiting = replace(WANTED, host=replace(HOST, rehearsal=False), consent=NOTHING)
    due = replace(full, reboot_wanted=full.boot)
    assert [c.step for c in runner.differences(waiting, due)] == [reboot.NAME]
    with pytest.raises(NoSpaceError, match="the filesystem /var is full") as caught:
        runner.differences(WANTED, replace(full, networks={}))
    assert caught.value.hint.startswith("free space in /var there")
    assert caught.value.exit_code == BootstrapError.exit_code


def test_no_step_begins_on_a_disk_that_became_full(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    log: list[str] = []
    steps = [step("repo", log, done_at="2"), step("packages", log, done_at="3")]
    monkeypatch.setattr(runner, "STEPS", steps)
    room, full = done(), dict.fromkeys(FOLDERS, FULL)
    looks(monkeypatch, replace(room, os="1"), replace(room, os="2", space=full))
    connection = client.Connection(
        SETTINGS, HOST, by_config(HOST, Path("/config")), lambda *_: Result(code=0)
    )
    with pytest.raises(NoSpaceError, match="the filesystem /var is full"):
        runner.converge(run, WANTED, connection)
    assert log == ["repo"]


def answering(
    monkeypatch: pytest.MonkeyPatch, free: int = 1 << 30, code: int = 0
) -> client.Connection:
    """Return a connection to a host whose /var has so many KiB free, or that answers ``code``."""
    row = "/dev/sda2 4194304 1 {} 1% /var\n"
    blocks, inodes = (row.format(n) * len(full_disk.ASKED) for n in (free, 10**6))
    said = f"unit -k\n{blocks}unit -i\n{inodes}"
    worker, _ = context(monkeypatch, ("df -P", code, said))
    return worker.connection


@pytest.mark.parametrize("error", [RemoteCommandError, SshError, BootstrapError])
def test_an_error_on_a_full_disk_says_which_one(
    monkeypatch: pytest.MonkeyPatch, error: type[SheepvirtError]
) -> None:
    connection = answering(monkeypatch, free=4)
    with pytest.raises(NoSpaceError) as caught, full_disk.explained(connection):
        raise error("it failed: I/O error", hint="read the log")
    assert str(caught.value) == (
        "it failed: I/O error\n"
        "  tahiti: the filesystem /var is full: 0 of its 4096 MiB are free\n"
        "  what to do: free space in /var there (`df -h`, `df -i`), then run this again"
    )


@pytest.mark.parametrize(
    "words",
    [
        "tar: x: Cannot open: No space left on device",
        "tar: x: Wrote only 512 of 10240 bytes",
        "installing package libvirt-7.0.0-1 needs 12KB on the /usr filesystem",
        "installing package libvirt-7.0.0-1 needs 3 inodes on the / filesystem",
        "At least 12MB more space needed on the /usr filesystem.",
        "cp: error writing 'x': Disk quota exceeded",
    ],
)
def test_what_was_removed_after_it_failed_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    connection = answering(monkeypatch, free=20 << 10)
    with pytest.raises(NoSpaceError) as caught, full_disk.explained(connection):
        raise RemoteCommandError(words)
    assert "filesystem /var was full; now 20 of its 4096 MiB are free" in caught.value.message


def test_a_filesystem_that_is_almost_full_is_named_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """dnf does not say why it could not unpack an RPM; what it had unpacked is removed."""
    connection = answering(monkeypatch, free=4 << 10)
    with pytest.raises(NoSpaceError) as caught, full_disk.explained(connection):
        raise RemoteCommandError("Error unpacking rpm package a", hint="read the lines")
    assert "filesystem /var was full, perhaps: 4 of its 4096 MiB are free" in caught.value.message
    assert caught.value.hint.startswith("free space in /var there")
    assert caught.value.hint.endswith("; if that is not it: read the lines")


def test_an_error_that_has_nothing_to_do_with_space_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for connection in (answering(monkeypatch), answering(monkeypatch, free=4, code=1)):
        with (
            pytest.raises(RemoteCommandError, match=r"it failed$"),
            full_disk.explained(connection),
        ):
            raise RemoteCommandError("it failed")
    nobody_asks, _ = context(monkeypatch)
    for error in (
        HostUnreachableError("gone"),
        LockedError("by somebody"),
        NoSpaceError("said already"),
    ):
        with pytest.raises(type(error)), full_disk.explained(nobody_asks.connection):
            raise error


# --- scripts: what they cannot write whole must not be there -------------------------------------


def nothing_can_be_written() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def sh(
    shell: str,
    script: str,
    *words: object,
    stdin: bytes = b"",
    full: bool = True,
    env: Mapping[str, object] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a script of a host here, on a full disk."""
    return subprocess.run(
        [shell, "-c", script, "sh", *(str(word) for word in words)],
        input=stdin,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", **{key: str(value) for key, value in (env or {}).items()}},
        preexec_fn=nothing_can_be_written if full else None,
        timeout=60,
    )


def below(folder: Path) -> dict[str, str]:
    """Return the files below a folder, with what they have."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Files of a host that must stay as they are."""
    for name in ("etc/ifcfg-eth0", "owned/file-a.json", "kept/T/owned/file-a.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"former {name}\n")
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
def test_a_file_is_the_former_one_or_the_new_one(host: Path, shell: str) -> None:
    before = below(host)

    def here(argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None) -> Result:
        words = shlex.split(argv[-1].partition("; exec env LC_ALL=C ")[2])
        assert words[:2] == ["sh", "-c"]
        ended = sh(shell, *words[2:3], *words[4:], stdin=stdin.read() if stdin else b"")
        return Result(code=ended.returncode, stderr=ended.stderr.decode())

    connection = client.Connection(SETTINGS, HOST, by_config(HOST, Path("/config")), here)
    pytest.MonkeyPatch().setattr(connection, "_alive", lambda: True)
    for name in before:
        with pytest.raises(RemoteCommandError):
            connection.write(f"{host}/{name}", b"new\n")
    with pytest.raises(RemoteCommandError):
        connection.put_tree(host, ["etc"], f"{host}/owned")
    with pytest.raises(RemoteCommandError):
        connection.put(host / "etc/ifcfg-eth0", f"{host}/owned/file-a.json")
    assert below(host) == before
    assert not list(host.rglob("*.new"))


@pytest.mark.parametrize("shell", SHELLS)
def test_a_mark_is_the_former_one_or_the_new_one(host: Path, shell: str) -> None:
    before = below(host)
    script = marking.NOTE.replace(marks.FOLDER, f"{host}/owned")
    row = Mark(kind=ObjectKind.FILE, name="/a", origin=Origin.DEFINED)
    assert sh(shell, script, stdin=f"{row.file}\n{row.line}\n".encode()).returncode
    assert below(host) == before


@pytest.mark.parametrize("shell", SHELLS)
def test_what_cannot_be_kept_whole_is_not_kept(host: Path, shell: str) -> None:
    before = below(host)
    script = kept.KEEP.replace(kept.FOLDER, f"{host}/kept").replace(marks.FOLDER, f"{host}/owned")
    file = host / "etc/ifcfg-eth0"
    assert sh(shell, script, "", "file", file, "file-a.json").returncode
    assert below(host) == before
    # Only the note has no room.
    (host / "empty").touch()
    assert sh(shell, script, "", "file", host / "empty", "file-a.json").returncode
    assert not [name for name in below(host).keys() - before.keys() if name.endswith(".json")]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_restore_leaves_what_is_there(host: Path, shell: str) -> None:
    before = below(host)
    assert sh(shell, restore.COPY, host / "owned/file-a.json", host / "etc/ifcfg-eth0").returncode
    assert sh(shell, restore.COPY_NOTES, host / "kept/T/owned", host / "owned").returncode
    assert below(host) == before
    assert not sh(
        shell, restore.COPY_NOTES, host / "kept/T/owned", host / "owned", full=False
    ).returncode
    assert below(host)["owned/file-a.json"] == before["kept/T/owned/file-a.json"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_guard_is_armed_with_whole_files_or_not_at_all(host: Path, shell: str) -> None:
    """A former file that is not whole would be put back some day."""
    files = [host / "etc/ifcfg-eth0", host / "etc/ifcfg-absent"]
    assert sh(shell, guard.SET, host / "pending", "b/1", *files).returncode
    assert below(host / "pending") == {}
    assert sh(shell, ifcfg.KEEP, host / "kept-files", *files).returncode
    assert below(host / "kept-files") == {}
    assert not sh(shell, guard.SET, host / "pending", "b/1", *files, full=False).returncode
    assert below(host / "pending") == {
        "boot": "b/1\n",
        "ifcfg-absent": "",
        "ifcfg-eth0": "former etc/ifcfg-eth0\n",
    }


def guarding(host: Path, *words: str, full: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run the guard's script, with programs that are played."""
    programs = {"sleep": "", "shutdown": "", "who": "", "ip": "", "ovs-vsctl": "exit 2"}
    for name, text in programs.items():
        path = host / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    env = {
        "PATH": f"{host}/bin:/usr/bin:/bin",
        "SHEEPVIRT_KEPT": host / "guard",
        "SHEEPVIRT_SCRIPTS": host / "etc",
        "SHEEPVIRT_LOG": host / "log",
        "SHEEPVIRT_RUN": host,
    }
    (host / "log").mkdir(exist_ok=True)
    return sh(
        "dash",
        GUARD.read_text(encoding="utf-8"),
        *words,
        full=full,
        env=env,
    )


def test_a_switch_that_cannot_be_written_down_is_not_changed(host: Path) -> None:
    (host / "guard/pending").mkdir(parents=True)
    assert guarding(host, "arm", "1", "ovsbr0", "eth0").returncode
    assert guarding(host, "keep-switch", f"{host}/guard/pending", "ovsbr0", "eth0").returncode
    assert [path.name for path in (host / "guard").rglob("*")] == ["pending"]
    assert not guarding(
        host, "keep-switch", f"{host}/guard/pending", "ovsbr0", "eth0", full=False
    ).returncode
    assert below(host / "guard") == {
        "pending/switch": "bridge ovsbr0 no\nport eth0 \ndevice ovsbr0\ndevice eth0\n"
    }


def test_former_network_files_come_back_on_a_full_disk_as_well(host: Path) -> None:
    """There is no room for a copy, but for another name of the file that is there."""
    pending = host / "guard/pending"
    pending.mkdir(parents=True)
    (pending / "ifcfg-eth0").write_text("before\n")
    guarding(host, "watch")
    assert (host / "etc/ifcfg-eth0").read_text() == "before\n"
    assert not pending.exists()


def test_no_guest_is_stopped_for_a_reboot_that_the_lock_would_not_survive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    note = host_lock.REBOOTS.replace(host_lock.LOCK, str(lock))
    assert not sh("dash", note).returncode  # nobody holds it
    lock.touch()
    assert sh("dash", note).returncode
    worker, planned = context(monkeypatch, (host_lock.REBOOTS, 1, ""))
    real = replace(WANTED, host=replace(HOST, rehearsal=False))
    with pytest.raises(RemoteCommandError):
        reboot.apply(real, replace(done(), running={"papeete": True}), worker)
    assert planned.plan == []


@pytest.mark.parametrize("shell", SHELLS)
def test_a_full_disk_says_nothing_about_kvm(tmp_path: Path, shell: str) -> None:
    done = sh(shell, kvm.SCRIPT, "image", "line", 1, env={"TMPDIR": tmp_path})
    assert done.returncode == 1
    assert f"there is no room in {tmp_path} to try KVM" in done.stderr.decode()
    assert done.stdout == b""
    assert list(tmp_path.iterdir()) == []
