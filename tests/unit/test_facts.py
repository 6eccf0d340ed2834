"""Facts: the script runs on any POSIX shell; what it prints is read, whatever a host says."""

import subprocess
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap.facts import gather, interfaces
from sheepvirt.bootstrap.facts.bridges import BridgeState
from sheepvirt.bootstrap.facts.fact import FactQuery
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.gather import arguments, parse, sections
from sheepvirt.bootstrap.facts.services import ServiceState
from sheepvirt.bootstrap.facts.sheepdog import ClusterState
from sheepvirt.bootstrap.facts.space import FOLDERS, Space
from sheepvirt.core.errors import BrokenXmlError

BOUNDARY = "@@0123456789ab"
NAMES = st.from_regex(r"[a-z][a-z:./-]{0,20}", fullmatch=True)
CONTENTS = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda t: BOUNDARY not in t)


@given(st.dictionaries(NAMES, CONTENTS))
def test_sections_come_out_as_they_went_in(wanted: dict[str, str]) -> None:
    text = "".join(f"\n{BOUNDARY} {name}\n{content}" for name, content in wanted.items())
    assert sections(text, BOUNDARY) == wanted


KINDS = [f"{one.name}:a" if one.arguments else one.name for one in gather.FRAGMENTS]
KINDS += ["header:a", "override:a"]  # which the fragment "headers" starts


@given(st.dictionaries(st.sampled_from(KINDS), CONTENTS))
def test_no_content_breaks_the_parser(found: dict[str, str]) -> None:
    libvirts = any(kind in found for kind in ("network:a", "pool:a", "domain:a"))
    with pytest.raises(BrokenXmlError) if libvirts and _is_broken(found) else nullcontext():
        assert isinstance(parse(found), Facts)


def _is_broken(found: dict[str, str]) -> bool:
    try:
        parse(found)
    except BrokenXmlError:
        return True
    return False


