"""From --source to the how-to's thirteen RPMs, for libvirt 1.0.3's recipe. Real engine, real rpm.

The tarball is a miniature of the tests' own (miniature/README): it is not libvirt, and unpinned.
What is real is the recipe: the intent, the patch for sources, the compiler's flags, build root and
gates, the names that the RPMs ask a host for.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from world import SETTINGS, run_with, within

from sheepvirt.builds import execute, repo
from sheepvirt.config import inventory
from sheepvirt.core.errors import BuildError, ContractError, SourceUnreachableError, SpecError
from sheepvirt.images import recipes
from sheepvirt.rpm import rpms
from sheepvirt.verify.controls import claim_controls, gate_controls

if TYPE_CHECKING:
    from sheepvirt.model.builds import BuildRecord
    from sheepvirt.run import Run

pytestmark = pytest.mark.engine
MINIATURE = Path(__file__).parent / "miniature"
SUBPACKAGES = {
    "", "-docs", "-daemon", "-daemon-config-network", "-daemon-config-nwfilter",
    *(f"-daemon-driver-{name}" for name in (
        "network", "nwfilter", "nodedev", "interface", "secret", "storage", "qemu", "lxc",
    )),
    "-daemon-kvm", "-daemon-lxc", "-client", "-devel", "-lock-sanlock", "-python",
}  # fmt: skip  # a table
TOOLS = """\
Name: qemu
Version: 1
Release: 1%{?dist}
Summary: Only a path, for a test
License: Public Domain
BuildArch: noarch
Provides: qemu-kvm
%description
Only a path, for a test.
%install
mkdir -p %{buildroot}%{_bindir}
touch %{buildroot}%{_bindir}/qemu-img
%files
%{_bindir}/qemu-img
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A checkout with the real recipes of libvirt and sheepdog, and a QEMU that is only a path."""
    for name in ("libvirt", "sheepdog", "pocketsheep"):
        shutil.copytree(SETTINGS.specs / name, tmp_path / "specs" / name)
    old = tmp_path / "specs" / "libvirt" / "1.0.3.toml"
    lines = old.read_text().splitlines(keepends=True)
    old.write_text("".join(line for line in lines if not line.startswith("urls = ")))
    home = tmp_path / "specs" / "qemu"
    home.mkdir()
    (home / "package.toml").write_text(
        'version = "1"\nspec = "qemu.spec"\nspec_from = "here"\ninstalled_subpackages = ["qemu"]\n'
    )
    (home / "qemu.spec").write_text(TOOLS)
    return run_with(within(tmp_path, specs=tmp_path / "specs"))


def packed(folder: Path, **changes: str) -> Path:
    """Pack the miniature as a tarball, with the content of some files changed."""
    tree = folder / "tree" / "libvirt-1.0.3"
    shutil.copytree(MINIATURE, tree, dirs_exist_ok=True)
    for name, text in changes.items():
        path = tree / {"spec": "libvirt.spec", "bridge": "src/util/virnetdevbridge.c"}[name]
        path.write_text(text)
    path = folder / "mine.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, tree.name)
    return path


def build(run: Run, file: Path | None) -> dict[str, BuildRecord]:
    target = inventory.load_target(run.settings, "rehearsal")
    selectors = ["libvirt=1.0.3", "qemu", "sheepdog=stand-in"]
    local_files = [f"libvirt={file}"] if file else []
    return {r.package: r for r in execute.build_rpms(run, target, selectors, local_files)}


def test_the_thirteen_of_nineteen_go_onto_a_host_in_one_transaction(
    run: Run, tmp_path: Path
) -> None:
    target = inventory.load_target(run.settings, "rehearsal")
    record = build(run, packed(tmp_path))["libvirt"]
    binary = [r for r in record.rpms if not r.nevra.endswith(".src")]
    assert {r.name for r in binary} == {f"libvirt{name}" for name in SUBPACKAGES}
    assert len(binary) == 19
    assert all(r.nevra.endswith("-1.0.3-1.unpinned.rehearsal.x86_64") for r in binary)

    folder = repo.home(run.settings, "rehearsal")
    manifest = json.loads((folder / "manifest.json").read_text())
    kept = next(row for row in manifest["packages"] if row["package"] == "libvirt")
    assert "mine.tar.gz" in kept["unpinned"]
    assert all(e.ok for e in record.evidence)
    claims = {(e.gate, e.claim) for e in record.evidence}
    assert {
        ("source", "UNPINNED source"),
        ("source", "it is version 1.0.3"),
        ("spec", "BuildRequires: sheepdog"),
        ("spec", "Requires: sheepdog"),
        ("spec", "0001-bridge-code-lives-with-old-kernel-headers.patch is applied"),
        ("spec", "0002-a-dbus-watch-waits-for-its-data.patch is applied"),
        ("build", "configured in"),
        ("rpm", "Requires: sheepdog"),
        ("rpm", "/usr/bin/collie is compiled in"),
    } <= claims
    assert "Hunk #1 succeeded" in (folder / "libvirt" / "build.log").read_text()
    python = next(r for r in binary if r.name == "libvirt-python")
    assert "/usr/lib64/python2.7/site-packages/libvirt.py" in rpms.read(folder / python.file).files

    image = recipes.ensure(run, target, "host-sysv")
    assert len(record.installed_subpackages) == 13
    names = record.installed_subpackages
    argv = ["dnf", "-y", "--nogpgcheck", "--repofrompath=ours,/repo", "install", *names]
    with run.engine.container(
        image, mounts={folder.resolve(): ("/repo", "ro")}, network="none"
    ) as host:
        done = host.run(argv, env={"LC_ALL": "C"})
        assert done.code == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert "scriptlet failed" not in done.stdout + done.stderr
        runs = host.run(["chkconfig", "--list", "libvirtd"]).stdout
        assert "3:on" in runs, runs  # the RPM's script, in the place of the image's stand-in
        assert "miniature" in host.run(["cat", "/etc/init.d/libvirtd"]).stdout
        there = host.run(["rpm", "-q", *names, "sheepdog", "pocketsheep"]).stdout
        assert there.count("libvirt") == 13
        assert there.count("1.unpinned.rehearsal") == 13
        assert host.run(["sh", "-c", "libvirtd; rpm -V libvirt-daemon"]).stdout.startswith(
            "this is not libvirt: device "
        )

    controls = gate_controls.try_each(run, target)
    assert len(controls) == 3
    published = repo.read_manifest(folder)
    controls += claim_controls.try_each(run, target, published)
    assert [
        c for c, reason in claim_controls.untried(published, controls).items() if not reason
    ] == []
    assert [c.control for c in controls if not c.ok] == []

    with pytest.raises(SourceUnreachableError, match=r"no location has libvirt-1\.0\.3\.tar\.gz"):
        build(run, None)  # nothing unpinned is taken for the pinned source
    assert repo.published(run.settings, "rehearsal")["libvirt"] == record


def test_what_does_not_fit_the_recipe_is_named(run: Run, tmp_path: Path) -> None:
    spec = (MINIATURE / "libvirt.spec").read_text()
    with pytest.raises(ContractError, match=r"it is version 1\.0\.3: its spec says 1\.0\.4"):
        build(run, packed(tmp_path, spec=spec.replace("Version: 1.0.3", "Version: 1.0.4")))
    with pytest.raises(SpecError, match="no %setup"):
        build(run, packed(tmp_path, spec=spec.replace("%setup -q", ":")))
    with pytest.raises(BuildError, match=r"hunk FAILED.*src/util/virnetdevbridge\.c"):
        build(run, packed(tmp_path, bridge="/* moved */\n"))
    run.engine.remove_image("sheepvirt/rehearsal-failed:libvirt")
    assert repo.published(run.settings, "rehearsal") == {}
