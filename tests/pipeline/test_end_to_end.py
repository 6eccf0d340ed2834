"""The whole job as a user runs it: commands in, exit codes, files and words out.

The tests build on one another, in file order: one host is bootstrapped, broken, mended, verified.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sheepvirt import config, paths, rehearsal
from sheepvirt.ssh import connect

pytestmark = pytest.mark.engine
INVENTORY = Path(__file__).parent / "inventory.toml"


def invoke(*args: str, code: int = 0) -> str:
    """Run one command of ours; return its output; its exit code must be ``code``."""
    env = {**os.environ, "SHEEPVIRT_INVENTORY": str(INVENTORY), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "invoke", *args],
        cwd=paths.ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def host() -> Iterator[None]:
    moorea = config.load_host("moorea", INVENTORY)
    rehearsal.remove(moorea)
    yield
    rehearsal.remove(moorea)


def on_host(*argv: str) -> str:
    """Run a command on the test host, over the same SSH that the bootstrap uses."""
    return connect(config.load_host("moorea", INVENTORY)).run(list(argv)).stdout


def test_build_publishes_a_repo_with_its_evidence() -> None:
    out = invoke("build-rpms")
    repo = paths.dist() / "rehearsal"
    assert (repo / "repodata" / "repomd.xml").is_file()
    names = [p.name for p in repo.rglob("libvirt-*.rpm")]
    assert len(names) > 20
    assert all(".rehearsal." in name for name in names)
    assert "libvirt-daemon-driver-storage-sheepdog-7.0.0" in " ".join(names)
    assert "placeholder" in out


def test_build_again_rebuilds_nothing() -> None:
    manifest = paths.dist() / "rehearsal" / "manifest.json"
    before = manifest.read_bytes()
    invoke("build-rpms")
    assert manifest.read_bytes() == before


def test_plan_of_an_absent_host_touches_nothing() -> None:
    out = invoke("bootstrap", "moorea", "--plan")
    assert "would" in out
    assert not rehearsal.exists(config.load_host("moorea", INVENTORY))


def test_bootstrap_changes_then_finds_nothing_to_change() -> None:
    assert "no change" not in invoke("bootstrap", "moorea")
    assert "no change" in invoke("bootstrap", "moorea")
    assert "no change" in invoke("bootstrap", "moorea", "--plan")


def test_values_of_the_inventory_were_never_run_by_a_shell() -> None:
    title = config.load_host("moorea", INVENTORY).guests[0].title
    assert on_host("virsh", "desc", "--title", "papeete").strip() == title
    assert on_host("sh", "-c", "test -e /tmp/pwned || echo safe").strip() == "safe"
    assert not Path("/tmp/pwned").exists()


def test_verify_passes_before_and_after_a_reboot() -> None:
    out = invoke("verify", "moorea")
    assert "reboot" in out
    reports = sorted((paths.dist() / "verify" / "moorea").glob("*.xml"))
    assert len(reports) == 2
    assert all('failures="0"' in r.read_text() for r in reports)


def test_a_broken_host_fails_verification() -> None:
    on_host("ovs-vsctl", "del-br", "ovsbr0")
    on_host("virsh", "net-autostart", "ovsbr0", "--disable")
    out = invoke("verify", "moorea", "--no-reboot", code=10)
    assert "bridge" in out


def test_bootstrap_mends_what_was_broken_and_only_that() -> None:
    out = invoke("bootstrap", "moorea")
    assert "ovsbr0" in out
    assert "dnf" not in out
    assert "no change" in invoke("bootstrap", "moorea")
    invoke("verify", "moorea", "--no-reboot")


def test_timings_are_written() -> None:
    rows = json.loads((paths.dist() / "timings.json").read_text())
    assert rows
    assert all(row["seconds"] >= 0 for row in rows)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("bootstrap", "morea"), "did you mean 'moorea'?"),
        (("verify", "morea"), "did you mean 'moorea'?"),
        (("build-rpms", "--target", "rehersal"), "did you mean 'rehearsal'?"),
        (("build-rpms", "--package", "libvrit"), "did you mean 'libvirt'?"),
    ],
)
def test_a_typo_gets_a_suggestion(args: tuple[str, ...], says: str) -> None:
    out = invoke(*args, code=2)
    assert says in out
    assert "Traceback" not in out
