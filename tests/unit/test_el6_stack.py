"""The packages of el6 beside libvirt: order, versions, what their specs must not say, kversion."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sheepvirt.builds import plan, staging
from sheepvirt.config import catalog, inventory
from sheepvirt.core.errors import ConfigError, SourceError, SpecError
from sheepvirt.spec import adjust
from tests.here import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.model.builds import Package
    from sheepvirt.model.hosts import Host

EL6 = inventory.load_target(SETTINGS, "el6")
PACKAGES = {
    n: catalog.load_package(SETTINGS, n, EL6.versions.get(n, ""))
    for n in catalog.package_names(SETTINGS)
}
# Newer than el6's rpm 4.8, by what its sources do not know.
TOO_NEW = re.compile(r"%elif|%auto(setup|patch)|%license|^(Recommends|Suggests|Supplements):", re.M)
# Ours, of the same shape as upstream's: a bare release, no BuildRequires, a spec below a folder.
BRIDGE = """\
Name: bridge
Version: 2
Release: 1
Summary: A package of a test
License: Public Domain
Source: bridge-2.tar.gz
Requires: bridge-kmod, python
%description
A package of a test.
%prep
%setup -q
%build
./configure --enable-ssl
"""
HOSTS = """\
[hosts.{name}]
target = "{target}"
address = "{name}.lan"
bridge = "ovsbr0"
network = "ovsbr0"
kversion = "{kversion}"
"""


def tarball(folder: Path, **files: str) -> Path:
    path = folder / "bridge-2.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"bridge-2/rhel/{name.replace('_', '.')}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def bridge() -> Package:
    return replace(PACKAGES["openvswitch"], spec="rhel/bridge.spec", unpack=("rhel/bridge.files",))


def test_storage_is_built_before_what_needs_it() -> None:
    built = plan.order(PACKAGES, plan.buildable(PACKAGES, EL6), EL6)
    names = [p.name for p in built]
    assert set(names) == {"sheepdog", "libvirt", "qemu", "openvswitch"}
    assert names.index("sheepdog") < min(names.index("libvirt"), names.index("qemu"))
    assert {p.name: p.version for p in built}["libvirt"] == "1.0.3"


def test_the_hosts_get_the_whole_stack() -> None:
    built = plan.order(PACKAGES, plan.buildable(PACKAGES, EL6), EL6)
    wanted = {name for p in built for name in p.installed_subpackages}
    assert {"libvirt", "sheepdog", "qemu-kvm", "openvswitch"} <= wanted
    assert len(PACKAGES["libvirt"].installed_subpackages) == 13, "the how-to's transaction"


@pytest.mark.parametrize(
    "package", [p for p in PACKAGES.values() if "el6" in p.targets and p.spec_from == "here"]
)
def test_our_specs_for_it_say_nothing_that_its_rpm_does_not_know(package: Package) -> None:
    found = TOO_NEW.findall(staging.stock_spec(package, []))
    assert not found


def test_qemu_is_newer_than_the_distributions_own() -> None:
    """CentOS 6's qemu-kvm is 2:0.12.1.2: with a smaller epoch, yum would install that."""
    spec = staging.stock_spec(PACKAGES["qemu"], [])
    assert re.search(r"(?m)^Epoch:\s+2$", spec)
    assert "qemu-img = %{epoch}:%{version}-%{release}" in spec


def test_rpmbuild_gets_no_option_that_its_rpm_does_not_know() -> None:
    for package in PACKAGES.values():
        if not package.targets or "el6" in package.targets:
            assert "--nocheck" not in package.rpmbuild_args, package.name


@pytest.mark.parametrize("name", ["el6", "el7", "el8"])
def test_the_builder_has_what_our_recipes_ask_for(name: str) -> None:
    """A name that is missing there ends a build as it begins."""
    target = inventory.load_target(SETTINGS, name)
    recipe = (target.folder / "builder" / "Containerfile.j2").read_text(encoding="utf-8")
    have = set(re.split(r"[\s\"]+", recipe))
    packages = [
        catalog.load_package(SETTINGS, n, target.versions.get(n, ""))
        for n in catalog.package_names(SETTINGS)
    ]
    for package in packages:
        if package.stands_in_for or (package.targets and name not in package.targets):
            continue
        asked = set(package.adjust.build_requires if package.adjust else ())
        if package.spec_from == "here":
            asked |= set(
                re.findall(r"(?m)^BuildRequires:\s+(\S+)$", staging.stock_spec(package, []))
            )
        missing = {word for word in asked if not word.startswith("%")} - have
        assert not missing, package.name


