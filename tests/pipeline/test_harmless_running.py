"""What runs on a real machine runs on: its networks, its switch, the services under its guests.

On a host of its own that the inventory calls real. It has a guest of the inventory, whose disk is
in sheepdog and which says every few seconds what it reads from it, and a guest that somebody made
by hand.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell, start
from world import INVENTORY, RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.bootstrap.steps import power
from sheepvirt.config import inventory
from sheepvirt.verify import heartbeats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
NAME, GUEST = "hikueru", "tehaupuhi"
NOTHING = f"{NAME}: no change"
AGREED = ("--allow-guest-restart", "--allow-guest-poweroff")
# Without a disk: its firmware finds none, and it runs on.
DOMAIN = """<domain type="qemu"><name>{name}</name><memory unit="MiB">64</memory>
<os><type arch="x86_64" machine="pc">hvm</type></os><devices>
<emulator>/usr/bin/qemu-system-x86_64</emulator>
<interface type="network"><source network="{network}"/></interface>{more}</devices></domain>"""
LAN = """<network><name>lan</name><forward mode="nat"/><bridge name="virbr9"/>
<ip address="192.168.99.1" netmask="255.255.255.0"/></network>"""
BARE = """
[hosts.hikueru]
target = "rehearsal"
rehearsal = true
treat_as_real = true
guest_shutdown_seconds = 3
bridge = "{bridge}"
network = "{network}"
"""


def hikueru() -> Host:
    return inventory.load_host(SETTINGS, NAME)


def on_host(script: str) -> str:
    return shell(hikueru(), f"export LC_ALL=C\n{script}")


def bootstrap(*options: str, code: int = 0, by: Path = INVENTORY) -> str:
    return invoke("bootstrap", NAME, *options, code=code, inventory=by)


@pytest.fixture(scope="module", autouse=True)
def host() -> Iterator[None]:
    rehearsal.remove(RUN, hikueru())
    bootstrap()
    yield
    rehearsal.remove(RUN, hikueru())


@pytest.fixture(autouse=True)
def guest_runs_on() -> Iterator[None]:
    """The inventory's guest is the same process before and after each test."""
    before = on_host(f"cat /run/libvirt/qemu/{GUEST}.pid")
    yield
    assert on_host(f"cat /run/libvirt/qemu/{GUEST}.pid") == before
    assert NOTHING in bootstrap()


def make(name: str, net: str, *, stored: bool = True, more: str = "") -> None:
    """Start a guest by hand that is attached to a network."""
    text = DOMAIN.format(name=name, network=net, more=more)
    RUN.connect(hikueru()).write(f"/root/{name}.xml", text.encode())
    if stored:
        on_host(f"virsh -q define /root/{name}.xml; virsh -q start {name}")
    else:
        on_host(f"virsh -q create /root/{name}.xml")


def drop(*names: str) -> None:
    for name in names:
        on_host(f"virsh -q destroy {name} || :; virsh -q undefine {name} || :")


def process(name: str) -> str:
    return on_host(f"cat /run/libvirt/qemu/{name}.pid")


def bridge_of(name: str) -> str:
    """Return the bridge of a guest's port, of the kernel or of Open vSwitch; "" for none."""
    tap = on_host(f"virsh -q domiflist {name} | awk '{{print $1}}'")
    where = f"/sys/class/net/{tap}/master"
    return on_host(f"ovs-vsctl port-to-br {tap} 2>/dev/null || basename $(readlink {where}) || :")


def kept(said: str) -> str:
    found = re.search(rf"`invoke restore {NAME} (\S+)` puts it back", said)
    assert found, said
    return found[1]


