"""On a machine that counts as real, a bootstrap stops nothing that nobody agreed to.

A rehearsal host with ``treat_as_real``. It has a guest of the inventory, and a running guest that
somebody made by hand. Their QEMU processes tell whether they ran on all the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell
from world import RUN, SETTINGS, run_with

from sheepvirt.bootstrap import rehearsal
from sheepvirt.config import inventory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
INVENTORY = """
[hosts.tubuai]
target = "rehearsal"
rehearsal = true
treat_as_real = true
guest_shutdown_seconds = 3
bridge = "ovsbr0"
network = "ovsbr0"
[hosts.tubuai.guests.mataura]
title = "{title}"
memory_mb = {memory}
network = "ovsbr0"
line = "{line}"
"""
# It needs no disk: its firmware finds none, and it runs on.
BY_HAND = """
cat > /root/db.xml <<'END'
<domain type='qemu'><name>db</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>
END
virsh -q define /root/db.xml && virsh -q start db
"""


class Tubuai:
    """The host, by an inventory that a test can edit."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "inventory.toml"
        self.write()

    def write(self, *, title: str = "t", memory: int = 256, line: str = "mataura is up") -> None:
        self.path.write_text(INVENTORY.format(title=title, memory=memory, line=line))

    @property
    def host(self) -> Host:
        return inventory.load_host(replace(SETTINGS, inventory=self.path), "tubuai")

    def bootstrap(self, *options: str, code: int = 0) -> str:
        return invoke("bootstrap", "tubuai", *options, code=code, inventory=self.path)

    def shell(self, script: str) -> str:
        return shell(self.host, script)

    def guests(self) -> dict[str, str]:
        """Return the process of each running guest."""
        script = "cd /var/run/libvirt/qemu; for f in *.pid; do echo ${f%.pid} $(cat $f); done"
        found = dict(row.split() for row in self.shell(script).splitlines())
        return {name: pid for name, pid in found.items() if name != "driver"}  # libvirtd's own


@pytest.fixture(scope="module")
def tubuai(published: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tubuai]:
    made = Tubuai(tmp_path_factory.mktemp("tubuai"))
    run = run_with(replace(SETTINGS, inventory=made.path))
    rehearsal.remove(run, made.host)
    said = made.bootstrap()
    assert "tubuai: reboot" not in said, "what is new is started without one"
    made.shell(BY_HAND)
    yield made
    rehearsal.remove(RUN, made.host)


def test_a_plan_says_by_its_exit_code_whether_anything_would_change(tubuai: Tubuai) -> None:
    assert "no change" in tubuai.bootstrap("--plan")
    tubuai.write(title="another")
    before = tubuai.guests()
    assert "mataura defined" in tubuai.bootstrap("--plan", code=20)
    assert tubuai.guests() == before


def test_a_title_restarts_nobody(tubuai: Tubuai) -> None:
    before = tubuai.guests()
    assert before.keys() == {"mataura", "db"}
    tubuai.write(title="another")
    tubuai.bootstrap()
    assert tubuai.guests() == before
    assert "another" in tubuai.shell("virsh dumpxml --inactive mataura")
    assert "no change" in tubuai.bootstrap()


def test_another_definition_waits_for_the_restart_of_its_guest(tubuai: Tubuai) -> None:
    before = tubuai.guests()
    tubuai.write(title="another", memory=320)
    for _ in range(2):
        said = tubuai.bootstrap(code=21)
        assert "mataura restarted: it runs from another definition (--allow-guest-restart)" in said
        assert tubuai.guests() == before
    tubuai.bootstrap("--allow-guest-restart", "--allow-guest-poweroff")
    after = tubuai.guests()
    assert after["db"] == before["db"]
    assert after["mataura"] != before["mataura"]
    assert "no change" in tubuai.bootstrap()


def test_another_console_line_makes_no_disk_again(tubuai: Tubuai) -> None:
    tubuai.write(title="another", memory=320, line="another line")
    before, disk = tubuai.guests(), tubuai.shell("dog vdi list -r")
    said = tubuai.bootstrap()
    assert "the disk of mataura is kept" in said
    assert "`--reimage mataura` makes it again" in said
    assert (tubuai.guests(), tubuai.shell("dog vdi list -r")) == (before, disk)
    assert "no guest 'matura'" in tubuai.bootstrap("--reimage", "matura", code=2)


def test_a_reboot_waits_and_names_whom_it_would_stop(tubuai: Tubuai) -> None:
    tubuai.write(title="another", memory=320, line="another line")
    before = tubuai.guests()
    boot = tubuai.shell("cat /proc/1/stat | cut -d' ' -f22")
    # As after a run that has replaced RPMs: it noted the boot in which they were replaced.
    note = "/var/lib/sheepvirt/reboot-wanted"
    tubuai.shell(f"echo $(cat /proc/sys/kernel/random/boot_id)/{boot} > {note}")
    said = tubuai.bootstrap(code=21)
    assert "counts from the next reboot" in said
    assert "db (not of this inventory, does NOT come back)" in said
    assert "mataura (comes back by itself)" in said
    assert "--allow-reboot" in said
    assert tubuai.guests() == before
    said = tubuai.bootstrap("--allow-reboot", "--allow-guest-poweroff")
    assert "became" in said
    assert tubuai.guests().keys() == {"mataura"}
    assert "no change" in tubuai.bootstrap()
