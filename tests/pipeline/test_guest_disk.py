"""A guest's disk on sheepdog when things go wrong beneath it: its store is full, its server killed
or gone, its volume unknown or oddly named.

A real guest on a host of its own. Its disk is a VDI that says to the kernel: take what comes on the
serial console for commands. Its domain is the one that bootstrap defined.
"""

from __future__ import annotations

import json
import random
import re
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import invoke
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.config import inventory
from sheepvirt.images import recipes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.core.processes import Result
    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
GUEST = "uturoa"
STORE = "/var/lib/pocketsheep"
STORE_MIB = 96
OBJECT = 4 << 20
# In place of the guest's own /init: the kernel unpacks line.cpio over what is there.
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
stty -echo
for module in virtio_pci virtio_blk; do modprobe $module; done
while read -r line; do eval "$line"; done
"""
ASSEMBLE = """
set -e
sh /guest/assemble.sh /guest/line /guest/disk.img
chmod 755 /guest/over/init
cd /guest/over
echo init | cpio --quiet -o -H newc -R 0:0 > /guest/over.cpio
mcopy -o -i /guest/disk.img@@1048576 /guest/over.cpio ::line.cpio
"""
# The reader is no session leader, so that the guest's terminal does not become ours; it is there
# before the command is sent.
ASK = """
tty=$(virsh -q ttyconsole --domain "$1") || exit 9
timeout "$3" sed -u -n "p; /^$4:[0-9]/q" "$tty" &
sleep 0.5
printf '%s; echo "%s:$?"\\n' "$2" "$4" | tee "$tty" > /dev/null
wait $!
"""
# Writes beside reads, each pattern checked: what QEMU has in hand when its server is killed.
BLOCKS, BLOCK, STRIDE, ROUNDS, KILLS = 64, 64 << 10, 448 << 10, 200, 12


def raiatea() -> Host:
    return inventory.load_host(SETTINGS, "raiatea")


def on_host(*argv: str, check: bool = True) -> Result:
    return RUN.connect(raiatea()).run(["env", "LC_ALL=C", *argv], check=check)


def virsh(*argv: str, check: bool = True) -> Result:
    return on_host("virsh", "-q", *argv, check=check)


@pytest.fixture(scope="module", autouse=True)
def host(published: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A host whose guest obeys, and whose sheepdog keeps its store on a disk that is small."""
    rehearsal.remove(RUN, raiatea())
    invoke("bootstrap", "raiatea")
    virsh("destroy", GUEST)
    disk = obedient_disk(tmp_path_factory.mktemp("disk"))
    with disk.open("rb") as content:
        RUN.connect(raiatea()).run(
            ["dog", "vdi", "write", GUEST, "0", str(disk.stat().st_size)], stdin=content
        )
    move = f"""
        set -e
        systemctl stop sheepdog
        mv {STORE} {STORE}.was
        mkdir {STORE}
        mount -t tmpfs -o size={STORE_MIB}m,mode=0700 store {STORE}
        cp -a {STORE}.was/. {STORE}
        systemctl start sheepdog
        """
    on_host("sh", "-c", move)
    virsh("start", GUEST)
    yield
    rehearsal.remove(RUN, raiatea())


def obedient_disk(folder: Path) -> Path:
    """Make a disk as bootstrap makes a guest's, with another first process."""
    parts = recipes.ensure(RUN, inventory.load_target(SETTINGS, "rehearsal"), "guest")
    with tempfile.TemporaryDirectory() as scratch:
        over = Path(scratch) / "over"
        over.mkdir()
        (over / "init").write_text(INIT)
        with RUN.engine.container(parts, network="none") as container:
            container.put(over, "/guest")
            container.write("/guest/line", "none\n")
            container.run(["sh", "-c", ASSEMBLE], check=True)
            return container.get("/guest/disk.img", folder)


def guest(command: str, *, seconds: int = 60) -> tuple[int, str]:
    """Run a command in the guest; return its exit code and what the console showed."""
    mark = f"end-{secrets.token_hex(4)}"  # an answer that comes late is not the next one's
    done = on_host("sh", "-c", ASK, "sh", GUEST, command, str(seconds), mark, check=False)
    code = re.search(rf"(?m)^{mark}:(\d+)\s*$", done.stdout)
    assert code, f"the guest did not answer: {done.stdout!r} {done.stderr!r}"
    return int(code[1]), done.stdout