def test_ports_of_open_vswitch_stay_while_their_network_is_restarted() -> None:
    make("db", "ovsbr0")
    try:
        ports = "ovs-vsctl -f csv -d bare --columns=name,ofport,external_ids list interface"
        before = (process("db"), on_host(ports))
        more = '<portgroup name="p"><vlan><tag id="42"/></vlan></portgroup></network>'
        on_host(
            f"virsh net-dumpxml --inactive ovsbr0 | sed 's#</network>#{more}#' >/root/n.xml; "
            "virsh net-define /root/n.xml; virsh net-destroy ovsbr0; virsh net-start ovsbr0"
        )
        said = bootstrap("--replace", "ovsbr0")
        assert "ovsbr0 defined, and restarted" in said
        assert "portgroup" not in on_host("virsh net-dumpxml ovsbr0")
        assert (process("db"), on_host(ports)) == before
        assert bridge_of("db") == "ovsbr0"
    finally:
        drop("db")


def test_what_somebody_changed_in_a_running_network_alone_is_left_alone() -> None:
    on_host(
        "echo '<portgroup name=\"live\"/>' >/root/p.xml; "
        "virsh net-update ovsbr0 add portgroup /root/p.xml --live"
    )
    try:
        assert NOTHING in bootstrap()
        assert "portgroup" in on_host("virsh net-dumpxml ovsbr0")
    finally:
        on_host("virsh net-update ovsbr0 delete portgroup /root/p.xml --live")


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Path]:
    """A network of libvirt's own kind, made by hand; an inventory that wants another of its name.

    The guest ``db`` is attached to it.
    """
    RUN.connect(hikueru()).write("/root/lan.xml", LAN.encode())
    on_host("virsh -q net-define /root/lan.xml; virsh -q net-start lan")
    make("db", "lan")
    path = tmp_path / "inventory.toml"
    path.write_text(BARE.format(bridge="ovsbr0", network="lan"))
    yield path
    drop("db", "once")
    on_host("virsh -q net-destroy lan || :; virsh -q net-undefine lan || :")
    on_host(f"rm -f /var/lib/sheepvirt/*lan* /var/lib/sheepvirt/owned/*lan* {power.STOPPED}")


WAITS = (
    "network: lan restarted: it runs from another definition; it counts from its next start, "
    "which cuts off db (not of this inventory)"
)
TAKE = ("--adopt", "lan", "--replace", "lan")


def test_a_network_is_not_restarted_under_guests_that_lose_their_ports_by_it(lan: Path) -> None:
    running = process("db")
    plan = bootstrap("--plan", *TAKE, code=20, by=lan)
    said = bootstrap(*TAKE, code=21, by=lan)
    time_kept = kept(said)
    for words in (plan, said, bootstrap(code=21, by=lan), bootstrap("--plan", code=20, by=lan)):
        assert WAITS in words
        assert "(--allow-guest-restart)" in words
    assert "<forward mode='bridge'/>" in on_host("virsh net-dumpxml --inactive lan")
    assert (process("db"), bridge_of("db")) == (running, "virbr9")
    back = invoke("restore", NAME, time_kept, "--plan", code=20, inventory=lan)
    assert "it cuts off db (not of this inventory)" in back
    make("once", "lan", stored=False)
    said = bootstrap("--allow-guest-restart", code=9, by=lan)
    assert "once would be cut off, and cannot be started again" in said
    drop("once")
    said = bootstrap("--allow-guest-restart", code=9, by=lan)
    assert "guest db did not shut down within 3 s, and still runs" in said
    assert (process("db"), bridge_of("db")) == (running, "virbr9")
    said = bootstrap(*AGREED, by=lan)
    assert "db (not of this inventory) shut down before, and started again after it" in said
    assert process("db") != running
    assert bridge_of("db") == "ovsbr0"
    assert NOTHING in bootstrap(by=lan)


def test_a_network_that_nobody_is_attached_to_is_restarted_at_once(lan: Path) -> None:
    drop("db")
    assert "lan defined, and restarted" in bootstrap(*TAKE, by=lan)
    assert "<forward mode='bridge'/>" in on_host("virsh net-dumpxml lan")


