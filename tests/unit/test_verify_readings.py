"""What hosts print, as values."""

from xml.etree import ElementTree

import pytest

from sheepvirt import readings

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
    assert "Sheepdog" in readings.compiled_in(VIRSH_V, "Storage")
    assert "Sheepdog" not in readings.compiled_in(VIRSH_V, "Networking")
    assert readings.compiled_in(VIRSH_V.replace(" Sheepdog", ""), "Storage")[-1] == "LVM"
    assert readings.compiled_in("", "Storage") == ()


def test_info_lines() -> None:
    text = "Name:           ovsbr0\nActive:         yes\nUUID:           a-b\n\n"
    assert readings.info(text) == {"Name": "ovsbr0", "Active": "yes", "UUID": "a-b"}


def test_installed_keeps_every_one_of_a_name() -> None:
    text = "a\ta-1-1.x86_64\tf00\nb\tb-1:2-1.noarch\tba5\na\ta-2-1.x86_64\tf01\n"
    assert readings.installed(text) == {
        "a": [("a-1-1.x86_64", "f00"), ("a-2-1.x86_64", "f01")],
        "b": [("b-1:2-1.noarch", "ba5")],
    }


def test_altered_files_and_other_complaints() -> None:
    text = (
        "S.5....T.  c /etc/libvirt/qemu.conf\n"
        "missing     /usr/bin/a file\n"
        ".....UG..    /var/lib/x\n"
        "Unsatisfied dependencies for libvirt-7.0.0-1.x86_64:\n"
    )
    rows = readings.altered(text)
    assert [(r.path, r.what, r.config) for r in rows] == [
        ("/etc/libvirt/qemu.conf", "S.5....T.", True),
        ("/usr/bin/a file", "missing", False),
        ("/var/lib/x", ".....UG..", False),
        ("", "Unsatisfied dependencies for libvirt-7.0.0-1.x86_64:", False),
    ]
    assert readings.altered("\n") == []


@pytest.mark.parametrize(
    ("memory", "kib"),
    [
        ("<memory unit='KiB'>250000</memory>", 250000),
        ("<memory unit='GB'>1</memory>", 976563),
        ("<memory>1024</memory>", 1024),
        ("<memory unit='MiB'>1</memory>", 1024),
        ("<memory>much</memory>", -1),
        ("", -1),
    ],
)
def test_memory_in_any_unit(memory: str, kib: int) -> None:
    assert readings.memory_kib(ElementTree.fromstring(f"<domain>{memory}</domain>")) == kib


def test_uptimes_follow_the_very_line() -> None:
    line = 'it\'s "up" $(x) .*'
    console = f"noise {line} (uptime 3 s)\r\nit's up (uptime 4 s)\r\n{line} (uptime 8 s)\r\n"
    assert readings.uptimes(console, line) == [3, 8]
    assert readings.uptimes("", line) == []


def test_another_build_of_the_same_version_differs() -> None:
    ours = {"a": ("a-1-1.x86_64", "f00"), "b": ("b-1-1.x86_64", "f01")}
    assert readings.differing(ours, {"a": [("a-1-1.x86_64", "f00")]}) == []
    assert "another build" in readings.differing(ours, {"a": [("a-1-1.x86_64", "bad")]})[0]
    assert "a-2-1" in readings.differing(ours, {"a": [("a-2-1.x86_64", "f00")]})[0]
    two = {"a": [("a-1-1.x86_64", "f00"), ("a-0-1.x86_64", "f09")]}
    assert "a-0-1" in readings.differing(ours, two)[0]
