"""Sequential write and read through a guest's disk: a sheepdog VDI against a local raw file.

    python -m bench.storage [--host tahiti] [--rounds 3]

The host is a bootstrapped rehearsal host. The same guest (Debian's kernel under TCG, 256 MiB by dd,
an fsync after every 64 MiB, an empty page cache before reading) runs with either disk by turns, so
that what else the machine does meets both. Its kernel, raw file and VDI are its own and are removed
afterwards.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
from pathlib import Path

from sheepvirt import config, paths
from sheepvirt.builds import repo
from sheepvirt.docker.engine import Engine
from sheepvirt.host import inventory, ssh
from sheepvirt.host.ssh import Connection
from sheepvirt.images import recipes
from sheepvirt.progress import Progress

MB = 256 * 2**20 / 10**6
FOLDER = "/var/lib/sheepvirt/bench"
VDI = "sheepvirt-bench"
DISKS = {"raw file": f"{FOLDER}/disk.img", "sheepdog": f"sheepdog:127.0.0.1:7000:{VDI}"}
SECONDS = 120


def kernel(folder: Path, progress: Progress) -> None:
    """Put the measuring guest's ``vmlinuz`` and ``initramfs`` into ``folder``."""
    engine = Engine()
    tag = recipes.ensure(engine, config.load_target("rehearsal"), "guest", progress)
    script = (Path(__file__).parent / "storage_init.sh").read_text(encoding="utf-8")
    with engine.container(tag, network="none") as container:
        container.write("/tmp/init", script, mode=0o755)
        # Compressed: the kernel finds a plain archive at multiples of four bytes only.
        pack = "cd /tmp && echo init | cpio --quiet -o -H newc | gzip > own.cpio"
        container.run(["sh", "-c", f"{pack} && cat /guest/initramfs.gz own.cpio > initramfs"],
                      check=True)  # fmt: skip
        container.get("/tmp/initramfs", folder)
        container.get("/guest/vmlinuz", folder)


def measure(connection: Connection, disk: str) -> tuple[float, float]:
    """Run the guest on ``disk``; return MB/s (10**6 bytes) of writing and of reading."""
    argv = [
        "timeout", str(SECONDS), "qemu-system-x86_64", "-accel", "tcg", "-m", "384", "-nographic",
        "-nic", "none", "-no-reboot", "-kernel", f"{FOLDER}/vmlinuz",
        "-initrd", f"{FOLDER}/initramfs", "-append", "console=ttyS0 quiet",
        "-drive", f"if=virtio,format=raw,file={disk}",
    ]  # fmt: skip
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


def run(connection: Connection, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Measure both disks ``rounds`` times, by turns; leave nothing on the host."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in DISKS}
    try:
        connection.run(["dog", "vdi", "create", VDI, "256M"])
        connection.run(["truncate", "-s", "256M", DISKS["raw file"]])
        for number in range(rounds):
            for name, disk in DISKS.items():
                found[name].append(measure(connection, disk))
                write, read = found[name][-1]
                print(f"  round {number + 1}: {name}: write {write:.1f}, read {read:.1f} MB/s")
    finally:
        connection.run(["dog", "vdi", "delete", VDI], check=False)
        connection.run(["rm", "-rf", FOLDER], check=False)
    return found


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=__doc__)
    parser.add_argument("--host", default="tahiti")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    host = inventory.load_host(options.host)
    makers = [r.stand_in or r.package for r in repo.read_manifest(paths.dist() / host.target)
              if r.package == "sheepdog" or r.stand_in]  # fmt: skip
    connection = ssh.connect(host)
    with tempfile.TemporaryDirectory() as scratch:
        kernel(Path(scratch), Progress())
        for name in ("vmlinuz", "initramfs"):
            connection.run(["mkdir", "-p", FOLDER])
            connection.put(Path(scratch) / name, f"{FOLDER}/{name}")
    found = run(connection, options.rounds)
    print(f"sequential, 256 MiB, guest under TCG on {host.name}; sheepdog is {', '.join(makers)}")
    middle = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in found.items()
    }
    for index, verb in enumerate(("write", "read")):
        raw, sheep = middle["raw file"][index], middle["sheepdog"][index]
        print(f"  {verb}: sheepdog {sheep:.1f} MB/s, raw file {raw:.1f} MB/s: {sheep / raw:.2f}x")


if __name__ == "__main__":
    main()