def test_a_guest_that_a_killed_run_had_shut_down_is_started_by_the_next(lan: Path) -> None:
    bootstrap(*TAKE, code=21, by=lan)
    wrapper = """#!/bin/sh
case "$*" in *net-destroy*) : >/root/destroying; sleep 5 ;; esac
exec /usr/bin/virsh "$@"
"""
    RUN.connect(hikueru()).write("/usr/local/bin/virsh", wrapper.encode(), mode=0o755)
    try:
        run = start("bootstrap", NAME, *AGREED, inventory=lan)
        end = time.monotonic() + 120
        while on_host("ls /root/destroying 2>/dev/null || :") == "":
            assert time.monotonic() < end
            time.sleep(0.2)
        run.kill()
        run.communicate()
        # What was sent goes on.
        while on_host("pgrep -f '[n]et-destroy lan' || :"):
            assert time.monotonic() < end
            time.sleep(0.2)
    finally:
        on_host("rm -f /usr/local/bin/virsh /root/destroying")
    assert on_host("virsh -q domstate db") == "shut off"
    said = bootstrap(by=lan)
    assert "db started: an interrupted run had shut it down" in said
    assert on_host("virsh -q domstate db") == "running"
    assert bridge_of("db") == "ovsbr0"
    assert NOTHING in bootstrap(by=lan)


# An older pocketsheep, with what the RPM of upstream's sheepdog does when it is replaced, and what
# that of libvirt does; and one that says so in the way of SysV init.
OLDER = """
Name: pocketsheep
Version: 0.0.9
Release: 1
Summary: As it was
License: MIT
BuildArch: noarch
Provides: sheepdog = 0.0.9
%description
As it was.
%files
%postun
if [ "$1" -ge "1" ]; then
  systemctl try-restart sheepdog.service >/dev/null 2>&1 || :
  /sbin/service sheepdog condrestart >/dev/null 2>&1 || :
  systemctl reload-or-try-restart virtlogd.service >/dev/null 2>&1 || :
  echo replaced >>/root/replaced
fi
"""
LIBVIRT = """
Name: libvirt-daemon
Version: 6.9.9
Release: 1
Summary: As it was
License: LGPL
%description
As it was.
%files
"""
PIDS = "for one in sheepdog virtlogd libvirtd; do systemctl show --value -p MainPID $one; done"


@pytest.fixture(scope="module")
def older() -> None:
    """RPMs of older versions on the host, made there."""
    for name, text in (("sheep", OLDER), ("libvirt", LIBVIRT)):
        RUN.connect(hikueru()).write(f"/root/{name}.spec", text.encode())
        on_host(
            f"rpmbuild -bb --quiet -D '_rpmdir /root/older' -D '_rpmfilename {name}.rpm' "
            f"/root/{name}.spec"
        )


def install_older(*names: str) -> None:
    """Say in rpm's database that older versions are installed; the files are the newer ones'."""
    files = " ".join(f"/root/older/{name}.rpm" for name in names)
    on_host(f"rpm -U --oldpackage --justdb --nodeps {files}; rm -f /root/replaced")
    on_host("systemctl start virtlogd")


def services() -> dict[str, str]:
    """Return the process of each service that guests need."""
    found = on_host(f"{PIDS} | grep .").split()
    return dict(zip(("sheepdog", "virtlogd", "libvirtd"), found, strict=True))


