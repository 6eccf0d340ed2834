"""Each claim of a build is missed when what it tells of is taken out, and no other is."""

from dataclasses import replace

import factories
import pytest

from sheepvirt.builds import staging
from sheepvirt.builds.buildroot import TOP
from sheepvirt.config import catalog, versions
from sheepvirt.verify.controls import claim_controls
from sheepvirt.verify.controls.claim_controls import MUTATIONS, Artifacts
from sheepvirt.verify.model import Outcome
from tests.here import SETTINGS

QEMU = catalog.load_package(SETTINGS, "qemu", "5.2.0")
LIBVIRT = catalog.load_package(SETTINGS, "libvirt", "7.0.0")
EMULATOR = "/usr/bin/qemu-system-x86_64"
SO = "/usr/lib64/libvirt/storage-backend/libvirt_storage_backend_sheepdog.so"


def qemu() -> Artifacts:
    patches = "".join(f"patch < {TOP}/SOURCES/{p.name}\n" for p in versions.patches(QEMU))
    return Artifacts(
        package=QEMU,
        patches=tuple(path.name for path in versions.patches(QEMU)),
        intents=staging.intents(QEMU),
        dist=".rehearsal",
        expanded=f"%prep\n{patches}%build\n./configure \\\n  --enable-sheepdog\n",
        log="sheepdog support:    YES\n" + "sheepdog support: YES\n",
        built=(factories.rpm(name="qemu-kvm", files=(EMULATOR,)),),
        build_root_rpms=(),
        read=lambda _rpm, _path: b"the sheepdog block driver is deprecated",
    )


def libvirt() -> Artifacts:
    spec = (
        "Name: libvirt\nBuildRequires: sheepdog\n%build\n%meson -Dstorage_sheepdog=enabled\n"
        "%package daemon-driver-storage-sheepdog\nRequires: sheepdog\n"
        f"%files daemon-driver-storage-sheepdog\n{SO}\n"
    )
    backend = factories.rpm(
        name="libvirt-daemon-driver-storage-sheepdog", files=(SO,), requires=("sheepdog",)
    )
    return Artifacts(
        package=LIBVIRT,
        patches=(),
        intents=staging.intents(LIBVIRT),
        dist=".rehearsal",
        expanded=spec,
        log="Program collie found: YES (/usr/bin/collie)\n  Sheepdog: YES\n",
        built=(backend,),
        build_root_rpms=(factories.rpm(name="pocketsheep", files=("/usr/bin/collie",)),),
        read=lambda _rpm, _path: b"/usr/bin/collie\0",
    )


@pytest.mark.parametrize("whole", [qemu(), libvirt()])
def test_each_loss_makes_exactly_its_claims_fail(whole: Artifacts) -> None:
    made = claim_controls.evidence(whole)
    assert made
    assert not [e for e in made if not e.ok]
    outcomes = claim_controls.tried(whole)
    assert not [o for o in outcomes if not o.ok]


def test_every_loss_has_something_to_be_missed() -> None:
    outcomes = [*claim_controls.tried(qemu()), *claim_controls.tried(libvirt())]
    names = {o.control.partition(": ")[2] for o in outcomes}
    assert names == {mutation.name for mutation in MUTATIONS}


def test_a_claim_that_is_made_of_anything_is_found() -> None:
    """An RPM gate that does not look at the file's words."""
    careless = replace(qemu(), read=lambda _rpm, _path: b"")
    assert all(e.ok for e in claim_controls.evidence(qemu()))
    missed = [e.claim for e in claim_controls.evidence(careless) if not e.ok]
    assert len(missed) == 1
    controls = [o.control for o in claim_controls.tried(careless)]
    assert "qemu: RPMs of empty files" not in controls, "what is not claimed cannot be lost"


def test_what_no_control_has_missed_is_told_with_the_reason_if_there_is_one() -> None:
    rows = (
        factories.evidence(package="qemu", claim="seen", observed=""),
        factories.evidence(package="qemu", claim="never seen", observed=""),
        factories.evidence(
            package="qemu", feature="usable on el6", claim="rpm 4.8 is enough", observed=""
        ),
    )
    record = factories.record(package="qemu", version="1", evidence=rows)
    seen = Outcome(
        control="qemu: a mutation",
        expected=frozenset({"rpm: seen"}),
        seen=frozenset({"rpm: seen"}),
        restored="",
        seconds=0,
    )
    other = replace(seen, control="libvirt: a mutation", seen=frozenset({"rpm: never seen"}))
    assert claim_controls.untried([record], [seen, other]) == {
        "qemu: rpm: never seen": "",
        "qemu: rpm: rpm 4.8 is enough": claim_controls.UNTRIED["usable"],
    }
