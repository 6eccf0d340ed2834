"""What runs on a host is POSIX sh and nothing else: el6's Python is 2.6, its sh is bash 4.1."""

import re
import subprocess

import pytest

from sheepvirt.bootstrap import readiness
from sheepvirt.bootstrap.facts import gather
from sheepvirt.bootstrap.steps import guard, ifcfg, kvm
from sheepvirt.core import paths
from sheepvirt.verify.controls import el_controls, host_controls
from tests.here import SETTINGS

INLINE = {
    "facts": gather.SCRIPT,
    "kvm": kvm.SCRIPT,
    "busy": readiness.BUSY,
    "keep": ifcfg.KEEP,
    "guard": guard.SET,
    "open": host_controls.OPEN,
    "close": host_controls.CLOSE,
    "forget": host_controls.FORGET,
    "remember": host_controls.REMEMBER,
    "renumber": el_controls.RENUMBER,
    "flush": el_controls.FLUSH,
    "restore": el_controls.RESTORE,
}
FILES = {
    path.name: path.read_text(encoding="utf-8")
    for path in sorted((SETTINGS.host / "files").iterdir())
    if path.read_text(encoding="utf-8").startswith("#!/bin/sh")
}
SHEEPDOG = SETTINGS.specs / "sheepdog" / "sheepdog.init"
FILES[SHEEPDOG.name] = SHEEPDOG.read_text(encoding="utf-8")
SCRIPTS = {**INLINE, **FILES}
# What dash would take as well and a POSIX shell need not: https://mywiki.wooledge.org/Bashism
BASHISMS = re.compile(
    r"\[\[|\bfunction \w|<<<|(?m:^|[;{(&|])\s*local |\bsource |\$'|&>|\becho -e\b"
)


@pytest.mark.parametrize("shell", [("dash", "-n"), ("bash", "--posix", "-n")], ids=lambda s: s[0])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_read_by_every_shell(name: str, shell: tuple[str, ...]) -> None:
    done = subprocess.run(list(shell), input=SCRIPTS[name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not BASHISMS.search(SCRIPTS[name])


def test_our_init_script_is_among_them() -> None:
    assert {"autostart.sh", "sheepvirt-autostart.init", "sheepvirt-network-guard.init"} <= set(
        FILES
    )


def test_nothing_on_a_host_asks_for_python() -> None:
    """tests/pipeline/test_sysv.py tries it on a host where python fails; this names the line."""
    steps = list((paths.ROOT / "sheepvirt" / "bootstrap" / "steps").glob("*.py"))
    assert len(steps) > 20
    sources = [*steps, *(SETTINGS.host / "files").iterdir()]
    calls = re.compile(r"python[0-9.]*[\"' ] ?-|[\"'/]python[0-9.]*[\"' ]")
    found = [
        f"{path.name}: {line.strip()}"
        for path in sources
        for line in path.read_text(encoding="utf-8").splitlines()
        if calls.search(line)
    ]
    assert not found
    assert not [name for name, text in SCRIPTS.items() if "python" in text]
