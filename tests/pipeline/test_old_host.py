"""Bootstrap and verification of a host whose libvirt comes as 1.0.3's RPMs do. All of it for real.

This is not libvirt 1.0.3; test_real_old_host.py has that one, where its source can be fetched. CI
cannot fetch it. So these are thirteen RPMs of its names, with scripts and file lists of its time
(old_host/README), around the libvirt that was published before. One host is bootstrapped from them
for all tests.
"""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import invoke, shell
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.builds import repo
from sheepvirt.config import inventory
from sheepvirt.images import recipes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
HERE = Path(__file__).parent
# In a build root, which has rpm: what of the published RPMs goes into the old ones.
UNPACK = """
set -e
mkdir /all /payload && cd /all
for rpm in /repo/libvirt/*.x86_64.rpm; do rpm2archive - <"$rpm" | tar xz; done
rm -f usr/lib64/libnss_* usr/lib64/libvirt/lock-driver/sanlock.so
cp -a --parents -t /payload \\
  usr/lib64/lib*.so.* usr/lib64/libvirt/connection-driver usr/lib64/libvirt/lock-driver \\
  usr/lib64/libvirt/storage-backend usr/lib64/libvirt/storage-file \\
  usr/sbin/libvirtd usr/sbin/virtlockd usr/bin/virsh usr/libexec/libvirt-guests.sh \\
  usr/libexec/libvirt_iohelper usr/libexec/libvirt_leaseshelper usr/libexec/libvirt_parthelper \\
  usr/share/libvirt/schemas usr/share/libvirt/cpu_map usr/share/libvirt/networks \\
  usr/share/libvirt/nwfilter etc/sasl2/libvirt.conf \\
  etc/libvirt/libvirtd.conf etc/libvirt/libvirt.conf etc/libvirt/qemu.conf \\
  etc/libvirt/virtlockd.conf
"""
POOL_RUNS = "LC_ALL=C virsh -q pool-info sheepdog | grep -q '^State: *running'"


def rimatara() -> Host:
    return inventory.load_host(SETTINGS, "rimatara")


def on_host(script: str) -> str:
    return shell(rimatara(), script)


@pytest.fixture(scope="module")
def own(published: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A copy of the published results, which is these tests' own; returns its settings."""
    settings = replace(SETTINGS, dist=tmp_path_factory.mktemp("old") / "dist")
    shutil.copytree(SETTINGS.dist, settings.dist, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHEEPVIRT_DIST", str(settings.dist))
        yield settings


@pytest.fixture(scope="module", autouse=True)
def bootstrapped(own: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Rimatara is there, with the thirteen RPMs; what its first bootstrap has said."""
    source = f"libvirt={packed(own, tmp_path_factory.mktemp('packed'))}"
    words = ("--package", "libvirt=1.0.3", "--source", source)
    invoke("build-rpms", "--target", "rehearsal", *words)
    rehearsal.remove(RUN, rimatara())
    yield invoke("bootstrap", "rimatara")
    rehearsal.remove(RUN, rimatara())


def packed(settings: Settings, folder: Path) -> Path:
    """Pack a tarball in 1.0.3's shape, the published libvirt in it."""
    tree = folder / "libvirt-1.0.3"
    shutil.copytree(HERE / "miniature", tree)
    for script in (HERE / "old_host").glob("*.init"):
        shutil.copy(script, tree / "src")
    spec, make = tree / "libvirt.spec", tree / "Makefile"
    head = spec.read_text().partition("%pre daemon\n")[0]
    spec.write_text(head + (HERE / "old_host" / "tail.spec").read_text())
    rules = make.read_text().partition("install:\n")[0]
    make.write_text(rules + (HERE / "old_host" / "install.mk").read_text())
    image = recipes.ensure(RUN, inventory.load_target(settings, "rehearsal"), "builder")
    mounts = {repo.home(settings, "rehearsal").resolve(): ("/repo", "ro")}
    with RUN.engine.container(image, mounts=mounts, network="none") as root:
        root.run(["sh", "-c", UNPACK], check=True)
        root.get("/payload", tree)
    path = folder / "mine.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, tree.name)
    return path


def test_thirteen_rpms_of_2013s_kind_bring_a_host_up(bootstrapped: str) -> None:
    assert "UNPINNED: libvirt 1.0.3" in bootstrapped
    assert "SysV init, rc and sshd are real" in bootstrapped  # the inventory does not ask for it
    assert on_host("cat /proc/1/comm") == "init"
    assert on_host("rpm -qa 'libvirt*' | wc -l") == "13"
    assert on_host("sh -c 'echo $BASH_VERSION'")
    assert "no change" in invoke("bootstrap", "rimatara")


def test_what_its_scripts_and_its_daemon_do_is_no_difference() -> None:
    """A mac in every network at an upgrade; UUIDs in filters; other modes; virtlockd's script."""
    on_host("dnf -y reinstall libvirt-daemon")
    # Its %post restarts libvirtd, which forgets its pools; our script on the host looks for that.
    on_host(f"for _ in $(seq 60); do {POOL_RUNS} && exit; sleep 0.5; done; exit 1")
    assert "<mac " in on_host("cat /etc/libvirt/qemu/networks/ovsbr0.xml")
    altered = on_host("rpm -Va 'libvirt*' || :")
    assert "/etc/libvirt/nwfilter/" in altered
    assert " g /var/run/libvirt/qemu" in altered
    assert "3:on" in on_host("chkconfig --list virtlockd")
    assert on_host("service virtlockd status >/dev/null 2>&1 || echo no") == "no"
    assert "no change" in invoke("bootstrap", "rimatara")
    assert "none failed" in invoke("verify", "rimatara")


def test_the_way_back_is_a_new_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEEPVIRT_DIST", str(SETTINGS.dist))
    for plan in ([], ["--plan"]):
        out = invoke("bootstrap", "rimatara", *plan, code=2)
        assert "rimatara was made with sysv" in out
        assert "invoke destroy rimatara" in out
