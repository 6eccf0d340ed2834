"""Frozen dataclasses of hosts: wanted, found, changed, checked. Imports nothing local."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SYSTEMD, SYSV = "systemd", "sysv"
INITS = (SYSTEMD, SYSV)  # that a host may have


@dataclass(frozen=True)
class Guest:
    """A domain of a host. Memory in MB (10**6 bytes), as in the how-to's ``unit='GB'``."""

    name: str
    title: str
    memory_mb: int
    vcpus: int
    network: str
    console_marker: str  # what a running guest prints on its console; key `line` of the inventory
    disk: str = "sheepdog"  # or "file": where its disk lives; the VDI has the guest's name
    disk_gb: int = 1  # of 10**9 bytes: the VDI's size (a file is as large as its image)

    @property
    def disk_bytes(self) -> int:
        """The VDI's size."""
        return self.disk_gb * 10**9


@dataclass(frozen=True)
class Host:
    """One machine of ``host/inventory.toml``."""

    name: str
    target: str
    rehearsal: bool  # a container of ours on this machine; else a real machine
    address: str
    port: int  # 0 on a rehearsal host: the engine publishes a free one
    user: str
    bridge: str
    network: str
    guests: tuple[Guest, ...]
    language: str = ""  # LANG of a rehearsal host
    datapath: str = "system"  # of the bridge in Open vSwitch: system (kernel) or netdev (userspace)
    pool: str = "sheepdog"  # libvirt's storage pool of the sheepdog cluster
    kversion: str = ""  # kernel that its kernel modules are built for, as `uname -r` prints it
    uplink: str = ""  # the host's interface that is the bridge's way out; "" for none
    bridge_address: str = "dhcp"  # of a bridge with an uplink; or an IPv4 address and its prefix
    gateway: str = ""
    init: str = ""  # of a rehearsal host: systemd | sysv | "" (what its RPMs want)
    sheepdog_listen: tuple[str, ...] = ("127.0.0.1",)  # addresses that its port may be open on
    old_ssh: bool = False  # its sshd is of el6's age: RSA and SHA-1 are allowed, for it alone


@dataclass(frozen=True)
class Dependencies:
    """``host/dependencies.toml``: what a host gets before the RPMs, by el package names."""

    packages: tuple[str, ...]
    services: tuple[str, ...]  # in the order of their start
    optional: frozenset[str] = frozenset()  # of these services, those that a host may not have


@dataclass(frozen=True)
class Change:
    """What a bootstrap step would change or has changed."""

    step: str
    what: str
    diff: str = ""


@dataclass(frozen=True)
class ServiceState:
    """A service as its init sees it; of the unit and its socket, whichever says yes."""

    active: bool
    enabled: bool


@dataclass(frozen=True)
class Script:
    """A SysV init script's header. ``start`` and ``stop`` are -1 where it has no chkconfig line."""

    name: str
    levels: frozenset[str]  # in which it starts by default
    start: int
    stop: int
    lsb: bool = False
    provides: tuple[str, ...] = ()
    after: tuple[str, ...] = ()  # Required-Start and Should-Start: facilities or scripts


@dataclass(frozen=True)
class BridgeState:
    """A bridge of Open vSwitch. ``device`` tells whether the kernel has its interface as well."""

    datapath: str
    ports: tuple[str, ...]
    device: bool


@dataclass(frozen=True)
class ClusterState:
    """A sheepdog cluster as its ``dog`` sees it."""

    status: str  # what `dog cluster info` says of it; "" where no server answers
    nodes: int  # that `dog node info` lists: what libvirt's pool asks for
    listed: bool  # its VDIs could be listed: one that is not among them does not exist


@dataclass(frozen=True)
class Listener:
    """A TCP socket that listens, and the process that has it open."""

    address: str
    pid: int = 0  # 0 where it is not known
    program: str = ""

    @property
    def title(self) -> str:
        """Program, pid and address in words."""
        who = f"{self.program or 'a process'} (pid {self.pid})" if self.pid else "some process"
        return f"{who} on {self.address}"


