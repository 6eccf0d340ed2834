"""Each fact is one object. The script made of them runs on a host with systemd or SysV init."""

import shutil
import subprocess
from collections import Counter
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from virsh_program import virsh

from sheepvirt.bootstrap import facts as package
from sheepvirt.bootstrap.facts import gather
from sheepvirt.bootstrap.facts.attached import Attached
from sheepvirt.bootstrap.facts.bridges import BridgeState
from sheepvirt.bootstrap.facts.fact import Fact, FactQuery, Fragment, fixed_fact
from sheepvirt.bootstrap.facts.facts import Facts, all_facts
from sheepvirt.bootstrap.facts.interfaces import Device, NetworkFile
from sheepvirt.bootstrap.facts.libvirt import Definition
from sheepvirt.bootstrap.facts.replies import Reply, ServiceReply
from sheepvirt.bootstrap.facts.services import ServiceState
from sheepvirt.bootstrap.facts.sheepdog import ClusterState
from sheepvirt.bootstrap.facts.space import FOLDERS, Space
from sheepvirt.bootstrap.facts.sysv import Script
from sheepvirt.model.enums import Init

MODULES = [
    import_module(f"{package.__name__}.{one.name}") for one in iter_modules(package.__path__)
]
SHELLS = ("dash", "bash")


def test_each_field_is_filled_by_exactly_one_fact() -> None:
    named = {id(fact) for module in MODULES for fact in vars(module).values() if type(fact) is Fact}
    used = Counter(id(fact) for fact in all_facts().values())
    assert list(all_facts()) == [field.name for field in fields(Facts)]
    assert used.keys() == named
    assert set(used.values()) == {1}


def test_each_fact_has_a_fragment_and_no_two_fragments_have_one_name() -> None:
    for name, fact in all_facts().items():
        assert fact.fragments, name
        assert all(fragment.shell.strip() for fragment in fact.fragments), name
    assert set(Counter(one.name for one in gather.FRAGMENTS).values()) == {1}


def test_each_field_of_a_query_is_asked() -> None:
    for field in fields(FactQuery):
        asked = gather.arguments(replace(FactQuery(), **{field.name: ("a b",)}))
        assert asked, field.name
        assert all(argument.endswith(":a b") for argument in asked)
    assert gather.arguments(FactQuery()) == []


def test_a_host_that_has_nothing_has_the_defaults() -> None:
    assert gather.parse({}) == Facts()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("fragment", gather.FRAGMENTS, ids=lambda one: one.name)
