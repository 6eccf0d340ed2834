"""The guests' disks: made, proven, grown, kept; as a file of the host and as a VDI."""

from dataclasses import replace
from pathlib import Path

import pytest
from finished import GUEST, HOST, WANTED, changes, context, done

from sheepvirt.bootstrap.facts.sheepdog import ClusterState
from sheepvirt.bootstrap.steps import disk
from sheepvirt.bootstrap.steps.base import DesiredState
from sheepvirt.core.errors import BootstrapError, ConfigError, RemoteCommandError
from sheepvirt.model.enums import Disk
from sheepvirt.model.hosts import Guest

PATH = "/var/lib/libvirt/images/papeete.img"
NOTE = "/var/lib/sheepvirt/vdi-papeete.from"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def wanted(guest: Guest) -> DesiredState:
    return replace(WANTED, host=replace(HOST, guests=(guest,)))


FILE = wanted(replace(GUEST, disk=Disk.FILE))


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "papeete-1.img"
    path.write_bytes(b"")
    monkeypatch.setattr("sheepvirt.images.guest.ensure_image", lambda *_: path)
    return path


# In order: a note that a VDI is about to be there, the VDI, a note of what is going on, the VDI's
# content, the proof, the note.
FORGET = (f"rm -f {NOTE}", 0, "")
FILL = (
    (NOTE, 0, ""),
    ("pool-refresh sheepdog", 0, ""),
    ("vol-create-as sheepdog papeete 1000000000", 0, ""),
    (NOTE, 0, ""),
    ("dog vdi write papeete 0 0", 0, ""),
    ("dog vdi read", 0, f"{EMPTY}  -\n"),
    (NOTE, 0, ""),
)


