"""What guests print on their consoles, and what JUnit reports keep of it."""

import os
import subprocess
import sys
from pathlib import Path

from sheepvirt.verify import heartbeats, junit_reports


def test_beats_follow_the_very_line() -> None:
    line = 'it\'s "up" $(x) .*'
    console = (
        f"noise {line} (uptime 3 s, boot 2, marker 5f3a)\r\nit's up (uptime 4 s)\r\n"
        f"{line} (uptime 8 s, boot 2, marker 5f3a)\r\n{line} (uptime 13 s, boo"
    )
    assert heartbeats.beats(console, line) == [
        heartbeats.Heartbeat(uptime=3, boot=2, marker="5f3a"),
        heartbeats.Heartbeat(uptime=8, boot=2, marker="5f3a"),
    ]
    assert heartbeats.beats("", line) == []


def test_a_beat_says_what_is_wrong_with_the_disk() -> None:
    read = "I/O error: cannot read: dd: error reading '/dev/vda2': Input/output error"
    write = "I/O error: cannot write: dd: error writing '/dev/vda2': No space left on device"
    console = f"up (uptime 3 s, {read})\nup (uptime 8 s, boot 1, marker 5f, {write})"
    assert heartbeats.beats(console, "up") == [
        heartbeats.Heartbeat(uptime=3, boot=0, marker="", trouble=read),
        heartbeats.Heartbeat(uptime=8, boot=1, marker="5f", trouble=write),
    ]


def test_boot_records_of_a_report(tmp_path: Path) -> None:
    """Written by a real pytest, because its way with properties is what we read."""
    (tmp_path / "test_it.py").write_text(
        "def test_a(record_property):\n"
        "    record_property('boot record', 'pape ete 3 5f3a')\n"
        "    record_property('other', 'x')\n"
    )
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        f"--rootdir={tmp_path}",
        "--junitxml=r.xml",
        "test_it.py",
    ]
    subprocess.run(argv, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    said = (tmp_path / "r.xml").read_text()
    assert junit_reports.boot_records(said) == {"pape ete": (3, "5f3a")}
    assert junit_reports.boot_records("<testsuites/>") == {}
