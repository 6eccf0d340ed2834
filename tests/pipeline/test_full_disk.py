"""A disk that becomes full in the middle of a step, twenty random times; or is full before the run.

The host's folders are on a small ext4 filesystem (small_disk.py), of which the test takes the last
block or the last inode, from inside. The run must end by itself: done, or with an error that names
the filesystem and the one thing to do. Meanwhile no file is lost and no guest stands still; and
once there is space again, the plan says what is left, and a run does that. $SHEEPVIRT_FAULTS says
how many of the twenty are tried; the whole file is skipped unless it is set.
"""

from __future__ import annotations

import os
import random
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from commands import invoke
from faults import DAMAGES, FOREIGN, FaultyHost, prepared
from small_disk import SmallDisk, create
from world import RUN, SETTINGS

from sheepvirt.bootstrap import marks

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine
NAME = "kauehi"
SEED = int(os.environ.get("SHEEPVIRT_SEED", "20130315"))
DISK = SmallDisk(folder=SETTINGS.state / "small-disk", size=1200 << 20, inodes=26_000)
# Takes all blocks or all inodes, then gives "$2" of them back: a run gets so far and no further.
# With "greedy", what the run frees meanwhile is taken as well.
FILL = r"""
mkdir /var/tmp/filler && cd /var/tmp/filler && : >/run/filling
take_blocks() {
  free=$(($(stat -f -c '%a * %S' .) - 4194304))
  [ "$free" -le 0 ] || fallocate -l "$free" "$(mktemp XXXXXX)" 2>/dev/null
  cat /dev/zero >"$(mktemp XXXXXX)" 2>/dev/null
}
take_inodes() { seq "$(stat -f -c %d .)" | sed "s/^/$(date +%N)-/" | xargs -r touch 2>/dev/null; }
case $1 in
blocks) head -c $(($2 * 4096)) /dev/zero >room; take_blocks ;;
inodes) seq -f room-%g "$2" | xargs -r touch; take_inodes ;;
esac
rm -f room*
[ "$3" = once ] && exit
: >/run/greedy
exec </dev/null >/dev/null 2>&1
{ while [ -e /run/filling ]; do take_$1; sleep 0.1; done; rm /run/greedy; } &
"""
EMPTY = """
rm -f /run/filling
while [ -e /run/greedy ]; do sleep 0.1; done
rm -rf /var/tmp/filler
"""
# Path and hash of each file that a run writes; names of guests' disks; files of a half-done RPM.
FILES = r"""
cd /
find etc/libvirt etc/systemd/system etc/yum.repos.d usr/local/lib/sheepvirt var/lib/sheepvirt \
  -type f -print0 | xargs -0 sha256sum
ls -d var/lib/libvirt/images/* | sed 's/^/guest  /'
find usr -name '*;????????' | sed 's/^/rpm  /'
"""
RUNNING = "export LC_ALL=C; for one; do virsh -q domstate --reason $one; done"
COPIES = "dog vdi list -r | cut -d' ' -f2 | grep kept; cat /var/lib/sheepvirt/vdi-*"
SCRATCH = re.compile(r"\.(new|old|again|rpmnew)$|~$|;[0-9a-f]{8}$")
SAID = re.compile(
    r"the filesystem /\w* (is full|was full|has only \d+ inodes left|has \d+ MiB free, and)"
)
# Most steps write for a moment only. So the disk becomes full in the middle of a look at the host,
# after the free space was looked at and before they begin; or in the step, so many looks after its
# beginning (faults.py).
BEFORE = "look"
LOOKS = {"packages": 2.0, "disk": 3.0, "kvm": 1.5, "dependencies": 1.5, "reimage": 4.0}
# What is damaged besides: an RPM with large files; disks that are to be made from another image.
LARGE = "rpm -e --nodeps qemu-kvm 2>/dev/null"
OLD = """
echo old.img 0123 >/var/lib/sheepvirt/vdi-$1.from
echo old.img 0123 >/var/lib/libvirt/images/$2.img.from
"""
STEPS = [*DAMAGES, "reimage", "reimage"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What runs out, when, and how; ``left`` blocks or inodes are left."""

    damage: str
    step: str  # in which it is
    moment: float  # looks
    what: str  # blocks | inodes
    left: int
    how: str  # once | greedy

    def strike(self, host: FaultyHost) -> None:
        """Fill the disk."""
        host.shell(FILL, self.what, str(self.left), self.how)


def faults() -> list[Fault]:
    """Return twenty random faults: of each step, then of any."""
    chosen = random.Random(SEED)
    return [_fault(chosen, one) for one in [*STEPS, *chosen.choices(STEPS, k=20 - len(STEPS))]]


def _fault(chosen: random.Random, damage: str) -> Fault:
    before = chosen.random() < (0.2 if damage in LOOKS else 0.7)
    step = {"cluster": "services", "reimage": "disk"}.get(damage, damage)
    return Fault(
        damage=damage,
        step=BEFORE if before else step,
        moment=round(
            chosen.uniform(0.3, 1) if before else chosen.uniform(0, LOOKS.get(damage, 0.5)), 2
        ),
        what=chosen.choice(["blocks", "blocks", "inodes"]),
        left=chosen.choice([0, chosen.randrange(12)]),
        how=chosen.choice(["once", "once", "greedy"]),
    )


COUNT = int(os.environ.get("SHEEPVIRT_FAULTS", "0"))
FAULTS = random.Random(SEED).sample(faults(), min(COUNT, 20))


@pytest.fixture(scope="module")
def host(published: str) -> Iterator[FaultyHost]:
    if not COUNT:
        pytest.skip("full disks are tried with SHEEPVIRT_FAULTS=20")
    if why := DISK.missing():
        pytest.skip(f"no disk can be full here: {why}")
    try:
        with prepared(NAME, lambda host: create(DISK, RUN, host)) as made:
            yield made
    finally:
        DISK.remove()


@pytest.fixture(scope="module")
def good(host: FaultyHost) -> dict[str, str]:
    """Files of the host as they should be: path to hash."""
    return files(host)


@contextmanager
def emptied(host: FaultyHost) -> Iterator[None]:
    """Give the space back after the block; bring the host back if the block fails."""
    try:
        yield
    except BaseException:
        host.shell(EMPTY)
        host.repair()
        raise
    host.shell(EMPTY)


def files(host: FaultyHost) -> dict[str, str]:
    rows = (line.split("  ", 1) for line in host.shell(FILES).splitlines())
    return {f"/{path}": digest for digest, path in rows}


def require_whole_files(host: FaultyHost, before: dict[str, str], good: dict[str, str]) -> None:
    """Each file is as it was before the run, as it should be, or new and whole."""
    now = files(host)
    assert [path for path in now if SCRATCH.search(path)] == []
    for path, digest in now.items():
        if digest in {before.get(path), good.get(path), "guest"}:
            continue
        text = host.shell(f"cat '{path}'")
        if path.endswith(".json"):
            assert marks.parse(text), f"{path}: {text!r}"
        elif path.endswith(".xml"):
            ElementTree.fromstring(text)
        else:
            assert text.endswith("\n"), f"{path}: {text[:1000]!r}"
            print("new:", path, repr(text))


def require_said(code: int, out: str) -> None:
    """The run is done, or ended with an error that names the filesystem and what to do."""
    assert "Traceback" not in out
    if code:
        assert code == 9, out
        assert SAID.search(out), out
        assert "what to do: free space " in out


def states(host: FaultyHost, *guests: str) -> list[str]:
    """Return virsh's state of each guest."""
    return [state for state in host.shell(RUNNING, *guests).split("\n") if state]


def require_running_guests(host: FaultyHost) -> None:
    assert states(host, FOREIGN, host.host.guests[2].name) == ["running (booted)"] * 2


def require_disks(host: FaultyHost, before: set[str], out: str) -> None:
    """A copy that is not whole is gone or noted; a guest without a disk is said to be off."""
    now = set(host.shell(f"{COPIES} || :").split())
    for copy in {word for word in now - before if ".kept-" in word}:
        assert f"VDI {copy}" in out or f"kept {copy}" in out, copy
    for guest in host.host.guests[:2]:
        (state,) = states(host, guest.name)
        assert state.startswith("running") or f"{guest.name} is off" in out, (state, out)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: f"{one.damage}-{one.step}-{one.what}")
