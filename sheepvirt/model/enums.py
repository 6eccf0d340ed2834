"""Words with a fixed set of values, as they are in TOML, in manifests and in messages."""

from __future__ import annotations

from enum import StrEnum


class Gate(StrEnum):
    """A point of a run that looks for evidence of a feature."""

    SOURCE = "source"
    SPEC = "spec"
    BUILD = "build"
    RPM = "rpm"
    REPO = "repo"
    HOST = "host"


class Provider(StrEnum):
    """Who provides a package that has a stand-in."""

    REAL = "real"
    STAND_IN = "stand-in"


class Init(StrEnum):
    """The init of a host."""

    SYSTEMD = "systemd"
    SYSV = "sysv"  # with chkconfig, as el6 has it
    OTHER = "other"  # services cannot be controlled there


class Datapath(StrEnum):
    """The datapath of a bridge in Open vSwitch."""

    SYSTEM = "system"  # the kernel's
    NETDEV = "netdev"  # in userspace


class Disk(StrEnum):
    """Where a guest's disk is."""

    SHEEPDOG = "sheepdog"  # a VDI with the guest's name
    FILE = "file"  # a raw file on the host


class ObjectKind(StrEnum):
    """What sheepvirt makes on a host, and marks as its own."""

    NETWORK = "network"
    POOL = "pool"
    DOMAIN = "domain"
    BRIDGE = "bridge"
    FILE = "file"  # a unit, an init script, a .repo file
    VDI = "VDI"
    DISK = "disk file"


class Origin(StrEnum):
    """How an object came to be marked as sheepvirt's."""

    DEFINED = "defined"  # sheepvirt defined it, and read at once what libvirt made of that
    TAKEN = "taken"  # it was there, and as sheepvirt makes it
    ADOPTED = "adopted"  # it was there, and has what sheepvirt did not make


class CheckResult(StrEnum):
    """The result of one check of a verification."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Stop(StrEnum):
    """What a verification does to the guests before it reboots the host."""

    NOTHING = "nothing"  # it is read-only: one pass, and no reboot
    SHUT_DOWN = "shut down"
    POWER_CUT = "destroyed"
