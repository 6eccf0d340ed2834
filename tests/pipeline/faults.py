"""Strike a bootstrap at a moment of its own, and require that nothing is lost.

What a test does with it (test_faults.py is the example)::

    with faults.prepared("ahe") as host:         # once a module: about a minute
        host.damage("repo", "packages", "disk")  # these steps have work (DAMAGES)
        cut = host.strike("packages", 0.3, what) # a run; within that step, ``what(process)``
        ...                                      # is cut.code and cut.out what a user should see?
        host.require_recovery()                  # the plan says what is left, a run does exactly
                                                 # that, and then nothing is left
        host.require_nothing_lost()              # nobody else has noticed anything

``what`` is called in the middle of the run: it kills a process, fills a disk, cuts a connection. If
the run has ended before, ``what`` is called then: the moment came too late, which is one of the
random moments. What it did to the host is undone by the test, before `require_recovery`. A test
that fails leaves the host to the next one with `repair`.

Moments are in "looks": how long the run took for its first look at the host, half a second on a
machine that is idle. A step takes two or three of them, and as many more on a busy machine.

The inventory's host has three guests. The first one (on sheepdog) and the second one (on a file)
are damaged; the third one (on sheepdog) runs on, untouched. Besides, the host has what somebody
else made by hand: a running guest that prints its own uptime, a network, a pool, a volume, a VDI
and a bridge with ports.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from commands import document, invoke, killed_after, start
from world import RUN, SETTINGS, run_with

from sheepvirt.bootstrap import rehearsal, runner
from sheepvirt.config import inventory
from sheepvirt.images import guest as guests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sheepvirt.model.hosts import Host

FOREIGN = "hinano"  # the guest that somebody else made
CONSOLE = f"/srv/{FOREIGN}.console"
DISK = f"/srv/{FOREIGN}.img"
BYTES = 32 << 20  # of a VDI: a guest's image is smaller, and so has all that a guest writes
LOOKED = re.compile(r"✔ \S+: look +([\d.]+) s")
UPTIME = re.compile(r"\(uptime (\d+) s")
# It prints its uptime every five seconds; a machine that is busy may be late.
LATE_SECONDS = 30
NOT_KNOWN = "what it has is not known"
UNPLANNED = "not in the plan"
FOREIGN_XML = f"""<domain type="qemu"><name>{FOREIGN}</name><memory unit="MiB">96</memory>
<os><type arch="x86_64" machine="pc">hvm</type></os><features><acpi/></features><devices>
<emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="{DISK}"/>
<target dev="vda" bus="virtio"/></disk>
<interface type="bridge"><source bridge="br9"/><virtualport type="openvswitch"/>
<model type="virtio"/></interface>
<serial type="file"><source path="{CONSOLE}" append="on"/></serial>
</devices></domain>"""
MAKE = f"""
set -e
ovs-vsctl --may-exist add-br br9 -- set bridge br9 datapath_type=netdev
ip addr add 10.9.9.1/24 dev br9
ovs-vsctl --may-exist add-port br9 p9 -- set interface p9 type=internal
mkdir -p /srv/pool9
virsh -q net-define /root/net9.xml && virsh -q net-start net9
virsh -q pool-define-as pool9 dir --target /srv/pool9 && virsh -q pool-start pool9
head -c 1000000 /dev/urandom >/srv/pool9/volume
virsh -q pool-refresh pool9
dog vdi create vdi9 {BYTES} && head -c {BYTES} /dev/urandom | dog vdi write vdi9 0 {BYTES}
virsh -q define /root/foreign.xml && virsh -q start {FOREIGN}
"""
NET9 = """<network><name>net9</name><forward mode="nat"/><bridge name="virbr9"/>
<ip address="192.168.99.1" netmask="255.255.255.0"/></network>"""
# All that must be the same, byte for byte, as long as the host lives. "$1" is our untouched guest,
# "$2" theirs. The sizes of a pool change by themselves.
SNAPSHOT = rf"""
exec 2>&1
export LC_ALL=C
say() {{ echo "== $*"; "$@"; }}
say virsh -q net-dumpxml net9
say virsh -q net-info net9
say virsh -q pool-dumpxml pool9 | sed '/bytes/d'
say virsh -q pool-info pool9 | sed '/Capacity/d; /Allocation/d; /Available/d'
say virsh -q vol-list pool9
for guest; do
  say virsh -q dumpxml --security-info $guest
  say virsh -q domstate --reason $guest
  say cat /run/libvirt/qemu/$guest.pid; echo
