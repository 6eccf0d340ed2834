"""List all facts of a host: each field of `Facts` names the fact that fills it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sheepvirt.bootstrap.facts.attached import ATTACHED, Attached
from sheepvirt.bootstrap.facts.bridges import BRIDGES, SWITCH, BridgeState
from sheepvirt.bootstrap.facts.fact import FACT, Fact, filled_by
from sheepvirt.bootstrap.facts.files import DISKS, HASHES, TEXTS, TREES
from sheepvirt.bootstrap.facts.interfaces import (
    DEVICES,
    INTERFACES,
    NETWORK_FILES,
    NETWORK_SCRIPTS,
    Device,
    NetworkFile,
)
from sheepvirt.bootstrap.facts.libvirt import (
    DOMAINS,
    LIBVIRT,
    NETWORKS,
    POOLS,
    RUNNING,
    Definition,
)
from sheepvirt.bootstrap.facts.modules import KERNEL_DATAPATH, MODULES
from sheepvirt.bootstrap.facts.ownership import MARKS
from sheepvirt.bootstrap.facts.packages import HEADERS, PACKAGES, PROVIDED, SOURCE_RPMS
from sheepvirt.bootstrap.facts.routes import ROUTES, Route
from sheepvirt.bootstrap.facts.services import SERVICES, ServiceState
from sheepvirt.bootstrap.facts.sheepdog import (
    CLUSTER,
    LISTENERS,
    VDIS,
    VDIS_USED,
    ClusterState,
    Listener,
)
from sheepvirt.bootstrap.facts.space import SPACE, Space
from sheepvirt.bootstrap.facts.system import (
    BOOT,
    INIT,
    INSTALLER,
    KERNEL,
    KVM_DEVICE,
    LANGUAGE,
    OS,
    REBOOT_NOTE,
)
from sheepvirt.bootstrap.facts.sysv import LINKS, RUNLEVEL, SCRIPTS, STARTS, Script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sheepvirt.bootstrap.facts.replies import ServiceReply
    from sheepvirt.bootstrap.marks import Mark
    from sheepvirt.model.enums import Init, ObjectKind


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A host's facts, from one round trip. What does not exist is absent from the mappings."""

    os: str = filled_by(OS)
    init: Init = filled_by(INIT)  # noqa: RUF009 (it returns a field)
    # Changes with every boot: boot_id, and the start time of PID 1 (a container's).
    boot: str = filled_by(BOOT)
    language: str = filled_by(LANGUAGE)
    installer: str = filled_by(INSTALLER)  # dnf | yum | "" (neither is installed)
    kernel_datapath: bool = filled_by(KERNEL_DATAPATH)  # the openvswitch module is loaded
    reboot_wanted: str = filled_by(REBOOT_NOTE)  # the boot during which packages changed
    packages: Mapping[str, str] = filled_by(PACKAGES)  # rpm name to NEVRA
    headers: Mapping[str, str] = filled_by(HEADERS)  # rpm name to SHA1HEADER
    source_rpms: Mapping[str, str] = filled_by(SOURCE_RPMS)  # rpm name to its source's file
    provided: frozenset[str] = filled_by(PROVIDED)  # queried names that an installed rpm provides
    services: Mapping[str, ServiceState] = filled_by(SERVICES)
    # Where libvirt or Open vSwitch does not answer, what it has is not known: it looks absent here.
    libvirt: ServiceReply = filled_by(LIBVIRT)  # noqa: RUF009 (it returns a field)
    switch: ServiceReply = filled_by(SWITCH)  # noqa: RUF009 (it returns a field)
    bridges: Mapping[str, BridgeState] = filled_by(BRIDGES)
    networks: Mapping[str, Definition] = filled_by(NETWORKS)
    attached: Mapping[str, Attached] = filled_by(ATTACHED)  # running guests, by name
    # None: no sheepdog is installed.
    cluster: ClusterState | None = filled_by(CLUSTER)  # noqa: RUF009 (it returns a field)
    pools: Mapping[str, Definition] = filled_by(POOLS)
    vdis: Mapping[str, int] = filled_by(VDIS)  # name to size in bytes
    vdis_used: Mapping[str, int] = filled_by(VDIS_USED)  # name to bytes in its objects
    domains: Mapping[str, Definition] = filled_by(DOMAINS)
    # All domains that run, also those that are not in the inventory; True: autostarted.
    running: Mapping[str, bool] = filled_by(RUNNING)
    disks: Mapping[str, str] = filled_by(DISKS)  # path of a guest's disk to its origin
    hashes: Mapping[str, str] = filled_by(HASHES)  # path to sha256, of sheepvirt's files
    texts: Mapping[str, str] = filled_by(TEXTS)  # path to content, of sheepvirt's notes
    trees: Mapping[str, Mapping[str, str]] = filled_by(TREES)  # folder to file to sha256
    space: Mapping[str, Space] = filled_by(SPACE)  # folder to the free space where it is
    kernel: str = filled_by(KERNEL)  # uname -r
    # Queried modules to their files below /lib/modules/<kernel>. kernel/… belongs to the kernel's
    # package, all else to another RPM.
    modules: Mapping[str, tuple[str, ...]] = filled_by(MODULES)
    kvm_device: bool = filled_by(KVM_DEVICE)  # /dev/kvm exists; it need not work
    runlevel: str = filled_by(RUNLEVEL)  # the default runlevel of a host with SysV init
    scripts: Mapping[str, Script] = filled_by(SCRIPTS)  # SysV init scripts by name
    links: Mapping[str, int] = filled_by(LINKS)  # script to its number at boot
    starts: Mapping[str, frozenset[str]] = filled_by(STARTS)  # script to its runlevels
    interfaces: frozenset[str] = filled_by(INTERFACES)  # network interfaces that the kernel has
    routes: tuple[Route, ...] = filled_by(ROUTES)
    network_scripts: bool = filled_by(NETWORK_SCRIPTS)  # /etc/sysconfig/network-scripts exists
    devices: Mapping[str, Device] = filled_by(DEVICES)
    # Name to content, of the ifcfg, route and rule files of network-scripts, and of `network`.
    network_files: Mapping[str, NetworkFile] = filled_by(NETWORK_FILES)
    listeners: tuple[Listener, ...] = filled_by(LISTENERS)  # on sheepdog's port
    # By kind and name; a note that cannot be read is none.
    marks: Mapping[tuple[ObjectKind, str], Mark] = filled_by(MARKS)

    def kernel_has(self, module: str) -> bool:
        """Tell whether the kernel's package has ``module``."""
        return any(path.startswith("kernel/") for path in self.modules.get(module, ()))


def all_facts() -> dict[str, Fact[Any]]:
    """Return the facts by the field of `Facts` that each fills."""
    return {field.name: field.metadata[FACT] for field in fields(Facts)}
