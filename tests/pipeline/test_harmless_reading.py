"""A host that the inventory calls real: verify only reads it, a run does what its plan said, an
interrupt says what still runs, and what is for machines is one document.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import document, environment, invoke, shell
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.config import inventory
from sheepvirt.core import paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
GUEST = "rairua"
BOOT = "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1"
PID = f"cat /var/run/libvirt/qemu/{GUEST}.pid"
CHANGE = re.compile(r"(?m)^  ([a-z ]+: .*?)(?: \[diff: .*)?$")
BARE = re.compile(r" \((?:it was so already|it does not answer yet|now it says|as qemu|as kvm).*$")
SLOW = """
cat >/usr/local/bin/dnf <<'END'
#!/bin/sh
sleep 20
exec /usr/bin/dnf "$@"
END
chmod 755 /usr/local/bin/dnf
"""
FAULTS = {
    "bridge": "ovs-vsctl del-br ovsbr0",
    "network": "virsh net-destroy ovsbr0 && virsh net-undefine ovsbr0",
    "pool": "virsh pool-destroy sheepdog && virsh pool-undefine sheepdog",
    "cluster": "systemctl stop sheepdog",
    "guest": f"virsh destroy {GUEST}",
    "definition": f"virsh destroy {GUEST}; virsh undefine {GUEST}",
    # The first virsh starts it by its socket; then the host's own unit starts its pool.
    "service": "systemctl disable libvirtd; systemctl stop libvirtd; for _ in $(seq 60); do "
    "virsh -q pool-list | grep -q sheepdog && exit; sleep 0.5; done; exit 1",
    "repo": "rm -r /var/lib/sheepvirt/repo",
    "rpm": "rpm -e --nodeps libvirt",
}


def raivavae() -> Host:
    return inventory.load_host(SETTINGS, "raivavae")


def told(out: str) -> list[str]:
    """Return the changes that a bootstrap or its plan printed, without their notes."""
    return [BARE.sub("", words) for words in CHANGE.findall(out)]


@pytest.fixture(scope="module", autouse=True)
def host(published: str) -> Iterator[None]:
    """A fresh host; what its plan says, the run does."""
    rehearsal.remove(RUN, raivavae())
    plan = invoke("bootstrap", "raivavae", "--plan", code=20)
    ran = invoke("bootstrap", "raivavae")
    assert told(ran) == told(plan) != []
    assert "not in the plan" not in ran
    yield
    rehearsal.remove(RUN, raivavae())


def test_verify_only_reads_it() -> None:
    before = shell(raivavae(), f"{BOOT}; {PID}")
    out = invoke("verify", "raivavae")
    assert shell(raivavae(), f"{BOOT}; {PID}") == before
    assert "read-only: nothing was stopped, started or rebooted" in out
    assert "consoles are not read on a real machine" in out
    assert "packages: " in out
    assert "┏" not in out


def test_a_running_guest_that_would_not_come_back_stops_the_reboot() -> None:
    before = shell(raivavae(), f"{BOOT}; {PID}")
    shell(raivavae(), f"virsh autostart --disable {GUEST}")
    out = invoke("verify", "raivavae", "--reboot", code=10)
    assert f"would not come back by themselves: {GUEST}. Nothing was done" in out
    shell(raivavae(), f"virsh autostart {GUEST}")
    assert shell(raivavae(), f"{BOOT}; {PID}") == before


def test_with_reboot_guests_are_shut_down_and_with_power_cut_destroyed() -> None:
    out = invoke("verify", "raivavae", "--reboot")
    assert re.search(
        rf"data of {GUEST}: marker (\w+) after boot \d+, shut down, host rebooted; "
        r"marker \1 after boot",
        out,
    )
    made = document("verify", "raivavae", "--reboot", "--power-cut")
    assert made["guests_stopped"] == "destroyed"
    assert [row["guest"] for row in made["data"]] == [GUEST]
    assert len(made["passes"]) == 2
    assert "--reboot" in invoke("verify", "raivavae", "--power-cut", code=2)
    assert "is a real machine" in invoke("verify", "raivavae", "--prove", code=2)


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_a_run_does_what_its_plan_said(fault: str) -> None:
    shell(raivavae(), FAULTS[fault])
    plan = document("bootstrap", "raivavae", "--plan", code=20)
    ran = document("bootstrap", "raivavae")
    words = [[(row["step"], row["what"]) for row in made["changes"]] for made in (plan, ran)]
    assert words[0] == words[1]
    assert not any("not in the plan" in row["note"] for row in ran["changes"])
    assert document("bootstrap", "raivavae", "--plan")["changes"] == []


def test_an_error_is_a_document_and_in_the_log() -> None:
    made = document("bootstrap", "raivava", code=2)
    assert "raivavae" in made["error"]["hint"] + made["error"]["message"]
    assert made["error"]["message"] in Path(made["log"]).read_text(encoding="utf-8")


def test_the_chain_is_a_document() -> None:
    document("verify", "raivavae")
    made = document("why", "raivavae", "libvirt")
    assert all(row["ok"] for row in made["links"])
    assert document("doctor", "--target", "rehearsal")["targets"][0]["can_be_built"]


def test_an_interrupt_says_what_still_runs_on_the_host() -> None:
    """And does not wait for it: the remote command goes on, without this run."""
    shell(raivavae(), "rm -rf /var/lib/sheepvirt/repo; rpm -e --nodeps libvirt")
    # The installer is slow: a program of its name that takes its time comes first.
    shell(raivavae(), SLOW)
    process = subprocess.Popen(
        # What was started in the background of a shell may ignore SIGINT.
        ["env", "--default-signal=INT", sys.executable, "-m", "invoke", "bootstrap", "raivavae"],
        cwd=paths.ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not shell(raivavae(), "pgrep -f '^/bin/sh /usr/local/bin/dnf' || true"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    out, _ = process.communicate(timeout=60)
    assert time.monotonic() - started < 15
    assert process.returncode == 130, out
    assert "An interrupt ends nothing on a host" in out
    assert re.search(r"raivavae, since \d\d:\d\d:\d\d \(\d+ s\): sh -s -- dnf ", out)
    assert "changed before the run ended" in out
    assert shell(raivavae(), "pgrep -f '^/bin/sh /usr/local/bin/dnf' || true")
    shell(raivavae(), "rm /usr/local/bin/dnf")
    invoke("bootstrap", "raivavae")  # it waits for what goes on, and does the rest
    invoke("verify", "raivavae", "--no-reboot")
