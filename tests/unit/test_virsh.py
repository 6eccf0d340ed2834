"""What virsh and QEMU's command line say, as values."""

from xml.etree import ElementTree

import pytest

from sheepvirt.bootstrap import virsh
from sheepvirt.core.errors import BrokenXmlError

VIRSH_V = """\
Virsh command line tool of libvirt 7.0.0
See web site at https://libvirt.org/

Compiled with support for:
 Hypervisors: QEMU/KVM LXC Test
 Networking: Remote Network Bridging Interface netcf Nwfilter VirtualPort
 Storage: Dir Disk Filesystem SCSI Multipath iSCSI LVM Sheepdog
 Miscellaneous: Daemon Nodedev Secrets Debug Readline
"""


def test_words_of_one_section_of_virsh() -> None:
    assert "Sheepdog" in virsh.compiled_in(VIRSH_V, "Storage")
    assert "Sheepdog" not in virsh.compiled_in(VIRSH_V, "Networking")
    assert virsh.compiled_in(VIRSH_V.replace(" Sheepdog", ""), "Storage")[-1] == "LVM"
    assert virsh.compiled_in("", "Storage") == ()


def test_info_lines() -> None:
    text = "Name:           ovsbr0\nActive:         yes\nUUID:           a-b\n\n"
    assert virsh.info(text) == {"Name": "ovsbr0", "Active": "yes", "UUID": "a-b"}


def test_states_of_a_table() -> None:
    text = " Name   State   Autostart\n-----------\n sheepdog   unknown   yes\n b  active  no\n\n"
    assert virsh.states(text) == {"sheepdog": "unknown", "b": "active"}
    assert virsh.states(" Name   State\n-----\n\n") == {}


@pytest.mark.parametrize(
    ("memory", "kib"),
    [
        ("<memory unit='KiB'>250000</memory>", 250000),
        ("<memory unit='GB'>1</memory>", 976563),
        ("<memory>1024</memory>", 1024),
        ("<memory unit='TiB'>2</memory>", 2**31),
        ("<memory unit='T'>1</memory>", 2**30),
        ("<memory unit='TB'>1</memory>", 976562500),
        ("<memory unit='gib'>1</memory>", 2**20),
        ("<memory unit='bytes'>1025</memory>", 2),
        ("<memory unit='MiB'>1</memory>", 1024),
        ("<memory>much</memory>", -1),
        ("", -1),
    ],
)
def test_memory_in_any_unit(memory: str, kib: int) -> None:
    assert virsh.memory_kib(ElementTree.fromstring(f"<domain>{memory}</domain>")) == kib


def test_a_unit_that_libvirt_does_not_have_is_no_traceback() -> None:
    with pytest.raises(BrokenXmlError, match="'1' in the unit 'KB/s'"):
        virsh.amount(ElementTree.fromstring("<memory unit='KB/s'>1</memory>"))


def test_disks_over_a_network() -> None:
    disk = "<disk type='{}' device='disk'><source {}/></disk>"
    text = disk.format("file", "file='/x'") + disk.format(
        "network", "protocol='sheepdog' name='papeete'"
    )
    domain = ElementTree.fromstring(f"<domain><devices>{text}</devices></domain>")
    assert virsh.network_disks(domain) == [("sheepdog", "papeete")]


@pytest.mark.parametrize(
    ("word", "opens"),
    [
        ('{"driver":"sheepdog","server":{"type":"inet","host":"::1"},"vdi":"a b"}', True),
        ('{"driver":"sheepdog","server":{"type":"inet","host":"::1"},"vdi":"a b2"}', False),
        ('{"driver":"file","filename":"a b"}', False),
        ("file=sheepdog:127.0.0.1:7000:a b,if=none,id=d", True),
        ("if=none,file=sheepdog:a b", True),
        ("file=sheepdog:a b2,if=none", False),
        ("file=/x/sheepdog:a b", False),
        ("-drive", False),
    ],
)
def test_what_opens_a_vdi(word: str, opens: bool) -> None:
    assert virsh.opens_vdi(["qemu", "-x", word, ""], "a b") is opens


OLD_POOLS = """\
Name                 State      Autostart\x20
-----------------------------------------
sheepdog             active     yes\x20
default              inactive   no\x20

"""
NEW_POOLS = """\
 Name       State      Autostart
----------------------------------
 sheepdog   active     yes
 default    inactive   no

"""


@pytest.mark.parametrize("text", [OLD_POOLS, NEW_POOLS], ids=["1.0.3", "7.0.0"])
def test_tables_of_virsh_old_and_new(text: str) -> None:
    assert virsh.states(text) == {"sheepdog": "active", "default": "inactive"}
