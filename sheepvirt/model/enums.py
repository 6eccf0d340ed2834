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


class CheckResult(StrEnum):
    """The result of one check of a verification."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
