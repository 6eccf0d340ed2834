"""How long `invoke bootstrap HOST --plan` takes on a host with many guests, from start to exit.

    python -m bench.plan [--guests 30] [--rounds 7] [--host bench-plan] [--keep]

The host is a rehearsal host of its own, on which bootstrap asks as on a real machine. It needs the
published repo of `dist/`, and makes nothing else there. Its guests are bootstrap's own: each third
one has a VDI, the others have files. All of them run, a program that halts the processor. A third
as many guests are made by hand beside them, and half of those run. Four plans are measured:

- no change;
- changes: a third of the guests have another amount of memory in the inventory, and the definitions
  of another third have been changed on the host;
- refused: the guests made by hand are in the inventory as well;
- adopted: the same, with `--adopt` for each of them.

Takes about three minutes. `--keep` keeps the host; the next run with that name begins with it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import rehearsal
from sheepvirt.builds import repo
from sheepvirt.cli.host_commands import PLANNED
from sheepvirt.config import inventory
from sheepvirt.core import paths, settings
from sheepvirt.core.errors import BootstrapError
from sheepvirt.core.progress import Progress
from sheepvirt.engine.engine import Engine
from sheepvirt.images import guest
from sheepvirt.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.core.settings import Settings
    from sheepvirt.ssh.client import Connection

TARGET = "rehearsal"
REFUSED = BootstrapError.exit_code
DISK = 16 * 2**20  # bytes, all of them zero but the first sector
# A sector that a BIOS starts: cli, hlt. The guest runs, and does nothing.
BOOT_SECTOR = b"\xfa\xf4".ljust(510, b"\0") + b"\x55\xaa"
# A domain as somebody may have made it: other devices, no mark. `$1` is its name.
BY_HAND = """
path=/var/lib/libvirt/images/$1.img
[ -e "$path" ] || truncate -s 16M "$path"
virsh -q define /dev/stdin >/dev/null <<XML
<domain type="qemu"><name>$1</name><memory unit="MiB">32</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type="scsi" model="virtio-scsi"/>
    <disk type="file" device="disk"><driver name="qemu" type="raw"/>
      <source file="$path"/><target dev="sda" bus="scsi"/></disk>
    <graphics type="vnc" port="-1" autoport="yes"/>
  </devices></domain>
XML
"""
START = '[ "$(virsh -q domstate "$1")" = running ] || virsh -q start "$1"'
# Somebody's change of a domain that is bootstrap's own: another device. `$1` is its name.
DRIFT = """
virsh -q dumpxml --inactive "$1" | grep -q '<graphics' || {
  virsh -q dumpxml --inactive "$1" | sed 's#</devices>#<graphics type="vnc"/></devices>#' >/tmp/x
  virsh -q define /tmp/x >/dev/null
}
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A plan to measure: its inventory and options, and the exit code that it must have."""

    what: str
    inventory: Path
    options: tuple[str, ...] = ()
    code: int = 0


def text(host: str, own: Sequence[str], others: Sequence[str], changed: Sequence[str]) -> str:
    """Return an inventory; the guests ``changed`` have another amount of memory."""
    rows = [
        f'[hosts.{host}]\ntarget = "{TARGET}"\nrehearsal = true\ntreat_as_real = true\n'
        'user = "root"\nbridge = "ovsbr0"\nnetwork = "ovsbr0"\n'
    ]
    for number, name in enumerate([*own, *others]):
        disk = "sheepdog" if name in own and number % 3 == 0 else "file"
        rows.append(
            f"[hosts.{host}.guests.{name}]\nmemory_mb = {40 if name in changed else 32}\n"
            f'network = "ovsbr0"\ndisk = "{disk}"\nline = "{name} is up"\n'
        )
    return "\n".join(rows)


def call(own: Settings, plan: Plan, host: str, *options: str) -> float:
    """Run bootstrap; return its seconds. Ends the benchmark if its exit code is another one."""
    environment = own.environment() | {"SHEEPVIRT_INVENTORY": str(plan.inventory), "CI": "true"}
    argv = [sys.executable, "-m", "invoke", "bootstrap", host, *options, *plan.options]
    started = time.monotonic()
    done = subprocess.run(
        argv,
        cwd=paths.ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    took = time.monotonic() - started
    if done.returncode != plan.code:
        raise SystemExit(f"{plan.what}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return took


def prepare(own: Settings, host: str, names: Sequence[str], first: Plan) -> None:
    """Put the guests' images where bootstrap looks for them, and run it until it is done."""
    chosen = replace(own, inventory=first.inventory)
    for one in inventory.load_host(chosen, host).guests:
        path = guest.image_path(chosen, one)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(BOOT_SECTOR)
            file.truncate(DISK)
    # A host that was kept has the changes of its last benchmark.
    undo = [word for name in names for word in ("--replace", name)]
    print(f"bootstrap of {host} with {len(names)} guests: {call(own, first, host, *undo):.0f} s")


