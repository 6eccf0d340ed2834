"""The chain from a running host back to its sources: each link is looked at, each can break."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import factories
import pytest

from sheepvirt.builds import repo
from sheepvirt.config import inventory
from sheepvirt.core.errors import UnknownNameError
from sheepvirt.core.files import sha256
from sheepvirt.core.processes import Result
from sheepvirt.model.enums import Gate
from sheepvirt.model.inputs import BuildInputs, SourceInput
from sheepvirt.verify import trace
from tests.here import SETTINGS, run_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import BuildRecord
    from sheepvirt.model.hosts import Link

HOST = inventory.load_host(SETTINGS, "tahiti")
TARGET = "rehearsal"
INPUTS = BuildInputs(builder_image="b:1", sources={"x.tar.xz": SourceInput("ca38")})
NEVRA = "libvirt-daemon-7.0.0-1.rehearsal.x86_64"
JUNIT = '<testsuite><testcase classname="host.test_guests" name="test_x">{}</testcase></testsuite>'


class Machine:
    """A host that answers the two questions of the chain and refuses every other."""

    def __init__(self, installed: str, running: str) -> None:
        self.host = HOST
        self.answers = {"rpm": installed, "sh": running}

    def run(self, argv: Sequence[str], *, stdin: bytes = b"") -> Result:
        return Result(code=0, stdout=self.answers.pop(argv[0]), stderr="")


def record(package: str, folder: Path, **more: Any) -> BuildRecord:
    (folder / package).mkdir()
    for name in ("a.rpm", "build.log", "spec.diff"):
        (folder / package / name).write_text(name)
    rpm = factories.published_rpm(
        name="libvirt-daemon",
        nevra=NEVRA,
        file=f"{package}/a.rpm",
        sha256=sha256(folder / package / "a.rpm"),
        header_sha1="57ab",
    )
    given: dict[str, Any] = {"inputs": INPUTS, **more}
    evidence = (
        factories.evidence(gate=Gate.BUILD, package=package, claim="configured in", observed="YES"),
    )
    return factories.record(
        package=package,
        key=f"key-{package}",
        inputs=given["inputs"],
        rpms=(rpm,),
        evidence=evidence,
        seconds=240.0,
        stand_in=given.get("stand_in", ""),
    )


@pytest.fixture
def published(settings: Settings) -> Path:
    inputs = replace(INPUTS, packages={"pocketsheep": "key-pocketsheep"})
    with repo.staging(settings, TARGET) as stage:
        sheep = record("pocketsheep", stage, stand_in="a stand-in for sheepdog")
        repo.publish(settings, TARGET, stage, [record("libvirt", stage, inputs=inputs), sheep])
    report = settings.dist / "verify" / "tahiti" / "1-before-reboot.xml"
    report.parent.mkdir(parents=True)
    report.write_text(JUNIT.format(""))
    return repo.home(settings, TARGET)


def chain(
    settings: Settings,
    *,
    installed: str = f"libvirt-daemon\t{NEVRA}\t57ab\n",
    running: str = "libvirt-daemon\t/usr/sbin/libvirtd\n",
) -> tuple[Link, ...]:
    run = run_in(peer=Machine(installed, running), settings=settings)
    return trace.trace(run, HOST, "libvirt")


def broken(links: tuple[Link, ...]) -> list[str]:
    return [link.what for link in links if not link.ok]


def test_every_link_is_named_down_to_the_tarball(published: Path, settings: Settings) -> None:
    links = chain(settings)
    assert broken(links) == []
    found = {link.what: link.found for link in links}
    assert found["runs on tahiti"] == f"/usr/sbin/libvirtd of {NEVRA}"
    assert found["source x.tar.xz"] == "sha256 ca38"
    assert found["builder image"] == "b:1"
    assert "a stand-in for sheepdog" in found["build root had"]
    assert "1 of 1 checks good" in found["verified"]
    assert "build.log" in found["built"]
    assert next(link.detail for link in links if link.what == "spec") == "spec.diff"


def test_another_build_on_the_host_breaks_it(published: Path, settings: Settings) -> None:
    links = chain(settings, installed=f"libvirt-daemon\t{NEVRA}\tdead\n")
    assert broken(links) == ["installed on tahiti"]


def test_a_program_that_was_replaced_while_it_runs_breaks_it(
    published: Path, settings: Settings
) -> None:
    links = chain(settings, running="libvirt-daemon\t/usr/sbin/libvirtd (deleted)\n")
    assert broken(links) == ["runs on tahiti"]


def test_nothing_installed_breaks_it(published: Path, settings: Settings) -> None:
    assert broken(chain(settings, installed="", running="")) == ["installed on tahiti"]


def test_an_rpm_that_changed_on_disk_breaks_it(published: Path, settings: Settings) -> None:
    (published / "libvirt" / "a.rpm").write_text("other")
    assert broken(chain(settings)) == ["published"]


@pytest.mark.parametrize("how", ["failed", "older", "absent"])
def test_a_verification_that_does_not_count_breaks_it(
    published: Path, settings: Settings, how: str
) -> None:
    report = published.parent / "verify" / "tahiti" / "1-before-reboot.xml"
    if how == "failed":
        report.write_text(JUNIT.format('<failure message="no"/>'))
    elif how == "older":
        os.utime(report, (1, 1))
    else:
        report.unlink()
    assert broken(chain(settings)) == ["verified"]


def test_a_package_that_is_not_published_gets_a_suggestion(
    published: Path, settings: Settings
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        trace.trace(run_in(settings=settings), HOST, "libvrit")
    assert caught.value.hint == "did you mean 'libvirt'?"
