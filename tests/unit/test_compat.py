"""The compatibility gate: what el6 cannot use is named, what it can is not.

The samples are RPMs of ours: data/compat/*.spec, built once by rpmbuild with the payload named.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sheepvirt import config, paths
from sheepvirt.builds import contract
from sheepvirt.compat import old_tools, traits
from sheepvirt.compat.__main__ import main
from sheepvirt.compat.model import Metadata, Traits
from sheepvirt.errors import BuildError, ContractError

DATA = Path(__file__).parent / "data"
OLD = DATA / "compat" / "old-tools-1-1.el6.noarch.rpm"
XZ, ZSTD = DATA / "compat" / "old-tools-xz.rpm", DATA / "compat" / "old-tools-zstd.rpm"
NEW = DATA / "compat" / "new-tools-1-rc1.rpm"
REHEARSAL = DATA / "sheepdog-placeholder-0.0.1-1.rehearsal.noarch.rpm"
EL6 = config.load_target("el6")
FINE = Traits(
    file="a.rpm", release="1.el6", compressor="xz", file_digest=8,
    dependencies=("rpmlib(FileDigests)", "rpmlib(PayloadIsXz)", "libc.so.6(GLIBC_2.12)(64bit)"),
    weak=(), signatures=(), stores=(5000, 9000),
    symbol_versions={"/a": ("GLIBC_2.2.5", "GLIBC_2.12", "GLIBC_PRIVATE", "OPENSSL_3.0.0")},
)  # fmt: skip
# Signature packets: old format with a length of two bytes; v4, then v3 with its longer start.
RSA_V4 = bytes([0x89, 1, 0x15, 4, 0, 1, 8])
DSA_V3 = bytes([0x88, 0x46, 3, 5, 0, *bytes(12), 17, 2])
EDDSA = bytes([0xC2, 0x75, 4, 0, 22, 10])
RSA_V6 = bytes([0xC2, 0xC1, 0x10, 6, 0, 1, 14])


def rules(rpm: Traits) -> list[tuple[str, str]]:
    return [(v.rule, v.found) for v in old_tools.check(rpm, EL6)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sheepvirt.compat", *map(str, arguments)]
    return subprocess.run(argv, cwd=paths.ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("path", [OLD, XZ])
def test_what_is_old_enough_is_let_through(path: Path) -> None:
    assert old_tools.check(traits.read(path), EL6) == []


def test_fine_is_fine() -> None:
    assert rules(FINE) == []
    assert rules(replace(FINE, signatures=(RSA_V4, DSA_V3), stores=(8192, (16 << 20) - 1))) == []


def test_what_is_too_new_is_named_whole() -> None:
    assert rules(traits.read(NEW)) == [
        ("rich dependency", "(old-tools or other)"),
        ("rpmlib feature", "rpmlib(RichDependencies)"),
        ("rpmlib feature", "rpmlib(TildeInVersions)"),
        ("weak dependency", "Recommends: old-tools"),
        ("weak dependency", "Suggests: other"),
        ("symbol versions", "/usr/bin/new-tool needs GLIBC_2.14"),
    ]


def test_a_payload_that_cannot_be_looked_into_is_no_pass() -> None:
    assert rules(traits.read(ZSTD)) == [
        ("payload compressor", "zstd"),
        ("rpmlib feature", "rpmlib(PayloadIsZstd)"),
        ("symbol versions", "cannot be told: its payload is zstd"),
    ]


def test_another_targets_rpm_is_named() -> None:
    assert rules(traits.read(REHEARSAL))[0] == (
        "another target's RPM", "its release is 1.rehearsal",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rpm", "rule", "found"),
    [
        (replace(FINE, release="1.el6.rehearsal"), "another target's RPM", "1.el6.rehearsal"),
        (replace(FINE, compressor="zstd"), "payload compressor", "zstd"),
        (replace(FINE, compressor="lzip"), "payload compressor", "lzip"),
        (replace(FINE, file_digest=12), "file digests", "sha3-256"),
        (replace(FINE, file_digest=77), "file digests", "algorithm 77"),
        (replace(FINE, stores=(8193, 9000)), "signature header size", "8193 bytes"),
        (replace(FINE, stores=(0, 16 << 20)), "header size", "16777216 bytes"),
        (replace(FINE, weak=("Supplements: x",)), "weak dependency", "Supplements: x"),
        (replace(FINE, dependencies=("(a or b)",)), "rich dependency", "(a or b)"),
        (replace(FINE, dependencies=("c(GLIBC_2.28)",)), "symbol versions", "c(GLIBC_2.28)"),
        (replace(FINE, signatures=(EDDSA,)), "signature algorithm", "EdDSA"),
        (replace(FINE, signatures=(b"",)), "signature", "no OpenPGP packet"),
        (replace(FINE, signatures=(b"\x99\x01",)), "signature", "type 6, not a signature"),
        (replace(FINE, unread=("/x is broken",)), "symbol versions", "cannot be told: /x"),
        *(
            (replace(FINE, symbol_versions={"/b": (v,)}), "symbol versions", f"/b needs {v}")
            for v in ("GLIBC_2.13", "GLIBC_3", "GLIBC_2.12.1", "GLIBC_ABI_DT_RELR")
        ),
        *(
            (replace(FINE, dependencies=(f"rpmlib({n})",)), "rpmlib feature", n)
            for n in (
                "TildeInVersions", "LargeFiles", "RichDependencies", "PayloadIsZstd",
                "CaretInVersions", "DynamicBuildRequires", "ScriptletExpansion", "OfTomorrow",
            )
        ),
    ],
)  # fmt: skip
def test_each_ceiling(rpm: Traits, rule: str, found: str) -> None:
    (only,) = rules(rpm)
    assert only[0] == rule and found in only[1]


def test_a_signature_beyond_in_two_ways_is_named_twice() -> None:
    named = [("signature version", "v6"), ("signature digest", "sha3-512")]
    assert rules(replace(FINE, signatures=(RSA_V6,))) == named


def test_a_line_says_file_rule_found_and_ceiling() -> None:
    (violation,) = old_tools.check(replace(FINE, compressor="zstd"), EL6)
    assert str(violation) == (
        "a.rpm: payload compressor: zstd; rpm 4.8 knows gzip, bzip2, lzma, xz"
    )


def test_a_newer_target_allows_more() -> None:
    assert EL6.ceilings is not None
    el7 = replace(EL6, ceilings=replace(EL6.ceilings, rpm="4.11", yum="3.4.3", glibc="2.17"))
    new = traits.read(NEW)
    assert "/usr/bin/new-tool" in new.symbol_versions
    left = {v.rule for v in old_tools.check(new, el7)}
    assert left == {"rich dependency", "rpmlib feature", "weak dependency"}
    assert old_tools.check_metadata([Metadata("p", "primary", ("xz", "xz"))], el7) == []


def test_without_ceilings_nothing_is_looked_at() -> None:
    rehearsal = config.load_target("rehearsal")
    assert old_tools.check(traits.read(NEW), rehearsal) == []
    assert old_tools.rpm_evidence("a", rehearsal, [Path("not there")]) == []
    assert old_tools.repo_evidence(rehearsal, Path("not there")) == []


def test_the_gate_of_a_build_stops_it_and_names_all() -> None:
    contract.require(old_tools.rpm_evidence("a", EL6, [OLD, XZ]), where="x")
    with pytest.raises(ContractError) as caught:
        contract.require(old_tools.rpm_evidence("a", EL6, [OLD, NEW]), where="x")
    assert "new-tools-1-rc1.rpm: symbol versions" in caught.value.message
    assert "GLIBC_2.14" in caught.value.message and "Recommends" in caught.value.message


REPOMD = '<repomd xmlns="http://linux.duke.edu/metadata/repo">{}</repomd>'
ROW = '<data type="{}"><location href="repodata/{}"/></data>'
GZ, XZ_START, ZCK = b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\0ZCK1"


def make_repo(folder: Path, files: dict[str, tuple[str, bytes]]) -> Path:
    (folder / "repodata").mkdir(parents=True)
    rows = "".join(ROW.format(kind, name) for name, (kind, _) in files.items())
    (folder / "repodata" / "repomd.xml").write_text(REPOMD.format(rows))
    for name, (_, start) in files.items():
        (folder / "repodata" / name).write_bytes(start)
    return folder


def test_metadata_is_judged_by_name_and_by_content(tmp_path: Path) -> None:
    repo = make_repo(
        tmp_path,
        {
            "1-primary.xml.gz": ("primary", GZ),
            "1-primary.sqlite.bz2": ("primary_db", b"BZh9"),
            "comps.xml": ("group", b"<?xml"),
            "1-filelists.xml.zck": ("filelists_zck", ZCK),
            "1-other.xml.gz": ("other", XZ_START),
            "2-primary.xml.bz2": ("primary", b"BZh9"),
        },
    )
    found = old_tools.check_metadata(traits.read_metadata(repo), EL6)
    assert [(Path(v.file).name, v.found) for v in found] == [
        ("1-filelists.xml.zck", "zck (filelists_zck)"),
        ("1-other.xml.gz", "xz (other)"),
        ("2-primary.xml.bz2", "bz2 (primary)"),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "<html>", "<html/>", "\0", REPOMD.format('<data type="primary"/>'),
     REPOMD.format(ROW.format("primary", "gone.gz")),
     REPOMD.format(ROW.format("primary", "../../out.gz"))],
)  # fmt: skip
def test_a_broken_repo_is_an_error_of_ours(text: str, tmp_path: Path) -> None:
    (tmp_path / "out.gz").write_bytes(GZ)
    make_repo(tmp_path / "repo", {})
    (tmp_path / "repo" / "repodata" / "repomd.xml").write_text(text)
    with pytest.raises(BuildError, match=r"repomd\.xml"):
        traits.read_metadata(tmp_path / "repo")


def test_the_command(tmp_path: Path) -> None:
    good = make_repo(tmp_path / "good", {"primary.xml.gz": ("primary", GZ)})
    (good / OLD.name).write_bytes(OLD.read_bytes())
    done = run("--target", "el6", OLD, good)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    bad = make_repo(tmp_path / "bad", {"primary.xml.zst": ("primary", b"\x28\xb5\x2f\xfd")})
    (bad / "a").mkdir()
    (bad / "a" / "r.rpm").write_bytes(REHEARSAL.read_bytes())
    done = run("--target", "el6", bad, OLD)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and done.stderr == ""
    assert lines[0].startswith(f"{bad / 'a' / 'r.rpm'}: another target's RPM: ")
    assert lines[-1].startswith(f"{bad / 'repodata' / 'primary.xml.zst'}: metadata compression: ")


def test_a_mistake_is_named_and_the_rest_still_looked_at(tmp_path: Path) -> None:
    page, cut = tmp_path / "page.rpm", tmp_path / "cut.rpm"
    page.write_text("<html>")
    cut.write_bytes(OLD.read_bytes()[:-20])
    done = run("--target", "el6", tmp_path / "gone", page, cut, ZSTD)
    assert done.returncode == 2 and "payload compressor: zstd" in done.stdout
    assert "gone" in done.stderr and "page.rpm is not a readable RPM" in done.stderr
    assert "cut.rpm is a broken RPM" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("target", "says"), [("el66", "did you mean 'el6'?"), ("rehearsal", "no [ceilings]")]
)
def test_a_target_that_cannot_judge(
    target: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--target", target, str(OLD)]) == 2
    assert says in capsys.readouterr().err


def test_an_empty_folder_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "el6", str(tmp_path)]) == 2
    assert "no RPM and no repodata" in capsys.readouterr().err
