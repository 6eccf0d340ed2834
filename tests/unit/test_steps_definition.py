"""libvirt's XML against ours: what libvirt 7.0.0 really made of it is no difference."""

from pathlib import Path
from xml.etree import ElementTree

import factories
import pytest

from sheepvirt.bootstrap import host_files
from sheepvirt.bootstrap.steps.definition import Interface, difference, identity, interfaces
from sheepvirt.model.enums import Disk
from tests.here import SETTINGS

DATA = Path(__file__).parent / "data" / "libvirt-7.0.0"
DOMAIN = (DATA / "domain.xml").read_text(encoding="utf-8")
LIVE = (DATA / "domain-live.xml").read_text(encoding="utf-8")
render = host_files.load(SETTINGS.host).render
NETWORK = (DATA / "network.xml").read_text(encoding="utf-8")
# From a host with the title of tests/pipeline/inventory.toml.
TITLE = 'it\'s "quoted" <b>&amp; spaced</b> $(touch /tmp/pwned) `touch /tmp/pwned` 日本語'


def domain(
    *,
    memory: int = 256,
    known: str = "",
    title: str = TITLE,
    disk: Disk = Disk.FILE,
) -> str:
    return render(
        "domain.xml.j2",
        guest=factories.guest(title=title, memory=memory * 10**6, console_marker="x", disk=disk),
        type="qemu",
        bridge="ovsbr0",
        file="/var/lib/libvirt/images/papeete.img",
        address="127.0.0.1",
        port=7000,
        cache="",
        **identity(known),
        interfaces=interfaces(known) or [Interface()],
    )


def test_what_libvirt_adds_is_no_difference() -> None:
    assert difference(DOMAIN, domain()) == ""
    assert difference(DOMAIN, domain(known=DOMAIN)) == ""
    assert difference(LIVE, domain(), live=True) == ""
    wanted = render("network.xml.j2", network="ovsbr0", bridge="ovsbr0", uuid="")
    assert difference(NETWORK, wanted) == ""


def test_what_libvirt_adds_to_sheepdog_is_no_difference() -> None:
    title = 'it\'s "quoted" <b>&amp; spaced</b> 日本語'  # of the host that these are from
    wanted = domain(title=title, disk=Disk.SHEEPDOG)
    assert difference((DATA / "domain-sheepdog.xml").read_text(encoding="utf-8"), wanted) == ""
    live = (DATA / "domain-sheepdog-live.xml").read_text(encoding="utf-8")
    assert difference(live, wanted, live=True) == ""
    assert "-        <host" in difference(live.replace("port='7000'", "port='7001'"), wanted)
    pool = (DATA / "pool.xml").read_text(encoding="utf-8")
    wanted = render("pool.xml.j2", pool="sheepdog", address="127.0.0.1", port=7000, uuid="")
    assert difference(pool, wanted) == ""
    assert difference(pool.replace("127.0.0.1", "127.0.0.2"), wanted) != ""


# What libvirt 1.0.3 makes of our definition, by the how-to's dumpxml of a guest like ours.
OLD_DOMAIN = """<domain type='qemu'>
  <name>papeete</name>
  <uuid>00000000-45e8-015b-dfa0-f68d386ee87e</uuid>
  <title>a title</title>
  <memory unit='KiB'>250000</memory>
  <currentMemory unit='KiB'>250000</currentMemory>
  <vcpu placement='static'>1</vcpu>
  <os><type arch='x86_64' machine='pc-0.14'>hvm</type><boot dev='hd'/><bootmenu enable='no'/></os>
  <features><acpi/></features>
  <clock offset='localtime'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='writethrough' io='threads'/>
      <source protocol='sheepdog' name='papeete'><host name='127.0.0.1' port='7000'/></source>
      <target dev='vda' bus='virtio'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x04' function='0x0'/>
    </disk>
    <controller type='usb' index='0'/>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:01'/>
      <source bridge='ovsbr0'/>
      <virtualport type='openvswitch'><parameters interfaceid='x'/></virtualport>
      <model type='virtio'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
    </interface>
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <memballoon model='virtio'>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>
    </memballoon>
  </devices>
</domain>"""


def test_what_libvirt_1_0_3_adds_is_no_difference() -> None:
    wanted = domain(title="a title", disk=Disk.SHEEPDOG)
    assert difference(OLD_DOMAIN, wanted) == ""
    # Another cache mode is somebody's doing.
    changed = difference(OLD_DOMAIN.replace("writethrough", "none"), wanted)
    assert 'cache="none"' in changed


def test_memory_is_compared_as_an_amount() -> None:
    assert "-  <memory" in difference(DOMAIN, domain(memory=300))
    assert difference(LIVE, domain(memory=256), live=True) == ""
    assert difference(LIVE, domain(memory=300), live=True) != ""


def test_a_ballooned_guest_is_not_restarted() -> None:
    ballooned = LIVE.replace("<currentMemory unit='KiB'>250880", "<currentMemory unit='KiB'>131072")
    assert ballooned != LIVE
    assert difference(ballooned, domain(), live=True) == ""


@pytest.mark.parametrize(
    ("is_there", "instead"),
    [
        ("<source bridge='ovsbr0'/>", "<source bridge='obsbr0'/>"),
        ("bus='virtio'", "bus='ide'"),
        ("<on_crash>destroy", "<on_crash>restart"),
        ("<acpi/>", "<acpi/><apic/>"),
        ("<memballoon", "<video/><memballoon"),
        ("machine='pc-i440fx-5.2'", "machine='q35'"),
        ("<domain type='qemu'", "<domain type='kvm'"),
        ("io='threads'", "io='threads' cache='none'"),
        ("&lt;b&gt;", "&lt;i&gt;"),
    ],
)
def test_every_other_difference_is_one(is_there: str, instead: str) -> None:
    assert is_there in DOMAIN
    assert difference(DOMAIN.replace(is_there, instead), domain()) != ""


def test_what_is_missing_is_a_difference() -> None:
    root = ElementTree.fromstring(DOMAIN)
    devices = root.find("devices")
    console = root.find("devices/console")
    assert devices is not None
    assert console is not None
    devices.remove(console)
    diff = difference(ElementTree.tostring(root, encoding="unicode"), domain())
    assert '+    <console type="pty">' in diff


def test_the_how_tos_misspelt_bridge_is_shown() -> None:
    wrong = NETWORK.replace("<bridge name='ovsbr0'", "<bridge name='obsbr0'")
    wanted = render("network.xml.j2", network="ovsbr0", bridge="ovsbr0", uuid="")
    diff = difference(wrong, wanted).splitlines()
    assert '-  <bridge name="obsbr0" />' in diff
    assert '+  <bridge name="ovsbr0" />' in diff


def test_identity_is_read_and_may_be_absent() -> None:
    (known,) = interfaces(DOMAIN)
    assert known.mac.startswith("52:54:00:")
    assert len(identity(DOMAIN)["uuid"]) == len(known.interfaceid) == 36
    assert identity("") == {"uuid": ""}
    assert interfaces("") == ()
