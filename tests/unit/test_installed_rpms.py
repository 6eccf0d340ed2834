"""What rpm and yum say of a host's packages, as values."""

from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap import installed_rpms


def test_installed_keeps_every_one_of_a_name() -> None:
    text = "a\ta-1-1.x86_64\tf00\nb\tb-1:2-1.noarch\tba5\na\ta-2-1.x86_64\tf01\n"
    assert installed_rpms.installed(text) == {
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
    rows = installed_rpms.altered(text)
    assert [(r.path, r.what, r.kind) for r in rows] == [
        ("/etc/libvirt/qemu.conf", "S.5....T.", "c"),
        ("/usr/bin/a file", "missing", ""),
        ("/var/lib/x", ".....UG..", ""),
        ("", "Unsatisfied dependencies for libvirt-7.0.0-1.x86_64:", ""),
    ]
    assert not any(installed_rpms.made_by_libvirtd(row) for row in rows)
    assert installed_rpms.altered("\n") == []


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
    made = [installed_rpms.made_by_libvirtd(row) for row in installed_rpms.altered(text)]
    assert made == [True, True, False, False, False, False, True, False, False]


def test_another_build_of_the_same_version_differs() -> None:
    ours = {"a": ("a-1-1.x86_64", "f00"), "b": ("b-1-1.x86_64", "f01")}
    assert installed_rpms.differing(ours, {"a": [("a-1-1.x86_64", "f00")]}) == []
    assert "another build" in installed_rpms.differing(ours, {"a": [("a-1-1.x86_64", "bad")]})[0]
    assert "a-2-1" in installed_rpms.differing(ours, {"a": [("a-2-1.x86_64", "f00")]})[0]
    two = {"a": [("a-1-1.x86_64", "f00"), ("a-0-1.x86_64", "f09")]}
    assert "a-0-1" in installed_rpms.differing(ours, two)[0]


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
    assert installed_rpms.yum_knows(text) == {
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
    assert all(installed_rpms.yum_knows(text))
