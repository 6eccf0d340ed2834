"""What is replaced is kept first, and put back: the real scripts, on a host that is played."""

from __future__ import annotations

import shutil
import stat
import subprocess
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from finished import HOST, context

from sheepvirt.bootstrap import consent, kept, marks, restore
from sheepvirt.bootstrap.consent import Consent
from sheepvirt.bootstrap.kept import Keeper
from sheepvirt.bootstrap.restore import Item, Todo
from sheepvirt.bootstrap.steps import marking
from sheepvirt.core.errors import BootstrapError, RemoteCommandError
from sheepvirt.model.enums import ObjectKind

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.ssh.client import Connection

SHELLS = ("dash", "bash")
VIRSH = r"""#!/bin/sh
shift 3
case "$*" in
*gone*) echo 'no such thing' >&2; exit 1 ;;
net-info*|pool-info*|dominfo*) echo 'Autostart: yes' ;;
*) echo "<$*>" ;;
esac
"""
OVS = """#!/bin/sh
shift
case $1 in get) echo netdev ;; list-ports) echo vnet0 ;; *) echo settings ;; esac
"""
TIME = "20261128-010203"
REAL = replace(HOST, rehearsal=False)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Folders of a host, and the programs that it has."""
    for name, text in (("virsh", VIRSH), ("ovs-vsctl", OVS)):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/unit").write_text("former\n")
    (tmp_path / "owned").mkdir()
    (tmp_path / "owned/network-n.json").write_text("note\n")
    return tmp_path


def keep(host: Path, shell: str, time: str, *words: str, ok: bool = True) -> str:
    script = kept.KEEP.replace(kept.FOLDER, f"{host}/kept").replace(marks.FOLDER, f"{host}/owned")
    done = subprocess.run(
        [shell, "-c", script, "sh", time, *words],
        capture_output=True,
        text=True,
        env={"PATH": f"{host}/bin:/usr/bin:/bin"},
    )
    assert (done.returncode == 0) is ok, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("shell", SHELLS)
def test_everything_is_kept_where_only_root_may_read_it(host: Path, shell: str) -> None:
    unit = f"{host}/etc/unit"
    time = keep(
        host,
        shell,
        "",
        "network",
        "n",
        "network-n.json",
        "pool",
        "p",
        "-",
        "domain",
        "d",
        "-",
        "bridge",
        "br0",
        "-",
        "file",
        unit,
        "-",
    )
    folder = host / "kept" / time
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "network-n.xml").read_text() == "<net-dumpxml --inactive n>\n"
    assert (folder / "pool-p.xml").read_text() == "<pool-dumpxml --inactive p>\n"
    # With its passwords: a graphics element is of no use without.
    assert (folder / "domain-d.xml").read_text() == "<dumpxml --inactive --security-info d>\n"
    assert (folder / "bridge-br0.datapath").read_text() == "netdev\n"
    assert (folder / "owned/network-n.json").read_text() == "note\n"
    assert (folder / f"files{unit}").read_text() == "former\n"
    listing = "\n".join(
        f"./{path.relative_to(host / 'kept')}" for path in folder.rglob("*") if path.is_file()
    )
    titles = [item.title for item in restore.parse(listing)[time]]
    assert titles == [f"file {unit}", "bridge br0", "network n", "pool p", "domain d"]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_kept_is_what_was_there_before_the_run(host: Path, shell: str) -> None:
    unit = f"{host}/etc/unit"
    time = keep(host, shell, "", "file", unit, "-")
    (host / "etc/unit").write_text("of this run\n")
    assert keep(host, shell, time, "file", unit, "-") == time
    assert (host / "kept" / time / f"files{unit}").read_text() == "former\n"
    assert len(list((host / "kept").iterdir())) == 1


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("what", [("network", "gone", "-"), ("file", "/no/such", "-")])
def test_what_cannot_be_kept_is_an_error(host: Path, shell: str, what: tuple[str, ...]) -> None:
    keep(host, shell, "", *what, ok=False)
    found = [p.name for p in (host / "kept").rglob("*") if p.is_file()]
    assert [name for name in found if not name.endswith(".new")] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_notes_are_written_whole(host: Path, shell: str) -> None:
    script = marking.NOTE.replace(marks.FOLDER, f"{host}/new/owned")
    rows = 'a.json\n{"a": "back\\\\slash\\n"}\nb.json\n{}\n'
    subprocess.run([shell, "-c", script], input=rows, text=True, check=True)
    assert (host / "new/owned/a.json").read_text() == '{"a": "back\\\\slash\\n"}\n'
    assert (host / "new/owned/b.json").read_text() == "{}\n"
    assert shutil.which(shell)


def test_one_run_has_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned = context(
        monkeypatch, (kept.FOLDER, 0, f"{TIME}\n"), (f"sh {TIME} pool p", 0, f"{TIME}\n")
    )
    worker.keep((ObjectKind.NETWORK, "n"))
    worker.keep((ObjectKind.POOL, "p"))
    assert worker.keeper == Keeper(time=TIME)
    assert planned.plan == []


def test_what_cannot_be_kept_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, _ = context(monkeypatch, (kept.FOLDER, 1, "No space left on device"))
    with pytest.raises(RemoteCommandError, match="No space left"):
        worker.keep((ObjectKind.NETWORK, "n"))


def test_other_files_beside_are_no_kept_times() -> None:
    """Network files lie in the same folder."""
    listing = "\n".join(
        [
            "./20261128-010203/network-n.xml",
            "./20261128-010203/network-n.info",
            "./20261128-010203/domain-a.xml.new",
            "./20261128-010203/owned/network-n.json",
            "./20261127-010203/files/etc/a b.service",
            "junk",
            "",
        ]
    )
    assert restore.parse(listing) == {
        "20261127-010203": [
            Item(
                kind=ObjectKind.FILE,
                name="/etc/a b.service",
                path=f"{kept.FOLDER}/20261127-010203/files/etc/a b.service",
            )
        ],
        TIME: [Item(kind=ObjectKind.NETWORK, name="n", path=f"{kept.FOLDER}/{TIME}/network-n.xml")],
    }


def todo(kind: ObjectKind, *, active: bool) -> Todo:
    path = f"{kept.FOLDER}/{TIME}/{kind}-n.xml"
    return Todo(item=Item(kind=kind, name="n", path=path), diff="+x", restart=active)


def test_a_restart_waits_for_consent_on_a_real_machine() -> None:
    rows = [todo(ObjectKind.DOMAIN, active=True), todo(ObjectKind.POOL, active=True)]
    given = consent.on(REAL, Consent())
    assert [c.waits_for for c in restore._changes(REAL, rows, given)] == [
        "",
        "--allow-guest-restart",
        "",
        "",
    ]
    agreed = consent.on(REAL, Consent(guest_restart=True))
    assert {c.waits_for for c in restore._changes(REAL, rows, agreed)} == {""}


def test_a_definition_is_put_back_with_its_autostart(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned = context(
        monkeypatch,
        ("cat", 0, "Autostart:      disable\n"),
        ("define", 0, ""),
        ("autostart n --disable", 0, ""),
    )
    one = todo(ObjectKind.DOMAIN, active=True)
    restore._put_back(REAL, one, Consent(), worker)
    assert planned.plan == []
    worker, planned = context(
        monkeypatch,
        ("cat", 0, "Autostart:      enable\n"),
        ("define", 0, ""),
        ("autostart n", 0, ""),
        ("shutdown n", 0, ""),
        ("domstate n", 0, "shut off\n"),
        ("start n", 0, ""),
    )
    restore._put_back(REAL, one, Consent(guest_restart=True), worker)
    assert planned.plan == []


def test_a_file_and_a_datapath_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned = context(monkeypatch, ("cp -p", 0, ""), ("daemon-reload", 0, ""))
    unit = Item(kind=ObjectKind.FILE, name="/etc/a b", path=f"{kept.FOLDER}/{TIME}/files/etc/a b")
    restore._put_back(REAL, Todo(item=unit, diff="+x", restart=False), Consent(), worker)
    assert planned.plan == []
    worker, planned = context(
        monkeypatch, ("cat", 0, "netdev\n"), ("set bridge n datapath_type=netdev", 0, "")
    )
    restore._put_back(REAL, todo(ObjectKind.BRIDGE, active=False), Consent(), worker)
    assert planned.plan == []


def test_the_switchs_default_datapath_has_its_name() -> None:
    """Open vSwitch prints "" for it."""
    for text, name in (('""\n', "system"), ("netdev\n", "netdev"), ("system\n", "system")):
        assert restore._datapath(text) == name


@pytest.mark.parametrize("uses", ["192.0.2.7/24\n", "vnet0\n", ""])
def test_a_bridge_in_use_is_not_moved_back_to_its_datapath(uses: str) -> None:
    def connection(*, real: bool) -> Connection:
        host = replace(HOST, rehearsal=not real)
        return cast("Connection", SimpleNamespace(host=host, run=run))

    def run(argv: list[str]) -> SimpleNamespace:
        assert argv == ["sh", "-c", restore.USES, "sh", "ovsbr0"]
        return SimpleNamespace(stdout=uses)

    item = Item(kind=ObjectKind.BRIDGE, name="ovsbr0", path="/kept/bridge-ovsbr0.datapath")
    restore._refuse_used_bridge(connection(real=False), item, "netdev")
    if not uses:
        restore._refuse_used_bridge(connection(real=True), item, "netdev")
        return
    with pytest.raises(BootstrapError, match="is in use") as caught:
        restore._refuse_used_bridge(connection(real=True), item, "netdev")
    assert uses.strip() in caught.value.message
    assert "ovs-vsctl set bridge ovsbr0 datapath_type=netdev" in caught.value.hint