def test_a_spec_below_a_folder_gets_a_release_of_the_target(tmp_path: Path) -> None:
    archive = tarball(tmp_path, bridge_spec=BRIDGE, bridge_files="/etc/bridge\n")
    package = bridge()
    assert package.spec_file == "bridge.spec"
    patched = staging.patched_spec(package, [archive], EL6.macros)
    assert "Release: 1%{?dist}\n" in patched.text
    assert "BuildRequires: openssl-devel\n" in patched.text
    (made,) = staging.made_sources(package, [archive], tmp_path)
    assert made.name == "bridge.files"
    assert made.read_text() == "/etc/bridge\n"
    assert package.adjust
    assert adjust.apply(patched.text, package.adjust, EL6.macros, name="b").already


def test_what_a_tarball_lacks_is_named(tmp_path: Path) -> None:
    archive = tarball(tmp_path, other_spec=BRIDGE)
    with pytest.raises(SpecError, match=r"bridge-2\.tar\.gz has no rhel/bridge\.spec"):
        staging.patched_spec(bridge(), [archive], EL6.macros)
    with pytest.raises(SourceError, match=r"has no rhel/bridge\.files"):
        staging.made_sources(bridge(), [archive], tmp_path)


def hosts(tmp_path: Path, *rows: tuple[str, str, str]) -> list[Host]:
    path = tmp_path / "inventory.toml"
    path.write_text("".join(HOSTS.format(name=n, target=t, kversion=k) for n, t, k in rows))
    return list(inventory.load_hosts(replace(SETTINGS, inventory=path)).values())


def kversion(tmp_path: Path, *rows: tuple[str, str, str]) -> str:
    return inventory.for_hosts(EL6, hosts(tmp_path, *rows)).macros["kversion"]


def test_the_module_is_built_for_the_kernel_of_the_inventory(tmp_path: Path) -> None:
    newer = "2.6.32-754.35.1.el6.x86_64"
    assert kversion(tmp_path) == "2.6.32-754.el6.x86_64"
    assert kversion(tmp_path, ("a", "el6", newer)) == newer
    assert kversion(tmp_path, ("a", "el6", newer), ("b", "el6", newer), ("c", "el6", "")) == newer
    assert kversion(tmp_path, ("a", "rehearsal", newer)) == "2.6.32-754.el6.x86_64"


def test_one_module_serves_all_hosts_or_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"differ in kversion: a '2\.6\.1', b '2\.6\.2'"):
        kversion(tmp_path, ("a", "el6", "2.6.1"), ("b", "el6", "2.6.2"))


@pytest.mark.parametrize(
    ("kernel", "built"),
    [
        ("2.6.32-279.el6.x86_64", True),  # 6.3
        ("2.6.32-279.22.1.el6.x86_64", True),
        ("2.6.32-358.el6.x86_64", False),  # 6.4
        ("2.6.32-754.35.1.el6.x86_64", False),
    ],
)
def test_a_module_is_built_for_kernels_that_bring_none(
    tmp_path: Path, kernel: str, built: bool
) -> None:
    target = inventory.for_hosts(EL6, hosts(tmp_path, ("a", "el6", kernel)))
    assert ("openvswitch-kmod" in plan.buildable(PACKAGES, target)) is built
    said = plan.left_out(PACKAGES, target)
    if built:
        assert not said
    else:
        (line,) = said
        assert f"kernel {kernel} has openvswitch, as all kernels" in line
        assert "`--package openvswitch-kmod` builds it" in line


def test_module_and_daemon_are_of_one_release() -> None:
    daemon, module = PACKAGES["openvswitch"], PACKAGES["openvswitch-kmod"]
    assert (daemon.version, daemon.versions) == (module.version, module.versions)
    for version in daemon.versions:
        one, other = (catalog.load_package(SETTINGS, p.name, version) for p in (daemon, module))
        assert one.sources == other.sources
        assert one.adjust
        assert "openvswitch-kmod" in one.adjust.without, "an RPM would drag it in"


def test_a_first_kernel_that_is_none_is_refused(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    text = 'summary = "x"\nsuite = "s"\n[macros]\ndist = ".x"\n{0}[kernel_modules]\na = "{1}"\n'
    for macros, first, why in (("", "2.6.32-358", "kversion"), ('kversion = "3"\n', "6.4", "a =")):
        (folder / "target.toml").write_text(text.format(macros, first))
        with pytest.raises(ConfigError, match=why):
            inventory.load_target(replace(SETTINGS, containers=tmp_path), "x")


def test_a_kernel_that_is_no_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kversion"):
        hosts(tmp_path, ("a", "el6", "2.6.32; reboot"))
