"""Frozen dataclasses of sources, packages, targets and builds; plans.py has those of plans."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sheepvirt.model.targets import Ceilings, Image, Rootfs, RpmKey, YumRepo, at_least

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sheepvirt.model.enums import Gate, Init
    from sheepvirt.model.inputs import BuildInputs


@dataclass(frozen=True, kw_only=True)
class DebianSource:
    """Where Debian has the same bytes: the source package's name, and which of its files."""

    package: str
    file: str


SOURCE_ARCHES = {"src", "nosrc"}  # what rpm calls the architecture of a source RPM
TARBALL_SUFFIXES = (".tar.gz", ".tar")  # formats that a git commit can be exported to


@dataclass(frozen=True, kw_only=True)
class GitSource:
    """One commit of a git repository. Its id pins the content, and git verifies it."""

    url: str
    commit: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """One upstream file, identified by its sha256; any location with the same bytes will do.

    Or a commit of a git repository, which is exported to that file.
    """

    file: str
    sha256: str = ""  # empty if git pins it
    urls: tuple[str, ...] = ()
    debian: DebianSource | None = None
    git: GitSource | None = None
    local_file: Path | None = None  # the user's file for it: --source

    @property
    def pin(self) -> str:
        """The identity of the content: its sha256 or its commit id."""
        return self.git.commit if self.git else self.sha256


@dataclass(frozen=True)
class Availability:
    """Whether a source is available now, and how that is known."""

    ok: bool
    why: str


@dataclass(frozen=True, kw_only=True)
class BundleSources:
    """The sources of one bundle: the only ones that an offline run may use."""

    name: str  # the bundle's file
    holds: frozenset[tuple[str, str]]  # pin and file name of each

    def has(self, source: Source) -> bool:
        """Tell whether the bundle has ``source``."""
        return (source.pin, source.file) in self.holds


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A feature that a package promises. Each field is the evidence that a gate looks for."""

    name: str
    intent: str = ""  # patches/<package>/<intent>.toml; sheepvirt's own specs need none
    spec_text: str = ""  # regular expression that the expanded spec must match
    build_log: str = ""  # regular expression the build log must match
    build_tool: str = ""  # regular expression whose group is the tool's path that configure found
    rpm_file: str = ""  # path that one of the binary RPMs must have
    rpm_requires: str = ""  # name that the RPM with rpm_file must require
    rpm_requires_by: str = ""  # name of the RPM that must require it instead
    rpm_text: str = ""  # text that rpm_file must contain
    host_line: str = ""  # word that `virsh -V` must print
    targets: tuple[str, ...] = ()  # targets on which it can be built; empty: every target


@dataclass(frozen=True, kw_only=True)
class AddedFile:
    """A file next to package.toml that upstream's RPM lacks or has in another form."""

    file: str
    path: str  # where the RPM installs it; may begin with a macro: %{_initddir}
    mode: str = "0644"
    config: str = ""  # "", "config", or "config(noreplace)": how rpm treats a user's edit


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """Changes that upstream's spec needs to build here: ``[adjust]`` of package.toml."""

    substitute: Mapping[str, str]  # texts that upstream's makefile fills in: @version@ …
    define: Mapping[str, str]  # macros to define at the start of the spec
    without: tuple[str, ...]  # dependencies to remove
    build_requires: tuple[str, ...]  # BuildRequires to add; a macro may expand to nothing
    configure: tuple[str, ...]  # options to add to its configure command; the same
    release: str = ""  # the end of its Release: %{?dist}
    files: tuple[AddedFile, ...] = ()  # installed by %install and listed in %files


@dataclass(frozen=True, kw_only=True)
class Package:
    """``specs/<name>/``: one package to build, in one version."""

    name: str
    version: str
    spec: str  # path in the tarball (upstream's spec), or name of the file next to package.toml
    spec_from: str  # "tarball" or "here"
    sources: tuple[Source, ...]
    features: tuple[Feature, ...]
    build_packages: tuple[str, ...]  # packages of specs/ whose RPMs are in its build root
    targets: tuple[str, ...]  # targets it may be built for; empty: every target
    rpmbuild_args: tuple[str, ...]
    installed_subpackages: tuple[str, ...]  # names of the binary RPMs to install on a host
    stand_in: str  # for a stand-in, the sentence that says so; else empty
    folder: Path
    patches: Path  # folder of its intents and patches; may be absent
    files: tuple[str, ...] = ()  # next to package.toml; packed as Source0, <name>-<version>.tar
    stands_in_for: str = ""  # the package that it is a stand-in for, on its targets
    adjust: Adjustment | None = None
    versions: tuple[str, ...] = ()  # all versions in its folder
    init: Init | None = None  # SYSV: its services are init scripts, so its hosts need SysV init
    unpinned: str = ""  # if its source is not pinned: which file it is
    macros: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # target: rpm macros
    unpack: tuple[str, ...] = ()  # paths in the tarball of further sources that its spec names
    kernel_module: str = ""  # its RPMs are for hosts whose kernel lacks this module

    @property
    def spec_file(self) -> str:
        """Name of the spec that rpmbuild gets: without the ``.in`` of a ``.spec.in``."""
        return PurePosixPath(self.spec).name.removesuffix(".in")

    def for_target(self, name: str) -> Package:
        """Return the package with the features that it has on target ``name``."""
        features = tuple(f for f in self.features if not f.targets or name in f.targets)
        return replace(self, features=features)