@dataclass(frozen=True)
class Definition:
    """A network, pool or domain of libvirt: what it starts with, and what runs of it now."""

    xml: str
    active: bool
    persistent: bool
    autostart: bool
    live_xml: str = ""  # empty where nothing runs


@dataclass(frozen=True)
class Facts:
    """A host as one round trip saw it. What is not there is absent from the mappings."""

    os: str = ""
    init: str = ""  # systemd | sysv (chkconfig is there) | other
    boot: str = ""  # differs after every boot: boot_id, and the start of PID 1 (a container's)
    language: str = ""
    installer: str = ""  # dnf | yum | "" (neither is there)
    kernel_datapath: bool = False  # the kernel has the openvswitch module loaded
    reboot_wanted: str = ""  # the boot during which packages changed, as a step noted it
    packages: Mapping[str, str] = field(default_factory=dict)  # rpm name to NEVRA
    headers: Mapping[str, str] = field(default_factory=dict)  # rpm name to SHA1HEADER
    source_rpms: Mapping[str, str] = field(default_factory=dict)  # rpm name to its source's file
    provided: frozenset[str] = frozenset()  # of the names asked for, those that an rpm provides
    services: Mapping[str, ServiceState] = field(default_factory=dict)
    bridges: Mapping[str, BridgeState] = field(default_factory=dict)
    networks: Mapping[str, Definition] = field(default_factory=dict)
    cluster: ClusterState | None = None  # None: no sheepdog is installed
    pools: Mapping[str, Definition] = field(default_factory=dict)
    vdis: Mapping[str, int] = field(default_factory=dict)  # name to size in bytes
    domains: Mapping[str, Definition] = field(default_factory=dict)
    disks: Mapping[str, str] = field(default_factory=dict)  # path of a guest's disk to its origin
    hashes: Mapping[str, str] = field(default_factory=dict)  # path to sha256, of files we own
    texts: Mapping[str, str] = field(default_factory=dict)  # path to content, of notes we left
    kernel: str = ""  # uname -r
    modules: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # of those asked for, their
    # files below /lib/modules/<kernel>: kernel/… is the kernel's own, all else is somebody's RPM
    kvm_device: bool = False  # /dev/kvm is there, which proves nothing yet
    runlevel: str = ""  # the default one, of a host with SysV init
    scripts: Mapping[str, Script] = field(default_factory=dict)  # SysV init scripts by name
    links: Mapping[str, int] = field(default_factory=dict)  # script to its number at boot
    starts: Mapping[str, frozenset[str]] = field(default_factory=dict)  # script to its runlevels
    interfaces: frozenset[str] = frozenset()  # network interfaces that the kernel has
    network_scripts: bool = False  # /etc/sysconfig/network-scripts is there
    listeners: tuple[Listener, ...] = ()  # on sheepdog's port

    def kernel_has(self, module: str) -> bool:
        """Tell whether the kernel's own package brings ``module``."""
        return any(path.startswith("kernel/") for path in self.modules.get(module, ()))


@dataclass(frozen=True)
class Check:
    """One check of a verification."""

    name: str
    subject: str  # the guest, network, package … it looked at; "" where there is but one
    result: str  # passed | failed | skipped
    seconds: float
    message: str = ""
    node: str = ""  # by which pytest runs this one alone

    @property
    def title(self) -> str:
        """``name [subject]``."""
        return f"{self.name} [{self.subject}]" if self.subject else self.name


@dataclass(frozen=True)
class VerifyOutcome:
    """What verification came to, over all its passes (before and after the reboot)."""

    passed: int
    failed: int
    junit_folder: Path


@dataclass(frozen=True)
class Link:
    """One link of the chain from a running host back to its sources, as it was found."""

    what: str
    found: str
    ok: bool
    detail: str = ""  # a diff
