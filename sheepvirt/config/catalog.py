"""Targets and packages: read ``containers/*/target.toml`` and ``specs/*/*.toml``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sheepvirt.config import target_settings, versions
from sheepvirt.core.errors import ConfigError, suggest
from sheepvirt.core.tables import Table, pick, read_toml
from sheepvirt.model.builds import (
    TARBALL_SUFFIXES,
    AddedFile,
    Adjustment,
    DebianSource,
    Feature,
    GitSource,
    Package,
    Source,
    Target,
)
from sheepvirt.model.enums import Init
from sheepvirt.model.targets import Ceilings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.settings import Settings

# Only gzip, as in el6: yum 3.2.29 knows no other compression of metadata.
CREATEREPO = ("createrepo_c", "--general-compress-type=gz", "--compatibility")
INIT_HINT = f"use {Init.SYSV.value!r}, or remove the key"
HOST_MACROS = {"kversion"}  # fields of model.hosts.Host
RENAMED = {"needs": "build_packages", "install": "installed_subpackages"}  # keys of a package


def _names(folder: Path, file: str) -> list[str]:
    return sorted(p.parent.name for p in folder.glob(f"*/{file}"))


def target_names(settings: Settings) -> list[str]:
    """Return the names of all targets."""
    return _names(settings.containers, "target.toml")


def package_names(settings: Settings) -> list[str]:
    """Return the names of all packages."""
    return _names(settings.specs, "package.toml")


def read_target(settings: Settings, name: str) -> Target:
    """Read ``containers/<name>/target.toml`` and the user's own settings of that target.

    Only inventory.load_target calls it: that one adds what the hosts set.

    Raises UnknownNameError, ConfigError.
    """
    folder = settings.containers / pick("target", name, target_names(settings))
    table = read_toml(folder / "target.toml")
    keys = target_settings.keys(table)
    target = Target(
        name=name,
        summary=table.get("summary", str),
        suite=table.get("suite", str, ""),
        arch=table.get("arch", str, "x86_64"),
        macros=table.macros("macros"),
        folder=folder,
        ceilings=_ceilings(table.table("ceilings")),
        versions=table.macros("versions"),
        locale=table.get("locale", str, "C.UTF-8"),
        host_macros=table.strings("host_macros"),
        images=target_settings.images(table),
        rootfs=target_settings.rootfs(table, folder),
        registry_mirror=target_settings.registry_mirror(table),
        release=table.get("release", str, ""),
        repos=target_settings.repos(table, {key.file: key for key in keys}),
        keys=keys,
        createrepo=table.strings("createrepo", CREATEREPO),
        kernel_modules=table.macros("kernel_modules"),
        unproven=table.get("unproven", str, ""),
    )
    table.done()
    if "dist" not in target.macros:
        raise ConfigError(f"{folder / 'target.toml'}: [macros] has no dist", hint="add dist = …")
    _check_kernel_modules(target, table)
    for macro in set(target.host_macros) - HOST_MACROS:
        table.refuse("host_macros", f"names {macro!r}", hint=suggest(macro, HOST_MACROS))
    if not target.suite and not target.release:
        table.refuse(
            "release",
            "is missing, and so is 'suite'",
            hint="add release = …, the start of /etc/redhat-release in its image",
        )
    return target_settings.with_user_settings(target, settings.user_config, target_names(settings))


def _check_kernel_modules(target: Target, table: Table) -> None:
    if target.kernel_modules and "kversion" not in target.macros:
        table.refuse(
            "kernel_modules",
            "needs a kernel version, and [macros] has no kversion",
            hint="add kversion = …, the kernel that kernel modules are built for",
        )
    for module, kernel in target.kernel_modules.items():
        if not re.match(r"\d+(\.\d+)+-\d", kernel):
            table.refuse(
                "kernel_modules",
                f"has {module} = {kernel!r}",
                hint="give version and release of the first kernel that has it: 2.6.32-358",
            )


def _ceilings(table: Table) -> Ceilings | None:
    if not table:
        return None
    ceilings = Ceilings(
        rpm=_version(table, "rpm"), yum=_version(table, "yum"), glibc=_version(table, "glibc")
    )
    table.done()
    return ceilings


def _version(table: Table, key: str) -> str:
    text = table.get(key, str)
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})*", text):
        table.refuse(key, f"is {text!r}", hint="give numbers separated by dots: 2.12")
    return text


def _source(table: Table) -> Source:
    file = table.get("file", str)
    if "/" in file or file in {"", ".", ".."}:
        table.refuse("file", f"is {file!r}: it must be a plain file name", hint="remove its folder")
    pinned = table.table("git")
    if pinned:
        table.done()  # the commit id replaces sha256 and urls
        return Source(file=file, git=_git_source(pinned, table, file))
    debian = table.table("debian")
    package = debian.get("package", str, "")
    source = Source(
        file=file,
        sha256=table.get("sha256", str),
        urls=table.strings("urls"),
        debian=DebianSource(package=package, file=debian.get("file", str)) if package else None,
    )
    debian.done()
    table.done()
    if len(source.sha256) != 64 or set(source.sha256) - set("0123456789abcdef"):
        raise ConfigError(f"{source.file}: sha256 {source.sha256!r} is not 64 hex digits")
    return source


def _git_source(table: Table, source: Table, file: str) -> GitSource:
    git = GitSource(url=table.get("url", str), commit=table.get("commit", str))
    table.done()
    if not re.fullmatch(r"[0-9a-f]{40}", git.commit):
        table.refuse("commit", f"is {git.commit!r}", hint="pin all 40 hex digits of a commit id")
    if not re.match(r"[A-Za-z0-9/]", git.url):
        table.refuse("url", f"is {git.url!r}", hint="give an address that git can fetch from")
    if not file.endswith(TARBALL_SUFFIXES):
        source.refuse(
            "file",
            f"is {file!r}",
            hint=f"use a name that ends in {' or '.join(TARBALL_SUFFIXES)}: git exports to it",
        )
    return git


def _adjustment(table: Table) -> Adjustment | None:
    adjustment = Adjustment(
        substitute=table.macros("substitute"),
        define=table.macros("define"),
        without=table.strings("without"),
        build_requires=table.strings("build_requires"),
        configure=table.strings("configure"),
        release=table.get("release", str, ""),
        files=tuple(_added_file(t) for t in table.array("files")),
    )
    table.done()
    return adjustment if table else None


def _added_file(table: Table) -> AddedFile:
    added = AddedFile(
        file=table.get("file", str),
        path=table.get("path", str),
        mode=table.get("mode", str, "0644"),
        config=table.get("config", str, ""),
    )
    table.done()
    if not re.match(r"/|%\{", added.path) or re.search(r"\s", added.path):
        table.refuse("path", f"is {added.path!r}", hint="give a path on the host: /etc/example")
    if not re.fullmatch(r"0[0-7]{3}", added.mode):
        table.refuse("mode", f"is {added.mode!r}", hint="give it in octal, as text: '0644'")
    if added.config not in {"", "config", "config(noreplace)"}:
        table.refuse(
            "config",
            f"is {added.config!r}",
            hint="use 'config' or 'config(noreplace)', or remove the key",
        )
    return added


def _macros(table: Table, targets: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return ``[macros.<target>]``: a version's rpm macros, which override the target's."""
    group = table.table("macros")
    rows = {pick("target", name, targets): group.macros(name) for name in group.names()}
    group.done()
    return rows