@pytest.mark.usefixtures("older")
def test_what_guests_need_is_not_restarted_while_its_rpms_are_replaced() -> None:
    install_older("sheep", "libvirt")
    before = services()
    listen()
    try:
        plan = bootstrap("--plan", code=20)
        said = bootstrap(code=21)
        for words in (plan, said):
            assert "in place of another version" in words
            assert "; libvirtd is restarted, and guests run on; sheepdog runs on as before" in words
            assert "pool: sheepdog started" in words
            assert "counts from the next reboot" in words
        assert "not in the plan" not in said
        assert on_host("cat /root/replaced") == "replaced", "its scriptlet was run"
        after = services()
        assert after["libvirtd"] != before["libvirtd"]
        assert (after["sheepdog"], after["virtlogd"]) == (before["sheepdog"], before["virtlogd"])
        assert on_host("virsh -q pool-info sheepdog | grep -c running") == "1"
        assert on_host("ls /run/systemd/system /var/run/sheepvirt-upgrade 2>/dev/null || :") in {
            "",
            "/run/systemd/system:",
        }
        beats = heard_until_another_beat()
        assert {beat.boot for beat in beats} == {beats[0].boot}
        assert not [beat.trouble for beat in beats if beat.trouble]
    finally:
        on_host("kill $(cat /root/hearing) || :; rm -f /var/lib/sheepvirt/reboot-wanted")


def listen() -> None:
    """Watch the guest's console from now on, as somebody on the host does."""
    tty = on_host(f"virsh -q ttyconsole {GUEST}")
    on_host(f"timeout 600 cat {tty} >/root/heard 2>&1 </dev/null & echo $! >/root/hearing")


def heard_until_another_beat() -> list[heartbeats.Heartbeat]:
    """Return what the guest has said since it is listened to; wait for one more heartbeat."""
    counted, end = -1, time.monotonic() + 120
    while True:
        beats = heartbeats.beats(on_host("cat /root/heard"), f"{GUEST} is up")
        if 0 <= counted < len(beats):
            return beats
        counted = len(beats) if counted < 0 else counted
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.usefixtures("older")
def test_the_same_rpm_replaced_by_hand_restarts_it() -> None:
    """The control: it is the run that keeps the scriptlet from it."""
    install_older("sheep")
    before = services()
    on_host("dnf -q -y upgrade pocketsheep")
    assert on_host("cat /root/replaced") == "replaced"
    assert services()["sheepdog"] != before["sheepdog"]


@pytest.mark.usefixtures("older")
def test_a_run_that_is_killed_meanwhile_leaves_no_service_that_refuses_to_stop() -> None:
    install_older("sheep")
    wrapper = """#!/bin/sh
systemctl show --value -p RefuseManualStop sheepdog >/root/refuses
sleep 3
exec /usr/bin/dnf "$@"
"""
    RUN.connect(hikueru()).write("/usr/local/bin/dnf", wrapper.encode(), mode=0o755)
    try:
        run = start("bootstrap", NAME)
        end = time.monotonic() + 120
        while on_host("cat /root/refuses 2>/dev/null || :") != "yes":
            assert time.monotonic() < end
            time.sleep(0.2)
        run.kill()
        run.communicate()
        while on_host("systemctl show --value -p RefuseManualStop sheepdog") != "no":
            assert time.monotonic() < end
            time.sleep(0.5)
    finally:
        on_host("rm -f /usr/local/bin/dnf /root/refuses")
    bootstrap(code=21)  # what is left; the reboot is still due
    on_host("rm -f /var/lib/sheepvirt/reboot-wanted")


SWITCH = "cat /run/openvswitch/ovs-vswitchd.pid; systemctl show -p ActiveEnterTimestamp openvswitch"


def test_a_bridge_without_its_interface_does_not_restart_the_switch_under_a_guest() -> None:
    before = on_host(SWITCH)
    on_host("ip link del ovsbr0")
    try:
        for options in (("--plan",), ()):
            said = bootstrap(*options, code=9)
            assert "ovsbr0 has no network interface" in said
            assert "would interrupt the port vnet" in said
            assert "restart openvswitch there when that suits" in said
        assert on_host(SWITCH) == before
        assert bridge_of(GUEST) == "ovsbr0"
    finally:
        on_host("systemctl restart openvswitch-switch")
        on_host("until test -e /sys/class/net/ovsbr0; do sleep 0.2; done")