def test_a_fragment_is_complete_in_itself(fragment: Fragment, shell: str) -> None:
    """An open quote or an `if` without its end would take the next fragments with it."""
    done = subprocess.run([shell, "-n"], input=fragment.shell, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_fragment_that_fails_spoils_no_other(shell: str) -> None:
    bad = [
        fixed_fact("ends", "printf some; exit 7\n", str),
        fixed_fact("reads", "cat\n", str),
        fixed_fact("changes", "boundary=x value=y; cd /; PATH=/none; section() { :; }\n", str),
        fixed_fact("fails", "no-such-program; false\n", str),
        Fact(
            (Fragment(name="asked", shell="exit 3\n", arguments=lambda query: query.names),), dict
        ),
    ]
    good = fixed_fact("good", "has cat && printf '%s' good\n", str)
    script = gather.script(gather.fragments([*bad, good]))
    done = subprocess.run(
        [shell, "-s", "--", "@@b", "asked:a", "asked:b"],
        input=script,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert gather.sections(done.stdout, "@@b") == {
        "ends": "some",
        "reads": "",
        "changes": "",
        "fails": "",
        "good": "good",
        "asked:a": "",
        "asked:b": "",
        "end": "",
    }


PROGRAMS = {
    "ip": r"""
[ "$*" = '-o addr show scope global' ] || exit 9
cat <<END
2: ovsbr0    inet 192.0.2.7/24 brd 192.0.2.255 scope global ovsbr0\\       valid_lft forever
3: ovsbr0.10@ovsbr0    inet6 2001:db8::7/64 scope global \\       valid_lft forever
END""",
    "uname": "echo 9.9",
    "rpm": r"""
case $1 in
-qa) printf 'a\ta-2:1-1.x86_64\tf0\ta-1-1.src.rpm\n' ;;
*) code=0; shift 2
for name; do case $name in dbus) printf yes ;; yes | --qf) ;; *) echo none; code=1 ;; esac; done
exit $code ;;
esac""",
    "ovs-vsctl": r"""
case $2 in list-br) printf 'ovsbr0\nbr1\n' ;; get) [ $4 = br1 ] || echo netdev ;;
list-ports) [ $3 = br1 ] || printf 'vnet0\nvnet1\n' ;; esac""",
    "df": r"shift 2; echo Filesystem; for one; do echo '/dev/a b 10 8 2 80% /a disk'; done",
    "dog": r"""
cat
case "$*" in
'cluster info') printf 'Cluster status: running\nmore\n' ;;
'node info -r') printf '0 100 10 90 10%%\nTotal 100 10 90 10%% 1\n' ;;
'vdi list -r') echo '= a 1 1000 0 0 17 ab 1  22' ;;
esac""",
    "virsh": virsh(
        r"""
for last; do :; done
[ "$last" != absent ] || exit 1
case "$*" in
net-info*) printf 'Active: yes\nPersistent: yes\nAutostart: no\n' ;;
pool-info*) printf 'State: inactive\nAutostart: yes\n' ;;
'list --name') printf 'd d\nother\n\n' ;;
'list --all --name --autostart') printf 'd d\noff\n\n' ;;
dominfo*) printf 'State: running\nPersistent: yes\nAutostart: enable\n' ;;
net-dumpxml*) echo '<network/>' ;; pool-dumpxml*) echo '<pool/>' ;;
dumpxml*) echo "<domain>$2</domain>" ;; *) exit 1 ;;
esac""",
        first="cat",
    ),
}
SYSTEMD = {
    "dnf": "",
    "systemctl": r"""
[ "$*" != 'show -p LoadState -p ActiveState -p UnitFileState libvirtd.service libvirtd.socket' ] ||
printf 'LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\nLoadState=not-found\n'""",
}
SYSV = {
    "yum": "",
    "chkconfig": r"printf '%s\t0:off\t2:on\t3:on\n' $2",
    "service": "cat; [ $1 = libvirtd ]",
}
FILES = {
    "sys/class/net/lo/mtu": "",
    "sys/class/net/ovsbr0/mtu": "",
    "sys/module/openvswitch/refcnt": "",
    "lib/modules/9.9/extra/openvswitch.ko": "",
    "sys/class/net/ovsbr0/address": "02:00:00:00:00:01\n",
    "sys/class/net/ovsbr0/upper_ovsbr0.10/x": "",
    "etc/sysconfig/network": "NETWORKING=yes\n",
    "etc/sysconfig/network-scripts/ifcfg-lo": "",
    "etc/sysconfig/network-scripts/ifcfg-Auto eth0": "A='b\n\nc'",
    "etc/sysconfig/network-scripts/route-eth0": "\n",
    "etc/sysconfig/network-scripts/rule-new\nline": "",
    "etc/sysconfig/network-scripts/ifcfg-large": "#" * 32769,
    "etc/sysconfig/network-scripts/ifup-eth": "a script\n",
    "var/lib/sheepvirt/reboot-wanted": "b/1\n",
    "a disk": "x",
    "a disk.from": "a-1.img 01\n",
    "a file": "content\n",
    "a tree/b c/d": "content\n",
}
SYSTEMD_FILES = {
    "run/systemd/system/x": "",
    "etc/os-release": 'ID=debian\nVERSION_ID="11"\n',
    "etc/locale.conf": 'LANG="ja_JP.UTF-8"\n',
}
SYSV_FILES = {
    "etc/redhat-release": "CentOS release 6.10 (Final)\n",
    "etc/sysconfig/i18n": "LANG=C\n",
    "etc/inittab": "id:3:initdefault:\n",
    "etc/init.d/libvirtd": "# chkconfig: 345 97 03\n",
    "etc/init.d/sheepdog": "# chkconfig: - 20 80\n",
    "etc/init.d/libvirtd.rpmsave": "# chkconfig: 345 01 02\n",
    "etc/chkconfig.d/sheepdog": "# chkconfig: 2345 30 70\n",
    "etc/rc2.d/S30sheepdog": "",
    "etc/rc3.d/S30sheepdog": "",
    "etc/rc3.d/S97libvirtd": "",
    "etc/rc3.d/K10x": "",
}
DIGEST = "434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53"
UP = ServiceState(active=True, enabled=True)
BOTH = Facts(
    kernel_datapath=True,
    reboot_wanted="b/1",
    packages={"a": "a-2:1-1.x86_64"},
    headers={"a": "f0"},
    source_rpms={"a": "a-1-1.src.rpm"},
    provided=frozenset({"dbus"}),
    bridges={
        "ovsbr0": BridgeState(datapath="netdev", ports=("vnet0", "vnet1"), device=True),
        "br1": BridgeState(datapath="system", ports=(), device=False),
    },
    networks={
        "n": Definition(
            xml="<network/>",
            active=True,
            persistent=True,
            autostart=False,
            live_xml="<network/>",
        )
    },
    attached={"d d": Attached(), "other": Attached()},
    pools={"p": Definition(xml="<pool/>", active=False, persistent=True, autostart=True)},
    running={"d d": True, "other": False},
    domains={
        "d d": Definition(
            xml="<domain>--inactive</domain>",
            active=True,
            persistent=True,
            autostart=True,
            live_xml="<domain>d d</domain>",
        )
    },
    libvirt=ServiceReply(reply=Reply.ANSWERS),
    switch=ServiceReply(reply=Reply.ANSWERS),
    cluster=ClusterState(status="running", nodes=1, listed=True, free=90),
    vdis={"a": 1000},
    vdis_used={"a": 0},
    disks={"a disk": "a-1.img 01"},
    hashes={"a file": DIGEST},
    texts={"a file": "content"},
    trees={"a tree": {"b c/d": DIGEST}},
    space=dict.fromkeys(
        FOLDERS, Space(mount="/a disk", free=2048, size=10240, inodes=2, device="/dev/a b")
    ),
    kernel="9.9",
    modules={"openvswitch": ("extra/openvswitch.ko",)},
    interfaces=frozenset({"lo", "ovsbr0"}),
    network_scripts=True,
    devices={
        "lo": Device(),
        "ovsbr0": Device(
            mac="02:00:00:00:00:01", above=("ovsbr0.10",), addresses=("192.0.2.7/24",)
        ),
        "ovsbr0.10": Device(addresses=("2001:db8::7/64",)),
    },
    network_files={
        "network": NetworkFile(text="NETWORKING=yes\n"),
        "ifcfg-lo": NetworkFile(text=""),
        "ifcfg-Auto eth0": NetworkFile(text="A='b\n\nc'"),
        "route-eth0": NetworkFile(text="\n"),
        "ifcfg-large": NetworkFile(text="", whole=False),
        "unreadable-name": NetworkFile(text=""),
    },
)
ON_SYSTEMD = replace(
    BOTH,
    os="debian 11",
    init=Init.SYSTEMD,
    language="ja_JP.UTF-8",
    installer="dnf",
    services={"libvirtd": UP},
)
ON_SYSV = replace(
    BOTH,
    os="CentOS release 6.10 (Final)",
    init=Init.SYSV,
    language="C",
    installer="yum",
    services={"libvirtd": UP, "sheepdog": ServiceState(active=False, enabled=True)},
    runlevel="3",
    scripts={
        "libvirtd": Script(
            name="libvirtd", levels=frozenset("345"), start=97, stop=3, provides=("libvirtd",)
        ),
        "sheepdog": Script(
            name="sheepdog", levels=frozenset("2345"), start=30, stop=70, provides=("sheepdog",)
        ),
    },
    links={"libvirtd": 97, "sheepdog": 30},
    starts={"libvirtd": frozenset("3"), "sheepdog": frozenset("23")},
)
QUERY = FactQuery(
    names=("dbus", "no such"),
    modules=("openvswitch", "absent"),
    services=("libvirtd", "sheepdog", "absent"),
    networks=("n", "absent"),
    changed_networks=("n",),
    pools=("p", "absent"),
    domains=("d d", "absent"),
    disks=("a disk", "absent"),
    files=("a file", "absent"),
    texts=("a file", "absent"),
    trees=("a tree", "absent"),
)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("programs", "files", "wanted"),
    [(SYSTEMD, SYSTEMD_FILES, ON_SYSTEMD), (SYSV, SYSV_FILES, ON_SYSV)],
    ids=["systemd", "sysv"],
)
def test_facts_of_a_host(
    programs: dict[str, str], files: dict[str, str], wanted: Facts, shell: str, tmp_path: Path
) -> None:
    for name, text in (FILES | files).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)  # init scripts are executable
    found = on_host(tmp_path, PROGRAMS | programs, shell)
    assert found.boot
    # What is this machine's own: its boot, its /dev/kvm, and who listens on it.
    here = replace(found, boot="", kvm_device=False, listeners=(), routes=())
    assert here == wanted


def on_host(root: Path, programs: dict[str, str], shell: str) -> Facts:
    """Gather facts where ``root`` has the host's files, and nothing but ``programs`` is there."""
    (root / "bin").mkdir()
    for name, text in programs.items():
        (root / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (root / "bin" / name).chmod(0o755)
    for name in (
        "cat",
        "sed",
        "cut",
        "ls",
        "grep",
        "awk",
        "sort",
        "timeout",
        "find",
        "sha256sum",
        "xargs",
        "readlink",
        "wc",
    ):
        (root / "bin" / name).symlink_to(str(shutil.which(name)))
    script = gather.SCRIPT
    for folder in (
        "/etc/",
        "/run/systemd/",
        "/sys/class/",
        "/sys/module/",
        "/lib/modules/",
        "/var/lib/",
    ):
        script = script.replace(folder, f"{root}{folder}")
    done = subprocess.run(
        [str(shutil.which(shell)), "-s", "--", "@@b", *gather.arguments(QUERY)],
        input=script,
        capture_output=True,
        text=True,
        cwd=root,
        env={"PATH": f"{root}/bin", "LC_ALL": "C"},
    )
    assert done.returncode == 0
    return gather.parse(gather.sections(done.stdout, "@@b"))