def test_a_title_cannot_start_a_section() -> None:
    title = "\n@@guess domain:papeete\nState: running\n"
    found = sections(f"\n{BOUNDARY} domain-xml:papeete\n<title>{title}</title>", BOUNDARY)
    assert list(found) == ["domain-xml:papeete"]


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_the_script_runs_where_nothing_of_ours_is_installed(shell: str) -> None:
    argv = [shell, "-s", "--", BOUNDARY]
    asked = FactQuery(names=("a b",), services=("x",), domains=("y",), files=("/etc/passwd", "/no"))
    done = subprocess.run(
        [*argv, *arguments(asked)],
        input=gather.SCRIPT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    found = parse(sections(done.stdout, BOUNDARY))
    assert done.returncode == 0
    assert "end" in sections(done.stdout, BOUNDARY)
    assert found.boot
    assert list(found.hashes) == ["/etc/passwd"]
    assert found.domains == found.networks == {}


@pytest.mark.parametrize(
    ("files", "found", "own"),
    [
        (["kernel/net/openvswitch/openvswitch.ko"], 1, True),
        (["kernel/net/openvswitch/openvswitch.ko.xz"], 1, True),
        (["extra/openvswitch/openvswitch.ko"], 1, False),
        (["weak-updates/o/openvswitch.ko", "kernel/net/openvswitch/openvswitch.ko"], 2, True),
        (["kernel/net/openvswitch/vport-gre.ko", "kernel/net/bridge/bridge.ko"], 0, False),
        ([], 0, False),
    ],
)
def test_a_module_of_the_kernel_is_told_from_one_of_an_rpm(
    files: list[str], found: int, own: bool, tmp_path: Path
) -> None:
    kernel = subprocess.run(["uname", "-r"], capture_output=True, text=True).stdout.strip()
    for file in files:
        path = tmp_path / kernel / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    asked = modules_of(tmp_path)
    assert len(asked.modules.get("openvswitch", ())) == found
    assert asked.kernel_has("openvswitch") is own


def test_a_module_that_is_built_in_is_the_kernels(tmp_path: Path) -> None:
    kernel = subprocess.run(["uname", "-r"], capture_output=True, text=True).stdout.strip()
    (tmp_path / kernel).mkdir()
    builtin = "kernel/fs/ext4/ext4.ko\nkernel/net/openvswitch/openvswitch.ko\n"
    (tmp_path / kernel / "modules.builtin").write_text(builtin)
    assert modules_of(tmp_path).kernel_has("openvswitch")


def modules_of(folder: Path) -> Facts:
    """Ask for the module openvswitch, with ``folder`` in the place of /lib/modules."""
    done = subprocess.run(
        ["sh", "-s", "--", BOUNDARY, *arguments(FactQuery(modules=("openvswitch",)))],
        input=gather.SCRIPT.replace("/lib/modules", str(folder)),
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    return parse(sections(done.stdout, BOUNDARY))


def test_rpms_are_read_with_epoch_and_header() -> None:
    found = parse({"packages": "a\ta-1:2-3.el6.x86_64\tabc\ta-2-3.src.rpm\nbroken line\n"})
    assert found.packages == {"a": "a-1:2-3.el6.x86_64"}
    assert found.source_rpms == {"a": "a-2-3.src.rpm"}
    assert found.headers == {"a": "abc"}


ON = ServiceState(active=True, enabled=True)
ON_UNTIL_BOOT = ServiceState(active=True, enabled=False)
ON_FROM_BOOT = ServiceState(active=False, enabled=True)
OFF = ServiceState(active=False, enabled=False)
UNIT = "LoadState={0}\nActiveState={1}\nUnitFileState={2}\n"


@pytest.mark.parametrize(
    ("service", "socket", "state"),
    [
        (("loaded", "active", "enabled"), ("not-found", "inactive", ""), ON),
        (("loaded", "active", "disabled"), ("not-found", "", ""), ON_UNTIL_BOOT),
        # virtlogd: its unit has only Also=virtlogd.socket.
        (("loaded", "inactive", "indirect"), ("loaded", "active", "enabled"), ON),
        (("loaded", "active", "indirect"), ("loaded", "active", "disabled"), ON_UNTIL_BOOT),
        # libvirtd exits when idle; a socket alone starts no guest at boot.
        (("loaded", "inactive", "enabled"), ("loaded", "active", "enabled"), ON),
        (("loaded", "inactive", "disabled"), ("loaded", "active", "enabled"), ON_UNTIL_BOOT),
        (("loaded", "failed", "enabled"), ("not-found", "", ""), ON_FROM_BOOT),
        (("not-found", "inactive", ""), ("not-found", "inactive", ""), None),
    ],
)
def test_a_service_and_its_socket(
    service: tuple[str, ...], socket: tuple[str, ...], state: ServiceState | None
) -> None:
    text = UNIT.format(*service) + "\n" + UNIT.format(*socket)
    assert parse({"service:x": text}).services.get("x") == state


LISTED = "x\t0:off\t1:off\t2:on\t3:{0}\t4:on\t5:on\t6:off\nstatus {1}\n"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (LISTED.format("on", 0), ON),
        (LISTED.format("off", 0), ON_UNTIL_BOOT),
        (LISTED.format("on", 3), ON_FROM_BOOT),
        ("status 1\n", OFF),  # chkconfig does not know it yet
        ("", None),
    ],
)
def test_a_service_of_sysv_init(text: str, state: ServiceState | None) -> None:
    assert parse({"runlevel": "3", "service:x": text}).services.get("x") == state


def test_init_scripts_are_read_with_their_overrides_and_links() -> None:
    found = parse(
        {
            "links": "S09openvswitch\nK10x\nS97libvirtd\n",
            "starts": "/etc/rc2.d/S09openvswitch\n/etc/rc3.d/S09openvswitch /etc/rc3.d/S97libvirtd",
            "header:libvirtd": "#!/bin/sh\n# chkconfig: 345 97 03\n",
            "header:README": "# no header\n",
            "header:x": "# chkconfig: - 20 80\n",
            "override:x": "# chkconfig: 2345 30 70\n",
            "interfaces": "lo eth0\n",
            "network-scripts": "yes",
        }
    )
    assert found.links == {"openvswitch": 9, "libvirtd": 97}
    assert found.starts == {"openvswitch": frozenset("23"), "libvirtd": frozenset("3")}
    assert {n: (s.start, s.stop) for n, s in found.scripts.items()} == {
        "libvirtd": (97, 3),
        "x": (30, 70),
    }
    assert found.interfaces == {"lo", "eth0"}
    assert found.network_scripts


