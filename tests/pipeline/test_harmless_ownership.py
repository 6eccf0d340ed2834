"""On a real machine nothing that somebody else made or changed is lost: it is refused, adopted,
shown, kept, and put back.

On a host of its own that the inventory calls real. Foreign objects are made by hand, as an
administrator would.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.config import inventory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
HOST, GUEST = "tautira", "teahupoo"
FOREIGN = ("br9", "net9", "pool9", "faaa")
ADOPT = [word for name in FOREIGN for word in ("--adopt", name)]
MAKE = """
ovs-vsctl --may-exist add-br br9 -- set bridge br9 datapath_type=netdev
ip addr add 10.9.9.1/24 dev br9
ovs-vsctl --may-exist add-port br9 p9 -- set interface p9 type=internal
virsh net-define /root/net9.xml && virsh net-start net9
virsh pool-define /root/pool9.xml
dog vdi create faaa 64M
virsh define /root/faaa.xml && virsh start faaa
"""
# Guests' uptime included: QEMU's process is the same.
SNAPSHOT = """
virsh net-dumpxml net9; virsh pool-dumpxml pool9 | grep -v 'bytes'; virsh dumpxml faaa
ovs-vsctl show; ip -o addr show br9; dog vdi list | grep faaa
pgrep -f 'guest=faa[a]'
"""
FILES = {
    "net9.xml": """<network><name>net9</name><forward mode="nat"/><bridge name="virbr9"/>
        <ip address="192.168.99.1" netmask="255.255.255.0"/></network>""",
    "pool9.xml": """<pool type="sheepdog"><name>pool9</name>
        <source><host name="localhost" port="7000"/><name>pool9</name></source></pool>""",
    "faaa.xml": """<domain type="qemu"><name>faaa</name><memory unit="MiB">64</memory>
        <os><type arch="x86_64">hvm</type></os><devices>
        <emulator>/usr/bin/qemu-system-x86_64</emulator>
        <controller type="scsi" model="virtio-scsi"/>
        <graphics type="vnc" passwd="geheim"/></devices></domain>""",
}
# Lines of the diff; the first is one that a list of libvirt's additions would hide.
LOST = (
    '-    <controller index="0" model="virtio-scsi"',
    '-    <graphics autoport="yes"',
    '-  <forward mode="nat" />',
)
PROCESS = f"pgrep -f 'guest={GUEST[:-1]}[{GUEST[-1]}]'"  # does not find itself
PORTGROUP = '<portgroup name="db"><vlan><tag id="42"/></vlan></portgroup></network>'
VNC = '<graphics type="vnc" port="-1" autoport="yes" passwd="geheim"/><memballoon'
DRIFT = f"""
virsh net-dumpxml --inactive ovsbr0 | sed 's#</network>#{PORTGROUP}#' >/root/n.xml
virsh net-define /root/n.xml
virsh dumpxml --inactive {GUEST} | sed 's#<memballoon#{VNC}#' >/root/d.xml
virsh define /root/d.xml
"""


def host() -> Host:
    return inventory.load_host(SETTINGS, HOST)


def on_host(script: str) -> str:
    return shell(host(), f"export LC_ALL=C\n{script}")


@pytest.fixture(scope="module", autouse=True)
def bootstrapped(published: str) -> Iterator[None]:
    rehearsal.remove(RUN, host())
    invoke("bootstrap", HOST)
    yield
    rehearsal.remove(RUN, host())


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory all of whose names are taken on the host."""
    for name, xml in FILES.items():
        RUN.connect(host()).write(f"/root/{name}", xml.encode())
    on_host(f"set -e\n{MAKE}")
    path = tmp_path_factory.mktemp("inventory") / "inventory.toml"
    path.write_text(
        f"""
        [hosts.{HOST}]
        target = "rehearsal"
        rehearsal = true
        treat_as_real = true
        bridge = "br9"
        network = "net9"
        pool = "pool9"
        [hosts.{HOST}.guests.faaa]
        memory_mb = 256
        network = "net9"
        line = "faaa is up"
        """
    )
    return path


