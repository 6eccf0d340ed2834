"""What a host's own network files say is kept in the new ones, or refused; nothing is dropped."""

from dataclasses import replace

import pytest
from test_ifcfg import BRIDGE, EL6, PORT, el6, seen, wanted

from sheepvirt.bootstrap.facts.bridges import BridgeState
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.interfaces import Device, NetworkFile
from sheepvirt.bootstrap.steps import ifcfg
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Datapath
from sheepvirt.model.hosts import Host
from tests.here import with_bridge

STATIC = with_bridge(EL6, address="192.0.2.7/24", gateway="192.0.2.1")
ALONE = with_bridge(EL6, uplink="")
PLAIN = "DEVICE=eth0\nBOOTPROTO=dhcp\n"
RICH = """\
# the first one
DEVICE="eth0"
TYPE=Ethernet
HWADDR=52:54:00:00:00:01
UUID='3b4f9b5e-0000-0000-0000-000000000000'; MTU=9000
export ETHTOOL_OPTS="speed 1000 \\
autoneg off"
BOOTPROTO=static
IPADDR0=192.0.2.7 PREFIX0=24
IPADDR1=198.51.100.7
NETMASK1=255.255.255.0
GATEWAY0=192.0.2.1
DNS1=192.0.2.53
DOMAIN="example.org example.net"
DEFROUTE=yes
IPV6ADDR=2001:db8::7/64
ZONE=internal
SLAVE=no
"""


def test_each_setting_goes_to_the_port_or_to_the_bridge() -> None:
    files = ifcfg.files(wanted(STATIC), el6(RICH))
    head, _, kept = files[PORT].partition("# Kept from former files.\n")
    assert head == ifcfg.files(wanted(STATIC))[PORT]
    assert kept == (
        'ETHTOOL_OPTS="speed 1000 autoneg off"\nHWADDR=52:54:00:00:00:01\nMTU=9000\nSLAVE=no\n'
        "UUID=3b4f9b5e-0000-0000-0000-000000000000\n"
    )
    head, _, kept = files[BRIDGE].partition("# Kept from former files.\n")
    assert head == ifcfg.files(wanted(STATIC))[BRIDGE]
    assert kept == (
        'DEFROUTE=yes\nDNS1=192.0.2.53\nDOMAIN="example.org example.net"\nIPADDR1=198.51.100.7\n'
        "IPV6ADDR=2001:db8::7/64\nMTU=9000\nPREFIX1=24\nZONE=internal\n"
    )


def test_the_plan_has_the_difference_of_each_file() -> None:
    bridge, port = ifcfg.check(wanted(STATIC), el6(RICH), ())
    assert bridge.diff.startswith(f"--- /dev/null\n+++ {BRIDGE}\n")
    assert "+IPADDR1=198.51.100.7" in bridge.diff
    assert port.diff.startswith(f"--- {PORT}\n+++ {PORT}\n")
    assert '-DEVICE="eth0"' in port.diff
    assert "-GATEWAY0=192.0.2.1" in port.diff


@pytest.mark.parametrize("host", [STATIC, EL6], ids=["static", "dhcp"])
def test_a_second_run_keeps_what_the_first_one_kept(host: Host) -> None:
    former = RICH if host is STATIC else "DEVICE=eth0\nBOOTPROTO=dhcp\nDNS1=192.0.2.53\nMTU=9000\n"
    assert ifcfg.check(wanted(host), seen(el6(former), host), ()) == []


def test_what_the_bridges_own_file_says_besides_stays() -> None:
    facts = el6(PLAIN, ifcfg__ovsbr0="DEVICE=ovsbr0\nTYPE=OVSBridge\nSTP=on\nDNS1=192.0.2.53\n")
    assert ifcfg.files(wanted(), facts)[BRIDGE].endswith(
        "# Kept from former files.\nDNS1=192.0.2.53\nSTP=on\n"
    )


def many(**files: str) -> Facts:
    return el6(PLAIN, **files)


def live(facts: Facts, **devices: Device) -> Facts:
    return replace(facts, devices=devices)