def test_bridges_have_datapath_ports_and_a_device() -> None:
    found = parse({"bridges": 'ovsbr0 device netdev vnet0 vnet1\nbr1 - "" \n'})
    assert found.bridges == {
        "ovsbr0": BridgeState(datapath="netdev", ports=("vnet0", "vnet1"), device=True),
        "br1": BridgeState(datapath="system", ports=(), device=False),
    }


def test_domains_and_networks_in_the_words_of_virsh() -> None:
    found = parse(
        {
            "domain:p": "Id: 1\nState:   paused\nPersistent:  yes\nAutostart:  enable\n",
            "domain-xml:p": "<domain/>\n",
            "domain-live-xml:p": "<domain id='1'/>\n",
            "network:n": "Active:         no\nPersistent:     yes\nAutostart:      no\n",
            "network-xml:n": "<network/>",
            "network:absent": "",
        }
    )
    domain, network = found.domains["p"], found.networks["n"]
    assert (domain.active, domain.autostart, domain.live_xml) == (True, True, "<domain id='1'/>")
    assert (network.active, network.persistent, network.autostart) == (False, True, False)
    assert "absent" not in found.networks


def test_a_domain_that_is_off_runs_by_no_definition() -> None:
    found = parse(
        {
            "domain:p": "State: shut off\n",
            "domain-xml:p": "<domain/>",
            "domain-live-xml:p": "<domain/>",
        }
    )
    assert (found.domains["p"].active, found.domains["p"].live_xml) == (False, "")


def test_disks_know_what_they_were_made_from() -> None:
    found = parse({"disk:/a": "there a-1.img 0123\n", "disk:/b": "there ", "disk:/c": ""})
    assert found.disks == {"/a": "a-1.img 0123", "/b": ""}


def test_a_cluster_is_read_in_the_words_of_dog() -> None:
    found = parse(
        {
            "cluster": "dog\nCluster status: running, auto-recovery enabled\n",
            "nodes": "0 100 10 90 10%\nTotal 100 10 90 10% 5\n",
            "vdis": "= a 1 1000 0 0 17 ab 1  22\ns a 1 1000 0 0 17 aa 1 tag 22\n"
            "c b\\ \\\\c 3 20 0 0 17 ac 1  22\n= broken\n",
        }
    )
    assert found.cluster == ClusterState(
        status="running, auto-recovery enabled", nodes=1, listed=False, free=90
    )
    assert found.vdis_used == {"a": 0, "b \\c": 0}
    assert found.vdis == {"a": 1000, "b \\c": 20}
    assert parse({"cluster": "dog\n", "nodes": ""}).cluster == ClusterState(
        status="", nodes=0, listed=False
    )
    assert parse({"cluster": "dog\n", "vdis": "listed\n"}).cluster == ClusterState(
        status="", nodes=0, listed=True
    )
    assert parse({"cluster": ""}).cluster is None


