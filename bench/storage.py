"""Sequential write and read through a guest's disk: a sheepdog VDI and a local raw file, by turns.

On a host with the real sheepdog, pocketsheep is measured in the same run: a second server of this
checkout, on a port and in a store of its own.

    python -m bench.storage [--host tahiti] [--rounds 3]

The host is a bootstrapped rehearsal host. The same guest (Debian's kernel under TCG, 256 MiB by dd,
an fsync after every 64 MiB, an empty page cache before reading) runs with either disk by turns, so
that what else the machine does meets both. Its kernel, raw file and VDI are its own and are removed
afterwards.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import statistics
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.sheepdog import PORT
from sheepvirt.builds import repo
from sheepvirt.config import inventory
from sheepvirt.core import settings
from sheepvirt.core.progress import Progress
from sheepvirt.engine.engine import Engine
from sheepvirt.images import recipes
from sheepvirt.run import Run

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings
    from sheepvirt.ssh.client import Connection

MB = 256 * 2**20 / 10**6
FOLDER = "/var/lib/sheepvirt/bench"
VDI = "sheepvirt-bench"
RAW, SHEEPDOG, POCKETSHEEP = "raw file", "sheepdog", "pocketsheep"
DISKS = {
    RAW: f"{FOLDER}/disk.img",
    SHEEPDOG: f"sheepdog:127.0.0.1:{PORT}:{VDI}",
    POCKETSHEEP: f"sheepdog:127.0.0.1:{PORT + 1}:{VDI}",
}
# Started in its folder; it ends with the folder's pid file's process, see `run`.
START = """
cd "$1" && python3 -m pocketsheep --store store --address 127.0.0.1 --port "$2" \\
  </dev/null >server.log 2>&1 &
echo $! >"$1/pid"
for _ in 1 2 3 4 5 6 7 8 9 10; do
  if (cd "$1" && python3 -m pocketsheep.dog cluster format -c 1 -p "$2") >/dev/null 2>&1; then
    cd "$1" && exec python3 -m pocketsheep.dog vdi create "$3" 256M -p "$2"
  fi
  sleep 0.5
done
cat "$1/server.log" >&2
exit 1
"""
SECONDS = 120


def kernel(work: Run, folder: Path) -> None:
    """Put the measuring guest's ``vmlinuz`` and ``initramfs`` into ``folder``."""
    tag = recipes.ensure(work, inventory.load_target(work.settings, "rehearsal"), "guest")
    script = (Path(__file__).parent / "storage_init.sh").read_text(encoding="utf-8")
    with work.engine.container(tag, network="none") as container:
        container.write("/tmp/init", script, mode=0o755)
        # Compressed: the kernel finds a plain archive at multiples of four bytes only.
        pack = "cd /tmp && echo init | cpio --quiet -o -H newc | gzip > own.cpio"
        container.run(
            ["sh", "-c", f"{pack} && cat /guest/initramfs.gz own.cpio > initramfs"], check=True
        )
        container.get("/tmp/initramfs", folder)
        container.get("/guest/vmlinuz", folder)


def measure(connection: Connection, disk: str) -> tuple[float, float]:
    """Run the guest on ``disk``; return MB/s (10**6 bytes) of writing and of reading."""
    argv = [
        "timeout",
        str(SECONDS),
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-m",
        "384",
        "-nographic",
        "-nic",
        "none",
        "-no-reboot",
        "-kernel",
        f"{FOLDER}/vmlinuz",
        "-initrd",
        f"{FOLDER}/initramfs",
        "-append",
        "console=ttyS0 quiet",
        "-drive",
        f"if=virtio,format=raw,file={disk}",
    ]
    said = connection.run(argv).stdout
    if "measured failed" in said:
        raise SystemExit(f"the guest met an I/O error on {disk}:\n{said[-2000:]}")
    took = {
        verb: float(end) - float(start)
        for verb, start, end in re.findall(r"measured (write|read) ([\d.]+) ([\d.]+)", said)
    }
    if took.keys() != {"write", "read"}:
        raise SystemExit(f"the guest did not measure {disk}; it said:\n{said[-2000:]}")
    return MB / took["write"], MB / took["read"]


def second_server(own: Settings, connection: Connection) -> None:
    """Start pocketsheep of this checkout on the host, with a VDI, next to the host's own server."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(own.specs / "pocketsheep" / "pocketsheep", "pocketsheep")
    folder = f"{FOLDER}/second"
    script = 'mkdir -p "$1" && tar x -C "$1"'
    connection.run(["sh", "-c", script, "sh", folder], stdin=packed.getvalue())
    # Its own dog: the real one asks a server for more than pocketsheep knows.
    connection.run(["sh", "-c", START, "sh", folder, str(PORT + 1), VDI])


def run(
    own: Settings, connection: Connection, rounds: int, names: tuple[str, ...]
) -> dict[str, list[tuple[float, float]]]:
    """Measure the disks ``names`` ``rounds`` times, by turns; leave nothing on the host."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    try:
        if POCKETSHEEP in names:
            second_server(own, connection)
        connection.run(["dog", "vdi", "create", VDI, "256M"])
        connection.run(["truncate", "-s", "256M", DISKS[RAW]])
        for number in range(rounds):
            for name in names:
                found[name].append(measure(connection, DISKS[name]))
                write, read = found[name][-1]
                print(f"  round {number + 1}: {name}: write {write:.1f}, read {read:.1f} MB/s")
    finally:
        connection.run(["dog", "vdi", "delete", VDI], check=False)
        end = f"[ ! -e {FOLDER}/second/pid ] || kill $(cat {FOLDER}/second/pid)"
        connection.run(["sh", "-c", end], check=False)
        connection.run(["rm", "-rf", FOLDER], check=False)
    return found


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=__doc__)
    parser.add_argument("--host", default="tahiti")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    own = settings.from_environment(os.environ)
    work = Run(settings=own, engine=Engine(), progress=Progress())
    host = inventory.load_host(own, options.host)
    records = repo.read_manifest(repo.home(own, host.target))
    providers = [r.stand_in or r.package for r in records if r.package == "sheepdog" or r.stand_in]
    connection = work.connect(host)
    with tempfile.TemporaryDirectory() as scratch:
        kernel(work, Path(scratch))
        for name in ("vmlinuz", "initramfs"):
            connection.run(["mkdir", "-p", FOLDER])
            connection.put(Path(scratch) / name, f"{FOLDER}/{name}")
    real = not any(record.stand_in for record in records)
    names = (RAW, SHEEPDOG, POCKETSHEEP) if real else (RAW, SHEEPDOG)
    found = run(own, connection, options.rounds, names)
    print(
        f"sequential, 256 MiB, guest under TCG on {host.name}; sheepdog is {', '.join(providers)}"
    )
    middle = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in found.items()
    }
    for index, verb in enumerate(("write", "read")):
        raw = middle[RAW][index]
        print(f"  {verb}: raw file {raw:.1f} MB/s")
        for name in names[1:]:
            speed = middle[name][index]
            print(f"  {verb}: {name} {speed:.1f} MB/s: {speed / raw:.2f}x")


if __name__ == "__main__":
    main()
