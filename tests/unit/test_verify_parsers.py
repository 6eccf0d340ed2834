"""What hosts print, as values."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap import parsers

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
    assert "Sheepdog" in parsers.compiled_in(VIRSH_V, "Storage")
    assert "Sheepdog" not in parsers.compiled_in(VIRSH_V, "Networking")
    assert parsers.compiled_in(VIRSH_V.replace(" Sheepdog", ""), "Storage")[-1] == "LVM"
    assert parsers.compiled_in("", "Storage") == ()


def test_info_lines() -> None:
    text = "Name:           ovsbr0\nActive:         yes\nUUID:           a-b\n\n"
    assert parsers.info(text) == {"Name": "ovsbr0", "Active": "yes", "UUID": "a-b"}


def test_states_of_a_table() -> None:
    text = " Name   State   Autostart\n-----------\n sheepdog   unknown   yes\n b  active  no\n\n"
    assert parsers.states(text) == {"sheepdog": "unknown", "b": "active"}
    assert parsers.states(" Name   State\n-----\n\n") == {}


def test_installed_keeps_every_one_of_a_name() -> None:
    text = "a\ta-1-1.x86_64\tf00\nb\tb-1:2-1.noarch\tba5\na\ta-2-1.x86_64\tf01\n"
    assert parsers.installed(text) == {
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
    rows = parsers.altered(text)
    assert [(r.path, r.what, r.kind) for r in rows] == [
        ("/etc/libvirt/qemu.conf", "S.5....T.", "c"),
        ("/usr/bin/a file", "missing", ""),
        ("/var/lib/x", ".....UG..", ""),
        ("", "Unsatisfied dependencies for libvirt-7.0.0-1.x86_64:", ""),
    ]
    assert not any(parsers.made_by_libvirtd(row) for row in rows)
    assert parsers.altered("\n") == []


def test_what_libvirtd_makes_itself_is_no_alteration() -> None:
    text = (
        ".M.......  g /var/run/libvirt/qemu\n"
        "SM5....T.    /etc/libvirt/nwfilter/no-arp-spoofing.xml\n"
        "missing      /etc/libvirt/nwfilter/allow-arp.xml\n"
        "S.5....T.    /etc/libvirt/storage/x\n"
        "SM5..UGT.    /etc/libvirt/nwfilter/no-arp-spoofing.xml\n"
        ".M.......  g /var/lib/other\n"
        ".M.......    /var/cache/libvirt/qemu\n"
        ".M...U...    /var/cache/libvirt/qemu\n"
        ".M.......    /var/cache/libvirt\n"
    )
    made = [parsers.made_by_libvirtd(row) for row in parsers.altered(text)]
    assert made == [True, True, False, False, False, False, True, False, False]


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
    assert parsers.memory_kib(ElementTree.fromstring(f"<domain>{memory}</domain>")) == kib


def test_beats_follow_the_very_line() -> None:
    line = 'it\'s "up" $(x) .*'
    console = (
        f"noise {line} (uptime 3 s, boot 2, marker 5f3a)\r\nit's up (uptime 4 s)\r\n"
        f"{line} (uptime 8 s, boot 2, marker 5f3a)\r\n{line} (uptime 13 s, boo"
    )
    assert parsers.beats(console, line) == [
        parsers.Heartbeat(uptime=3, boot=2, marker="5f3a"),
        parsers.Heartbeat(uptime=8, boot=2, marker="5f3a"),
    ]
    assert parsers.beats("", line) == []


def test_a_beat_says_what_is_wrong_with_the_disk() -> None:
    read = "I/O error: cannot read: dd: error reading '/dev/vda2': Input/output error"
    write = "I/O error: cannot write: dd: error writing '/dev/vda2': No space left on device"
    console = f"up (uptime 3 s, {read})\nup (uptime 8 s, boot 1, marker 5f, {write})"
    assert parsers.beats(console, "up") == [
        parsers.Heartbeat(uptime=3, boot=0, marker="", trouble=read),
        parsers.Heartbeat(uptime=8, boot=1, marker="5f", trouble=write),
    ]


def test_another_build_of_the_same_version_differs() -> None:
    ours = {"a": ("a-1-1.x86_64", "f00"), "b": ("b-1-1.x86_64", "f01")}
    assert parsers.differing(ours, {"a": [("a-1-1.x86_64", "f00")]}) == []
    assert "another build" in parsers.differing(ours, {"a": [("a-1-1.x86_64", "bad")]})[0]
    assert "a-2-1" in parsers.differing(ours, {"a": [("a-2-1.x86_64", "f00")]})[0]
    two = {"a": [("a-1-1.x86_64", "f00"), ("a-0-1.x86_64", "f09")]}
    assert "a-0-1" in parsers.differing(ours, two)[0]


def test_boot_records_of_a_report(tmp_path: Path) -> None:
    """Written by a real pytest, because its way with properties is what we read."""
    (tmp_path / "test_it.py").write_text(
        "def test_a(record_property):\n"
        "    record_property('boot record', 'pape ete 3 5f3a')\n"
        "    record_property('other', 'x')\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull,
            f"--rootdir={tmp_path}", "--junitxml=r.xml", "test_it.py"]  # fmt: skip
    subprocess.run(argv, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    said = (tmp_path / "r.xml").read_text()
    assert parsers.boot_records(said) == {"pape ete": (3, "5f3a")}
    assert parsers.boot_records("<testsuites/>") == {}


def test_nodes_are_rows_that_begin_with_a_number() -> None:
    assert parsers.nodes("0 77 0 77 0%\n12 77 0 77 0%\nTotal 154 0 154 0% 0\n") == 2
    assert parsers.nodes("Total 0 0 0 0% 0\n\n") == 0


def test_disks_over_a_network() -> None:
    disk = "<disk type='{}' device='disk'><source {}/></disk>"
    text = disk.format("file", "file='/x'") + disk.format(
        "network", "protocol='sheepdog' name='papeete'"
    )
    domain = ElementTree.fromstring(f"<domain><devices>{text}</devices></domain>")
    assert parsers.network_disks(domain) == [("sheepdog", "papeete")]


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
    assert parsers.opens_vdi(["qemu", "-x", word, ""], "a b") is opens


def test_what_yum_3_lists_wrapped_or_not() -> None:
    text = """\
Installed Packages
dbus.x86_64                     1:1.2.24-8.el6_6                   @anaconda-Base
Available Packages
libvirt-daemon-driver-interface.x86_64
                                1.0.3-1.el6                        sheepvirt
a.noarch                        0:2-3                              base
qemu-kvm.x86_64                 2:2.12.1-1.something.rather.long.el6
                                                                   sheepvirt
"""
    assert parsers.yum_knows(text) == {
        "dbus",
        "dbus-1:1.2.24-8.el6_6.x86_64",
        "libvirt-daemon-driver-interface",
        "libvirt-daemon-driver-interface-1.0.3-1.el6.x86_64",
        "a",
        "a-2-3.noarch",
        "qemu-kvm",
        "qemu-kvm-2:2.12.1-1.something.rather.long.el6.x86_64",
    }


@given(st.text())
def test_no_list_of_yum_breaks_the_reader(text: str) -> None:
    assert all(parsers.yum_knows(text))


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
    assert parsers.states(text) == {"sheepdog": "active", "default": "inactive"}
