"""Frozen dataclasses of hosts: desired state, facts, changes, checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sheepvirt.model.enums import CheckResult, Datapath, Disk, Init

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A domain of a host. Memory in MB (10**6 bytes), as in the how-to's ``unit='GB'``."""

    name: str
    title: str
    memory_mb: int
    vcpus: int
    network: str
    console_marker: str  # what a running guest prints on its console; key `line` of the inventory
    disk: Disk = Disk.SHEEPDOG
    disk_gb: int = 1  # of 10**9 bytes: the VDI's size (a file is as large as its image)

    @property
    def disk_bytes(self) -> int:
        """The VDI's size."""
        return self.disk_gb * 10**9


@dataclass(frozen=True, kw_only=True)
class Host:
    """One machine of ``host/inventory.toml``."""

    name: str
    target: str
    rehearsal: bool  # a container on this machine, else a real machine
    address: str
    port: int  # 0 on a rehearsal host: the engine publishes a free one
    user: str
    bridge: str
    network: str
    guests: tuple[Guest, ...]
    language: str = ""  # LANG of a rehearsal host
    datapath: Datapath = Datapath.SYSTEM
    pool: str = "sheepdog"  # libvirt's storage pool of the sheepdog cluster
    kversion: str = ""  # kernel that its kernel modules are built for, as `uname -r` prints it
    uplink: str = ""  # the host's interface that becomes a port of the bridge; "" for none
    bridge_address: str = "dhcp"  # of a bridge with an uplink; or an IPv4 address and its prefix
    gateway: str = ""
    init: Init | None = None  # of a rehearsal host; None: the one that its RPMs need
    sheepdog_listen: tuple[str, ...] = ("127.0.0.1",)  # addresses that its port may be open on
    old_ssh: bool = False  # its sshd is as old as el6's: allow RSA and SHA-1 for this host


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """``host/dependencies.toml``: what to install before the RPMs, by el package names."""

    packages: tuple[str, ...]
    services: tuple[str, ...]  # in start order
    optional: frozenset[str] = frozenset()  # services that a host may lack


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a bootstrap step would change or has changed."""

    step: str
    what: str
    diff: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceState:
    """A service as its init reports it; true if it holds for the unit or for its socket."""

    active: bool
    enabled: bool


@dataclass(frozen=True, kw_only=True)
class Script:
    """A SysV init script's header. ``start`` and ``stop`` are -1 without a chkconfig line."""

    name: str
    levels: frozenset[str]  # runlevels in which it starts by default
    start: int
    stop: int
    lsb: bool = False
    provides: tuple[str, ...] = ()
    after: tuple[str, ...] = ()  # Required-Start and Should-Start: facilities or scripts


@dataclass(frozen=True, kw_only=True)
class BridgeState:
    """An Open vSwitch bridge. ``device``: the kernel has its interface as well."""

    datapath: str  # as Open vSwitch has it
    ports: tuple[str, ...]
    device: bool


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """A sheepdog cluster as ``dog`` reports it."""

    status: str  # from `dog cluster info`; "" if no server answers
    nodes: int  # number of nodes in `dog node info`, which libvirt's pool runs
    listed: bool  # its VDIs could be listed, so a VDI that is not listed does not exist


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A listening TCP socket, and the process that has it open."""

    address: str
    pid: int = 0  # 0 if unknown
    program: str = ""

    @property
    def title(self) -> str:
        """Program, pid and address, as text."""
        who = f"{self.program or 'a process'} (pid {self.pid})" if self.pid else "some process"
        return f"{who} on {self.address}"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A network, pool or domain of libvirt: its stored and its running definition."""

    xml: str
    active: bool
    persistent: bool
    autostart: bool
    live_xml: str = ""  # empty if it is not running


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A host's facts, from one round trip. What does not exist is absent from the mappings."""

    os: str = ""
    init: Init = Init.OTHER
    boot: str = ""  # changes with every boot: boot_id, and the start time of PID 1 (a container's)
    language: str = ""
    installer: str = ""  # dnf | yum | "" (neither is installed)
    kernel_datapath: bool = False  # the kernel has the openvswitch module loaded
    reboot_wanted: str = ""  # the boot during which packages changed, as a step noted it
    packages: Mapping[str, str] = field(default_factory=dict)  # rpm name to NEVRA
    headers: Mapping[str, str] = field(default_factory=dict)  # rpm name to SHA1HEADER
    source_rpms: Mapping[str, str] = field(default_factory=dict)  # rpm name to its source's file
    provided: frozenset[str] = frozenset()  # queried names that an installed rpm provides
    services: Mapping[str, ServiceState] = field(default_factory=dict)
    bridges: Mapping[str, BridgeState] = field(default_factory=dict)
    networks: Mapping[str, Definition] = field(default_factory=dict)
    cluster: ClusterState | None = None  # None: no sheepdog is installed
    pools: Mapping[str, Definition] = field(default_factory=dict)
    vdis: Mapping[str, int] = field(default_factory=dict)  # name to size in bytes
    domains: Mapping[str, Definition] = field(default_factory=dict)
    disks: Mapping[str, str] = field(default_factory=dict)  # path of a guest's disk to its origin
    hashes: Mapping[str, str] = field(default_factory=dict)  # path to sha256, of sheepvirt's files
    texts: Mapping[str, str] = field(default_factory=dict)  # path to content, of sheepvirt's notes
    kernel: str = ""  # uname -r
    # Queried modules to their files below /lib/modules/<kernel>. kernel/… belongs to the kernel's
    # package, all else to another RPM.
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kvm_device: bool = False  # /dev/kvm exists; whether KVM works is not known by that
    runlevel: str = ""  # the default runlevel of a host with SysV init
    scripts: Mapping[str, Script] = field(default_factory=dict)  # SysV init scripts by name
    links: Mapping[str, int] = field(default_factory=dict)  # script to its number at boot
    starts: Mapping[str, frozenset[str]] = field(default_factory=dict)  # script to its runlevels
    interfaces: frozenset[str] = frozenset()  # network interfaces that the kernel has
    network_scripts: bool = False  # /etc/sysconfig/network-scripts exists
    listeners: tuple[Listener, ...] = ()  # on sheepdog's port

    def kernel_has(self, module: str) -> bool:
        """Tell whether the kernel's package has ``module``."""
        return any(path.startswith("kernel/") for path in self.modules.get(module, ()))


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a verification."""

    name: str
    subject: str  # the guest, network, package … that it checks; "" if there is only one
    result: CheckResult
    seconds: float
    message: str = ""
    node: str = ""  # pytest's node id, to run this check alone

    @property
    def title(self) -> str:
        """``name [subject]``."""
        return f"{self.name} [{self.subject}]" if self.subject else self.name


@dataclass(frozen=True, kw_only=True)
class VerifyOutcome:
    """The result of a verification, over all its passes (before and after the reboot)."""

    passed: int
    failed: int
    junit_folder: Path


@dataclass(frozen=True, kw_only=True)
class Link:
    """One link of the chain from a running host back to its sources."""

    what: str
    found: str
    ok: bool
    detail: str = ""  # a diff
