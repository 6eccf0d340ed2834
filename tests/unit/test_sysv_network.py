"""The rehearsal host's network scripts, against el6's and Open vSwitch's own; and its `service`."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sheepvirt.core import paths

DATA = Path(__file__).parent / "data" / "sysv" / "network.toml"
CASES: list[dict[str, Any]] = tomllib.loads(DATA.read_text(encoding="utf-8"))["case"]
ROOT = paths.ROOT / "containers" / "rehearsal" / "host-sysv" / "root"
CALL = r"""#!/bin/bash
name=${0##*/}
vars=
for v in OVSINTF UPPEDSTACK BOOTPROTO; do
  [ "$name" = ovs-vsctl ] || [ -z "${!v+x}" ] || vars="$vars$v='${!v}' "
done
echo "$vars$name $*" >>FOLDER/calls
case "$name $1" in
"ovs-vsctl br-exists") grep -qx "$2" FOLDER/exists || exit 2 ;;
"FAILS" | "FAILS $1") exit 7 ;;
esac
exit 0
"""


class Host:
    """A folder that stands for the root of a host; what its scripts call only writes that down."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.network = folder / "etc" / "sysconfig" / "network-scripts"
        self.network.mkdir(parents=True)
        for name in ("sbin", "etc/init.d", "var/lock/subsys"):
            folder.joinpath(name).mkdir(parents=True)
        self.take("etc/init.d/functions")
        self.take("etc/sysconfig/network-scripts/network-functions")

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def take(self, name: str, source: str = "") -> Path:
        """Take a script of the rehearsal host, with all its paths below the folder."""
        text = (ROOT / (source or name)).read_text(encoding="utf-8")
        for start in ("/etc/", "/var/", "/sbin/ifup", "/sbin/service"):
            text = text.replace(start, f"{self.folder}{start}")
        text = text.replace("PATH=/sbin:", f"PATH={self.folder}/sbin:/sbin:")
        text = text.replace("/usr/share/openvswitch/scripts/", f"{self.folder}/sbin/")
        return self.write(name, text)

    def answers(self, fails: str = "/", exists: tuple[str, ...] = ()) -> None:
        """Put the programs in place that write their calls down."""
        text = CALL.replace("FOLDER", str(self.folder)).replace("FAILS", fails)
        for name in ("ifup-ovs", "ifdown-ovs", "ifup-eth", "ifdown-eth", "ifup", "ifdown"):
            self.write(f"etc/sysconfig/network-scripts/{name}", text)
        for name in ("ifup", "ifdown", "service", "ovs-vsctl", "ovs-ctl"):
            self.write(f"sbin/{name}", text)
        self.write("exists", "".join(f"{name}\n" for name in exists))
        self.write("calls", "")

    def run(self, program: Path, *words: str, **env: str) -> tuple[int, str, list[str]]:
        done = subprocess.run(
            [str(program), *words],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = done.stdout.decode().replace(str(self.folder), "")
        return done.returncode, said, self.folder.joinpath("calls").read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


PROGRAMS = {
    "network": "etc/init.d/network",
    "openvswitch": "etc/init.d/openvswitch",
    "ifup": "sbin/ifup",
    "ifdown": "sbin/ifdown",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_script_calls_what_the_real_one_calls(host: Host, case: dict[str, Any]) -> None:
    host.answers(case.get("fails", "/"), tuple(case.get("exists", ())))
    host.write("etc/sysconfig/network", case.get("networking", "NETWORKING=yes\n"))
    for name, text in case.get("files", {}).items():
        host.write(f"etc/sysconfig/network-scripts/ifcfg-{name}", text)
    lock = host.folder / "var/lock/subsys/openvswitch"
    if case.get("lock", True):
        lock.touch()
    if "openvswitch" in case:
        host.write("etc/sysconfig/openvswitch", case["openvswitch"])
    name, *words = case["run"].split()
    place = PROGRAMS.get(name, f"etc/sysconfig/network-scripts/{name}")
    program = host.take(place, "sbin/ifup" if name == "ifdown" else place)
    code, said, calls = host.run(program, *words, **case.get("env", {}))
    assert calls == case.get("calls", [])
    assert code == case.get("code", 0)
    assert lock.exists() == case.get("locked", case.get("lock", True))
    if "begins" in case:
        assert said.startswith(case["begins"])
    else:
        assert said == case.get("out", "")


def test_service_runs_a_script_in_the_root_with_path_and_terminal_alone(host: Host) -> None:
    """As el6's: LC_ALL and all else of the caller stays behind."""
    host.answers()
    script = (
        '#!/bin/sh\n[ "$1" != stop ] || exit 7\necho "$* in $PWD"\nenv | grep -c =\necho $TERM\n'
    )
    host.write("etc/init.d/x", script)
    service = host.take("usr-sbin-service", "usr/sbin/service")
    code, said, _ = host.run(service, "x", "start", "a b", TERM="dumb", LANG="ja_JP.UTF-8")
    lines = said.splitlines()
    assert (code, lines[0], lines[-1]) == (0, "start a b in /", "dumb")
    assert int(lines[1]) <= 5  # PATH, TERM, and what a shell sets itself
    assert host.run(service, "x", "stop")[0] == 7
    assert host.run(service, "y", "start")[:2] == (1, "y: unrecognized service\n")
    assert host.run(service)[0] == 1
    assert host.run(service, "--help")[0] == 0
    assert host.run(service, "x", "--full-restart")[:1] == (0,)
    host.write("etc/init.d/z.rpmsave", script)
    code, said, _ = host.run(service, "--status-all")
    assert (code, said.splitlines()[0]) == (0, "status in /etc/init.d")
    assert said.count("status in /") == 1


def test_what_the_host_calls_may_be_run() -> None:
    folders = ("etc/init.d", "sbin", "usr/sbin", "etc/sysconfig/network-scripts")
    found = [path for folder in folders for path in ROOT.joinpath(folder).iterdir()]
    not_called = {"functions", "network-functions", "ifcfg-lo"}
    assert {path.name for path in found if not path.stat().st_mode & 0o111} == not_called
