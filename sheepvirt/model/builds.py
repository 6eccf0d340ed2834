"""Frozen dataclasses of sources, packages, targets and builds. Imports no other code of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from sheepvirt.model.targets import Ceilings, Image, Rootfs, RpmKey, YumRepo, at_least


@dataclass(frozen=True)
class DebianSource:
    """Where Debian keeps the same bytes: source package name and the file of it to take."""

    package: str
    file: str


TARBALL_SUFFIXES = (".tar.gz", ".tar")  # of what a git commit can be made into


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
    given: Path | None = None  # a file of the user's own that is to be it

    @property
    def pin(self) -> str:
        """What names the content: its sha256 or its commit id."""
        return self.git.commit if self.git else self.sha256


@dataclass(frozen=True)
class Availability:
    """Whether a source is available now, and how that is known."""

    ok: bool
    why: str


@dataclass(frozen=True)
class Shelf:
    """The only sources that a run with the network off may use: those of one bundle."""

    name: str  # the bundle's file
    holds: frozenset[tuple[str, str]]  # pin and file name of each

    def has(self, source: Source) -> bool:
        """Tell whether ``source`` is on it."""
        return (source.pin, source.file) in self.holds


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
    rpm_requires_by: str = ""  # name of the RPM that must require it instead
    rpm_text: str = ""  # text that rpm_file must contain
    host_line: str = ""  # word that `virsh -V` must print
    targets: tuple[str, ...] = ()  # targets that have what it needs; empty: every target


@dataclass(frozen=True)
class AddedFile:
    """One file beside package.toml that upstream's RPM lacks, or has in another form."""

    file: str
    path: str  # where the RPM installs it; may begin with a macro, as %{_initddir}
    mode: str = "0644"
    config: str = ""  # "", "config", or "config(noreplace)": how rpm treats a user's edit


@dataclass(frozen=True)
class Adjustment:
    """What upstream's own spec needs to be built here: ``[adjust]`` of package.toml."""

    substitute: Mapping[str, str]  # texts: @version@ …, which upstream's makefile fills in
    define: Mapping[str, str]  # macros that the spec, or what builds with it, goes by
    without: tuple[str, ...]  # dependencies that it must not ask for
    build_requires: tuple[str, ...]  # what it must ask for; may be a macro that is empty
    configure: tuple[str, ...]  # what its configure command must say; the same
    release: str = ""  # what its Release must end in, as %{?dist}
    files: tuple[AddedFile, ...] = ()  # installed by %install, and listed in %files


@dataclass(frozen=True)
class Package:
    """``specs/<name>/``: one thing to build, in one of its versions."""

    name: str
    version: str
    spec: str  # the spec: its path in the tarball (upstream) or its name beside package.toml (ours)
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
    versions: tuple[str, ...] = ()  # all that stand side by side in its folder
    init: str = ""  # "sysv": its services come as init scripts, so that a host must take those
    unpinned: str = ""  # non-empty: its source is a file that nobody pinned, and which
    macros: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # target: rpm macros
    unpack: tuple[str, ...] = ()  # paths in the tarball: further sources that its spec names
    kernel_module: str = ""  # its RPMs are for hosts whose own kernel brings no such module

    @property
    def spec_file(self) -> str:
        """Name of the spec that rpmbuild gets: a ``.spec.in`` has become one."""
        return PurePosixPath(self.spec).name.removesuffix(".in")

    def for_target(self, name: str) -> Package:
        """Return the package with the features that it has on the target called ``name``."""
        features = tuple(f for f in self.features if not f.targets or name in f.targets)
        return replace(self, features=features)


@dataclass(frozen=True)
class Target:
    """``containers/<name>/target.toml``: one kind of RPMs to build, and where."""

    name: str
    summary: str
    suite: str  # Debian suite of the base image (rehearsal only; empty elsewhere)
    arch: str
    macros: Mapping[str, str]  # rpm macros of the build root: dist, rhel, _libdir ...
    folder: Path
    ceilings: Ceilings | None = None  # none: its tools are as new as ours
    versions: Mapping[str, str] = field(default_factory=dict)  # package: which of its versions
    locale: str = "C.UTF-8"  # LC_ALL of its build root
    host_macros: tuple[str, ...] = ()  # those that the inventory's hosts may give, by the same name
    images: tuple[Image, ...] = ()  # of a registry, best first
    rootfs: Rootfs | None = None  # taken instead of an image
    registry_mirror: str = ""  # host[:port][/path] that the images come from, and nothing else
    release: str = ""  # how /etc/redhat-release of its base starts
    repos: tuple[YumRepo, ...] = ()
    keys: tuple[RpmKey, ...] = ()
    createrepo: tuple[str, ...] = ()  # the command that makes repodata in its builder
    kernel_modules: Mapping[str, str] = field(default_factory=dict)  # module: first kernel with it
    unproven: str = ""  # non-empty: what nobody has seen of it yet

    @property
    def dist(self) -> str:
        """The %dist of the target's RPMs."""
        return self.macros["dist"]

    def kernel_has(self, module: str) -> bool:
        """Tell whether the distribution's kernel brings ``module``: the one that kversion names."""
        first = self.kernel_modules.get(module)
        return bool(first) and at_least(self.macros["kversion"], str(first))

    def for_package(self, package: Package) -> Target:
        """Return the target with the macros that this version of a package is built with on it.

        The release of what is unpinned says so: it is on the host for everyone to see.
        """
        macros = {**self.macros, **package.macros.get(self.name, {})}
        if package.unpinned:
            macros["dist"] = f".unpinned{macros['dist']}"
        return replace(self, macros=macros)


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
class Evidence:
    """What one gate saw of one feature."""

    gate: str  # source | spec | build | rpm | host
    package: str
    feature: str
    claim: str
    observed: str
    ok: bool


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
class Request:
    """What the words after ``--package`` ask for."""

    names: tuple[str, ...]  # packages to build; none: every one
    makers: Mapping[str, str]  # package: "real" or "stand-in"
    versions: Mapping[str, str]  # package: which of its versions


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
    everything: bool = True  # no package was named: what is not in it goes from the repo
    left_out: tuple[str, ...] = ()  # a sentence for each package that is built only when named


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
    unpinned: str = ""  # non-empty: made of a source that nobody pinned, and which
    kernel_module: str = ""  # for hosts whose own kernel brings no such module
