"""The notes that mark what is sheepvirt's: a broken one is no mark, never a crash."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap import marks
from sheepvirt.bootstrap.marks import Mark
from sheepvirt.model.enums import ObjectKind, Origin

MARK = Mark(
    kind=ObjectKind.DOMAIN,
    name="papeete",
    origin=Origin.DEFINED,
    uuid="u",
    sent="<a/>",
    made="<a><b/></a>",
    live="<a/>",
    live_sent="f0",
    maker="libvirt-7",
)
KEY = (ObjectKind.DOMAIN, "papeete")


@given(st.text(), st.text())
def test_a_note_is_one_line_and_reads_back(sent: str, maker: str) -> None:
    mark = Mark(kind=ObjectKind.NETWORK, name="n", origin=Origin.TAKEN, sent=sent, maker=maker)
    assert len(mark.line.splitlines()) == 1
    assert marks.parse(f"{mark.line}\n") == {(ObjectKind.NETWORK, "n"): mark}


@given(st.integers(0, len(MARK.line) - 1))
def test_a_note_that_was_cut_off_is_no_mark(length: int) -> None:
    other = Mark(kind=ObjectKind.BRIDGE, name="br0", origin=Origin.TAKEN)
    found = marks.parse(f"{MARK.line[:length]}\n{other.line}\n")
    assert found == {(ObjectKind.BRIDGE, "br0"): other}


@given(st.sampled_from(sorted(json.loads(MARK.line))), st.none() | st.integers() | st.just("<x"))
def test_a_note_with_another_value_is_a_mark_or_none(key: str, value: object) -> None:
    row = json.loads(MARK.line) | {key: value}
    for mark in marks.parse(json.dumps(row)).values():
        assert isinstance(mark, Mark)


def test_broken_notes_are_no_marks() -> None:
    row = json.loads(MARK.line)
    for broken in (
        "",
        "{",
        "[]",
        "null",
        "1",
        "[" * 100_000,
        json.dumps(row | {"made": "<a>"}),
        json.dumps(row | {"format": 2}),
        json.dumps(row | {"kind": "moon"}),
        json.dumps(row | {"new": "x"}),
        json.dumps({k: v for k, v in row.items() if k != "uuid"}),
    ):
        assert marks.parse(broken) == {}, broken[:80]
    assert marks.parse(json.dumps(row)) == {KEY: MARK}


def test_each_mark_has_a_file_of_its_own() -> None:
    assert MARK.file == "domain-papeete.json"
    path = "/etc/yum.repos.d/sheepvirt.repo"
    file = Mark(kind=ObjectKind.FILE, name=path, origin=Origin.DEFINED)
    assert file.file == "file-etc-yum.repos.d-sheepvirt.repo.json"
