"""The rehearsal host's chkconfig, and the boot order that we compute, against the real one."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sheepvirt.bootstrap import boot_order
from sheepvirt.bootstrap.facts import sysv
from sheepvirt.core import paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sheepvirt.bootstrap.facts.sysv import Script

DATA = Path(__file__).parent / "data" / "sysv" / "chkconfig.toml"
CASES: list[dict[str, Any]] = tomllib.loads(DATA.read_text(encoding="utf-8"))["case"]
PROGRAM = paths.ROOT / "containers" / "rehearsal" / "common" / "chkconfig"
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])


@pytest.fixture(scope="module")
def chkconfig() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROGRAM))
        patch.setattr(sys, "dont_write_bytecode", True)  # the folder goes into an image as it is
        spec = importlib.util.spec_from_file_location("rehearsal", PROGRAM / "__main__.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        patch.setattr(sys.modules["verbs"], "runlevel", lambda: 3)
        yield module
    for name in ("headers", "links", "verbs"):
        del sys.modules[name]


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    for folder in ("init.d", "chkconfig.d", *(f"rc{level}.d" for level in range(7))):
        tmp_path.joinpath(folder).mkdir()
    return tmp_path


def start(case: dict[str, Any], etc: Path) -> None:
    for folder, kind in (("init.d", "scripts"), ("chkconfig.d", "overrides")):
        for name, text in case.get(kind, {}).items():
            etc.joinpath(folder, name).write_text(text, encoding="utf-8")


def change(step: dict[str, str], etc: Path) -> None:
    if "write" in step:
        etc.joinpath("init.d", step["write"]).write_text(step["text"], encoding="utf-8")
    elif "override" in step:
        etc.joinpath("chkconfig.d", step["override"]).write_text(step["text"], encoding="utf-8")
    elif "remove" in step:
        etc.joinpath("init.d", step["remove"]).unlink()


def linked(etc: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for level in "0123456":
        for path in etc.joinpath(f"rc{level}.d").iterdir():
            assert str(path.readlink()) == "../init.d/" + re.sub(r"^[SK]-?\d+", "", path.name)
            found[path.name] = found.get(path.name, "") + level
    return found


def said(links: str) -> dict[str, str]:
    return dict(link.split(" ") for link in links.split(", ") if link)


@each_case
def test_our_chkconfig_answers_as_the_real_one(
    chkconfig: ModuleType, etc: Path, capsys: pytest.CaptureFixture[str], case: dict[str, Any]
) -> None:
    start(case, etc)
    links: dict[str, str] = {}
    for step in case["steps"]:
        change(step, etc)
        if "do" not in step:
            continue
        code = chkconfig.main(step["do"].split(), etc)
        out, err = capsys.readouterr()
        complaint = "usage" if "usage:" in err else err
        links = said(step["links"]) if "links" in step else links
        wanted = (step.get("code", 0), step.get("says", ""), step.get("complains", ""))
        assert (step["do"], code, out, complaint) == (step["do"], *wanted)
        assert linked(etc) == links, step["do"]


def read(etc: Path) -> dict[str, Script]:
    """What a look at the host makes of these files."""
    found = {}
    for path in etc.joinpath("init.d").iterdir():
        override = ""
        with contextlib.suppress(FileNotFoundError):
            override = etc.joinpath("chkconfig.d", path.name).read_text(encoding="utf-8")
        script = sysv.read(path.name, path.read_text(encoding="utf-8"), override)
        if script:
            found[path.name] = script
    return found


@each_case
def test_what_we_compute_is_what_the_real_chkconfig_did(etc: Path, case: dict[str, Any]) -> None:
    start(case, etc)
    links: dict[str, str] = {}
    for step in case["steps"]:
        change(step, etc)
        links = said(step["links"]) if "links" in step else links
        verb, _, name = step.get("do", "").partition(" ")
        if verb == "--add" and etc.joinpath("init.d", name).exists():
            assert (name in read(etc)) == (step.get("code", 0) == 0), name
    scripts = read(etc)
    paths_ = [f"/etc/rc{level}.d/{name}" for name, levels in links.items() for level in levels]
    starts = sysv.starts(paths_)
    computed = boot_order.numbers(scripts, starts)
    real = sysv.links(name for name in links if name[3:] in scripts)
    if case.get("computed", True):
        assert {name: computed[name] for name in real} == real


def test_a_list_line_is_read_as_the_real_one_prints_it() -> None:
    lines = [step["says"] for case in CASES for step in case["steps"] if "says" in step]
    assert len(lines) > 5
    for text in lines:
        for line in text.splitlines():
            name, *levels = line.split("\t")
            wanted = frozenset(level[0] for level in levels if level.endswith(":on"))
            assert sysv.listed(line) == wanted, name


def test_the_host_runs_it_with_a_python_that_is_there() -> None:
    """Python by its name ends with an error on that host; the one by its path is Debian 11's."""
    program = PROGRAM / "chkconfig"
    assert program.stat().st_mode & 0o111
    line = 'exec /usr/bin/python3 -B -I -S /usr/share/rehearsal/chkconfig "$@"\n'
    assert program.read_text(encoding="utf-8").endswith(line)
    for path in PROGRAM.glob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    argv = [sys.executable, "-B", "-I", "-S", str(PROGRAM), "--version"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stdout[:25]) == (0, "chkconfig version 1.3.49.")
