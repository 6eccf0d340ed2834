"""A change of the network cannot lose a host: what cuts it off goes back, by itself.

Two hosts, with systemd and with SysV init, that ask as real machines do. SSH comes in over eth0,
and eth0 is what becomes a port of the bridge. On a machine the port then has no address any more;
on these hosts a line in ``ifup-eth`` takes it away.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell
from world import RUN, SETTINGS

from sheepvirt.bootstrap import desired, readiness, rehearsal, runner
from sheepvirt.bootstrap.consent import EVERYTHING
from sheepvirt.bootstrap.steps import guard, ifcfg, reboot
from sheepvirt.config import inventory
from sheepvirt.core import paths
from sheepvirt.core.errors import BootstrapError, SshError
from sheepvirt.model.enums import Datapath, Init
from tests.here import with_bridge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.bootstrap.steps.base import DesiredState
    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
HOSTS = ("tupai", "manuae")
CUT = '[ "$DEVICE" != eth0 ] || ip addr flush dev eth0'
EL = paths.ROOT / "containers" / "rehearsal" / "host-sysv" / "root"
SECONDS = 25


@pytest.fixture(scope="module", params=HOSTS)
def host(published: str, request: pytest.FixtureRequest) -> Iterator[Host]:
    one = inventory.load_host(SETTINGS, request.param)
    rehearsal.remove(RUN, one)
    invoke("bootstrap", one.name, "--allow-reboot")
    if one.init != Init.SYSV:
        give_network_scripts(one)
    yield one
    rehearsal.remove(RUN, one)


def give_network_scripts(host: Host) -> None:
    """Make of a host with systemd what el7 is: one that has network scripts as well."""
    connection = RUN.connect(host)
    files = [*(EL / "etc/sysconfig/network-scripts").iterdir()]
    more = ("sbin/ifup", "sbin/ifdown", "etc/init.d/functions", "etc/sysconfig/network")
    for file in [*files, *(EL / name for name in more)]:
        connection.write(f"/{file.relative_to(EL)}", file.read_bytes(), mode=0o755)
    shell(host, "mkdir -p /var/lock/subsys; touch /var/lock/subsys/openvswitch")


@pytest.fixture
def unplugged(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[DesiredState]:
    """The files say that eth0 is a port of the bridge, and it is none: the next run adds it."""
    monkeypatch.setattr(guard, "LIVE_SECONDS", SECONDS)
    address = addresses(host).split()[0]
    uplinked = with_bridge(host, uplink="eth0", address=address)
    wanted = desired.desired_state(RUN, uplinked, EVERYTHING)
    for name, text in ifcfg.files(wanted).items():
        RUN.connect(host).write(name, text.encode())
    yield wanted
    shell(host, f"rm {ifcfg.path('eth0')} {ifcfg.path('ovsbr0')}")


def addresses(host: Host) -> str:
    return shell(host, "ip -o -4 addr show dev eth0 | sed 's/.*inet \\([^ ]*\\) .*/\\1/'")


def network(host: Host) -> str:
    """Return all that may not change: addresses, routes and the switch."""
    what = "ip -o -4 addr | sed 's/valid_lft.*//'; ip route; ovs-vsctl --timeout=5 show"
    return shell(host, what)


def put_back(host: Host, seconds: float) -> None:
    """Wait until the host has gone back by itself; nobody disarms it."""
    connection = RUN.connect(host)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(SshError):
            connection.close()
            if shell(host, f"ls {guard.KEPT} | grep '^live-put-back' || true"):
                return
        time.sleep(1)
    pytest.fail("it has not gone back")


def test_a_change_that_cuts_the_host_off_goes_back(host: Host, unplugged: DesiredState) -> None:
    before = network(host)
    file = f"{ifcfg.FOLDER}/ifup-eth"
    shell(host, f"cp {file} /root/was; sed -i '$d' {file}; echo '{CUT}' >>{file}")
    try:
        with pytest.raises(BootstrapError, match="it has put its former switch") as caught:
            runner.converge(RUN, unplugged, RUN.connect(host))
    finally:
        shell(host, f"cp /root/was {file}")
    assert guard.LOG in caught.value.hint
    assert network(host) == before
    assert "putting the former switch back" in shell(host, f"cat {guard.LOG}")
    assert shell(host, f"sh {guard.SCRIPT} status") == "idle"
    shell(host, f"rm -r {guard.KEPT}/live-put-back.*")


def test_a_run_that_is_killed_leaves_nothing_behind(host: Host, unplugged: DesiredState) -> None:
    """Armed, changed, and then nobody comes: neither disarmed nor told."""
    before = network(host)
    connection = RUN.connect(host)
    connection.run(["sh", guard.SCRIPT, "arm", "6", "ovsbr0", "eth0"])
    with contextlib.suppress(SshError):
        shell(host, "ip addr flush dev eth0; ovs-vsctl --timeout=5 add-port ovsbr0 eth0")
    put_back(host, 60)
    assert network(host) == before
    shell(host, f"rm -r {guard.KEPT}/live-put-back.*")


def test_a_change_that_is_survived_stays(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over an interface that SSH does not come in by."""
    monkeypatch.setattr(guard, "LIVE_SECONDS", SECONDS)
    shell(host, "ip link add up7 type veth peer name street7")
    uplinked = with_bridge(host, uplink="up7", address="198.51.100.7/24")
    wanted = desired.desired_state(RUN, uplinked, EVERYTHING)
    for name, text in ifcfg.files(wanted).items():
        RUN.connect(host).write(name, text.encode())
    changes = runner.converge(RUN, wanted, RUN.connect(host))
    assert [c.what for c in changes] == ["up7 brought up as the uplink of ovsbr0"]
    time.sleep(SECONDS + 2)
    assert shell(host, "ovs-vsctl --timeout=5 port-to-br up7") == "ovsbr0"
    assert shell(host, f"ls {guard.KEPT} | grep ^live || true") == ""
    shell(host, "ovs-vsctl --timeout=5 del-port up7; ip link del up7")
    shell(host, f"rm {ifcfg.path('up7')} {ifcfg.path('ovsbr0')}")


