"""Headers of RPM files. The sample is sheepvirt's placeholder from before pocketsheep."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sheepvirt.core.errors import BuildError
from sheepvirt.rpm import rpms

SAMPLE = Path(__file__).parent / "data" / "sheepdog-placeholder-0.0.1-1.rehearsal.noarch.rpm"


def test_a_header_is_read_whole() -> None:
    found = rpms.read(SAMPLE)
    assert found.nevra == "sheepdog-placeholder-0.0.1-1.rehearsal.noarch"
    assert found.files == ("/usr/bin/dog",)
    assert "sheepdog" in found.provides
    assert "/bin/sh" in found.requires
    assert "placeholder" in found.summary
    assert len(found.header_sha1) == 40
    assert len(found.sha256) == 64


def test_a_file_of_the_payload_is_read() -> None:
    assert b"it stores nothing" in rpms.read_member(SAMPLE, "/usr/bin/dog")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(0, SAMPLE.stat().st_size - 1), flip=st.integers(0, 4000))
def test_a_broken_file_is_an_error_of_ours(tmp_path: Path, cut: int, flip: int) -> None:
    data = bytearray(SAMPLE.read_bytes())[:cut]
    if flip < len(data):
        data[flip] ^= 0xFF
    path = tmp_path / "broken.rpm"
    path.write_bytes(bytes(data))
    try:
        rpms.read(path)
    except BuildError as error:
        said = error.message
    else:
        return
    assert "broken.rpm" in said


def test_what_is_no_rpm_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.rpm"
    path.write_text("<html>")
    with pytest.raises(BuildError, match=r"page\.rpm is not a readable RPM"):
        rpms.read(path)
