"""The RPMs on the host are exactly the published builds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from sheepvirt.bootstrap import edited, installed_rpms
from sheepvirt.verify import junit_reports

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.model.builds import BuildRecord, PublishedRpm

    from .conftest import Expected
    from .probe import Probe

Installed = dict[str, list[tuple[str, str]]]
Tell = Callable[[str, object], None]


def binary(record: BuildRecord) -> dict[str, PublishedRpm]:
    """Return a package's binary RPMs by name (its source RPM has a name, too)."""
    return {rpm.name: rpm for rpm in record.rpms if not rpm.is_source}


@pytest.fixture(scope="module")
def installed(probe: Probe) -> Installed:
    return probe.installed()


@pytest.fixture(scope="module")
def repo(expected: Expected) -> Path:
    """The published RPMs of the host's target."""
    return expected.repo


@pytest.fixture(autouse=True)
def _unless_the_kernel_brings_it(request: pytest.FixtureRequest) -> None:
    """Skip the checks of a module's package if the host's kernel has the module."""
    if "record" not in request.fixturenames:
        return
    record: BuildRecord = request.getfixturevalue("record")
    if not record.kernel_module:
        return
    probe: Probe = request.getfixturevalue("probe")
    installed: Installed = request.getfixturevalue("installed")
    if probe.kernel_has(record.kernel_module) and not binary(record).keys() & installed.keys():
        pytest.skip(f"the host's kernel has {record.kernel_module}")


def test_what_was_asked_for_is_installed(installed: Installed, record: BuildRecord) -> None:
    missing = sorted(set(record.installed_subpackages) - installed.keys())
    assert not missing, f"not installed: {', '.join(missing)}"


def test_what_is_installed_is_exactly_ours(installed: Installed, record: BuildRecord) -> None:
    ours = {name: (rpm.nevra, rpm.header_sha1) for name, rpm in binary(record).items()}
    assert ours.keys() & installed.keys(), f"nothing of {record.package} is installed"
    wrong = installed_rpms.differing(ours, installed)
    assert not wrong, "; ".join(wrong)


def test_files_are_as_packaged(
    probe: Probe, installed: Installed, record: BuildRecord, repo: Path, record_property: Tell
) -> None:
    names = sorted(binary(record).keys() & installed.keys())
    assert names, f"nothing of {record.package} is installed"
    result = probe.run("rpm", "-V", *names)
    rows = installed_rpms.altered(result.stdout)
    if result.rc and not rows:  # rpm itself failed
        raise AssertionError(f"`rpm -V` failed with exit code {result.rc}: {result.stderr.strip()}")
    own = [row for row in rows if not installed_rpms.made_by_libvirtd(row)]
    files = [repo / rpm.file for name, rpm in binary(record).items() if name in names]
    for row in filter(edited.is_edit, own):
        record_property(junit_reports.EDITED, edited.told(row, files, probe.public))
    wrong = [f"{row.path} {row.what}".strip() for row in own if not edited.is_edit(row)]
    assert not wrong, f"{len(wrong)} differ from their package: " + "; ".join(wrong)


def test_dependency_is_installed(probe: Probe, dependency: str) -> None:
    found = probe.run("rpm", "-q", "--whatprovides", dependency)
    assert found.rc == 0, f"no installed RPM is or provides {dependency}"