done
say ovs-vsctl --timeout=10 get bridge br9 datapath_type
say ovs-vsctl --timeout=10 list-ports br9
say ip -o -4 addr show br9 | sed 's/ *valid_lft.*//'
say sha256sum /srv/pool9/volume
say stat -c '%n %s %Y' /srv/pool9/volume
for vdi in "$1" vdi9; do
  say dog vdi list -r | awk -v name=$vdi '/^==/ || $2 == name {{ print $1, $2, $4 }}'
  dog vdi read $vdi 0 {BYTES} | sha256sum
done
say cat /var/lib/sheepvirt/vdi-$1.from
say ovs-vsctl --timeout=10 port-to-br $(virsh -q domiflist $1 | awk '{{ print $1 }}')
:
"""
# What gives each step work, and costs it a second or two. {vdi} and {file} are the two guests that
# may be damaged. A step that needs a reboot has none.
DAMAGES = {
    "undo": "echo 'rm -f /root/broken' >/var/lib/sheepvirt/undo.sh; touch /root/broken",
    "ownership": "rm /var/lib/sheepvirt/owned/file-usr-local-lib-sheepvirt-autostart.sh.json",
    "dependencies": "rpm -e --nodeps lzop 2>/dev/null",
    "repo": "echo x >>/var/lib/sheepvirt/repo/repodata/repomd.xml; "
    "rm /etc/yum.repos.d/sheepvirt.repo",
    "packages": "rpm -e --nodeps libvirt 2>/dev/null",
    "services": "systemctl -q disable --now virtlockd.socket virtlockd; "
    "rm /etc/systemd/system/sheepvirt-autostart.service",
    "bridge": "ovs-vsctl del-br ovsbr0; rm /var/lib/sheepvirt/owned/bridge-ovsbr0.json",
    "cluster": "systemctl stop sheepdog",
    "network": "virsh -q net-destroy ovsbr0; virsh -q net-undefine ovsbr0",
    "pool": "virsh -q pool-destroy sheepdog; virsh -q pool-undefine sheepdog",
    "disk": "virsh -q destroy {vdi}; dog vdi delete {vdi}; virsh -q destroy {file}; rm {image}",
    "kvm": "rm /var/lib/sheepvirt/kvm",
    "domain": "virsh -q destroy {vdi}; virsh -q undefine {vdi}",
    "port": "ovs-vsctl del-port $(virsh -q domiflist {third} | awk '{{ print $1 }}')",
}
# A dog that says that its node waits for others, as long as it is there.
JOINING = """#!/bin/sh
case "$*" in cluster\\ info*) echo 'Cluster status: Waiting for other nodes' ;;
*) exec /usr/bin/dog "$@" ;; esac
"""
# More damage, to choose from.
MORE = {
    "libvirtd": "systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket "
    "libvirtd.service",
    # Step cluster waits until the run is struck, a minute at the most.
    "joining": f"printf '%s' {shlex.quote(JOINING)} >/usr/local/bin/dog; "
    "chmod 755 /usr/local/bin/dog",
    # Of another image: with --reimage the disk is made again, and the former one kept.
    "former VDI": "virsh -q destroy {vdi}; echo old.img 0123 >/var/lib/sheepvirt/vdi-{vdi}.from; "
    "head -c {bytes} /dev/urandom | dog vdi write {vdi} {bytes} {bytes}",
    "former file": "virsh -q destroy {file}; echo old.img 0123 >{image}.from; "
    "head -c 4096 /dev/urandom >>{image}",
}
# Prints hashes of the two guests' disks and of all former ones: of parts that no guest writes to.
FORMER = r"""
export LC_ALL=C
dog vdi list -r | awk '/^=/ {{ print $2 }}' | grep -E '^{vdi}($|\.kept-)' | while read -r name; do
  dog vdi read "$name" {bytes} {bytes} | sha256sum