def test_what_somebody_else_made_is_refused_whole_then_adopted_untouched(taken: Path) -> None:
    before = on_host(SNAPSHOT)
    for words in (["--plan"], []):
        said = invoke("bootstrap", HOST, *words, code=9, inventory=taken)
        for title in ("bridge br9", "network net9", "pool pool9", "domain faaa", "VDI faaa"):
            assert title in said
        assert " ".join(ADOPT) in said
        assert on_host(SNAPSHOT) == before
    planned = invoke("bootstrap", HOST, "--plan", *ADOPT, code=20, inventory=taken)
    assert on_host(SNAPSHOT) == before
    done = invoke("bootstrap", HOST, *ADOPT, code=21, inventory=taken)
    assert on_host(SNAPSHOT) == before, "what was adopted is as it was"
    for said in (planned, done):
        for line in LOST:
            assert line in said
        for name in FOREIGN[1:]:
            assert f"--replace {name}" in said
    again = invoke("bootstrap", HOST, code=21, inventory=taken)
    assert "0 things changed" in again
    assert on_host(SNAPSHOT) == before


def test_what_somebody_changed_is_shown_waits_and_is_put_back_by_one_command() -> None:
    running = on_host(PROCESS)
    on_host(f"set -e\n{DRIFT}")
    said = invoke("bootstrap", HOST, code=21)
    assert '+  <portgroup name="db">' in said
    assert '+    <graphics autoport="yes" port="-1" type="vnc">' in said
    assert "portgroup" in on_host("virsh net-dumpxml --inactive ovsbr0")
    words = ["--replace", "ovsbr0", "--replace", GUEST]
    said = invoke("bootstrap", HOST, *words)
    assert "portgroup" not in on_host("virsh net-dumpxml --inactive ovsbr0")
    assert "graphics" not in on_host(f"virsh dumpxml --inactive {GUEST}")
    invoke("bootstrap", HOST)
    found = re.search(rf"`invoke restore {HOST} (\S+)` puts it back", said)
    assert found
    assert f"{found[1]}  network ovsbr0, domain {GUEST}" in invoke("kept", HOST)
    assert on_host(f"stat -c %a /var/lib/sheepvirt/kept/{found[1]}") == "700"
    invoke("restore", HOST, found[1], "--plan", code=20)
    assert "portgroup" not in on_host("virsh net-dumpxml --inactive ovsbr0")
    invoke("restore", HOST, found[1], code=21)  # the network's and the guest's restart wait
    assert "portgroup" in on_host("virsh net-dumpxml --inactive ovsbr0")
    assert "geheim" in on_host(f"virsh dumpxml --inactive --security-info {GUEST}")
    assert "--replace ovsbr0" in invoke("bootstrap", HOST, code=21), "it is somebody's once more"
    assert "is accepted as it is" in invoke("bootstrap", HOST, "--adopt", "ovsbr0", code=21)
    invoke("bootstrap", HOST, *words)
    assert on_host(PROCESS) == running, "the guest ran on all the time"


def test_a_host_of_before_is_marked_and_then_has_no_change() -> None:
    on_host("rm -r /var/lib/sheepvirt/owned")
    assert "marked as sheepvirt's" in invoke("bootstrap", HOST)
    assert "no change" in invoke("bootstrap", HOST)


def test_an_edited_unit_is_kept_and_put_back() -> None:
    unit = "/etc/systemd/system/sheepvirt-autostart.service"
    on_host(f"echo '# by hand' >>{unit}")
    assert "-# by hand" in invoke("bootstrap", HOST, code=21)
    assert on_host(f"tail -n 1 {unit}") == "# by hand"
    said = invoke("bootstrap", HOST, "--replace", unit)
    assert on_host(f"tail -n 1 {unit}") != "# by hand"
    found = re.search(rf"`invoke restore {HOST} (\S+)` puts it back", said)
    assert found
    invoke("restore", HOST, found[1])
    assert on_host(f"tail -n 1 {unit}") == "# by hand"
    invoke("bootstrap", HOST, "--replace", unit)
    assert "no change" in invoke("bootstrap", HOST)


def test_another_start_of_a_guest_is_no_change() -> None:
    """Ids, terminals and ports are another start's; the definition is the same."""
    before = on_host(f"virsh dumpxml {GUEST}")
    on_host(f"virsh destroy {GUEST} && virsh start {GUEST}")
    assert on_host(f"virsh dumpxml {GUEST}") != before
    assert "no change" in invoke("bootstrap", HOST)
