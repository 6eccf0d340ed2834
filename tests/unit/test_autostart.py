"""host/files/autostart.sh, with a virsh and a dog of its own: what libvirt left starts once."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.here import SETTINGS

# What they know is in files: lists of what is off, and how often dog is to say no.
VIRSH = r"""#!/bin/sh
cd "$STATE" || exit 1
shift 3 # -q -c URI
echo "$*" >>calls
case "$1" in
pool-list) sed 's/^\(.*\)$/ \1             inactive   yes       /' pools ;;
list) cat guests ;;
pool-start) sed -i "/^$3\$/d" pools ;;
start) [ ! -e "broken-$3" ] && sed -i "/^$3\$/d" guests ;;
esac
"""
DOG = r"""#!/bin/sh
cd "$STATE" || exit 1
left=$(cat not-yet)
echo $((left - 1)) >not-yet
[ "$left" -gt 0 ] && { echo "Cluster status: Waiting for other nodes"; exit 0; }
echo "Cluster status: running, auto-recovery enabled"
"""


class Machine:
    """A host's libvirt and sheepdog."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("virsh", VIRSH), ("dog", DOG), ("sleep", "#!/bin/sh\n")):
            path = folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        self.put(pools="", guests="", not_yet="0\n")

    def put(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / name.replace("_", "-")).write_text(text)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def run(self, seconds: int = 5) -> "subprocess.CompletedProcess[str]":
        script = str(SETTINGS.host / "files" / "autostart.sh")
        return self.shell(script, SHEEPVIRT_SECONDS=str(seconds))

    def service(self, verb: str) -> "subprocess.CompletedProcess[str]":
        """The script for hosts with SysV init."""
        return self.shell(str(SETTINGS.host / "files" / "sheepvirt-autostart.init"), verb)

    def shell(self, *argv: str, **extra: str) -> "subprocess.CompletedProcess[str]":
        env = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "STATE": str(self.folder),
            "SHEEPVIRT_RUN": str(self.folder),
            "SHEEPVIRT_LOCK": str(self.folder / "lock"),
            "SHEEPVIRT_LOG": str(self.folder),
            "SHEEPVIRT_SCRIPT": str(SETTINGS.host / "files" / "autostart.sh"),
            **extra,
        }
        return subprocess.run(["dash", *argv], env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_where_nothing_is_left_the_cluster_is_not_even_asked(machine: Machine) -> None:
    machine.put(not_yet="99\n")
    assert machine.run().returncode == 0
    assert machine.read("not-yet") == "99\n"


def test_pools_and_guests_wait_for_the_cluster(machine: Machine) -> None:
    machine.put(pools="sheepdog\na pool\n", guests="papeete\na guest\n", not_yet="3\n")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    calls = [c for c in machine.read("calls").splitlines() if "start" in c.split()[0]]
    assert calls == [
        "pool-start --pool sheepdog",
        "pool-start --pool a pool",
        "start --domain papeete",
        "start --domain a guest",
    ]


def test_a_guest_that_was_shut_down_since_stays_down(machine: Machine) -> None:
    machine.put(guests="papeete\n")
    assert machine.run().returncode == 0
    machine.put(guests="papeete\n", pools="sheepdog\n")  # libvirtd has been restarted
    assert machine.run().returncode == 0
    assert machine.read("pools") == ""
    assert machine.read("calls").count("start --domain papeete") == 1


def test_a_guest_that_never_started_is_tried_again_next_time(machine: Machine) -> None:
    machine.put(guests="papeete\nmoorea\n", broken_papeete="")
    done = machine.run(seconds=2)
    assert done.returncode == 1
    assert "not started: papeete" in done.stderr
    (machine.folder / "broken-papeete").unlink()
    machine.put(guests="papeete\nmoorea\n")  # moorea has been shut down since
    assert machine.run().returncode == 0
    assert machine.read("guests") == "moorea\n"


def test_a_cluster_that_never_answers_is_given_up(machine: Machine) -> None:
    machine.put(pools="sheepdog\n", not_yet="99\n")
    done = machine.run(seconds=3)
    assert done.returncode == 1
    assert "sheepdog does not answer" in done.stderr


@pytest.fixture
def sysv(machine: Machine) -> Iterator[Machine]:
    """A host with SysV init, whose watcher is stopped whatever happens."""
    (machine.folder / "bin" / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.05\n")
    try:
        yield machine
    finally:
        machine.service("stop")


def eventually(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


def test_the_init_script_tells_lsb_states_by_its_exit_code(sysv: Machine) -> None:
    assert sysv.service("status").returncode == 3
    assert sysv.service("start").returncode == 0
    assert sysv.service("status").returncode == 0
    assert sysv.service("start").returncode == 0  # it runs already
    assert (sysv.folder / "lock" / "sheepvirt-autostart").exists()  # else rc never stops it
    assert sysv.service("stop").returncode == 0
    assert sysv.service("status").returncode == 3
    assert not (sysv.folder / "lock" / "sheepvirt-autostart").exists()
    sysv.put(**{"sheepvirt-autostart.pid": "1\n"})  # a number that another process has now
    assert sysv.service("status").returncode == 1
    assert sysv.service("bogus").returncode == 2


def test_the_init_script_looks_again_whenever_libvirtd_starts_again(sysv: Machine) -> None:
    sysv.put(pools="sheepdog\n")
    assert sysv.service("start").returncode == 0
    assert sysv.read("pools") == "sheepdog\n"  # libvirtd does not run yet
    sysv.put(**{"libvirtd.pid": "17\n"})
    assert eventually(lambda: sysv.read("pools") == "")
    sysv.put(pools="sheepdog\n")
    sysv.put(**{"libvirtd.pid": "18\n"})
    assert eventually(lambda: sysv.read("pools") == "")