def test_a_pool_is_read_in_the_words_of_virsh() -> None:
    found = parse(
        {
            "pool:a": "Name: a\nState:  running\nPersistent: yes\nAutostart: yes\n",
            "pool-xml:a": "<pool/>\n",
            "pool:b": "State: inactive\nAutostart: no\n",
            "pool-xml:b": "<pool/>\n",
        }
    ).pools
    assert (found["a"].active, found["a"].autostart, found["a"].xml) == (True, True, "<pool/>")
    assert (found["b"].active, found["b"].autostart) == (False, False)


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ("<domain><name>p</name>", "no element found"),
        ("<domain/>\x1b[2J", "not well-formed"),
        ("", "it starts with nothing"),
        ("error: Disconnected", "syntax error"),
    ],
)
def test_xml_that_cannot_be_read_is_an_error_that_names_the_object(xml: str, why: str) -> None:
    """It must not pass for an object that is absent or other."""
    said = {"domain:p": "State: running\n", "domain-xml:p": xml, "domain-live-xml:p": "<domain/>"}
    with pytest.raises(BrokenXmlError, match=f"domain p .*{why}"):
        parse(said)
    said |= {"domain-xml:p": "<domain/>", "domain-live-xml:p": xml or "<"}
    with pytest.raises(BrokenXmlError, match="the running domain p"):
        parse(said)


@pytest.mark.parametrize("line", ["ab  ./c d/e", "ab *./c d/e"], ids=["sha256sum", "openssl"])
def test_the_hashes_of_a_folder_are_read_from_either_program(line: str) -> None:
    assert parse({"tree:/repo": f"{line}\n"}).trees == {"/repo": {"c d/e": "ab"}}


@pytest.mark.parametrize(
    ("copies", "factor"), [("1", 1.0), ("3", 3.0), ("4:2", 1.5), ("nonsense", 1.0)]
)
def test_a_byte_of_a_vdi_needs_as_many_in_the_stores_as_it_has_copies(
    copies: str, factor: float
) -> None:
    rows = f"= a 1 1000 30 12 17 ab 1  22\n= b 1 1000 0 0 17 ab {copies} tag 22\n"
    found = parse({"cluster": "dog\n", "vdis": rows})
    assert found.cluster is not None
    assert (found.cluster.copies, found.cluster.free) == (factor, None)
    assert found.vdis_used["a"] == 42


def test_routes_are_read_from_the_kernels_table() -> None:
    rows = (
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT",
        "eth0 00000000 010011AC 0003 0 0 0 00000000 0 0 0 ",
        "eth0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0 ",
        "virbr0 007AA8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0 ",
    )
    table = "\n".join(rows).replace(" ", "\t") + "\n"
    assert [(route.interface, str(route.network)) for route in parse({"routes": table}).routes] == [
        ("eth0", "172.17.0.0/16"),
        ("virbr0", "192.168.122.0/24"),
    ]


def test_free_space_is_read_from_the_last_columns() -> None:
    """A name may have spaces; reserved blocks may leave less than nothing."""
    blocks = """unit -k
Filesystem 1024-blocks Used Available Capacity Mounted on
/dev/sda1 100 90 10 90% /
//a b/c 100 100 -5 100% /a b
tmpfs 0 0 0 - /run
"""
    inodes = """unit -i
Filesystem Inodes IUsed IFree IUse% Mounted on
/dev/sda1 50 20 30 40% /
//a b/c - - - - /a b
tmpfs 0 0 0 - /run
"""
    kinds = [
        Space(mount="/", free=10240, size=102400, inodes=30, device="/dev/sda1"),
        Space(mount="/a b", free=0, size=102400, device="//a b/c"),
        Space(mount="/run", free=0, device="tmpfs"),
    ]
    found = dict(zip(FOLDERS, kinds, strict=True))
    assert parse({"space": blocks + inodes}).space == found
    unknown = {folder: replace(one, inodes=None) for folder, one in found.items()}
    assert parse({"space": f"{blocks}unit -i\n"}).space == unknown
    assert parse({"space": f"unit -k\n{inodes}"}).space == {}
    assert parse({"space": blocks.replace("tmpfs", "# tmpfs").rpartition("#")[0]}).space == {}


def test_a_port_that_goes_away_while_it_is_looked_at_is_no_error() -> None:
    text = "device vnet0 52:54:00:00:00:01\nmaster vnet0 \nabove vnet0 \ndevice eth0 \nbridge br0\n"
    found = interfaces.DEVICES.parse({"devices": text})
    assert found["vnet0"] == interfaces.Device(mac="52:54:00:00:00:01")
    assert found["eth0"] == interfaces.Device()