def test_network_files_that_nobody_could_reach_the_host_with_are_put_back(host: Host) -> None:
    """At the boot: by systemd's unit, or by the init script."""
    file, connection = ifcfg.path("eth7"), RUN.connect(host)
    connection.write(file, b"DEVICE=eth7\nONBOOT=no\n")
    connection.run(["sh", "-c", "echo seconds=2 >/etc/sysconfig/sheepvirt-network-guard"])
    connection.run(["sh", "-c", guard.SET, "sh", guard.PENDING, "some boot", file])
    connection.write(file, b"DEVICE=eth7\nONBOOT=yes\n")
    first = reboot.identity(connection)
    reboot.reboot(connection, lambda _line: None)
    deadline, found = time.monotonic() + 120, ""
    while "ONBOOT=no" not in found and time.monotonic() < deadline:
        connection.close()
        with contextlib.suppress(SshError):
            found = shell(host, f"test ! -e {guard.PENDING} && cat {file}")
        time.sleep(1)
    assert found == "DEVICE=eth7\nONBOOT=no"
    connection.close()
    connection.wait(60)
    readiness.settle(connection)
    assert reboot.identity(connection) != first
    shell(host, f"rm {file} /etc/sysconfig/sheepvirt-network-guard")
    if host.init != Init.SYSV:
        shell(host, "touch /var/lock/subsys/openvswitch || true")


def test_what_the_uplinks_file_says_is_kept_in_the_plan_or_refused(host: Host) -> None:
    connection = RUN.connect(host)
    uplinked = with_bridge(host, uplink="eth0", address=addresses(host).split()[0])
    wanted = desired.desired_state(RUN, uplinked)
    ip, _, prefix = uplinked.bridge_address.partition("/")
    text = f"DEVICE='eth0' MTU=1500\nexport IPADDR0={ip} PREFIX0={prefix}; DNS1=192.0.2.53\n"
    connection.write(ifcfg.path("eth0"), text.encode())
    try:
        planned = runner.make_plan(RUN, wanted)
        diffs = "\n".join(c.diff for c in planned if c.step == ifcfg.NAME)
        assert "+DNS1=192.0.2.53" in diffs
        assert "+MTU=1500" in diffs
        assert "-DEVICE='eth0' MTU=1500" in diffs
        assert [c.waits_for for c in planned if c.step == reboot.NAME] == ["--allow-reboot"]
        shell(host, f"echo 'VLAN=Yes' >{ifcfg.path('eth0.10')}; echo 'A=$(id)' >{ifcfg.path('x')}")
        with pytest.raises(BootstrapError) as caught:
            runner.converge(RUN, wanted, connection)
        assert "eth0.10" in caught.value.message
        assert "ifcfg-x, line 1" in caught.value.message
        assert shell(host, f"cat {ifcfg.path('eth0')}") == text.strip()
    finally:
        shell(host, f"rm -f {ifcfg.path('eth0')} {ifcfg.path('eth0.10')} {ifcfg.path('x')}")


def test_a_datapath_that_the_host_cannot_have_is_found_before_anything(host: Host) -> None:
    if shell(host, "test -d /sys/module/openvswitch && echo there || true"):
        pytest.skip("this machine's kernel has the module")
    before = network(host)
    wanted = desired.desired_state(RUN, with_bridge(host, datapath=Datapath.SYSTEM))
    with pytest.raises(BootstrapError, match="no openvswitch module"):
        runner.converge(RUN, wanted, RUN.connect(host))
    assert network(host) == before