@pytest.fixture
def br7(tmp_path: Path) -> Iterator[Path]:
    """A bridge by hand on a datapath that this kernel does not have; an inventory that names it."""
    on_host("ovs-vsctl --timeout=5 add-br br7 || :")
    path = tmp_path / "inventory.toml"
    path.write_text(BARE.format(bridge="br7", network="net7"))
    yield path
    on_host("ovs-vsctl --if-exists del-br br7; rm -f /var/lib/sheepvirt/owned/*7.json")
    on_host("virsh -q net-destroy net7 || :; virsh -q net-undefine net7 || :")


def test_a_bridge_in_use_is_not_moved_back_to_its_former_datapath(br7: Path) -> None:
    before = on_host(SWITCH)
    said = bootstrap("--adopt", "br7", code=21, by=br7)
    assert "br7 moved from the system to the netdev datapath (--replace br7)" in said
    assert on_host(SWITCH) == before, "another bridge, with a guest's port, is on the switch"
    said = bootstrap("--replace", "br7", by=br7)
    assert on_host("ovs-vsctl get bridge br7 datapath_type") == "netdev"
    time_kept = kept(said)
    on_host("ovs-vsctl add-port br7 p7 -- set interface p7 type=internal")
    for options in (("--plan",), ()):
        said = invoke("restore", NAME, time_kept, *options, code=9, inventory=br7)
        assert "the bridge br7 is in use (p7)" in said
        assert "`ovs-vsctl set bridge br7 datapath_type=system` on its console" in said
    assert on_host("ovs-vsctl get bridge br7 datapath_type; ovs-vsctl list-ports br7") == (
        "netdev\np7"
    )
    on_host("ovs-vsctl del-port br7 p7")
    said = invoke("restore", NAME, time_kept, "--plan", code=20, inventory=br7)
    assert "bridge br7 as it was kept" in said


def passed(said: str) -> int:
    """Return how many checks of guests have passed."""
    found = re.search(r"guests: (\d+) checks passed", said)
    assert found, said
    return int(found[1])


def test_consoles_are_read_only_when_asked_and_then_nothing_is_stopped() -> None:
    read = f"stat -c %X $(virsh -q ttyconsole {GUEST})"  # when somebody has last read from it
    before = on_host(read)
    said = invoke("verify", NAME)
    assert "consoles are not read on a real machine" in said
    assert on_host(read) == before
    alone = passed(said)
    said = invoke("verify", NAME, "--consoles")
    assert "consoles are not read" not in said
    assert passed(said) == alone + 2, "its line, and what it reads from its disk"
    assert "read-only: nothing was stopped, started or rebooted" in said
    assert on_host(read) != before


def test_a_vdi_that_another_guest_may_run_from_is_refused(tmp_path: Path) -> None:
    """A VDI by hand, of a name that the inventory gives a guest; another guest runs from it."""
    path = tmp_path / "inventory.toml"
    more = '[hosts.hikueru.guests.makatea]\nmemory_mb = 64\nnetwork = "ovsbr0"\nline = "up"\n'
    path.write_text(BARE.format(bridge="ovsbr0", network="ovsbr0") + more)
    on_host("dog vdi create makatea 64M; head -c 1000000 /dev/urandom | dog vdi write makatea")
    disk = """<disk type="network"><driver name="qemu" type="raw"/>
        <source protocol="sheepdog" name="makatea"><host name="127.0.0.1" port="7000"/></source>
        <target dev="vda" bus="virtio"/></disk>"""
    make("other", "ovsbr0", more=disk)
    look = "dog vdi read makatea | sha256sum; dog vdi list -r | sort"
    before = (process("other"), on_host(look))
    try:
        for options in (("--plan",), ()):
            said = bootstrap(*options, code=9, by=path)
            assert (
                "VDI makatea (67108864 bytes; a guest may run from it, here or on another" in said
            )
            assert "--adopt makatea" in said
        assert (process("other"), on_host(look)) == before
    finally:
        drop("other")
        on_host("dog vdi delete makatea")
