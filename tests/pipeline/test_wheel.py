"""The wheel in an empty environment, outside the checkout: same commands, same data, no network.

The environment gets what the wheel itself declares and nothing of the development tools, so that
an import that nobody declared fails here.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sheepvirt.core import paths

UNIT_DATA = paths.ROOT / "tests" / "unit" / "data"
SPEC = UNIT_DATA / "spec" / "daemon.spec"
RPM = next(UNIT_DATA.glob("sheepdog-placeholder-*.rpm"))
FOLDERS = ("containers", "host", "patches", "specs")
NAME = re.compile(r"[A-Za-z0-9._-]+")


def needed(name: str, seen: dict[str, importlib.metadata.Distribution]) -> None:
    """Add to ``seen`` the distribution ``name`` and all that it needs at run time."""
    if name in seen:
        return
    seen[name] = importlib.metadata.distribution(name)
    for requirement in seen[name].requires or ():
        if ";" not in requirement:  # a marker: an extra, or another system or Python
            found = NAME.match(requirement)
            assert found
            needed(found.group(), seen)


def copy_into(site: Path, distribution: importlib.metadata.Distribution) -> None:
    for file in distribution.files or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), site / file)


class Installed:
    """A virtual environment with the wheel in it, and a folder that is not the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        self.bin = venv / "bin"
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
            cwd=paths.ROOT,
            check=True,
            capture_output=True,
        )
        (wheel,) = folder.glob("*.whl")
        pip = [str(self.bin / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
        subprocess.run([*pip, "install", "--no-index", "--no-deps", str(wheel)], check=True)
        (self.site,) = venv.glob("lib/python3*/site-packages")
        found: dict[str, importlib.metadata.Distribution] = {}
        (own,) = importlib.metadata.distributions(name="sheepvirt", path=[str(self.site)])
        for requirement in own.requires or ():
            if ";" not in requirement:
                needed(requirement, found)
        for distribution in found.values():
            copy_into(self.site, distribution)
        (folder / "elsewhere").mkdir()

    def run(self, program: str, *args: str) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SHEEPVIRT_"))}
        return subprocess.run(
            [str(self.bin / program), *args],
            cwd=self.folder / "elsewhere",
            env=env,
            capture_output=True,
            text=True,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


def here(*args: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", *args]
    return subprocess.run(argv, cwd=paths.ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("module", "file"),
    [("sheepvirt.spec", SPEC), ("sheepvirt.compat", RPM)],
    ids=["spec", "compat"],
)
def test_a_command_says_the_same_as_in_the_checkout(
    installed: Installed, module: str, file: Path
) -> None:
    there = installed.run("python", "-m", module, "--target", "el6", str(file))
    expected = here(module, "--target", "el6", str(file))
    assert (there.returncode, there.stdout, there.stderr) == (
        expected.returncode,
        expected.stdout,
        expected.stderr,
    )
    assert there.stdout


def test_the_sheepvirt_command_has_the_commands_of_invoke(installed: Installed) -> None:
    done = installed.run("sheepvirt", "--list")
    assert done.returncode == 0, done.stderr
    assert done.stdout.partition("\n")[2] == here("invoke", "--list").stdout.partition("\n")[2]
    assert installed.run("sheepvirt", "--version").stdout == f"sheepvirt {paths.version()}\n"


def test_the_tests_are_refused_where_they_are_not(installed: Installed) -> None:
    done = installed.run("sheepvirt", "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the tests are in the checkout alone; run this command there\n"


def test_the_wheel_has_every_data_file(installed: Installed) -> None:
    """Links into common/ included: an image's recipe is the content of its files."""

    def contents(top: Path) -> dict[str, bytes]:
        found = {}
        for folder in FOLDERS:
            for at, _, names in os.walk(top / folder, followlinks=True):
                for name in names:
                    path = Path(at, name)
                    if path.parent.name != "__pycache__":
                        found[str(path.relative_to(top))] = path.read_bytes()
        return found

    wheel, checkout = contents(installed.site / "sheepvirt" / "data"), contents(paths.DATA)
    assert wheel.keys() == checkout.keys()
    assert wheel == checkout
