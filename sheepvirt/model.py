"""Frozen dataclasses that cross module borders. Imports nothing local."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class DebianSource:
    """Where Debian keeps the same bytes: source package name and the file of it to take."""

    package: str
    file: str


@dataclass(frozen=True)
class GitSource:
    """One commit of a git repository: its id pins the content, and git verifies it."""

    url: str
    commit: str


@dataclass(frozen=True)
class Source:
    """One upstream file, known by its sha256; any location that gives those bytes will do.

    Or a commit of a git repository, which becomes that file.
    """

    file: str
    sha256: str = ""  # empty where git pins it
    urls: tuple[str, ...] = ()
    debian: DebianSource | None = None
    git: GitSource | None = None

    @property
    def pin(self) -> str:
        """What names the content: its sha256 or its commit id."""
        return self.git.commit if self.git else self.sha256


@dataclass(frozen=True)
class Reach:
    """Whether a source can be had now, and how we know."""

    ok: bool
    why: str


@dataclass(frozen=True)
class Feature:
    """A feature a package promises. Each field is what a gate looks for as evidence."""

    name: str
    intent: str = ""  # patches/<package>/<intent>.toml; a spec of ours needs none
    spec_text: str = ""  # regular expression that the spec, as rpm expands it, must match
    build_log: str = ""  # regular expression the build log must match
    build_tool: str = ""  # the same, whose group is the path of the tool that configure found
    rpm_file: str = ""  # path that one of the binary RPMs must carry
    rpm_requires: str = ""  # name that the RPM carrying rpm_file must require
    rpm_text: str = ""  # text that rpm_file must contain
    host_line: str = ""  # word that `virsh -V` must print


@dataclass(frozen=True)
class Adjustment:
    """What upstream's own spec needs to be built here: ``[adjust]`` of package.toml."""

    substitute: Mapping[str, str]  # @version@ …: what upstream's makefile fills in
    define: Mapping[str, str]  # macros that the spec, or what builds with it, goes by
    without: tuple[str, ...]  # dependencies that it must not ask for
    build_requires: tuple[str, ...]  # what it must ask for; may be a macro that is empty
    configure: tuple[str, ...]  # what its configure command must say; the same


@dataclass(frozen=True)
class Package:
    """``specs/<name>/package.toml``: one thing to build."""

    name: str
    version: str
    spec: str  # file name of the spec: in the tarball (upstream) or beside package.toml (ours)
    spec_from: str  # "tarball" or "here"
    sources: tuple[Source, ...]
    features: tuple[Feature, ...]
    needs: tuple[str, ...]  # packages of ours whose RPMs go into the build root first
    targets: tuple[str, ...]  # targets it may be built on; empty: every target
    rpmbuild_args: tuple[str, ...]
    install: tuple[str, ...]  # names of the binary packages a host gets
    stand_in: str  # non-empty: this is a stand-in, and the sentence that says so
    folder: Path
    files: tuple[str, ...] = ()  # beside package.toml: packed into <name>-<version>.tar, Source0
    stands_in_for: str = ""  # the package that it is a stand-in for, on its own targets
    adjust: Adjustment | None = None

    @property
    def spec_file(self) -> str:
        """Name of the spec that rpmbuild gets: a ``.spec.in`` has become one."""
        return self.spec.removesuffix(".in")


@dataclass(frozen=True)
class Ceilings:
    """The oldest tools of a target that must read what we ship, as dotted versions."""

    rpm: str
    yum: str
    glibc: str


@dataclass(frozen=True)
class Target:
    """``containers/<name>/target.toml``: one kind of RPMs to build, and where."""

    name: str
    summary: str
    suite: str  # Debian suite of the base image (rehearsal only; empty elsewhere)
    arch: str
    macros: Mapping[str, str]  # rpm macros of the build root: dist, rhel, _libdir ...
    folder: Path
    images: tuple[str, ...] = ()  # of a registry, best first; none where we make the base ourselves
    ceilings: Ceilings | None = None  # none: its tools are as new as ours

    @property
    def dist(self) -> str:
        """The %dist of the target's RPMs."""
        return self.macros["dist"]


@dataclass(frozen=True)
class Guest:
    """A domain of a host. Memory in MB (10**6 bytes), as in the how-to's ``unit='GB'``."""

    name: str
    title: str
    memory_mb: int
    vcpus: int
    network: str
    line: str  # what the guest prints on its serial console when it is up
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


@dataclass(frozen=True)
class Dependencies:
    """``host/dependencies.toml``: what a host gets before the RPMs, by el package names."""

    packages: tuple[str, ...]
    services: tuple[str, ...]


@dataclass(frozen=True)
class Rpm:
    """One built RPM file, as its header says."""

    name: str
    epoch: int
    version: str
    release: str
    arch: str
    path: Path
    sha256: str  # of the file
    header_sha1: str = ""  # RPMTAG_SHA1HEADER
    summary: str = ""
    files: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()

    @property
    def nevra(self) -> str:
        """``name-[epoch:]version-release.arch``, as rpm and dnf print it."""
        epoch = f"{self.epoch}:" if self.epoch else ""
        return f"{self.name}-{epoch}{self.version}-{self.release}.{self.arch}"


@dataclass(frozen=True)
class Traits:
    """What of an RPM file decides whether older tools can use it."""

    file: str  # the path as it was given
    release: str
    compressor: str
    file_digest: int  # OpenPGP's number of the algorithm
    dependencies: tuple[str, ...]  # names in Requires, Conflicts and Obsoletes
    weak: tuple[str, ...]  # "Recommends: name" …
    signatures: tuple[bytes, ...]  # OpenPGP packets
    stores: tuple[int, int]  # bytes of the data of its signature header and of its header
    symbol_versions: Mapping[str, tuple[str, ...]]  # path of each ELF file: what it needs
    unread: tuple[str, ...] = ()  # what could not be looked into, and why


