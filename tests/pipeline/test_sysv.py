"""The el6 host side for real: SysV init, chkconfig, network scripts, boot order, no python.

What is a stand-in on that host is said in containers/rehearsal/host-sysv and in docs/el6.md. One
host is bootstrapped for all tests; each leaves it as it found it.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell
from world import INVENTORY, RUN, SETTINGS

from sheepvirt.bootstrap import desired, readiness, rehearsal
from sheepvirt.bootstrap.steps import guard, ifcfg, reboot, units
from sheepvirt.config import inventory
from sheepvirt.core.errors import SshError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
OVERRIDE = "/etc/chkconfig.d/libvirtd"


def maupiti() -> Host:
    return inventory.load_host(SETTINGS, "maupiti")


@pytest.fixture(scope="module", autouse=True)
def bootstrapped(published: str) -> Iterator[str]:
    """Maupiti is there, as the inventory wants it; what its first bootstrap has said."""
    rehearsal.remove(RUN, maupiti())
    yield invoke("bootstrap", "maupiti")
    rehearsal.remove(RUN, maupiti())


@pytest.fixture(scope="module")
def verified(bootstrapped: str) -> str:
    """What a verification with a reboot has said."""
    return invoke("verify", "maupiti", "--verbose")


def on_host(script: str) -> str:
    return shell(maupiti(), script)


def test_a_bare_host_is_bootstrapped_without_systemd(bootstrapped: str) -> None:
    assert "are stand-ins" in bootstrapped
    assert f"{units.AUTOSTART} enabled and started" in bootstrapped
    assert "boot " in bootstrapped
    assert " became " in bootstrapped
    assert on_host("cat /proc/1/comm; test -e /run/systemd/system || echo none") == "init\nnone"


def test_what_was_switched_on_is_linked_in_order() -> None:
    links = on_host("ls /etc/rc3.d").split()
    ours = [n for n in links if n[3:] in {"openvswitch", "sheepdog", "libvirtd", units.AUTOSTART}]
    assert ours == ["S09openvswitch", "S21sheepdog", "S97libvirtd", f"S98{units.AUTOSTART}"]


def test_the_bridge_came_up_at_boot_by_its_files_with_an_address_of_its_own() -> None:
    text = on_host(f"cat {ifcfg.path('ovsbr0')}")
    wanted = desired.desired_state(RUN, maupiti())
    assert text + "\n" == ifcfg.files(wanted)[ifcfg.path("ovsbr0")]
    assert on_host("ovs-vsctl port-to-br up0") == "ovsbr0"
    assert "192.0.2." in on_host("ip -o -4 addr show dev ovsbr0")


def test_a_second_run_changes_nothing() -> None:
    assert "maupiti: no change" in invoke("bootstrap", "maupiti")


def test_a_wrong_boot_order_is_refused_before_the_reboot_and_repaired_as_the_hint_says() -> None:
    # (--override does nothing to a script whose runlevels somebody has set, as the bootstrap has.)
    try:
        on_host(f"echo '# chkconfig: 2345 05 95' >{OVERRIDE} && chkconfig libvirtd reset")
        assert on_host("ls /etc/rc3.d | grep libvirtd") == "S11libvirtd"  # behind its $network, 10
        out = invoke("bootstrap", "maupiti", code=9)
        assert "maupiti would boot in the wrong order" in out
        assert "/etc/init.d/libvirtd (chkconfig line 05 95" in out
        hint = out[out.rindex("what to do:") :]
        line, again = hint.split("`")[1], hint.split("`")[3].replace("\n", " ")
        on_host(f"echo '{line}' >{OVERRIDE}; {again}")
        assert "no change" in invoke("bootstrap", "maupiti")
    finally:
        on_host(f"rm -f {OVERRIDE}; chkconfig libvirtd reset; chkconfig --level 2345 libvirtd on")


def test_an_interface_that_is_not_there_is_refused_and_nothing_written(tmp_path: Path) -> None:
    before = on_host(f"cat {ifcfg.path('ovsbr0')}")
    other = tmp_path / "inventory.toml"
    text = INVENTORY.read_text(encoding="utf-8").replace('uplink = "up0"', 'uplink = "em1"')
    other.write_text(text, encoding="utf-8")
    assert "no network interface em1" in invoke("bootstrap", "maupiti", code=9, inventory=other)
    assert on_host(f"cat {ifcfg.path('ovsbr0')}; ls {ifcfg.FOLDER}").startswith(before)
    assert "em1" not in on_host(f"ls {ifcfg.FOLDER}")


def test_network_files_that_nobody_could_reach_the_host_with_are_put_back() -> None:
    """The guard, for real: the host boots with a port file that says nothing, and boots again."""
    file = ifcfg.path("up0")
    assert on_host(f"ls {guard.KEPT}/pending 2>/dev/null || echo none") == "none"  # it is disarmed
    before = on_host(f"cat {file}")
    connection = RUN.connect(maupiti())
    connection.run(["sh", "-c", "echo seconds=2 >/etc/sysconfig/sheepvirt-network-guard"])
    connection.run(["sh", "-c", guard.SET, "sh", guard.PENDING, "some boot", file])
    connection.write(file, b"ONBOOT=no\n")
    first = reboot.identity(connection)
    reboot.reboot(connection, lambda _line: None)
    deadline = time.monotonic() + 120
    put_back = f"test ! -e {guard.PENDING} && cat {file}"
    found = ""
    while found != before and time.monotonic() < deadline:
        with contextlib.suppress(SshError):
            found = on_host(put_back)
        time.sleep(1)
    assert found == before
    connection.close()
    connection.wait(60)
    readiness.settle(connection)
    assert reboot.identity(connection) != first
    assert "up0" in on_host("ovs-vsctl list-ports ovsbr0")
    on_host(f"rm -rf /etc/sysconfig/sheepvirt-network-guard {guard.KEPT}/put-back.*")
    invoke("bootstrap", "maupiti")  # guests take their time after two boots


def test_it_is_verified_before_and_after_a_reboot(verified: str) -> None:
    assert "services start in order" in verified
    assert "uplink is a port of the bridge" in verified
    assert "destroyed, host rebooted; marker" in verified


def test_pools_come_back_after_libvirtd_alone_was_restarted() -> None:
    """libvirtd calls a sheepdog pool inactive then; a unit or a script starts it again."""
    on_host("service libvirtd restart")
    deadline = time.monotonic() + 60
    while "active" not in (pools := on_host("virsh -q pool-list")) and time.monotonic() < deadline:
        time.sleep(1)
    assert "active" in pools


@pytest.mark.usefixtures("verified")
def test_neither_bootstrap_nor_verify_has_called_python() -> None:
    """python by its name fails on this host and leaves a line where it was called."""
    assert on_host("command -v python3") == "/usr/local/sbin/python3"
    assert on_host("cat /var/log/rehearsal-python 2>/dev/null || true") == ""
    on_host("python3 -V || true")
    try:
        assert "python3 -V" in on_host("cat /var/log/rehearsal-python")  # it would have been seen
    finally:
        on_host("rm /var/log/rehearsal-python")