SWITCH = {"br1": BridgeState(datapath="system", ports=("eth0",), device=True)}


@pytest.mark.parametrize(
    ("host", "facts", "says", "hint"),
    [
        (EL6, el6("DEVICE=eth0\nVLAN=YES\n"), "VLAN=YES", "another uplink"),
        (EL6, el6("TYPE=Bond\n"), "TYPE=Bond", "another uplink"),
        (EL6, el6("BONDING_OPTS='mode=1 miimon=100'\n"), "BONDING_OPTS=mode=1", "another uplink"),
        (EL6, el6("TEAM_MASTER=team0\n"), "TEAM_MASTER=team0", "another uplink"),
        (EL6, el6("TYPE=OVSPort\nOVS_BRIDGE=br1\n"), "OVS_BRIDGE=br1", "another uplink"),
        (EL6, el6("BOOTPROTO=ibft\n"), "BOOTPROTO='ibft'", "use dhcp, none or static"),
        (EL6, el6("KEY_MGMT=IEEE8021X\n"), "KEY_MGMT='IEEE8021X'", "put a # before KEY_MGMT"),
        (EL6, el6("DEVICE=$(x)\n"), "ifcfg-eth0, line 1:", "write plain values"),
        (EL6, many(ifcfg__eth9="A=1\nB=`x`\n"), "ifcfg-eth9, line 2:", "write plain values"),
        (EL6, many(ifcfg__Auto_eth0="DEVICE=eth0\n"), "ifcfg-Auto_eth0 is for eth0", "keep one"),
        (EL6, many(ifcfg__x="DEVICE=ovsbr0\n"), "ifcfg-x is for ovsbr0", "keep one"),
        (
            EL6,
            live(many(ifcfg__x="HWADDR=AA:0B\n"), eth0=Device(mac="aa:0b")),
            "ifcfg-x is for eth0",
            "keep one",
        ),
        (EL6, many(**{"ifcfg__eth0:1": "IPADDR=192.0.2.8\n"}), "another address", "IPADDR1"),
        (EL6, many(**{"ifcfg__eth0.10": "VLAN=Yes\n"}), "eth0.10", "OVSIntPort"),
        (EL6, many(ifcfg__v="VLAN=yes\nPHYSDEV=eth0\n"), "v (", "OVSIntPort"),
        (EL6, many(ifcfg__eth1="MASTER=eth0\n"), "made of others", "another uplink"),
        (EL6, many(ifcfg__b="TYPE=OVSBond\nBOND_IFACES='eth0 eth1'\n"), "has eth0 for b", "eth0"),
        (EL6, many(ifcfg__eth1="BRIDGE=ovsbr0\n"), "a bridge of the kernel", "another bridge"),
        (EL6, many(route__eth0="192.0.2.0/24 via 192.0.2.1\n"), "route-eth0", "ovsbr0/g'"),
        (EL6, many(network="GATEWAYDEV=eth0\n"), "GATEWAYDEV=eth0", "GATEWAYDEV=ovsbr0"),
        (EL6, live(many(), eth0=Device(master="br0")), "part of br0 now", "take it out of br0"),
        (EL6, live(many(), eth0=Device(above=("v10",))), "v10 is on top of eth0", "remove v10"),
        (EL6, replace(many(), bridges=SWITCH), "a port of br1", "ovs-vsctl del-port br1 eth0"),
        (
            EL6,
            live(el6("DEVICE=eth0\n"), eth0=Device(addresses=("192.0.2.7/24",))),
            "eth0 has 192.0.2.7/24, ovsbr0 would get DHCP's",
            'bridge_address = "192.0.2.7/24"',
        ),
        (STATIC, many(), "eth0 has DHCP's, ovsbr0 would get 192.0.2.7/24", '"dhcp"'),
        (STATIC, el6("IPADDR=192.0.2.7\nPREFIX=16\n"), "192.0.2.7/16", '"192.0.2.7/16"'),
        (
            STATIC,
            el6("IPADDR=192.0.2.7\nNETMASK=255.255.255.0\nGATEWAY=192.0.2.254\n"),
            "says the gateway 192.0.2.254, and the inventory 192.0.2.1",
            'gateway = "192.0.2.254"',
        ),
        (EL6, el6("BOOTPROTO=dhcp\nIPADDR=192.0.2.7\n"), "both DHCP and IPADDR", "remove one"),
        (
            EL6,
            el6("", ifcfg__ovsbr0="IPADDR=192.0.2.7\nPREFIX=24\n"),
            "ovsbr0 has 192.0.2.7/24, ovsbr0 would get DHCP's",
            'bridge_address = "192.0.2.7/24"',
        ),
        (
            ALONE,
            el6(ifcfg__ovsbr0="IPADDR=192.0.2.7\nPREFIX=24\n"),
            "ovsbr0 would get none",
            'bridge_address = "192.0.2.7/24"',
        ),
        (
            ALONE,
            el6(ifcfg__ovsbr0="OVSBOOTPROTO=dhcp\nOVSDHCPINTERFACES=eth1\n"),
            "over eth1",
            'uplink = "eth1"',
        ),
        (EL6, many(ifcfg__ovsbr0="TYPE=Bridge\n"), "TYPE=Bridge", "another bridge"),
        (
            EL6,
            el6("DNS1=192.0.2.1\n", ifcfg__ovsbr0="DNS1=192.0.2.2\n"),
            "DNS1='192.0.2.1' and",
            "remove DNS1 from one",
        ),
        (
            with_bridge(EL6, datapath=Datapath.NETDEV),
            many(ifcfg__ovsbr0="OVS_EXTRA='set-fail-mode ovsbr0 secure'\n"),
            "OVS_EXTRA='set-fail-mode ovsbr0 secure'",
            "ovs-vsctl set",
        ),
        (
            EL6,
            many(ifcfg__ovsbr0="OVS_EXTRA='set bridge ovsbr0 datapath_type=netdev'\n"),
            "and the inventory the system datapath",
            "set `datapath`",
        ),
        (
            EL6,
            replace(many(), network_files={"ifcfg-x": NetworkFile(text="", whole=False)}),
            "ifcfg-x is too large",
            "tidy",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(host: Host, facts: Facts, says: str, hint: str) -> None:
    with pytest.raises(BootstrapError) as caught:
        ifcfg.check(wanted(host), facts, ())
    assert says in caught.value.message
    assert "No file was changed" in caught.value.message
    assert hint in caught.value.hint


def test_all_of_it_is_said_at_once() -> None:
    facts = el6("BRIDGE=br0\n", route__eth0="a\n", ifcfg__x="DEVICE=eth0\n")
    with pytest.raises(BootstrapError) as caught:
        ifcfg.check(wanted(), facts, ())
    for part in ("BRIDGE=br0", "route-eth0", "ifcfg-x"):
        assert part in caught.value.message


@pytest.mark.parametrize(
    "facts",
    [
        el6(PLAIN, **{"ifcfg__eth0.bak": "DEVICE=eth0\nA=$(x)\n"}),  # el6 passes it over
        el6(PLAIN, ifcfg__lo="DEVICE=lo\nA=$(x)\n"),
        el6(PLAIN, route__eth0="\n"),
        el6(PLAIN, ifcfg__eth1="DEVICE=eth1\nMASTER=bond0\nSLAVE=yes\n"),
        el6(PLAIN, ifcfg__eth2="TYPE=OVSPort\nOVS_BRIDGE=ovsbr0\nDEVICETYPE=ovs\n"),
        live(el6(PLAIN), eth0=Device(addresses=("192.0.2.100/24", "2001:db8::1/64"))),
        live(el6(PLAIN), eth0=Device(master="ovs-system", above=("ovs-system",))),
    ],
)
def test_what_does_not_concern_the_two_is_left_alone(facts: Facts) -> None:
    assert len(ifcfg.check(wanted(), facts, ())) == 2


def test_dhcp_may_become_the_address_that_it_gave() -> None:
    facts = live(el6(PLAIN), eth0=Device(addresses=("192.0.2.7/24",)))
    assert len(ifcfg.check(wanted(STATIC), facts, ())) == 2
