"""Frozen dataclasses of negative controls; how controls name checks and call virsh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.service_commands import commands
from sheepvirt.model.enums import Disk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sheepvirt.model.builds import BuildRecord, Feature
    from sheepvirt.model.hosts import Host


@dataclass(frozen=True)
class Command:
    """A command on the host; must succeed."""

    argv: tuple[str, ...]
    stdin: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Control:
    """One thing to break. ``undo`` puts back what a bootstrap does not look at."""

    name: str
    breaks: tuple[Command, ...]
    fails: frozenset[str]
    undo: tuple[Command, ...] = ()  # without stdin; does nothing if nothing is broken
    data: bool = False  # judge the guests' data by the pass before the controls


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a control: what had to fail, what failed, and what restored the host."""

    control: str
    expected: frozenset[str]
    seen: frozenset[str]
    restored: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether exactly the expected checks failed."""
        return bool(self.expected) and self.expected == self.seen


@dataclass(frozen=True, kw_only=True)
class ControlContext:
    """What controls are made from. The XML is libvirt's, for the host's network and pool."""

    host: Host
    records: tuple[BuildRecord, ...]
    features: tuple[tuple[str, Feature], ...]  # (package, feature) of what a host can show
    network_xml: str
    pool_xml: str
    removable: str  # a dependency whose RPM no other RPM requires; "" if there is none


def title(name: str, subject: str = "") -> str:
    """Return a check's title (``Check.title``)."""
    return f"{name} [{subject}]" if subject else name


def plain(title: str) -> str:
    """Return a check's title without its labels "(stand-in)" and "(unpinned)"."""
    return title.replace(" (stand-in)", "").replace(" (unpinned)", "")


def each(subjects: Iterable[str], *names: str) -> frozenset[str]:
    """Return the titles of these checks for each of these subjects."""
    return frozenset(title(name, subject) for subject in subjects for name in names)


def volumes(host: Host) -> list[str]:
    """Return the names that checks use for the guests' volumes."""
    return [f"{g.name} on sheepdog" for g in host.guests if g.disk == Disk.SHEEPDOG]


def switch(host: Host, verb: str, service: str) -> tuple[Command, ...]:
    """Return the init commands that apply ``verb`` (start, stop, enable …) to a service."""
    return tuple(Command(argv) for argv in commands(host.init, verb, service))


def virsh(*argv: str, stdin: bytes = b"") -> Command:
    """Return a virsh command for the host's own hypervisor."""
    return Command(("virsh", "-q", "-c", "qemu:///system", *argv), stdin)