def test_a_vdi_is_made_through_the_pool_filled_and_read_back(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    facts = replace(done(), vdis={}, texts={}, domains={})
    assert changes(disk.STEP, facts) == ["VDI papeete created (1 GB) and filled from papeete-1.img"]
    worker, planned = context(monkeypatch, *FILL)
    disk.apply(WANTED, facts, worker)
    assert planned.plan == []
    assert planned.sent[0] == b"creating papeete-1.img\n"
    assert planned.sent[3] == b"filling papeete-1.img\n"
    assert planned.sent[-1] == f"papeete-1.img {EMPTY}\n".encode()


def test_a_vdi_that_reads_otherwise_is_an_error_and_stays_marked(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    plan = [*FILL[:5], ("dog vdi read", 0, f"{'1' * 64}  -\n")]
    worker, planned = context(monkeypatch, *plan)
    with pytest.raises(BootstrapError, match="does not read back as it was written"):
        disk.apply(WANTED, replace(done(), vdis={}, texts={}, domains={}), worker)
    assert planned.plan == []


def test_a_vdi_that_could_not_be_made_is_not_called_half_filled(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    """It may be there, so that it is copied before it is replaced."""
    worker, planned = context(monkeypatch, *FILL[:2], ("vol-create-as", 1, "it exists"))
    with pytest.raises(RemoteCommandError, match="it exists"):
        disk.apply(WANTED, replace(done(), vdis={}, texts={}, domains={}), worker)
    assert planned.plan == []
    assert planned.sent[0] == b"creating papeete-1.img\n"


def test_a_cluster_that_does_not_answer_has_not_lost_its_vdis() -> None:
    facts = replace(done(), vdis={}, cluster=ClusterState(status="", nodes=0, listed=False))
    assert changes(disk.STEP, facts) == []


def test_a_fill_that_was_cut_off_is_done_again(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    facts = replace(done(), texts={NOTE: "filling papeete-1.img"}, domains={})
    assert "a run was interrupted" in changes(disk.STEP, facts)[0]
    worker, planned = context(monkeypatch, FORGET, ("dog vdi delete papeete", 0, ""), *FILL)
    disk.apply(WANTED, facts, worker)
    assert planned.plan == []


@pytest.mark.parametrize("note", ["papeete-0.img 00", "creating papeete-1.img", ""])
def test_a_vdi_in_the_way_is_copied_before_anything_else(
    note: str, monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    facts = replace(done(), texts={NOTE: note})
    assert "replaced from" in changes(disk.STEP, facts)[0]
    source, copy = (
        f"sheepdog:127.0.0.1:7000:papeete{end}" for end in ("", ".kept-20261125-010203")
    )
    worker, planned = context(
        monkeypatch,
        ("shutdown papeete", 0, ""), ("domstate papeete", 0, "shut off\n"),
        ("date", 0, "20261125-010203\n"),
        (f"qemu-img convert -f raw -O raw {source} {copy}", 0, ""),
        (f"qemu-img compare -f raw -F raw {source} {copy}", 0, ""),
        ("autostart --disable papeete", 0, ""),  # no boot may start it on half a disk
        FORGET, ("dog vdi delete papeete", 0, ""), *FILL,
    )  # fmt: skip
    disk.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_an_image_larger_than_its_vdi_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    with image.open("r+b") as handle:
        handle.truncate(10**9 + 1)
    worker, _ = context(monkeypatch)  # nothing is planned: nothing may be run
    with pytest.raises(ConfigError, match="its image has 1000000001 bytes") as caught:
        disk.apply(WANTED, replace(done(), vdis={}, texts={}), worker)
    assert "disk_gb = 2" in caught.value.hint


def test_a_vdi_grows_and_never_shrinks(monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    larger = wanted(replace(GUEST, disk_gb=2))
    found = changes(disk.STEP, done(), larger)
    assert found == ["VDI papeete grown from 1000000000 to 2000000000 bytes, papeete restarted"]
    worker, planned = context(
        monkeypatch, ("shutdown papeete", 0, ""), ("domstate papeete", 0, "shut off\n"),
        ("dog vdi resize papeete 2000000000", 0, ""), ("pool-refresh sheepdog", 0, ""),
    )  # fmt: skip
    disk.apply(larger, done(), worker)
    assert planned.plan == []
    with pytest.raises(ConfigError, match="cannot shrink"):
        changes(disk.STEP, replace(done(), vdis={"papeete": 3 * 10**9}))


@pytest.mark.parametrize(
    ("origin", "now", "kept"),
    [
        (f"old.img {'1' * 64}", "1" * 64, False),  # as it was made: nothing of the guest's in it
        (f"old.img {'1' * 64}", "2" * 64, True),  # the guest has written
        ("", "2" * 64, True),  # nobody knows what it is
    ],
)
def test_a_disk_that_was_written_to_is_kept(
    origin: str, now: str, kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = tmp_path / "papeete-1.img"
    image.write_bytes(b"x")
    monkeypatch.setattr("sheepvirt.images.guest.ensure_image", lambda *_: image)
    facts = replace(done(), disks={PATH: origin}, domains={})
    assert "replaced from" in changes(disk.STEP, facts, FILE)[0]
    aside = ("mv -f", 0, "") if kept else ("rm -f", 0, "")
    worker, planned = context(
        monkeypatch, ("sha256sum", 0, f"{now}  {PATH}\n"), aside, ("test -e", 1, ""),
        (f"{PATH}.from", 0, ""), ("tar", 0, ""), (f"{PATH}.from", 0, ""),
    )  # fmt: skip
    disk.apply(FILE, facts, worker)
    assert planned.plan == []
    assert planned.sent[-1].startswith(b"papeete-1.img ")


def test_a_disk_whose_record_was_cut_off_is_only_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = tmp_path / "papeete-1.img"
    image.write_bytes(b"")
    monkeypatch.setattr("sheepvirt.images.guest.ensure_image", lambda *_: image)
    worker, planned = context(
        monkeypatch, ("sha256sum", 0, f"{EMPTY}  x\n"), ("test -e", 0, ""), (".from", 0, "")
    )
    disk.apply(FILE, replace(done(), disks={PATH: ""}, domains={}), worker)
    assert planned.plan == []