def _pattern(table: Table, key: str, groups: int = 0) -> str:
    """Return a valid regular expression with at least ``groups`` groups, or ""."""
    text = table.get(key, str, "")
    try:
        if text and re.compile(text).groups < groups:
            table.refuse(key, "has no group", hint="put the part to capture in ( )")
    except re.error as error:
        table.refuse(key, f"is not a regular expression: {error}", hint="correct the pattern")
    return text


def _feature(name: str, table: Table, targets: Sequence[str]) -> Feature:
    feature = Feature(
        name=name,
        intent=table.get("intent", str, ""),
        spec_text=_pattern(table, "spec_text"),
        build_log=_pattern(table, "build_log"),
        build_tool=_pattern(table, "build_tool", groups=1),
        rpm_file=table.get("rpm_file", str, ""),
        rpm_requires=table.get("rpm_requires", str, ""),
        rpm_requires_by=table.get("rpm_requires_by", str, ""),
        rpm_text=table.get("rpm_text", str, ""),
        host_line=table.get("host_line", str, ""),
        targets=tuple(pick("target", t, targets) for t in table.strings("targets")),
    )
    table.done()
    if not feature.intent and not feature.spec_text:
        table.refuse(
            "spec_text",
            "is missing, and so is 'intent'",
            hint="add spec_text = …, what the spec must show when the feature is on",
        )
    if feature.rpm_text and not feature.rpm_file:
        table.refuse("rpm_text", "needs a file", hint="add rpm_file = …, the file with that text")
    return feature


