"""Frozen dataclasses of the inventory, of changes on a host, and of its verification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.model.enums import CheckResult, Init, Stop

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.model.enums import Datapath
    from sheepvirt.model.guests import Guest
    from sheepvirt.model.networks import Bridge, Network


@dataclass(frozen=True, kw_only=True)
class Host:
    """One machine of ``host/inventory.toml``."""

    name: str
    target: str
    rehearsal: bool  # a container on this machine, else a real machine
    address: str
    port: int  # 0 on a rehearsal host: the engine publishes a free one
    user: str  # "" where ``ssh`` names an alias
    bridges: tuple[Bridge, ...]
    networks: tuple[Network, ...]
    guests: tuple[Guest, ...] = ()
    language: str = ""  # LANG of a rehearsal host
    pool: str = "sheepdog"  # libvirt's storage pool of the sheepdog cluster
    kversion: str = ""  # kernel that its kernel modules are built for, as `uname -r` prints it
    init: Init | None = None  # of a rehearsal host; None: the one that its RPMs need
    sheepdog_listen: tuple[str, ...] = ("127.0.0.1",)  # addresses that its port may be open on
    old_ssh: bool = False  # its sshd is as old as el6's: allow RSA and SHA-1 for this host
    treat_as_real: bool = False  # of a rehearsal host: ask as on a real machine
    ssh: str = ""  # alias of the user's ~/.ssh/config; then address, port and user are its own
    sudo_password_command: tuple[str, ...] = ()  # on this machine: prints the password for sudo
    guest_shutdown_seconds: int = 300  # for a guest to react to its power button

    @property
    def real(self) -> bool:
        """Whether nothing may be rebooted, stopped or replaced here without the user's consent."""
        return not self.rehearsal or self.treat_as_real

    # Today a host has one bridge, and one network on it.
    @property
    def bridge(self) -> str:
        """The name of its bridge."""
        return self.bridges[0].name

    @property
    def network(self) -> str:
        """The name of its network."""
        return self.networks[0].name

    @property
    def datapath(self) -> Datapath:
        """The datapath of its bridge."""
        return self.bridges[0].datapath

    @property
    def uplink(self) -> str:
        """The uplink of its bridge; "" for none."""
        return self.bridges[0].uplink

    @property
    def bridge_address(self) -> str:
        """The address of its bridge; see Bridge."""
        return self.bridges[0].address

    @property
    def gateway(self) -> str:
        """The gateway behind its bridge; "" for none."""
        return self.bridges[0].gateway


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
    waits_for: str = ""  # the option that agrees to it; it is not done without
    reboots: bool = False  # it counts from the next reboot, so one is due
    note: str = ""  # what is known beside it; a plan and its run may know different things


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
    stopped: Stop = Stop.NOTHING
    data: tuple[DataProof, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataProof:
    """What a guest read from its disk before it was stopped and after the host's reboot."""

    guest: str
    boots: tuple[int, int]  # counted on its disk, before and after
    markers: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Link:
    """One link of the chain from a running host back to its sources."""

    what: str
    found: str
    ok: bool
    detail: str = ""  # a diff