def measure(own: Settings, host: str, plan: Plan, rounds: int) -> None:
    """Measure one plan and print its figures."""
    call(own, plan, host, "--plan")
    took = [call(own, plan, host, "--plan") for _ in range(rounds)]
    print(
        f"  {plan.what}: median {statistics.median(took):.2f} s, "
        f"from {min(took):.2f} to {max(took):.2f} s"
    )


def by_hand(connection: Connection, others: Sequence[str]) -> None:
    """Define domains as somebody else would, and start each second one."""
    for number, name in enumerate(others):
        start = START if number % 2 else ""
        connection.run(["sh", "-c", f"set -e{BY_HAND}{start}", "sh", name])


def plans(folder: Path, host: str, names: Sequence[str], others: Sequence[str]) -> list[Plan]:
    """Write the inventories to ``folder``; return the plans, the one without changes first."""
    rows = {
        "plain": text(host, names, [], []),
        "changed": text(host, names, [], names[::3]),
        "more": text(host, names, others, []),
    }
    paths_of = {name: folder / f"{name}.toml" for name in rows}
    for name, path in paths_of.items():
        path.write_text(rows[name], encoding="utf-8")
    adopt = tuple(word for name in others for word in ("--adopt", name))
    return [
        Plan(what="no change", inventory=paths_of["plain"]),
        Plan(what="changes", inventory=paths_of["changed"], code=PLANNED),
        Plan(what="refused", inventory=paths_of["more"], code=REFUSED),
        Plan(what="adopted", inventory=paths_of["more"], options=adopt, code=PLANNED),
    ]


def run_all(own: Settings, folder: Path, options: argparse.Namespace) -> None:
    """Make the host, measure the plans, and remove the host unless it is kept."""
    names = [f"own{number:02}" for number in range(options.guests)]
    others = [f"other{number:02}" for number in range(options.guests // 3)]
    plain, *more = plans(folder, options.host, names, others)
    chosen = replace(own, inventory=plain.inventory)
    run = Run(settings=chosen, engine=Engine(), progress=Progress())
    host = inventory.load_host(chosen, options.host)
    try:
        prepare(own, options.host, names, plain)
        connection = run.connect(host)
        by_hand(connection, others)
        print(
            f"bootstrap --plan, {len(names)} guests of the inventory, {len(others)} others; "
            f"{options.rounds} rounds"
        )
        measure(own, options.host, plain, options.rounds)
        for name in names[1::3]:
            connection.run(["sh", "-c", DRIFT, "sh", name])
        for plan in more:
            measure(own, options.host, plan, options.rounds)
    finally:
        if not options.keep:
            rehearsal.remove(run, host)


def main() -> None:
    """Read the options and measure on a published repo."""
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=__doc__)
    parser.add_argument("--host", default="bench-plan")
    parser.add_argument("--guests", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    users = settings.from_environment(os.environ)
    with tempfile.TemporaryDirectory(prefix="sheepvirt-bench-") as scratch:
        own = replace(users, dist=Path(scratch) / "dist")
        own.dist.mkdir()
        repo.home(own, TARGET).symlink_to(repo.home(users, TARGET).resolve())
        run_all(own, Path(scratch), options)


if __name__ == "__main__":
    main()
