"""What every bootstrap step is made of: what is wanted, what may be used to get there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sheepvirt.bootstrap.schemas import Schemas
from sheepvirt.bootstrap.steps.templates import render
from sheepvirt.core.progress import Progress, Stage
from sheepvirt.model.builds import BuildRecord, PublishedRpm
from sheepvirt.model.hosts import Change, Dependencies, Facts, Guest, Host
from sheepvirt.ssh.client import Connection, Result

STATE = "/var/lib/sheepvirt"  # what we keep on a host
DISKS = "/var/lib/libvirt/images"


@dataclass(frozen=True)
class DesiredState:
    """The state that a host is to have; a step takes from it what it needs."""

    host: Host
    dependencies: Dependencies
    repo: Path  # the published repo on this machine
    repomd: str  # sha256 of its repomd.xml, which names every other file of it by hash
    records: tuple[BuildRecord, ...]
    images: Mapping[str, str]  # guest to the name of its image, which has a hash of its recipe
    schemas: Schemas  # libvirt's own, of the published RPMs
    stand_ins: frozenset[str] = frozenset()  # words for what is a stand-in on this host
    # RPM of the maker that was not chosen, to the package that is published in its place.
    other_makers: Mapping[str, str] = field(default_factory=dict)
    # Kernel module to the package that makes it, where hosts of this target need it.
    module_makers: Mapping[str, str] = field(default_factory=dict)

    @property
    def rpms(self) -> dict[str, PublishedRpm]:
        """The binary RPMs of the repo by name."""
        rpms = (rpm for record in self.records for rpm in record.rpms)
        return {r.name: r for r in rpms if not r.nevra.endswith((".src", ".nosrc"))}

    @property
    def source_nevras(self) -> tuple[str, ...]:
        """The NEVRAs of the source RPMs that those of the repo were built from."""
        rpms = (rpm for record in self.records for rpm in record.rpms)
        return tuple(r.nevra for r in rpms if r.nevra.endswith((".src", ".nosrc")))

    def install(self, facts: Facts) -> tuple[str, ...]:
        """Names of the RPMs that the host asks for; the installer adds what they require.

        A module that the host's own kernel brings is not among them.
        """
        wanted = (r for r in self.records if not facts.kernel_has(r.kernel_module))
        return tuple(name for record in wanted for name in record.install)

    def xml(self, kind: str, what: str, **values: object) -> str:
        """Return ``kind``.xml.j2 with ``values``, as libvirt's own schema accepts it.

        Every XML that is sent to a host is made here, in a plan as well. Raises BootstrapError.
        """
        text = render(f"{kind}.xml.j2", **values)
        self.schemas.validate(kind, text, what)
        return text


@dataclass
class StepContext:
    """What a step may use to change a host. Remembers the last lines of what was run."""

    connection: Connection
    progress: Progress
    stage: Stage
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=8))

    def run(self, *argv: str, check: bool = True, stdin: bytes = b"") -> Result:
        """Run a command on the host, its lines shown as they come. Raises RemoteCommandError."""
        return self.connection.run(argv, check=check, stdin=stdin, on_line=self.line)

    def virsh(self, *argv: str, check: bool = True) -> Result:
        """Run virsh on the host's own hypervisor. Raises RemoteCommandError."""
        return self.run("virsh", "-q", "-c", "qemu:///system", *argv, check=check)

    def line(self, text: str) -> None:
        """Show a line and remember it for the error that may have to quote it."""
        self.tail.append(text)
        self.stage.line(text)


@dataclass(frozen=True)
class Step:
    """One bootstrap step. ``check`` is pure: what differs between wanted and facts.

    Its last argument is what the steps before it would change (in a plan; empty in a run, where
    facts are looked at again after every change).
    """

    name: str
    check: Callable[[DesiredState, Facts, Sequence[Change]], list[Change]]
    apply: Callable[[DesiredState, Facts, StepContext], None]


@dataclass(frozen=True)
class Image:
    """A guest's disk image on this machine."""

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        """Its file name, which has a hash of its recipe."""
        return self.path.name


def vdi_note(guest: Guest) -> str:
    """Return the path of the note that says what ``guest``'s VDI was made from."""
    return f"{STATE}/vdi-{guest.name}.from"


def disk_path(guest: Guest) -> str:
    """Return the path of ``guest``'s disk on its host."""
    return f"{DISKS}/{guest.name}.img"
