"""Whatever bytes come: a record or a SheepvirtError, never anything else."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
import rpm_bytes
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sheepvirt.core.errors import BuildError
from sheepvirt.rpm import elf, openpgp, payload, rpm_features, rpms

DATA = Path(__file__).parent / "data" / "compat"
PLAIN = rpm_bytes.rpm(rpm_bytes.newc("./a", b"\x7fELF" + bytes(200)) + rpm_bytes.END)
LARGE = rpm_bytes.rpm(
    rpm_bytes.stripped(0, b"12345") + rpm_bytes.END,
    rpm_bytes.files(["a"], [5], [rpm_bytes.FILE]),
    {278: rpm_bytes.base64_of(b"\x88\x46\x04\0\x11\x08\0\x02\x09\x09\0\x01\x09\xab\xcd\0\xa0")},
)
SAMPLES = [PLAIN, LARGE, *(p.read_bytes() for p in sorted(DATA.glob("*.rpm")))]
NEW = DATA / "new-tools-1-rc1.rpm"
HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6)


def binary() -> bytes:
    """Return the ELF file of a sample."""
    for _, content in payload.members(NEW, rpms.header(NEW).payload, "gzip"):
        data = b"".join(iter(content.read, b""))
        if data.startswith(elf.MAGIC):
            return data
    raise AssertionError("no ELF file in the sample")


ELF = binary()


def harmed(data: bytes, flips: list[tuple[float, int]]) -> bytes:
    copy = bytearray(data)
    for at, mask in flips:
        copy[int(at * len(copy))] ^= mask
    return bytes(copy)


@HERE
@given(st.sampled_from(SAMPLES), FLIPS, st.floats(0.01, 1))
@example(LARGE, [(0.7265625, 1)], 1)  # the index of a folder that is not there
@example(LARGE, [(0.5625, 1)], 1)  # the index of a folder is text
def test_a_harmed_rpm(
    tmp_path: Path, data: bytes, flips: list[tuple[float, int]], cut: float
) -> None:
    path = tmp_path / "harmed.rpm"
    path.write_bytes(harmed(data, flips)[: int(len(data) * cut)])
    try:
        rpm_features.read(path)
        rpms.read(path)
    except BuildError as error:
        refusal = error
    else:
        return
    assert "harmed.rpm" in refusal.message
    assert refusal.hint


@HERE
@given(st.binary(max_size=400))
def test_a_payload_of_garbage(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "payload"
    path.write_bytes(gzip.compress(b"070701" + data))
    with pytest.raises(payload.BROKEN):
        list(payload.members(path, 0, "gzip"))


@HERE
@given(FLIPS)
def test_a_harmed_elf_file(flips: list[tuple[float, int]]) -> None:
    try:
        elf.needed_versions(io.BytesIO(harmed(ELF, [(at * 0.02, mask) for at, mask in flips])))
        elf.needed_versions(io.BytesIO(harmed(ELF, flips)))
    except ValueError as error:
        said = str(error)
    else:
        return
    assert said


def test_an_elf_file_whose_counts_lie_ends() -> None:
    sections = int.from_bytes(ELF[0x28:0x30], "little")  # e_shoff
    lied = bytearray(ELF)
    lied[0x3A:0x3C] = bytes(2)  # e_shentsize: every section is the first one …
    lied[0x3C:0x3E] = bytes(2)  # … and e_shnum 0: how many there are is in that one's sh_size
    lied[sections + 0x20 : sections + 0x28] = b"\xff" * 7 + b"\x00"
    with pytest.raises(ValueError, match=r"."):
        elf.needed_versions(io.BytesIO(bytes(lied)))


def test_a_binary_says_what_it_needs_or_that_it_cannot() -> None:
    assert elf.needed_versions(io.BytesIO(ELF)) == ("GLIBC_2.14", "GLIBC_2.2.5")
    bare = bytearray(ELF)
    bare[0x28:0x30] = bytes(8)
    bare[0x3A:0x40] = bytes(6)
    with pytest.raises(ValueError, match="no section headers"):
        elf.needed_versions(io.BytesIO(bytes(bare)))


@given(st.binary(max_size=40))
def test_a_signature_of_garbage(data: bytes) -> None:
    try:
        version = openpgp.signature(data).version
    except ValueError as error:
        said = str(error)
    else:
        assert version.startswith("v")
        return
    assert "OpenPGP" in said
