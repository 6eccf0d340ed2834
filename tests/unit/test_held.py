"""While RPMs are replaced, their scriptlets restart nothing that guests need."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest
from finished import RPM, UP, WANTED, changes, context, done

from sheepvirt.bootstrap.facts.services import ServiceState
from sheepvirt.bootstrap.steps import held, packages, pool

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = ("dash", "bash")
DROP_IN = "sheepdog.service.d/99-sheepvirt-upgrade.conf"


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's folders; its systemctl writes down what it was asked."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "var/run").mkdir(parents=True)
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/asked"\n')
    systemctl.chmod(0o755)
    return tmp_path


def start(root: Path, shell: str, *command: str) -> subprocess.Popen[str]:
    script = held.SCRIPT.replace("/run/systemd", f"{root}/run/systemd")
    script = script.replace(f"file={held.FILE}", f"file={root}{held.FILE}")
    process = subprocess.Popen(
        # No shell traps a signal that it ignored from its start, as in a run under nohup.
        ["env", "--default-signal=HUP,INT", shell, *held.through(*command)[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{root}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    assert process.stdin
    process.stdin.write(script)
    process.stdin.close()
    return process


def files(root: Path) -> set[str]:
    found = [p for part in ("run", "var") for p in (root / part).rglob("*") if p.is_file()]
    return {str(p.relative_to(root)) for p in found}


def test_they_are_held_while_the_command_runs_and_no_longer(root: Path, shell: str) -> None:
    look = f"cd {root}; find run var -type f; cat run/systemd/system/{DROP_IN}; cat; exit 7"
    process = start(root, shell, "sh", "-c", look)
    assert process.stdout
    said = process.stdout.read()
    assert process.wait() == 7
    for unit in held.UNITS:
        assert f"run/systemd/system/{unit}.service.d/99-sheepvirt-upgrade.conf" in said
    assert "RefuseManualStop=yes\n[Service]\nExecReload=\n" in said
    assert held.FILE.removeprefix("/") in said
    assert files(root) == set()
    assert list((root / "run/systemd/system").iterdir()) == []
    assert (root / "asked").read_text() == "daemon-reload\n" * 2


def test_a_drop_in_of_somebody_else_stays(root: Path, shell: str) -> None:
    own = root / "run/systemd/system/sheepdog.service.d/own.conf"
    own.parent.mkdir()
    own.write_text("[Unit]\n")
    assert start(root, shell, "true").wait() == 0
    assert own.read_text() == "[Unit]\n"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGINT])
def test_whatever_ends_the_command_they_are_let_go(root: Path, shell: str, sent: int) -> None:
    """As a lost connection does, which ends the command where it prints."""
    process = start(root, shell, "sh", "-c", "echo up; exec sleep 60")
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    assert files(root)
    os.killpg(process.pid, sent)
    process.wait(timeout=10)
    assert files(root) == set()


@pytest.mark.parametrize("goes_away", [False, True])
def test_a_transaction_is_whole_though_nobody_reads_on(
    root: Path, shell: str, goes_away: bool
) -> None:
    """Where the connection breaks. Else it would die of a broken pipe, half done."""
    loop = "for n in 1 2 3 4 5 6 7; do echo $n; echo $n >&2; sleep 0.05; done; touch $0; exit 3"
    process = start(root, shell, "sh", "-c", loop, str(root / "whole"))
    assert process.stdout
    assert process.stdout.readline() == "1\n"
    if goes_away:
        process.stdout.close()
    else:
        assert process.stdout.read().split() == list("1223344556677")
    assert process.wait(timeout=60) == 3
    assert (root / "whole").exists()
    assert files(root) == set()


def test_what_cannot_be_held_is_not_replaced(root: Path, shell: str) -> None:
    (root / "run/systemd/system/virtlogd.service.d").write_text("in the way\n")
    process = start(root, shell, "touch", str(root / "ran"))
    assert process.wait() != 0
    assert not (root / "ran").exists()
    assert files(root) == {"run/systemd/system/virtlogd.service.d"}


def test_under_sysv_init_a_file_says_so(root: Path, shell: str) -> None:
    (root / "run/systemd/system").rmdir()
    process = start(root, shell, "sh", "-c", f"test -e {root}{held.FILE}")
    assert process.wait() == 0
    assert files(root) == set()
    assert not (root / "asked").exists()


def test_the_installer_runs_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned = context(
        monkeypatch,
        ("reboot-wanted", 0, ""),
        ("sh -s -- dnf -y install libvirt-7.0.0-1.rehearsal.x86_64", 0, ""),
    )
    packages.apply(WANTED, replace(done(), packages={"libvirt": "libvirt-1-1.x86_64"}), worker)
    assert planned.sent[-1] == held.SCRIPT.encode()


SHEEP = factories.published_rpm(
    name="sheepdog", nevra="sheepdog-1-1.x86_64", file="s.rpm", header_sha1="cc"
)
MADE = factories.record(package="sheepdog", rpms=(SHEEP,), installed_subpackages=("sheepdog",))
BOTH = replace(WANTED, records=(*WANTED.records, MADE))
UPGRADED = replace(
    done(),
    packages={"libvirt": RPM.nevra, "sheepdog": "sheepdog-0-1.x86_64"},
    services={**done().services, "sheepdog": UP},
)


def test_the_plan_says_which_service_is_restarted_and_which_runs_on() -> None:
    assert changes(packages.STEP, UPGRADED, BOTH) == [
        "sheepdog-1-1.x86_64 by dnf, in place of another version; sheepdog runs on as before"
    ]
    rebuilt = replace(UPGRADED, headers={"libvirt": "other", "sheepdog": "cc"})
    assert changes(packages.STEP, rebuilt, BOTH)[1:] == [
        f"{RPM.nevra} by dnf, in place of another build; libvirtd is restarted, and guests run on"
    ]
    meta = replace(rebuilt, packages={**rebuilt.packages, "libvirt-daemon": "libvirt-daemon-1-1"})
    assert "restarted" not in changes(packages.STEP, meta, BOTH)[1], "it is a mere list of others"
    off = ServiceState(active=False, enabled=True)
    stopped = replace(UPGRADED, services={"sheepdog": off})
    assert "runs on" not in changes(packages.STEP, stopped, BOTH)[0]


def test_the_pool_that_a_restarted_libvirtd_forgets_is_in_the_plan() -> None:
    rebuilt = replace(done(), headers={"libvirt": "other"})
    assert changes(pool.STEP, rebuilt) == ["sheepdog started"]
    assert changes(pool.STEP, UPGRADED, BOTH) == []
