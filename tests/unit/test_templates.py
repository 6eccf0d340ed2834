"""Templates of host/templates: any value of the inventory comes out of the XML as it went in."""

from xml.etree import ElementTree

import factories
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap import host_files
from sheepvirt.bootstrap.steps.definition import Interface
from tests.here import SETTINGS

FILES = host_files.load(SETTINGS.host)
# What the inventory lets through (config: printable), of what XML can carry.
VISIBLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1).filter(
    str.isprintable
)
NASTY = 'it\'s "quoted" <b>&amp; spaced</b> $(touch /tmp/pwned) {{ 7 * 7 }} ]]> 日本語'


def domain(title: str) -> ElementTree.Element:
    guest = factories.guest(title=title, console_marker="line")
    text = FILES.render(
        "domain.xml.j2",
        guest=guest,
        type="qemu",
        bridge="ovsbr0",
        file="/d.img",
        address="127.0.0.1",
        port=7000,
        cache="",
        uuid="",
        interfaces=[Interface()],
    )
    return ElementTree.fromstring(text)


@given(VISIBLE)
def test_any_title_survives_xml(title: str) -> None:
    assert domain(title).findtext("title") == title


def test_a_nasty_title_survives_xml() -> None:
    assert domain(NASTY).findtext("title") == NASTY


def test_the_domain_has_all_of_the_how_to_spelled_right() -> None:
    root = domain("t")
    assert root.find("devices/memballoon[@model='virtio']") is not None
    assert root.find("devices/membaloon") is None
    assert root.find("devices/interface/source[@bridge='ovsbr0']") is not None
    assert root.find("devices/interface/virtualport[@type='openvswitch']") is not None
    assert root.find("devices/serial[@type='pty']/target[@port='0']") is not None
    assert root.find("devices/console/target[@type='serial']") is not None
    source = "devices/disk[@type='network']/source[@protocol='sheepdog'][@name='papeete']"
    assert root.find(f"{source}/host[@name='127.0.0.1'][@port='7000']") is not None
    assert root.find("devices/disk/driver[@type='raw'][@io='threads']") is not None
    assert root.find("devices/disk/target[@dev='vda'][@bus='virtio']") is not None
    assert root.find("os/type[@machine='pc'][@arch='x86_64']") is not None
    assert root.find("os/boot[@dev='hd']") is not None
    assert root.find("os/bootmenu[@enable='no']") is not None
    assert root.find("vcpu[@placement='static']") is not None
    assert [root.findtext(f"on_{e}") for e in ("poweroff", "reboot", "crash")] == [
        "destroy",
        "restart",
        "destroy",
    ]
    assert root.findtext("devices/emulator") == "/usr/bin/qemu-system-x86_64"
    assert root.find("memory[@unit='MB']") is not None
    assert root.find("clock[@offset='localtime']") is not None
    assert root.find("features/acpi") is not None
    assert root.find("uuid") is None


def test_an_identity_is_kept() -> None:
    guest = factories.guest(title="t", console_marker="line")
    text = FILES.render(
        "domain.xml.j2",
        guest=guest,
        type="kvm",
        bridge="b",
        file="/d.img",
        address="127.0.0.1",
        port=7000,
        cache="",
        uuid="u-1",
        interfaces=[Interface(mac="52:54:00:00:00:01", interfaceid="i-1")],
    )
    root = ElementTree.fromstring(text)
    assert root.findtext("uuid") == "u-1"
    assert root.find("devices/interface/mac[@address='52:54:00:00:00:01']") is not None
    assert root.find("devices/interface/virtualport/parameters[@interfaceid='i-1']") is not None


def test_the_network_is_the_how_tos_on_the_right_bridge() -> None:
    root = ElementTree.fromstring(FILES.render("network.xml.j2", network="n", bridge="br", uuid=""))
    assert root.findtext("name") == "n"
    assert root.find("bridge[@name='br']") is not None
    assert root.find("forward[@mode='bridge']") is not None
    assert root.find("virtualport[@type='openvswitch']") is not None