@pytest.fixture(scope="module")
def awake(host: None) -> None:
    """The guest answers."""
    wait_for_guest()


def wait_for_guest() -> None:
    end = time.monotonic() + 120
    while True:
        try:
            assert guest("true", seconds=5)[0] == 0
        except AssertionError:
            if time.monotonic() > end:
                raise
        else:
            return


def write(offset_mib: int, letter: str, mib: int = 1) -> tuple[int, str]:
    """Let the guest fill part of its disk; conv=fsync: it fails where the disk has not taken it."""
    return guest(
        f"tr '\\0' {letter} < /dev/zero | dd of=/dev/vda bs=1M seek={offset_mib} count={mib} "
        "iflag=fullblock conv=notrunc,fsync"
    )


def reads(offset_mib: int) -> str:
    """Return which letters a MiB of the guest's disk has, read from the disk itself."""
    code, said = guest(
        "blockdev --flushbufs /dev/vda; echo 3 > /proc/sys/vm/drop_caches; "
        f"dd if=/dev/vda bs=1M skip={offset_mib} count=1 2>/dev/null | tr '\\0' 0 | "
        "tr -s 'A-Z0'; echo"
    )
    assert code == 0, said
    return said.splitlines()[0].strip()


def fill_store(*, leave: int) -> None:
    """Take all the space of the store's disk but ``leave`` bytes."""
    free = int(on_host("stat", "-f", "-c", "%a", STORE).stdout) * 4096
    on_host("fallocate", "-l", str(free - leave), f"{STORE}/ballast")


def empty_store() -> None:
    on_host("rm", f"{STORE}/ballast")


def is_running() -> bool:
    """Tell whether the guest runs and was never paused."""
    return virsh("domstate", "--reason", GUEST).stdout.strip() == "running (booted)"


@pytest.mark.usefixtures("awake")
def test_a_guest_sees_a_full_disk_as_an_io_error_and_keeps_its_data() -> None:
    assert write(100, "A")[0] == 0
    fill_store(leave=0)
    code, said = write(200, "B")
    assert code != 0
    assert "error" in said.lower(), said
    assert is_running()
    assert reads(100) == "A", "earlier data is intact"
    assert write(101, "C")[0] == 0, "what is in objects that are there can be written"
    empty_store()
    assert write(200, "D")[0] == 0, "with space again it can write"
    assert (reads(100), reads(101), reads(200)) == ("A", "C", "D")


@pytest.mark.usefixtures("awake")
def test_what_is_written_once_there_is_space_again_stays() -> None:
    """Space for an object, and none for the volume's map of objects: QEMU takes it for made."""
    fill_store(leave=OBJECT)
    code, said = write(300, "E")
    assert code != 0, said
    assert is_running()
    empty_store()
    assert write(301, "F")[0] == 0
    virsh("destroy", GUEST)
    virsh("start", GUEST)
    wait_for_guest()
    assert (reads(100), reads(200), reads(301)) == ("A", "D", "F")


@pytest.mark.usefixtures("awake")
def test_a_disk_outlives_its_server_being_killed_under_load() -> None:
    """QEMU's driver connects again and asks again; the guest beside the load lives on."""
    on_host("dog", "vdi", "create", "load", f"{BLOCKS * STRIDE}")
    RUN.connect(raiatea()).write("/root/load", load().encode())
    script = f"""
        cd /root
        timeout 240 qemu-io -f raw sheepdog:127.0.0.1:7000:load < load > said 2>&1 &
        for kill in $(seq {KILLS}); do
            sleep 1.7
            kill -0 $! && systemctl kill -s KILL sheepdog
        done
        wait $!
        echo "ended with $?" >> said
        sed 's/qemu-io> //g' said
        """
    said = on_host("bash", "-c", script).stdout
    assert "Pattern verification failed" not in said, said
    assert "ended with 0" in said, said
    assert said.count("failed to get the header") >= 3, "the kills met no load"
    on_host("dog", "vdi", "delete", "load")
    assert is_running()
    assert reads(100) == "A"