def test_a_disk_that_becomes_full_in_the_middle(
    host: FaultyHost, good: dict[str, str], fault: Fault
) -> None:
    print(f"SHEEPVIRT_SEED={SEED}: {fault}")
    vdi, file = (guest.name for guest in host.host.guests[:2])
    again = ("--reimage", vdi, "--reimage", file, "--allow-guest-poweroff")
    options = again if fault.damage == "reimage" else ()
    with emptied(host):
        if fault.damage in DAMAGES:
            host.damage(fault.damage)
        host.shell({"packages": LARGE, "reimage": OLD}.get(fault.damage, ""), vdi, file)
        before, copies = files(host), set(host.shell(f"{COPIES} || :").split())
        cut = host.strike(fault.step, fault.moment, lambda _process: fault.strike(host), *options)
        print(f"struck: {cut.struck}, exit code {cut.code}\n{cut.out}")
        require_said(cut.code, cut.out)
        require_whole_files(host, before, good)
        require_running_guests(host)
        if fault.damage == "reimage":
            require_disks(host, copies, cut.out)
    with emptied(host):
        left = host.require_recovery(*options)
        print("left:", [(row["step"], row["what"]) for row in left["changes"]])
        host.require_nothing_lost()


@pytest.mark.parametrize("what", ["blocks", "inodes"])
def test_a_disk_that_is_full_before_is_said_before_anything_is_done(
    host: FaultyHost, what: str
) -> None:
    with emptied(host):
        assert "no change" in invoke("bootstrap", NAME, "--plan")
        host.shell(FILL, what, "0", "greedy")
        assert SAID.search(invoke("bootstrap", NAME, "--plan"))
        host.shell(EMPTY)  # Open vSwitch cannot forget a port without space, and waits
        host.damage("services", "port")
        host.shell(FILL, what, "0", "greedy")
        before = files(host)
        for options in ((), ("--plan",)):
            require_said(9, invoke("bootstrap", NAME, *options, code=9))
        assert files(host) == before
        require_running_guests(host)
    host.require_recovery()
    host.require_nothing_lost()
