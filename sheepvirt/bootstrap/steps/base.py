"""Types of bootstrap steps: the desired state, and the context that a step works with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import kept
from sheepvirt.bootstrap.kept import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sheepvirt.bootstrap.consent import Consent
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.host_files import HostFiles
    from sheepvirt.bootstrap.schemas import Schemas
    from sheepvirt.core.processes import Result
    from sheepvirt.core.progress import Progress, Stage
    from sheepvirt.model.builds import BuildRecord, PublishedRpm
    from sheepvirt.model.enums import ObjectKind
    from sheepvirt.model.guests import Guest
    from sheepvirt.model.hosts import Change, Dependencies, Host
    from sheepvirt.run import Run
    from sheepvirt.ssh.client import Connection

STATE = "/var/lib/sheepvirt"  # sheepvirt's state on a host
REPO = f"{STATE}/repo"  # the copy of the published repo
REPOMD = f"{REPO}/repodata/repomd.xml"
LIBVIRTD, OPENVSWITCH = "libvirtd", "openvswitch"  # services
DATAPATH_MODULE = "openvswitch"
DISKS = "/var/lib/libvirt/images"
ADOPTED_DISK = "adopted"  # in place of an image in the note of a disk that sheepvirt did not make


@dataclass(frozen=True, kw_only=True)
class ImageSize:
    """A disk image's size, and what it takes without its holes."""

    bytes: int
    allocated: int


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """The state that a host must have."""

    host: Host
    dependencies: Dependencies
    repo: Path  # the published repo on this machine
    repomd: str  # sha256 of its repomd.xml, which has the hashes of all its other files
    records: tuple[BuildRecord, ...]
    images: Mapping[str, str]  # guest to the name of its image, which has a hash of its recipe
    image_sizes: Mapping[str, ImageSize] = field(default_factory=dict)  # of images that are made
    repo_files: Mapping[str, str] = field(default_factory=dict)  # on the host: file to sha256
    repo_size: int = 0  # bytes of these files
    schemas: Schemas  # libvirt's, from the published RPMs
    consent: Consent
    host_files: HostFiles
    stand_ins: frozenset[str] = frozenset()  # names of stand-ins on this host
    # RPM of a provider that was not chosen, to the package that is published in its place.
    rejected_rpms: Mapping[str, str] = field(default_factory=dict)
    # Kernel module to the package that builds it, if hosts of this target need it.
    module_packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def rpms(self) -> dict[str, PublishedRpm]:
        """The binary RPMs of the repo, by name."""
        rpms = (rpm for record in self.records for rpm in record.rpms)
        return {r.name: r for r in rpms if not r.is_source}

    @property
    def source_nevras(self) -> tuple[str, ...]:
        """The NEVRAs of the source RPMs in the repo."""
        rpms = (rpm for record in self.records for rpm in record.rpms)
        return tuple(r.nevra for r in rpms if r.is_source)

    def install(self, facts: Facts) -> tuple[str, ...]:
        """Return the names of the RPMs to install; the installer adds what they require.

        A module that the host's kernel already has is left out.
        """
        wanted = (r for r in self.records if not facts.kernel_has(r.kernel_module))
        return tuple(name for record in wanted for name in record.installed_subpackages)

    def text(self, kind: str, **values: object) -> str:
        """Render ``kind``.xml.j2 with ``values``, to compare it with what was sent last."""
        return self.host_files.render(f"{kind}.xml.j2", **values)

    def xml(self, kind: str, what: str, **values: object) -> str:
        """Render ``kind``.xml.j2 with ``values`` and validate it with libvirt's schema.

        All XML for a host is made here, also for a plan. Raises BootstrapError.
        """
        text = self.text(kind, **values)
        self.schemas.validate(kind, text, what)
        return text


@dataclass
class StepContext:
    """What a step uses to change a host. Keeps the last output lines of its commands."""

    work: Run
    connection: Connection
    stage: Stage
    keeper: Keeper = field(default_factory=Keeper)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=8))

    @property
    def progress(self) -> Progress:
        """Where to say something to the user."""
        return self.work.progress

    def run(self, *argv: str, check: bool = True, stdin: bytes = b"") -> Result:
        """Run a command on the host and show its output. Raises RemoteCommandError."""
        return self.connection.run(argv, check=check, stdin=stdin, on_line=self.line)

    def virsh(self, *argv: str, check: bool = True) -> Result:
        """Run virsh for the host's own hypervisor. Raises RemoteCommandError."""
        return self.run("virsh", "-q", "-c", "qemu:///system", *argv, check=check)

    def read_virsh(self, *argv: str) -> str:
        """Return what virsh prints, such as a definition; it is not shown."""
        words = ("virsh", "-q", "-c", "qemu:///system", *argv)
        return self.connection.run(words).stdout.strip()

    def keep(self, *things: tuple[ObjectKind, str]) -> None:
        """Keep things on the host before they are changed or replaced: kind and name of each.

        Raises RemoteCommandError: they cannot be kept, so they must not be changed.
        """
        if self.keeper.keep(self.connection, *things):
            folder, host = f"{kept.FOLDER}/{self.keeper.time}", self.connection.host.name
            self.progress.say(
                f"  {host}: what is replaced is kept in {folder}; "
                f"`invoke restore {host} {self.keeper.time}` puts it back"
            )

    def line(self, text: str) -> None:
        """Show a line, and keep it in case an error quotes it."""
        self.tail.append(text)
        self.stage.line(text)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One bootstrap step. ``check`` is pure: it returns what differs from the desired state.

    Its last argument has the changes of earlier steps in a plan. In a run it is empty: facts are
    gathered again after every change. ``asks``: the services whose objects it compares; while one
    of them does not answer, nothing is compared.
    """

    name: str
    check: Callable[[DesiredState, Facts, Sequence[Change]], list[Change]]
    apply: Callable[[DesiredState, Facts, StepContext], None]
    asks: tuple[str, ...] = ()


@dataclass(frozen=True)
class DiskImage:
    """A guest's disk image on this machine."""

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        """Its file name, which has a hash of the recipe."""
        return self.path.name


def vdi_note(guest: Guest) -> str:
    """Return the path of the note that names the image of ``guest``'s VDI."""
    return f"{STATE}/vdi-{guest.name}.from"


def disk_path(guest: Guest) -> str:
    """Return the path of ``guest``'s disk on its host."""
    return f"{DISKS}/{guest.name}.img"