def test_a_pool_whose_server_is_gone_is_an_error_and_comes_back_with_it() -> None:
    on_host("systemctl", "stop", "sheepdog")
    virsh("pool-destroy", "sheepdog")
    done = virsh("pool-start", "sheepdog", check=False)
    assert done.code != 0
    assert "no server answers at 127.0.0.1 port 7000" in done.stderr
    assert virsh("pool-list", "--all").stdout.split()[:2] == ["sheepdog", "inactive"]
    on_host("systemctl", "start", "sheepdog")
    virsh("pool-start", "sheepdog")
    assert GUEST in virsh("vol-list", "sheepdog").stdout


def test_a_guest_whose_volume_is_unknown_does_not_start_and_says_which() -> None:
    xml = virsh("dumpxml", "--inactive", GUEST).stdout
    nowhere = re.sub(r"<uuid>.*?</uuid>|<mac .*?/>|<parameters .*?/>", "", xml)
    nowhere = nowhere.replace(f"<name>{GUEST}<", "<name>nowhere<").replace(
        f"name='{GUEST}'", "name='nowhere'"
    )
    RUN.connect(raiatea()).write("/root/nowhere.xml", nowhere.encode())
    virsh("define", "/root/nowhere.xml")
    done = virsh("start", "nowhere", check=False)
    virsh("undefine", "nowhere")
    assert done.code != 0
    assert "cannot get vdi info, No vdi found, nowhere" in done.stderr
    done = virsh("vol-info", "--pool", "sheepdog", "nowhere", check=False)
    assert done.code != 0
    assert "nowhere" in done.stderr


@pytest.mark.parametrize("name", ['it\'s "quoted"', "../../etc/passwd", "$(touch /root/pwned)"])
def test_a_volumes_name_is_data(name: str) -> None:
    """Through libvirt's own backend, the CLI that it calls and QEMU's driver; no file has it."""
    virsh("vol-create-as", "sheepdog", name, "4M")
    assert name in virsh("vol-list", "sheepdog").stdout
    server = '"server.type":"inet","server.host":"127.0.0.1","server.port":"7000"'
    image = f'json:{{"driver":"sheepdog",{server},"vdi":{json.dumps(name)}}}'
    said = on_host("qemu-io", "-c", "write -P 7 0 4k", "-c", "read -P 7 0 4k", image).stdout
    assert "wrote 4096/4096" in said
    assert "Pattern verification failed" not in said
    assert on_host("dog", "vdi", "read", name, "0", "3").stdout == "\a\a\a"
    virsh("vol-delete", "--pool", "sheepdog", name)
    assert name not in virsh("vol-list", "sheepdog").stdout
    assert on_host("sh", "-c", "ls /root/pwned 2>/dev/null || echo safe").stdout == "safe\n"


def test_an_image_larger_than_its_volume_is_refused_and_nothing_is_written() -> None:
    on_host("dog", "vdi", "create", "small", "8K")
    big = "head -c 20000 /dev/urandom | dog vdi write small 0 20000"
    done = on_host("sh", "-c", big, check=False)
    assert done.code != 0
    assert "8192" in done.stderr or "beyond" in done.stderr, done.stderr
    assert on_host("sh", "-c", "dog vdi read small 0 8192 | tr -d '\\0' | wc -c").stdout == "0\n"
    on_host("dog", "vdi", "delete", "small")


def load() -> str:
    """Return commands for qemu-io: many requests at once, each block's last pattern looked at."""
    chance = random.Random(20130315)
    known = dict.fromkeys(range(BLOCKS), 1)
    lines = [f"aio_write -q -P 1 {n * STRIDE} {BLOCK}" for n in known] + ["aio_flush"]
    for _ in range(ROUNDS):
        for verb in ("write", "read"):
            for number in chance.sample(range(BLOCKS), 24):
                if verb == "write":
                    known[number] = chance.randrange(1, 256)
                lines.append(f"aio_{verb} -q -P {known[number]} {number * STRIDE} {BLOCK}")
            lines.append("aio_flush")
    return "\n".join([*lines, "quit\n"])
