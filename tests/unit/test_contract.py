"""A declared feature has evidence, or the run stops: each check is shown to fail, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest

from sheepvirt.builds import contract
from sheepvirt.config import catalog
from sheepvirt.core.errors import ContractError
from tests.here import SETTINGS

if TYPE_CHECKING:
    from sheepvirt.model.builds import Feature, Rpm

MESON = """\
Program dog found: YES (/usr/bin/dog)
  Storage Drivers
               Sheepdog: YES
"""
FEATURE = next(
    f for f in catalog.load_package(SETTINGS, "libvirt").features if f.name == "sheepdog"
)
OLD = next(
    f for f in catalog.load_package(SETTINGS, "libvirt", "1.0.3").features if f.name == "sheepdog"
)
DRIVER = next(f for f in catalog.load_package(SETTINGS, "qemu").features if f.name == "sheepdog")


DOG = factories.rpm(name="sheepdog", files=("/usr/bin/dog",))
BACKEND = factories.rpm(name="backend", files=(FEATURE.rpm_file,), requires=("sheepdog",))


def built(log: str, build_root: list[Rpm], feature: Feature = FEATURE) -> list[tuple[str, bool]]:
    found = contract.build_evidence("libvirt", feature, log, build_root)
    return [(e.claim, e.ok) for e in found]


def carried(
    *rpms: Rpm,
    content: bytes = b"\0/usr/bin/dog\0",
    feature: Feature = FEATURE,
    tool: str = "/usr/bin/dog",
) -> str:
    found = contract.rpm_evidence("a", feature, rpms, tool, lambda _rpm, _path: content)
    return " ".join("ok" if e.ok else "MISSING" for e in found)


def test_a_build_with_sheepdog_is_seen() -> None:
    assert built(MESON, [DOG]) == [("configured in", True), ("its CLI was in the build root", True)]


def test_autoconf_says_it_in_other_words() -> None:
    log = "checking for collie... /usr/sbin/collie\nconfigure: Sheepdog: yes\n"
    assert contract.tool_path(FEATURE, log) == "/usr/sbin/collie"


def test_the_summary_of_old_configures_is_read() -> None:
    log = "checking for collie... /usr/bin/collie\nconfigure:   Sheepdog: {}"
    dog = factories.rpm(name="sheepdog", files=("/usr/bin/collie",))
    seen = [True, True]
    assert [ok for _, ok in built(log.format("yes"), [dog], OLD)] == seen
    assert [ok for _, ok in built(log.format("no"), [dog], OLD)] == [False, True]
    assert [ok for _, ok in built(log.replace("/usr/bin/collie", "no"), [dog], OLD)] == [False] * 2


def test_another_rpm_than_the_files_may_be_the_one_that_requires() -> None:
    driver = factories.rpm(name="libvirt-daemon-driver-storage", files=(OLD.rpm_file,))
    daemon = factories.rpm(name="libvirt-daemon", requires=("sheepdog",))
    content = b"virStorageBackendSheepdogParseVdiList\0/usr/bin/dog\0"
    assert carried(driver, daemon, content=content, feature=OLD) == "ok ok ok ok"
    silent = replace(daemon, requires=())
    assert carried(driver, silent, content=content, feature=OLD) == "ok MISSING ok ok"
    assert carried(driver, content=content, feature=OLD) == "ok MISSING ok ok"
    assert carried(driver, daemon, content=b"/usr/bin/dog\0", feature=OLD) == "ok ok MISSING ok"


def test_a_tool_that_is_a_link_to_one_of_ours_is_ours() -> None:
    log = "checking for collie... /usr/sbin/collie\nconfigure: Sheepdog: yes\n"
    for end, ok in (("/usr/bin/dog", True), ("/opt/dog", False), ("/usr/sbin/collie", False)):
        said = f"{log}{contract.link_line('/usr/sbin/collie', end)}\n"
        found = contract.build_evidence("libvirt", FEATURE, said, [DOG])[-1]
        assert (found.ok, found.claim) == (ok, "its CLI was in the build root")
    assert contract.build_evidence("libvirt", FEATURE, log, [DOG])[-1].ok is False
    said = f"{log}{contract.link_line('/usr/sbin/collie', '/usr/bin/dog')}\n"
    seen = contract.build_evidence("libvirt", FEATURE, said, [DOG])[-1].observed
    assert seen.startswith("/usr/sbin/collie → /usr/bin/dog of sheepdog")


@pytest.mark.parametrize(
    ("log", "build_root"),
    [
        (MESON.replace("YES (/usr/bin/dog)", "NO").replace("Sheepdog: YES", "Sheepdog: NO"), [DOG]),
        ("", [DOG]),
    ],
)
def test_a_build_without_sheepdog_is_caught(log: str, build_root: list[Rpm]) -> None:
    assert [ok for _, ok in built(log, build_root)] == [False, False]


def test_a_cli_that_is_not_of_our_rpms_is_caught() -> None:
    assert [ok for _, ok in built(MESON, [])] == [True, False]


def test_the_backend_in_an_rpm_is_seen() -> None:
    assert carried(factories.rpm(name="other"), BACKEND) == "ok ok ok"


def test_no_backend_in_any_rpm_is_caught() -> None:
    assert carried(factories.rpm(name="other")) == "MISSING"


def test_a_backend_that_requires_nothing_is_caught() -> None:
    assert carried(replace(BACKEND, requires=())) == "ok MISSING ok"


def test_another_path_compiled_in_is_caught() -> None:
    assert carried(BACKEND, content=b"\0/usr/bin/doggy\0") == "ok ok MISSING"


@pytest.mark.parametrize(
    ("expanded", "ok"),
    [
        ("./configure \\\n    --enable-sheepdog --enable-kvm\n", True),
        ("./configure \\\n    --disable-sheepdog\n# not --enable-sheepdog\n", False),
    ],
)
def test_a_spec_of_ours_shows_the_switch_or_is_caught(expanded: str, ok: bool) -> None:
    (found,) = contract.spec_evidence("qemu", DRIVER, expanded)
    assert (found.gate, found.ok) == ("spec", ok)


def test_an_intent_proves_its_own_spec() -> None:
    assert contract.spec_evidence("libvirt", FEATURE, "") == ()


def test_a_patch_that_the_spec_does_not_apply_is_caught() -> None:
    paths = ["/b/SOURCES/0001-a.patch", "/b/SOURCES/0002-b.patch"]
    found = contract.patch_evidence(
        "qemu", paths, "%prep\ncat /b/SOURCES/0001-a.patch | patch -p1\n"
    )
    assert [(e.claim, e.ok) for e in found] == [
        ("0001-a.patch is applied", True),
        ("0002-b.patch is applied", False),
    ]
    with pytest.raises(ContractError, match=r"0002-b\.patch is applied: %prep does not name it"):
        contract.require(found, where="the spec")


@pytest.mark.parametrize("answer", ["YES", "NO"])
def test_what_configure_says_of_the_driver_is_read(answer: str) -> None:
    log = f"   parallels support: YES\n    sheepdog support: {answer}\n"
    (found,) = contract.build_evidence("qemu", DRIVER, log, [])
    assert found.ok == (answer == "YES")


def test_an_emulator_without_the_driver_is_caught() -> None:
    emulator = factories.rpm(name="qemu-kvm", files=(DRIVER.rpm_file,))
    driver = f"\0{DRIVER.rpm_text}\0".encode()
    for content, said in ((driver, "ok ok"), (b"\0sheepdog\0", "ok MISSING")):
        assert carried(emulator, content=content, feature=DRIVER, tool="") == said


def test_a_release_of_another_target_is_caught() -> None:
    assert contract.release_evidence("a", ".rehearsal", [BACKEND]).ok
    assert not contract.release_evidence("a", ".el6", [BACKEND]).ok


def test_missing_evidence_stops_the_run_and_names_each_claim() -> None:
    good = factories.evidence(claim="file")
    bad = factories.evidence(claim="Requires: sheepdog", observed="not there", ok=False)
    contract.require([good], where="the log")
    with pytest.raises(ContractError, match="Requires: sheepdog: not there") as caught:
        contract.require([good, bad], where="the log")
    assert "file: seen" not in caught.value.message
    assert caught.value.exit_code == 7