@dataclass(frozen=True, kw_only=True)
class Target:
    """``containers/<name>/target.toml``: one distribution to build RPMs for."""

    name: str
    summary: str
    suite: str  # Debian suite of the base image (rehearsal only; empty elsewhere)
    arch: str
    macros: Mapping[str, str]  # rpm macros of the build root: dist, rhel, _libdir ...
    folder: Path
    ceilings: Ceilings | None = None  # None: its tools read everything that is built here
    versions: Mapping[str, str] = field(default_factory=dict)  # package to version
    locale: str = "C.UTF-8"  # LC_ALL of its build root
    host_macros: tuple[str, ...] = ()  # macros that hosts of the inventory may set, by their keys
    images: tuple[Image, ...] = ()  # of a registry, best first
    rootfs: Rootfs | None = None  # used instead of an image
    registry_mirror: str = ""  # host[:port][/path], the only registry to pull from
    release: str = ""  # start of /etc/redhat-release in its base
    repos: tuple[YumRepo, ...] = ()
    keys: tuple[RpmKey, ...] = ()
    createrepo: tuple[str, ...] = ()  # the command that makes repodata in its builder
    kernel_modules: Mapping[str, str] = field(default_factory=dict)  # module: first kernel with it
    unproven: str = ""  # what has not been tested on it yet

    @property
    def dist(self) -> str:
        """The %dist of the target's RPMs."""
        return self.macros["dist"]

    def kernel_has(self, module: str) -> bool:
        """Tell whether the distribution's kernel of version kversion has ``module``."""
        first = self.kernel_modules.get(module)
        return bool(first) and at_least(self.macros["kversion"], str(first))

    def for_package(self, package: Package) -> Target:
        """Return the target with the macros for this version of a package.

        The release of an unpinned package says so, and can be seen on a host.
        """
        macros = {**self.macros, **package.macros.get(self.name, {})}
        if package.unpinned:
            macros["dist"] = f".unpinned{macros['dist']}"
        return replace(self, macros=macros)


@dataclass(frozen=True, kw_only=True)
class Rpm:
    """One built RPM file, from its header."""

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
    def is_source(self) -> bool:
        """Whether it is a source RPM, with its sources or without (nosrc)."""
        return self.arch in SOURCE_ARCHES

    @property
    def nevra(self) -> str:
        """``name-[epoch:]version-release.arch``, as rpm and dnf print it."""
        epoch = f"{self.epoch}:" if self.epoch else ""
        return f"{self.name}-{epoch}{self.version}-{self.release}.{self.arch}"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one gate observed for one claim about a feature."""

    gate: Gate
    package: str
    feature: str
    claim: str
    observed: str
    ok: bool


@dataclass(frozen=True, kw_only=True)
class PublishedRpm:
    """One RPM of a published repo, with what identifies it once it is installed."""

    name: str
    nevra: str
    file: str  # path below the repo folder
    sha256: str  # of the file
    header_sha1: str  # `rpm -q --qf '%{SHA1HEADER}'` of the installed RPM

    @property
    def is_source(self) -> bool:
        """Whether it is a source RPM, with its sources or without (nosrc)."""
        return self.nevra.rpartition(".")[2] in SOURCE_ARCHES


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """One package of a published repo: its inputs and its RPMs. Kept in manifest.json."""

    package: str
    version: str
    key: str  # sha256 over every input; an equal key means nothing to rebuild
    inputs: BuildInputs
    rpms: tuple[PublishedRpm, ...]
    installed_subpackages: tuple[str, ...]  # names of the binary RPMs to install on a host
    evidence: tuple[Evidence, ...]
    seconds: float
    stand_in: str = ""
    unpinned: str = ""  # if built from a source that is not pinned: which file it was
    kernel_module: str = ""  # for hosts whose kernel lacks this module
