"""The guests' disks: made, proven, grown, kept; as a file of the host and as a VDI."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from finished import GUEST, HOST, WANTED, changes, context, done

from sheepvirt.bootstrap import refusals
from sheepvirt.bootstrap.consent import NOTHING
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.sheepdog import ClusterState
from sheepvirt.bootstrap.steps import disk, disk_file
from sheepvirt.bootstrap.steps.base import DesiredState, ImageSize
from sheepvirt.core import processes
from sheepvirt.core.errors import BootstrapError, ConfigError, RemoteCommandError
from sheepvirt.core.files import sha256
from sheepvirt.model.enums import Disk
from sheepvirt.model.guests import Guest
from tests.here import with_disk

PATH = "/var/lib/libvirt/images/papeete.img"
NOTE = "/var/lib/sheepvirt/vdi-papeete.from"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def wanted(guest: Guest) -> DesiredState:
    return replace(WANTED, host=replace(HOST, guests=(guest,)))


FILE = wanted(with_disk(GUEST, kind=Disk.FILE))


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


def test_a_vdi_that_reads_otherwise_is_an_error_and_is_deleted(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    plan = [
        *FILL[:5],
        ("dog vdi read", 0, f"{'1' * 64}  -\n"),
        ("dog vdi delete papeete", 0, ""),
        (f"rm -f {NOTE}", 0, ""),
        ("pool-refresh", 0, ""),
    ]
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


COPYING = "/var/lib/sheepvirt/vdi-papeete.copying"
KEPT = "papeete.kept-20261125-010203"
SOURCE, COPY = (f"sheepdog:127.0.0.1:7000:{name}" for name in ("papeete", KEPT))
STOP = (("shutdown papeete", 0, ""), ("domstate papeete", 0, "shut off\n"))
KEEP = (
    ("date", 0, "20261125-010203\n"),
    (COPYING, 0, ""),
    (f"qemu-img convert -f raw -O raw {SOURCE} {COPY}", 0, ""),
    (f"qemu-img compare -f raw -F raw {SOURCE} {COPY}", 0, ""),
    (f"rm -f {COPYING}", 0, ""),
)
REPLACE = (
    ("autostart --disable papeete", 0, ""),  # no boot may start it on half a disk
    (NOTE, 0, ""),
    ("dog vdi delete papeete", 0, ""),
    *FILL[1:],
)
# Not later: the run may end before the domain step.
RUNS_AGAIN = (("autostart papeete", 0, ""), ("start papeete", 0, ""))
BACK = (
    ("dog vdi delete papeete", 0, ""),
    (f"qemu-img convert -f raw -O raw {COPY} {SOURCE}", 0, ""),
    (f"qemu-img compare -f raw -F raw {COPY} {SOURCE}", 0, ""),
    (NOTE, 0, ""),
    (f"dog vdi delete {KEPT}", 0, ""),
    ("autostart papeete", 0, ""),
    ("pool-refresh", 0, ""),
    ("start papeete", 0, ""),
)


@pytest.mark.parametrize("note", ["papeete-0.img 00", "creating papeete-1.img", ""])
def test_a_vdi_in_the_way_is_copied_before_anything_else(
    note: str, monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    facts = replace(done(), texts={NOTE: note}, vdis_used={"papeete": 5 << 20})
    found = changes(disk.STEP, facts)[0]
    assert "replaced from" in found
    assert found.endswith("the former disk is kept as VDI papeete.kept-TIME (5 MiB)")
    worker, planned = context(monkeypatch, *STOP, *KEEP, *REPLACE, *RUNS_AGAIN)
    disk.apply(WANTED, facts, worker)
    assert planned.plan == []
    assert planned.sent[3] == f"{KEPT}\n".encode()
    assert planned.sent[8] == f"filling papeete-1.img kept {KEPT} {note}".strip().encode() + b"\n"


@pytest.mark.parametrize("bad", [0, 1])
def test_a_copy_that_fails_is_deleted_and_the_guest_started(
    bad: int, monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    facts = replace(done(), texts={NOTE: "papeete-0.img 00"})
    failing = (KEEP[2 + bad][0], 1, "no space")
    worker, planned = context(
        monkeypatch,
        *STOP,
        *KEEP[: 2 + bad],
        failing,
        (f"dog vdi delete {KEPT}", 0, ""),
        (f"rm -f {COPYING}", 0, ""),
        ("start papeete", 0, ""),
    )
    with pytest.raises(RemoteCommandError, match="no space"):
        disk.apply(WANTED, facts, worker)
    assert planned.plan == []


@pytest.mark.parametrize("bad", range(2, len(REPLACE)))
def test_a_fill_that_fails_gives_the_guest_its_former_disk_back(
    bad: int, monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    """Whatever failed after the former disk was deleted; also where its deletion failed."""
    facts = replace(done(), texts={NOTE: "papeete-0.img 00"})
    failing = (REPLACE[bad][0], 1, "no space")
    made = bad == 2 or bad > 4  # before that, no VDI has the name
    worker, planned = context(
        monkeypatch, *STOP, *KEEP, *REPLACE[:bad], failing, *BACK[0 if made else 1 :]
    )
    with pytest.raises((RemoteCommandError, BootstrapError), match=r"no space|read back"):
        disk.apply(WANTED, facts, worker)
    assert planned.plan == []
    assert b"papeete-0.img 00\n" in planned.sent


def test_where_the_connection_is_lost_the_notes_say_what_is_left(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    facts = replace(done(), texts={NOTE: "papeete-0.img 00", COPYING: f"{KEPT}\n"})
    facts = replace(facts, domains={})
    assert changes(disk.STEP, facts)[0] == f"VDI {KEPT} deleted: it is an unfinished copy"
    filling = replace(facts, texts={NOTE: f"filling papeete-1.img kept {KEPT} papeete-0.img 00"})
    assert changes(disk.STEP, filling) == [
        "VDI papeete replaced from papeete-1.img (a run was interrupted; the former disk is kept "
        f"as VDI {KEPT}), papeete stopped"
    ]
    worker, planned = context(monkeypatch, *REPLACE[1:])
    disk.apply(WANTED, filling, worker)
    assert planned.plan == []
    assert planned.sent[0] == filling.texts[NOTE].encode() + b"\n"


def test_without_space_no_guest_is_stopped(monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    """The image and the copy of the former disk, each as often as the cluster keeps it."""
    with image.open("r+b") as handle:
        handle.truncate(100 << 20)
    cluster = replace(done().cluster or ClusterState(status="", nodes=0, listed=False), copies=2.0)
    facts = replace(
        done(),
        texts={NOTE: "papeete-0.img 00"},
        vdis_used={"papeete": 50 << 20},
        cluster=replace(cluster, free=(301 << 20) - 1),
    )
    worker, _ = context(monkeypatch)  # nothing is planned: nothing may be run
    with pytest.raises(BootstrapError, match=r"has 301 MiB free, and 301 MiB are needed") as caught:
        disk.apply(WANTED, facts, worker)
    assert "a copy of the former disk of papeete (100 MiB)" in caught.value.message
    known = replace(WANTED, image_sizes={"papeete": ImageSize(bytes=100 << 20, allocated=0)})
    with pytest.raises(BootstrapError, match="not enough space"):  # and so in a plan
        refusals.require(known, facts)
    refusals.require(known, replace(facts, cluster=replace(cluster, free=301 << 20)))
    refusals.require(known, replace(facts, cluster=replace(cluster, free=None)))


def test_an_image_larger_than_its_vdi_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    with image.open("r+b") as handle:
        handle.truncate(10**9 + 1)
    worker, _ = context(monkeypatch)  # nothing is planned: nothing may be run
    with pytest.raises(ConfigError, match="its image has 1000000001 bytes") as caught:
        disk.apply(WANTED, replace(done(), vdis={}, texts={}), worker)
    assert 'disk_size = "2 GB"' in caught.value.hint


def test_a_vdi_grows_and_never_shrinks(monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    larger = wanted(with_disk(GUEST, size=2 * 10**9))
    found = changes(disk.STEP, done(), larger)
    assert found == ["VDI papeete grown from 1000000000 to 2000000000 bytes, papeete restarted"]
    worker, planned = context(
        monkeypatch,
        ("shutdown papeete", 0, ""),
        ("domstate papeete", 0, "shut off\n"),
        ("dog vdi resize papeete 2000000000", 0, ""),
        ("pool-refresh sheepdog", 0, ""),
        ("start papeete", 0, ""),
    )
    disk.apply(larger, done(), worker)
    assert planned.plan == []
    with pytest.raises(ConfigError, match="cannot shrink"):
        changes(disk.STEP, replace(done(), vdis={"papeete": 3 * 10**9}))


REAL = replace(WANTED, host=replace(HOST, rehearsal=False), consent=NOTHING)


@pytest.mark.parametrize(
    "facts",
    [
        replace(done(), vdis={}),
        replace(done(), texts={NOTE: "filling papeete-1.img"}),
        replace(done(), vdis={"papeete": 1}),
    ],
    ids=["gone", "half filled", "small"],
)
def test_a_running_guest_of_a_real_machine_is_not_stopped_for_its_disk(
    facts: Facts, monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    """Also where the step has something else to do."""
    facts = replace(facts, texts={**facts.texts, COPYING: KEPT})
    removed, change = disk.check(REAL, facts, ())
    assert (removed.waits_for, change.waits_for) == ("", "--allow-guest-restart")
    worker, planned = context(
        monkeypatch, (f"dog vdi delete {KEPT}", 0, ""), (f"rm -f {COPYING}", 0, "")
    )
    disk.apply(REAL, facts, worker)
    assert planned.plan == []


@pytest.fixture
def content(image: Path) -> str:
    """An image with content; its hash."""
    image.write_bytes(b"x")
    return sha256(image)


def test_a_file_is_recorded_then_made_and_read_back(
    monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    facts = replace(done(), domains={})
    worker, planned = context(
        monkeypatch, (f"{PATH}.from", 0, ""), ("tar", 0, ""), ("sha256sum", 0, f"{content}  x\n")
    )
    disk.apply(FILE, facts, worker)
    assert planned.plan == []
    assert planned.sent[0] == f"papeete-1.img {content}\n".encode()


@pytest.mark.parametrize("origin", [f"old.img {'1' * 64}", ""])
def test_a_former_file_is_kept_and_its_guest_is_off_for_a_rename(
    origin: str, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    facts = replace(done(), disks={PATH: origin})
    assert changes(disk.STEP, facts, FILE)[0].endswith(f"is kept as {PATH}.kept-TIME")
    worker, planned = context(
        monkeypatch,
        ("tar", 0, ""),
        (f"sha256sum {PATH}.again", 0, f"{content}  x\n"),
        *STOP,
        (f"{PATH} {PATH}.again", 0, f"{PATH}.kept-1\n"),
        ("start papeete", 0, ""),
    )
    disk.apply(FILE, facts, worker)
    assert planned.plan == []
    assert planned.sent[-2] == f"papeete-1.img {content}\n".encode()


def test_a_guest_that_cannot_be_started_on_its_new_disk_is_said_to_be_off(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    grown = (*STOP, ("resize", 0, ""), ("pool-refresh", 0, ""), ("start papeete", 1, "no space"))
    worker, planned = context(monkeypatch, *grown)
    with pytest.raises(RemoteCommandError, match="no space"):
        disk.apply(wanted(with_disk(GUEST, size=2 * 10**9)), done(), worker)
    assert planned.plan == []
    out = worker.progress.console.file
    assert isinstance(out, io.StringIO)
    assert "papeete is off: its disk is whole" in out.getvalue()


def test_a_guest_without_a_definition_is_left_to_the_domain_step(
    monkeypatch: pytest.MonkeyPatch, image: Path
) -> None:
    """It is gone with its end."""
    transient = {"papeete": replace(done().domains["papeete"], persistent=False)}
    worker, planned = context(monkeypatch, *STOP, ("resize", 0, ""), ("pool-refresh", 0, ""))
    bigger = with_disk(GUEST, size=2 * 10**9)
    disk.apply(wanted(bigger), replace(done(), domains=transient), worker)
    assert planned.plan == []


def test_a_file_that_cannot_be_copied_stops_no_guest(
    monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    facts = replace(done(), disks={PATH: "old.img 11"})
    rest = (f"rm -rf {PATH}.again {PATH}.again.new", 0, "")
    worker, planned = context(monkeypatch, ("tar", 1, "No space left"), rest)
    with pytest.raises(RemoteCommandError, match="No space left"):
        disk.apply(FILE, facts, worker)
    assert planned.plan == []
    bad = ("sha256sum", 0, f"{'2' * 64}  x\n")
    worker, planned = context(monkeypatch, ("tar", 0, ""), bad, rest)
    with pytest.raises(BootstrapError, match="does not read back"):
        disk.apply(FILE, facts, worker)
    assert planned.plan == []


def test_a_rename_that_fails_starts_the_guest_again(
    monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    facts = replace(done(), disks={PATH: "old.img 11"})
    worker, planned = context(
        monkeypatch,
        ("tar", 0, ""),
        ("sha256sum", 0, f"{content}  x\n"),
        *STOP,
        (f"{PATH} {PATH}.again", 1, "read-only"),
        ("start papeete", 0, ""),
        (f"rm -f {PATH}.again {PATH}.from.new", 0, ""),
    )
    with pytest.raises(RemoteCommandError, match="read-only"):
        disk.apply(FILE, facts, worker)
    assert planned.plan == []


@pytest.mark.parametrize("fails", [False, True])
def test_the_swap_of_two_files_is_whole_or_undone(fails: bool, tmp_path: Path) -> None:
    path = tmp_path / "a disk.img"
    path.write_text("former")
    Path(f"{path}.from").write_text("old.img 11")
    if not fails:
        Path(f"{path}.again").write_text("new")
    argv = ["sh", "-c", disk_file.SWAP, "sh", str(path), f"{path}.again"]
    ended = processes.run(argv, stdin=b"new.img 22")
    origin = Path(f"{path}.from").read_text()
    if fails:
        assert (ended.code, path.read_text(), origin) == (1, "former", "old.img 11")
        return
    kept = Path(ended.stdout.strip())
    assert (path.read_text(), origin) == ("new", "new.img 22")
    assert (kept.read_text(), Path(f"{kept}.from").read_text()) == ("former", "old.img 11")


def test_what_an_interrupted_run_left_beside_a_file_is_removed(
    monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    facts = replace(done(), disks={PATH: "papeete-1.img 11"}, hashes={f"{PATH}.again": "0"})
    assert changes(disk.STEP, facts, FILE) == [f"{PATH}.again removed: a run was interrupted"]
    worker, planned = context(monkeypatch, (f"rm -f {PATH}.again", 0, ""))
    disk.apply(FILE, facts, worker)
    assert planned.plan == []
