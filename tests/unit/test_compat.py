"""The compatibility gate: what el6 cannot use is named, what it can is not.

The samples are RPMs of data/compat/*.spec, built once by rpmbuild with the payload named.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import rpm_bytes

from sheepvirt.builds import contract
from sheepvirt.compat.__main__ import main
from sheepvirt.config import inventory
from sheepvirt.core import paths
from sheepvirt.core.errors import BuildError, ContractError
from sheepvirt.rpm import compat_rules, payload, rpm_features, rpms
from sheepvirt.rpm.rpm_features import Metadata, RpmFeatures
from tests.here import SETTINGS

DATA = Path(__file__).parent / "data"
OLD = DATA / "compat" / "old-tools-1-1.el6.noarch.rpm"
XZ, ZSTD = DATA / "compat" / "old-tools-xz.rpm", DATA / "compat" / "old-tools-zstd.rpm"
NEW = DATA / "compat" / "new-tools-1-rc1.rpm"
REHEARSAL = DATA / "sheepdog-placeholder-0.0.1-1.rehearsal.noarch.rpm"
EL6 = inventory.load_target(SETTINGS, "el6")
FINE = RpmFeatures(
    file="a.rpm",
    release="1.el6",
    compressor="xz",
    file_digest=8,
    dependencies=("rpmlib(FileDigests)", "rpmlib(PayloadIsXz)", "libc.so.6(GLIBC_2.12)(64bit)"),
    weak=(),
    file_triggers=(),
    signatures=(),
    stores=(5000, 9000),
    files=2,
    symbol_versions={"/a": ("GLIBC_2.2.5", "GLIBC_2.12", "GLIBC_PRIVATE", "OPENSSL_3.0.0")},
)
# Signature packets: old format with a length of two bytes; v4, then v3 with its longer start.
RSA_V4 = bytes([0x89, 1, 0x15, 4, 0, 1, 8])
DSA_V3 = bytes([0x88, 0x46, 3, 5, 0, *bytes(12), 17, 2])
DSA_V4 = bytes([0x88, 0x46, 4, 0, 17, 8, 0, 2, 9, 9, 0, 1, 9, 0xAB, 0xCD])  # then its first number
EDDSA = bytes([0xC2, 0x75, 4, 0, 22, 10])
RSA_V6 = bytes([0xC2, 0xC1, 0x10, 6, 0, 1, 14])


# With a signature of 8192 bytes: the largest header that rpm 4.8 still holds once it is installed.
LARGEST = (16 << 20) - 1 - 8192 - FINE.files - 16


def rules(rpm: RpmFeatures) -> list[tuple[str, str]]:
    return [(v.rule, v.found) for v in compat_rules.check(rpm, EL6)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sheepvirt.compat", *map(str, arguments)]
    return subprocess.run(argv, cwd=paths.ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("path", [OLD, XZ])
def test_what_is_old_enough_is_let_through(path: Path) -> None:
    assert compat_rules.check(rpm_features.read(path), EL6) == []


def test_fine_is_fine() -> None:
    assert rules(FINE) == []
    assert rules(replace(FINE, signatures=(RSA_V4, DSA_V3), stores=(8192, LARGEST))) == []
    assert rules(replace(FINE, compressor="none")) == []


def test_what_is_too_new_is_named_whole() -> None:
    assert rules(rpm_features.read(NEW)) == [
        ("rich dependency", "(old-tools or other)"),
        ("rpmlib feature", "rpmlib(RichDependencies)"),
        ("rpmlib feature", "rpmlib(TildeInVersions)"),
        ("weak dependency", "Recommends: old-tools"),
        ("weak dependency", "Suggests: other"),
        ("symbol versions", "/usr/bin/new-tool needs GLIBC_2.14"),
    ]


def test_a_payload_that_cannot_be_looked_into_is_no_pass() -> None:
    assert rules(rpm_features.read(ZSTD)) == [
        ("payload compressor", "zstd"),
        ("rpmlib feature", "rpmlib(PayloadIsZstd)"),
        ("symbol versions", "unknown: its payload is zstd"),
    ]


@pytest.mark.parametrize("release", ["0.el6.centos.5", "3.el6_10", "1", "2.rf", "1.el7"])
def test_others_may_have_any_release(release: str) -> None:
    rpm = replace(FINE, release=release)
    assert compat_rules.check(rpm, EL6, ours=False) == []
    assert [rule for rule, _ in rules(rpm)] == [
        "another target's RPM"
    ]  # in a repo that sheepvirt publishes


def test_another_targets_rpm_is_named() -> None:
    assert rules(rpm_features.read(REHEARSAL))[0] == (
        "another target's RPM",
        "its release is 1.rehearsal",
    )


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
        (replace(FINE, stores=(8192, LARGEST + 1)), "header size", "16777216 once it is installed"),
        (replace(FINE, stripped=True), "payload archive", "stripped cpio (07070X)"),
        (replace(FINE, file_digest=11), "file digests", "sha224"),
        (replace(FINE, weak=("Supplements: x",)), "weak dependency", "Supplements: x"),
        (replace(FINE, file_triggers=("/usr/lib",)), "file trigger", "/usr/lib"),
        (replace(FINE, dependencies=("(a or b)",)), "rich dependency", "(a or b)"),
        (replace(FINE, dependencies=("c(GLIBC_2.28)",)), "symbol versions", "c(GLIBC_2.28)"),
        (replace(FINE, signatures=(EDDSA,)), "signature algorithm", "EdDSA"),
        *(
            (replace(FINE, signatures=(RSA_V4[:-1] + bytes([n]),)), "signature digest", word)
            for n, word in ((1, "md5"), (3, "ripemd160"), (11, "sha224"))
        ),
        *(
            (
                replace(FINE, signatures=(start + bytes([0, bits]),)),
                "signature key",
                f"DSA with numbers of {bits} bits",
            )
            for start in (DSA_V4, DSA_V3 + b"\xab\xcd")
            for bits in (224, 254)
        ),
        (replace(FINE, newer_signatures=(RSA_V4,)), "signature tag", "OPENPGP and in no other"),
        (replace(FINE, signatures=(b"",)), "signature", "no OpenPGP packet"),
        (replace(FINE, signatures=(b"\x99\x01",)), "signature", "type 6, not a signature"),
        (replace(FINE, unread=("/x is broken",)), "symbol versions", "unknown: /x"),
        *(
            (replace(FINE, symbol_versions={"/b": (v,)}), "symbol versions", f"/b needs {v}")
            for v in ("GLIBC_2.13", "GLIBC_3", "GLIBC_2.12.1", "GLIBC_ABI_DT_RELR")
        ),
        *(
            (replace(FINE, dependencies=(f"rpmlib({n})",)), "rpmlib feature", n)
            for n in (
                "TildeInVersions",
                "LargeFiles",
                "RichDependencies",
                "PayloadIsZstd",
                "CaretInVersions",
                "DynamicBuildRequires",
                "ScriptletExpansion",
                "OfTomorrow",
            )
        ),
    ],
)
def test_each_ceiling(rpm: RpmFeatures, rule: str, found: str) -> None:
    (only,) = rules(rpm)
    assert only[0] == rule
    assert found in only[1]


def test_a_key_that_rpm_reads_is_let_through() -> None:
    for start in (DSA_V4, DSA_V3 + b"\xab\xcd"):
        assert rules(replace(FINE, signatures=(start + bytes([0, 160]),))) == []
    rsa = RSA_V4 + bytes([0, 0, 0, 0, 0xAB, 0xCD, 0x20, 0])  # 8192 bits
    assert rules(replace(FINE, signatures=(rsa,))) == []


def test_a_signature_in_a_tag_that_is_ignored_does_no_harm_beside_another() -> None:
    both = replace(FINE, signatures=(RSA_V4,), newer_signatures=(RSA_V4, EDDSA))
    assert rules(both) == []
    assert EL6.ceilings is not None
    new = replace(EL6, ceilings=replace(EL6.ceilings, rpm="6.0"))
    assert [(v.rule, v.found) for v in compat_rules.check(both, new)] == [
        ("signature algorithm", "EdDSA")
    ]


def test_a_signature_beyond_in_two_ways_is_named_twice() -> None:
    named = [("signature version", "v6"), ("signature digest", "sha3-512")]
    assert rules(replace(FINE, signatures=(RSA_V6,))) == named


def test_a_line_says_file_rule_found_and_ceiling() -> None:
    (violation,) = compat_rules.check(replace(FINE, compressor="zstd"), EL6)
    assert str(violation) == (
        "a.rpm: payload compressor: zstd; rpm 4.8 knows gzip, bzip2, lzma, xz, none"
    )


def test_a_newer_target_allows_more() -> None:
    assert EL6.ceilings is not None
    el7 = replace(EL6, ceilings=replace(EL6.ceilings, rpm="4.11", yum="3.4.3", glibc="2.17"))
    new = rpm_features.read(NEW)
    assert "/usr/bin/new-tool" in new.symbol_versions
    left = {v.rule for v in compat_rules.check(new, el7)}
    assert left == {"rich dependency", "rpmlib feature", "weak dependency"}
    assert (
        compat_rules.check_metadata(
            [Metadata(file="p", kind="primary", compressions=("xz", "xz"))], el7
        )
        == []
    )


@pytest.mark.parametrize("told", ["", "gzip", "none", "ufdio"])
def test_a_payload_that_nothing_compressed_is_read(told: str, tmp_path: Path) -> None:
    tool = b"\x7fELF, but not really"
    tags: dict[int, rpm_bytes.Value] = {1125: told} if told else {}
    rpm = rpm_bytes.make(tmp_path / "a.rpm", rpm_bytes.newc("./a", tool) + rpm_bytes.END, tags)
    found = rpm_features.read(rpm)
    assert found.compressor == "none"
    assert rules(found) == [("symbol versions", f"unknown: {found.unread[0]}")]
    assert "/a is a broken ELF file" in found.unread[0]


# As rpmbuild 4.16 writes it: hard links behind the others, the content at the last of them.
LARGE = rpm_bytes.files(
    ["a", "b", "c", "d", "e"],
    [4096, 9, 7, 9, 1],
    [rpm_bytes.FOLDER, rpm_bytes.FILE, rpm_bytes.FILE, rpm_bytes.FILE, rpm_bytes.LINK],
    [1, 2, 3, 2, 4],
)


def large(path: Path, *members: tuple[int, bytes]) -> Path:
    archive = b"".join(rpm_bytes.stripped(*m) for m in members) + rpm_bytes.END
    tags = {
        **LARGE,
        1049: ["rpmlib(LargeFiles)"],
        1050: ["4.12.0-1"],
        1048: (rpm_bytes.INT32, [0x0100000A]),
    }
    return rpm_bytes.make(path, gzip.compress(archive), tags)


def test_a_stripped_archive_is_a_violation_and_no_broken_rpm(tmp_path: Path) -> None:
    path = large(
        tmp_path / "a.rpm", (0, b""), (2, b"1234567"), (4, b"b"), (1, b""), (3, b"123456789")
    )
    assert rules(rpm_features.read(path)) == [
        ("payload archive", "stripped cpio (07070X)"),
        ("rpmlib feature", "rpmlib(LargeFiles)"),
    ]
    header = rpms.header(path)
    rows = payload.members(path, header.payload, "gzip", rpms.in_payload(header))
    assert [(name, content.read()) for name, content in rows] == [
        ("/a/a", b""),
        ("/a/c", b"1234567"),
        ("/a/e", b"b"),
        ("/a/b", b""),
        ("/a/d", b"123456789"),
    ]
    done = run("--target", "el6", path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "rpmlib(LargeFiles)" in done.stdout


@pytest.mark.parametrize("members", [[(5, b"")], [(1, b"short")], [(0xFFFFFFFF, b"")]])
def test_a_stripped_archive_that_contradicts_its_header_is_broken(
    members: list[tuple[int, bytes]], tmp_path: Path
) -> None:
    with pytest.raises(BuildError, match=r"a\.rpm is a broken RPM: .*(file|magic|start)"):
        rpm_features.read(large(tmp_path / "a.rpm", *members))


def test_file_triggers_that_nothing_else_tells_of_are_named(tmp_path: Path) -> None:
    rpm = rpm_bytes.make(tmp_path / "a.rpm", tags={5069: ["/usr/lib"], 5079: ["/usr/share/a"]})
    assert rules(rpm_features.read(rpm)) == [
        ("file trigger", "/usr/lib"),
        ("file trigger", "/usr/share/a"),
    ]


def test_signatures_are_told_apart_by_their_tag(tmp_path: Path) -> None:
    signed: dict[int, rpm_bytes.Value] = {268: RSA_V4, 278: rpm_bytes.base64_of(RSA_V4, EDDSA)}
    found = rpm_features.read(rpm_bytes.make(tmp_path / "a.rpm", signature=signed))
    assert (found.signatures, found.newer_signatures) == ((RSA_V4,), (RSA_V4, EDDSA))
    assert rules(found) == []
    found = rpm_features.read(rpm_bytes.make(tmp_path / "a.rpm", signature={278: signed[278]}))
    assert [rule for rule, _ in rules(found)] == ["signature tag"]


def test_without_ceilings_nothing_is_looked_at() -> None:
    rehearsal = inventory.load_target(SETTINGS, "rehearsal")
    assert compat_rules.check(rpm_features.read(NEW), rehearsal) == []
    assert compat_rules.rpm_evidence("a", rehearsal, [Path("not there")]) == []
    assert compat_rules.repo_evidence(rehearsal, Path("not there")) == []


def test_the_gate_of_a_build_stops_it_and_names_all() -> None:
    contract.require(compat_rules.rpm_evidence("a", EL6, [OLD, XZ]), where="x")
    with pytest.raises(ContractError) as caught:
        contract.require(compat_rules.rpm_evidence("a", EL6, [OLD, NEW]), where="x")
    assert "new-tools-1-rc1.rpm: symbol versions" in caught.value.message
    assert "GLIBC_2.14" in caught.value.message
    assert "Recommends" in caught.value.message


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
            "1-filelists.xml.zck": ("filelists_zck", ZCK),  # yum never opens these two
            "1-modules.yaml.zst": ("modules", b"\x28\xb5\x2f\xfd"),
            "1-updateinfo.xml.bz2": ("updateinfo", b"BZh9"),
            "2-updateinfo.xml.zck": ("updateinfo", ZCK),
            "1-other.xml.gz": ("other", XZ_START),
            "2-primary.xml.bz2": ("primary", b"BZh9"),
        },
    )
    found = compat_rules.check_metadata(rpm_features.read_metadata(repo), EL6)
    assert [(Path(v.file).name, v.found) for v in found] == [
        ("2-updateinfo.xml.zck", "zck (updateinfo)"),
        ("1-other.xml.gz", "xz (other)"),
        ("2-primary.xml.bz2", "bz2 (primary)"),
    ]


def test_a_repo_without_a_primary_that_yum_looks_for_is_named(tmp_path: Path) -> None:
    repo = make_repo(tmp_path, {"p.xml.zck": ("primary_zck", ZCK), "o.gz": ("other", GZ)})
    (found,) = compat_rules.check_metadata(rpm_features.read_metadata(repo), EL6)
    assert str(found) == (
        f"{repo / 'repodata'}: metadata: only other, primary_zck; "
        "yum 3.2.29 looks for primary or primary_db"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "<html/>",
        "\0",
        REPOMD.format('<data type="primary"/>'),
        REPOMD.format(ROW.format("primary", "gone.gz")),
        REPOMD.format(ROW.format("primary", "../../out.gz")),
    ],
)
def test_a_broken_repo_is_an_error_of_ours(text: str, tmp_path: Path) -> None:
    (tmp_path / "out.gz").write_bytes(GZ)
    make_repo(tmp_path / "repo", {})
    (tmp_path / "repo" / "repodata" / "repomd.xml").write_text(text)
    with pytest.raises(BuildError, match=r"repomd\.xml"):
        rpm_features.read_metadata(tmp_path / "repo")


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
    assert done.returncode == 1
    assert done.stderr == ""
    assert lines[0].startswith(f"{bad / 'a' / 'r.rpm'}: another target's RPM: ")
    assert lines[-1].startswith(f"{bad / 'repodata' / 'primary.xml.zst'}: metadata compression: ")


def test_the_command_asks_for_the_release_in_a_repo_of_ours_alone(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", {"primary.xml.gz": ("primary", GZ)})
    rpm_bytes.make(repo / "a.rpm", tags={1002: "0.el6.centos.5"})
    assert run("--target", "el6", repo, repo / "a.rpm").stdout == ""
    (repo / "manifest.json").write_text("{}")
    done = run("--target", "el6", repo)
    assert done.returncode == 1
    assert "its release is 0.el6.centos.5; RPMs of el6" in done.stdout


def test_a_mistake_is_named_and_the_rest_still_looked_at(tmp_path: Path) -> None:
    page, cut = tmp_path / "page.rpm", tmp_path / "cut.rpm"
    page.write_text("<html>")
    cut.write_bytes(OLD.read_bytes()[:-20])
    done = run("--target", "el6", tmp_path / "gone", page, cut, ZSTD)
    assert done.returncode == 2
    assert "payload compressor: zstd" in done.stdout
    assert "gone" in done.stderr
    assert "page.rpm is not a readable RPM" in done.stderr
    assert "cut.rpm is a broken RPM" in done.stderr
    assert "Traceback" not in done.stderr


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
