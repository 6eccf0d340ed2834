"""A bootstrap that is killed, or whose connection breaks, at any moment loses nothing.

$SHEEPVIRT_FAULTS says how many faults of each kind are tried: 3, or as many as 20.

At a random moment of every step that can have work without a reboot. Afterwards the next plan
says what is left, the next run does exactly that, and nobody else on the host has noticed: see
faults.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import faults
import pytest
from world import SETTINGS

from sheepvirt.config import inventory
from sheepvirt.ssh import hostkeys

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from faults import Cut, FaultyHost

    Strike = Callable[[subprocess.Popen[str]], None]

pytestmark = pytest.mark.engine
SEED = int(os.environ.get("SHEEPVIRT_SEED", "20130315"))
NAME, VDI, FILE = "ahe", "tenukupara", "motutapu"


@dataclass(frozen=True)
class Moment:
    """Within a step: from its beginning, ``looks`` at the most."""

    step: str
    damages: tuple[str, ...]  # of the step, and of later ones
    looks: float = 1.0
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.step}: {' and '.join(self.damages)}"


MOMENTS = (
    Moment("undo", ("undo", "network")),
    Moment("ownership", ("ownership", "pool")),
    Moment("dependencies", ("dependencies", "port"), 2),
    Moment("repo", ("repo", "services")),
    Moment("packages", ("packages", "bridge"), 2),
    Moment("packages", ("packages", "pool"), 2),
    Moment("services", ("services", "domain")),
    Moment("services", ("cluster", "libvirtd", "network")),
    Moment("bridge", ("bridge", "network")),
    Moment("cluster", ("joining", "disk")),
    Moment("network", ("network", "domain")),
    Moment("pool", ("pool", "disk")),
    Moment("disk", ("disk", "domain"), 1),
    Moment("disk", ("disk", "port"), 3),
    Moment("disk", ("former VDI",), 2, ("--reimage", VDI)),
    Moment("disk", ("former VDI", "port"), 4, ("--reimage", VDI)),
    Moment("disk", ("former file", "port"), 2, ("--reimage", FILE)),
    Moment("kvm", ("kvm", "port"), 4),
    Moment("domain", ("domain", "port"), 1.5),
    Moment("port", ("port",), 0.5),
)


COUNT = int(os.environ.get("SHEEPVIRT_FAULTS", "3"))
TRIED = random.Random(SEED).sample(MOMENTS, min(COUNT, len(MOMENTS)))


@pytest.fixture(scope="module")
def host(published: str) -> Iterator[FaultyHost]:
    with faults.prepared(NAME) as made:
        yield made


def kill(process: subprocess.Popen[str]) -> None:
    """End the run alone: its ssh goes on."""
    process.kill()


def kill_everything(process: subprocess.Popen[str]) -> None:
    """End the run and all its ssh, as if this machine had lost its power."""
    end(*descendants(process.pid), *masters())


def end_ssh(process: subprocess.Popen[str]) -> None:
    """End all ssh of the run, which notices."""
    end(*descendants(process.pid)[1:], *masters())


def end(*pids: int) -> None:
    """Kill processes of this machine; some may have ended."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def descendants(pid: int) -> list[int]:
    """Return a process of this machine and all that it has started."""
    try:
        tasks = [*Path(f"/proc/{pid}/task").iterdir()]
        children = [int(n) for task in tasks for n in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(one for child in children for one in descendants(child))]


def masters() -> list[int]:
    """Return the processes of the shared connection to the host."""
    socket = str(hostkeys.control_path(SETTINGS, inventory.load_host(SETTINGS, NAME)))
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if socket in (folder / "cmdline").read_text(errors="replace"):
                found.append(int(folder.name))
    return found


@contextlib.contextmanager
def tried(host: FaultyHost, moment: Moment, what: Strike) -> Iterator[Cut]:
    """Damage the host, and strike the run that repairs it; yield how that ended.

    Afterwards require that nothing is lost and that the next runs complete it.
    """
    chance = random.Random(f"{SEED} {moment} {what.__name__}")
    print(f"seed {SEED}")
    try:
        for share in (1.0, 0.5, 0.25, 0.1, 0.0):
            host.damage(*moment.damages)
            former = host.disks() if moment.options else set()
            looks = chance.uniform(0, moment.looks * share)
            cut = host.strike(moment.step, looks, what, *moment.options)
            print(f"{looks:.2f} looks into {moment.step}: exit code {cut.code}\n{cut.out}")
            if cut.code if what in {kill, kill_everything} else cut.struck:
                break
        else:
            raise AssertionError("the run was always faster")
        yield cut
        assert former <= host.disks(), "a former disk is lost"
        host.require_recovery()
        assert former <= host.disks(), "a former disk is lost"
        host.require_nothing_lost()
        if former:
            host.forget_disks()
    except BaseException:
        host.repair()
        raise


@pytest.mark.parametrize("moment", TRIED, ids=str)
def test_a_run_that_is_killed(host: FaultyHost, moment: Moment) -> None:
    what = kill_everything if MOMENTS.index(moment) % 2 else kill
    with tried(host, moment, what) as cut:
        assert cut.code == -signal.SIGKILL, "it ended by itself"


@pytest.mark.parametrize("moment", TRIED, ids=str)
def test_a_run_whose_connection_breaks(host: FaultyHost, moment: Moment) -> None:
    def end_sessions(_process: subprocess.Popen[str]) -> None:
        host.shell("pkill -KILL -f '^sshd: root' || :")

    what = end_ssh if MOMENTS.index(moment) % 2 else end_sessions
    with tried(host, moment, what) as cut:
        require_words(cut)


def test_a_run_whose_host_falls_silent(host: FaultyHost) -> None:
    """Its packets are lost: the host waits for the rest of what the run was sending."""
    rule = "INPUT -p tcp --dport 22 -j DROP"

    def lose_packets(process: subprocess.Popen[str]) -> None:
        host.shell(f"iptables -I {rule}")
        try:
            process.wait(120)
        finally:
            host.shell(f"iptables -D {rule}")

    moment = Moment("disk", ("former VDI",), 4, ("--reimage", VDI))
    with tried(host, moment, lose_packets) as cut:
        require_words(cut)


def require_words(cut: Cut) -> None:
    """Require an error that says what to do, or that the run has connected once more."""
    assert cut.code in {0, 8}
    assert "Traceback" not in cut.out
    assert ("what to do: " in cut.out) is (cut.code == 8)
    if cut.code:
        assert "error: " in cut.out
        assert "ahe (root@127.0.0.1)" in cut.out
    if "broke: a command was running" in cut.out:
        assert "This may still be running there" in cut.out