@dataclass(frozen=True)
class Metadata:
    """One file that a repo's repomd.xml lists."""

    file: str
    kind: str  # primary | filelists | primary_db | group …
    compressions: tuple[str, ...]  # by its name and by its content: gz, bz2 … or "none"


@dataclass(frozen=True)
class Violation:
    """Something that is beyond a target's ceilings."""

    file: str
    rule: str
    found: str
    ceiling: str

    def __str__(self) -> str:
        """``file: rule: what was found; ceiling``."""
        return f"{self.file}: {self.rule}: {self.found}; {self.ceiling}"


@dataclass(frozen=True)
class Evidence:
    """What one gate saw of one feature."""

    gate: str  # spec | build | rpm | host
    package: str
    feature: str
    claim: str
    observed: str
    ok: bool


@dataclass(frozen=True)
class SwitchRule:
    """This macro of the spec is true on the target."""

    macro: str  # with_storage_sheepdog
    unless: str  # what `rpmbuild --without` defines: a builder may still say no


@dataclass(frozen=True)
class ArgumentRule:
    """The configure command of the spec says so itself, instead of leaving it to what it finds."""

    on: tuple[str, ...]  # any of these is enough
    off: tuple[str, ...]
    add: str  # what to add where the spec says neither
    beside: tuple[str, ...]  # macros whose argument it is put after; the first that is there


@dataclass(frozen=True)
class DependencyRule:
    """A spec tag names this dependency, once."""

    tag: str  # BuildRequires | Requires
    name: str
    packages: tuple[str, ...]  # sub-packages to add it to, best first; "" is the main one
    beside: tuple[str, ...]  # conditions that it is put after, best first


@dataclass(frozen=True)
class SubpackageRule:
    """Where the spec knows this sub-package, it is built and carries the file."""

    name: str
    file: str


@dataclass(frozen=True)
class Intent:
    """``patches/<package>/<name>.toml``: what must be true of a spec, whatever its age."""

    name: str
    serves: str  # which releases it was written for
    switch: SwitchRule
    argument: ArgumentRule
    dependencies: tuple[DependencyRule, ...]
    subpackage: SubpackageRule


@dataclass(frozen=True)
class Patched:
    """A spec after ``spec.patch``."""

    text: str
    diff: str  # unified; empty where nothing had to change
    actions: tuple[str, ...]  # one sentence for each rule
    already: bool  # everything was true before


@dataclass(frozen=True)
class Choice:
    """Which of two makes a package: the real one or its stand-in; never both in one repo."""

    package: str
    maker: str
    other: str
    why: str

    @property
    def stand_in(self) -> bool:
        """Whether the stand-in was chosen."""
        return self.maker != self.package

    @property
    def sentence(self) -> str:
        """Which, and why, in one line."""
        which = f"the stand-in {self.maker}" if self.stand_in else "the real one"
        return f"{self.package}: {which}: {self.why}"


@dataclass(frozen=True)
class PlannedBuild:
    """What the plan decided for one package, and why."""

    package: Package
    key: str
    inputs: Mapping[str, str]
    build: bool
    reason: str
    needs: tuple[str, ...] = ()  # packages that are there first: for each need, its chosen maker


@dataclass(frozen=True)
class BuildPlan:
    """What a run is going to do, in order."""

    choices: tuple[Choice, ...]
    builds: tuple[PlannedBuild, ...]


@dataclass(frozen=True)
class PublishedRpm:
    """One RPM of a published repo. Enough to tell whether a host has this very RPM installed."""

    name: str
    nevra: str
    file: str  # path below the repo folder
    sha256: str  # of the file
    header_sha1: str  # what `rpm -q --qf '%{SHA1HEADER}'` says of it once installed


@dataclass(frozen=True)
class BuildRecord:
    """One package of a published repo: what was built from what. Kept in manifest.json."""

    package: str
    version: str
    key: str  # sha256 over every input; equal key: nothing to rebuild
    inputs: Mapping[str, str]  # name of each input to its hash or value
    rpms: tuple[PublishedRpm, ...]
    install: tuple[str, ...]  # names of the binary packages a host asks for
    evidence: tuple[Evidence, ...]
    seconds: float
    stand_in: str = ""


@dataclass(frozen=True)
class Change:
    """What a bootstrap step would change or has changed."""

    step: str
    what: str
    diff: str = ""


@dataclass(frozen=True)
class Timing:
    """One finished stage. Seconds, monotonic clock."""

    stage: str
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class ServiceState:
    """A service as its init sees it; of the unit and its socket, whichever says yes."""

    active: bool
    enabled: bool


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
    init: str = ""  # systemd | sysv
    boot: str = ""  # differs after every boot: boot_id, and the start of PID 1 (a container's)
    language: str = ""
    installer: str = ""  # dnf | yum | "" (neither is there)
    kernel_datapath: bool = False  # the kernel has the openvswitch module loaded
    reboot_wanted: str = ""  # the boot during which packages changed, as a step noted it
    packages: Mapping[str, str] = field(default_factory=dict)  # rpm name to NEVRA
    headers: Mapping[str, str] = field(default_factory=dict)  # rpm name to SHA1HEADER
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
    kvm_device: bool = False  # /dev/kvm is there, which proves nothing yet


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