done
for file in {image} {image}.kept-*[0-9]; do
  [ ! -e "$file" ] || tail -c 4096 "$file" | sha256sum
done
"""
FORGET = r"""
dog vdi list -r | awk '/^=/ {{ print $2 }}' | grep '^{vdi}\.kept-' | while read -r name; do
  dog vdi delete "$name"
done
rm -f {image}.kept-*
"""
# Where libvirtd or sheepdog was started, the host's own unit starts the pool a moment later.
UNITS_ARE_DONE = """
for _ in $(seq 60); do
  [ -n "$(systemctl list-jobs --no-legend)" ] || exit 0
  sleep 0.5
done
"""


@dataclass(frozen=True)
class Cut:
    """A run that was struck."""

    step: str
    moment: float  # looks from the beginning of the step
    struck: bool  # False: it had ended before
    code: int
    out: str


@dataclass
class FaultyHost:
    """A host on which runs are struck. It is asked as a real machine."""

    host: Host
    before: str = ""  # SNAPSHOT, before the first fault
    uptimes: list[int] = field(default_factory=list)  # of the foreign guest; when it was prepared
    since: float = 0.0  # the time of that, on the monotonic clock
    look: float = 1.0  # seconds that the last run took for its first look

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return self.host.name

    def shell(self, script: str, *words: str) -> str:
        """Run lines of shell inside, without SSH: a fault may have broken that."""
        container = RUN.engine.find(rehearsal.container_name(self.host))
        assert container
        return container.run(["sh", "-c", script, "sh", *words], check=True).stdout

    def damage(self, *names: str) -> None:
        """Break what steps have to repair: names of DAMAGES or MORE."""
        known = {**DAMAGES, **MORE}
        tried = "\n".join(f"echo '== {name}'; {known[name]}" for name in names)
        self.shell(self._filled(f"exec >/root/damage 2>&1\nexport LC_ALL=C\n{tried}\n:"))

    def disks(self) -> set[str]:
        """Return the hashes of the damaged guests' disks, and of the former ones that are kept."""
        return {line.split()[0] for line in self.shell(self._filled(FORMER + ":")).splitlines()}

    def forget_disks(self) -> None:
        """Remove the former disks that are kept."""
        self.shell(self._filled(FORGET + ":"))

    def _filled(self, script: str) -> str:
        first, second, third = (guest.name for guest in self.host.guests)
        image = f"/var/lib/libvirt/images/{second}.img"
        return script.format(vdi=first, file=second, third=third, image=image, bytes=BYTES)

    def strike(
        self,
        step: str,
        moment: float,
        what: Callable[[subprocess.Popen[str]], None],
        *options: str,
        seconds: float = 300,
    ) -> Cut:
        """Start a bootstrap; call ``what`` with its process, ``moment`` looks into ``step``.

        Returns how it ended. A run that does not get there, or is faster, has ended by itself;
        ``what`` is called then.
        """
        process, lines = start("bootstrap", self.name, *options), []
        assert process.stdout
        with killed_after(process, seconds):
            for line in process.stdout:
                lines.append(line)
                if found := LOOKED.search(line):
                    self.look = float(found[1])
                if line.strip() == f"… {self.name}: {step}":
                    break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment * self.look)
            struck = process.poll() is None
            what(process)
            self.shell("rm -f /usr/local/bin/dog")  # its node has joined
            rest = process.stdout.read()
            code = process.wait()
        return Cut(step, moment, struck, code, "".join(lines) + rest)

    def plan(self, *options: str) -> Any:
        """Return the document of a plan; its exit code says whether anything is left."""
        made = document("bootstrap", self.name, "--plan", *options, code=None)
        assert made["exit_code"] == (20 if made["changes"] else 0), made
        assert not made["error"], made
        return made

    def require_recovery(self, *options: str) -> Any:
        """Require that the plan says what is left, and that a run does exactly that; return it.

        Afterwards nothing is left.
        """
        self.shell(UNITS_ARE_DONE)
        plan = self.plan(*options)
        assert not [row for row in plan["changes"] if row["waits_for"]], plan
        ran = document("bootstrap", self.name, *options, code=0)
        assert told(ran) == told(plan), (plan["changes"], ran["changes"])
        left = runner.bootstrap(run_with(SETTINGS), self.host, plan=True)  # quicker than a command
        assert left == []
        return plan

    def repair(self) -> None:
        """Bring the host back, whatever a test that failed has left."""
        with contextlib.suppress(AssertionError):
            invoke("bootstrap", self.name)

    def require_nothing_lost(self) -> None:
        """Require that what is somebody else's, and our third guest, are as they were."""
        assert self.snapshot() == self.before
        self.require_guest_ran_on()

    def snapshot(self) -> str:
        """Return all that no fault may change."""
        return self.shell(SNAPSHOT, self.host.guests[2].name, FOREIGN)

    def require_guest_ran_on(self) -> None:
        """Require that the foreign guest's uptime only grew, by the time that has passed.

        Its console is a file, which has everything that it ever printed: also what a restart would
        have printed.
        """
        passed, seen = time.monotonic() - self.since, self.console()
        assert seen == sorted(seen), f"it was started again: {seen}"
        assert seen[: len(self.uptimes)] == self.uptimes
        late = passed - (seen[-1] - self.uptimes[-1])
        assert late < LATE_SECONDS, f"it stood still for {late:.0f} s"

    def third_guest_is_up(self) -> bool:
        """Tell whether it has counted its boot on its disk; it writes nothing after that."""
        name = self.host.guests[2].name
        look = f"dog vdi read {name} 0 {BYTES} | grep -ca 'sheepvirt 1 [0-9a-f]' || :"
        return self.shell(look).strip() != "0"

    def console(self) -> list[int]:
        """Return all uptimes that the foreign guest has printed."""
        return [int(n) for n in UPTIME.findall(self.shell(f"cat {CONSOLE}"))]