def load_package(settings: Settings, name: str, version: str = "") -> Package:
    """Read one version of a package from its folder; without ``version``, the default one.

    See config/versions.py. Raises UnknownNameError, ConfigError.
    """
    folder = settings.specs / pick("package", name, package_names(settings))
    version, table = versions.table(folder, version)
    for former, key in RENAMED.items():
        if former in table.names():
            table.refuse(former, "has another name now", hint=f"write `{key} = …`")
    targets = target_names(settings)
    package = Package(
        name=name,
        version=table.get("version", str),
        spec=table.get("spec", str),
        spec_from=table.get("spec_from", str),
        sources=tuple(_source(t) for t in table.array("sources")),
        features=tuple(_feature(n, t, targets) for n, t in table.tables("features")),
        build_packages=table.strings("build_packages"),
        targets=table.strings("targets"),
        rpmbuild_args=table.strings("rpmbuild_args"),
        installed_subpackages=table.strings("installed_subpackages"),
        stand_in=table.get("stand_in", str, ""),
        folder=folder,
        patches=settings.patches / name,
        files=table.strings("files"),
        stands_in_for=table.get("stands_in_for", str, ""),
        adjust=_adjustment(table.table("adjust")),
        versions=versions.known(folder) or (version,),
        macros=_macros(table, targets),
        init=table.one_of("init", Init, None, hint=INIT_HINT),
        unpack=table.strings("unpack"),
        kernel_module=table.get("kernel_module", str, ""),
    )
    table.done()
    if not re.fullmatch(r"[A-Za-z0-9_]*", package.kernel_module):
        table.refuse(
            "kernel_module",
            f"is {package.kernel_module!r}",
            hint="give the name that lsmod prints: openvswitch",
        )
    if package.init not in {None, Init.SYSV}:
        table.refuse("init", f"is {str(package.init)!r}", hint=INIT_HINT)
    if bool(package.stand_in) != bool(package.stands_in_for):
        table.refuse(
            "stand_in" if package.stands_in_for else "stands_in_for",
            "is missing",
            hint="give a stand-in both: a sentence (stand_in) and its package (stands_in_for)",
        )
    added = [one.file for one in package.adjust.files] if package.adjust else []
    for file in (*package.files, *added):
        if "/" in file or not versions.own_file(folder, version, file).exists():
            table.refuse(
                "files", f"names {file!r}", hint="name files and folders next to package.toml"
            )
    if package.spec_from not in {"tarball", "here"}:
        raise ConfigError(
            f"{folder / versions.SHARED}: spec_from is {package.spec_from!r}",
            hint="use 'tarball' (upstream's spec) or 'here' (a spec next to package.toml)",
        )
    return package