def told(made: Any) -> list[tuple[str, str]]:
    """Return the changes of a document, step and words.

    What a stopped service has is not known to the plan; the run says that it found it out. That,
    and only that, may be more.
    """
    unknown = {row["step"] for row in made["changes"] if row["what"].endswith(NOT_KNOWN)}
    return [
        (row["step"], row["what"])
        for row in made["changes"]
        if row["step"] not in unknown or UNPLANNED not in row["note"]
    ]


@contextlib.contextmanager
def prepared(name: str, create: Callable[[Host], None] | None = None) -> Iterator[FaultyHost]:
    """Make the host, with everything on it that must not be lost; remove it in the end.

    ``create`` makes its container; by default a bootstrap does.
    """
    host = inventory.load_host(SETTINGS, name)
    rehearsal.remove(RUN, host)
    try:
        if create:
            create(host)
        invoke("bootstrap", name)
        made = FaultyHost(host)
        theirs = replace(host.guests[0], name=FOREIGN, console_marker=FOREIGN)
        image = guests.ensure_image(RUN, theirs)
        connection = RUN.connect(host)
        connection.put(image, DISK)
        connection.write("/root/foreign.xml", FOREIGN_XML.encode())
        connection.write("/root/net9.xml", NET9.encode())
        made.shell(MAKE)
        end = time.monotonic() + 120
        while not (seen := made.console()) or not made.third_guest_is_up():
            assert time.monotonic() < end, "a guest does not start"
            time.sleep(0.5)
        made.uptimes, made.since = seen, time.monotonic()
        made.before = made.snapshot()
        yield made
    finally:
        rehearsal.remove(RUN, host)
