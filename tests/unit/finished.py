"""A finished host and a recorder to play it, for the tests of the steps."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import IO

import factories
import pytest

from sheepvirt.bootstrap import ownership
from sheepvirt.bootstrap.facts.bridges import BridgeState
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.libvirt import Definition
from sheepvirt.bootstrap.facts.services import ServiceState
from sheepvirt.bootstrap.facts.sheepdog import ClusterState
from sheepvirt.bootstrap.steps import repository, units
from sheepvirt.bootstrap.steps.base import REPOMD, DesiredState, Step, StepContext
from sheepvirt.core.processes import OnLine, Result
from sheepvirt.model.enums import Datapath, Init, Origin
from sheepvirt.model.hosts import Dependencies
from sheepvirt.ssh import client
from sheepvirt.ssh.route import by_config
from tests.here import SETTINGS, run_in

DATA = Path(__file__).parent / "data" / "libvirt-7.0.0"
DOMAIN = (DATA / "domain-sheepdog.xml").read_text(encoding="utf-8")
LIVE = (DATA / "domain-sheepdog-live.xml").read_text(encoding="utf-8")
NETWORK = (DATA / "network.xml").read_text(encoding="utf-8")
POOL = (DATA / "pool.xml").read_text(encoding="utf-8")
TITLE = 'it\'s "quoted" <b>&amp; spaced</b> 日本語'  # of the host that the XML is from
GUEST = factories.guest(title=TITLE, console_marker="up")
HOST = factories.host(guests=(GUEST,), datapath=Datapath.NETDEV)
RPM = factories.published_rpm()
SOURCE = factories.published_rpm(
    nevra="libvirt-7.0.0-1.rehearsal.src",
    file="libvirt/l.src.rpm",
    sha256="e" * 64,
    header_sha1="b",
)
RECORD = factories.record(rpms=(RPM, SOURCE), installed_subpackages=("libvirt",))


WANTED = factories.desired_state(
    host=HOST,
    dependencies=Dependencies(packages=("dbus", "nc"), services=("openvswitch", "libvirtd")),
    repomd="ab" * 32,
    records=(RECORD,),
    images={"papeete": "papeete-1.img"},
)
HOST_FILES = WANTED.host_files
# Commands of every step that replaces or makes something: the former is kept, the mark written.
KEPT = ("/var/lib/sheepvirt/kept", 0, "20261128-010203\n")
NOTED = ("/var/lib/sheepvirt/owned", 0, "")
FORMER = "; the former one is kept"
UNDONE = f"; it undoes what somebody else made or changed{FORMER}"
UP = ServiceState(active=True, enabled=True)


@cache  # what is made of it is a copy
def done() -> Facts:
    """A host on which nothing is left to do."""
    text = repository.repo_file(WANTED).encode()
    facts = Facts(
        os="debian 11",
        init=Init.SYSTEMD,
        boot="b/2",
        reboot_wanted="b/1",
        installer="dnf",
        packages={"libvirt": RPM.nevra},
        headers={"libvirt": "aa"},
        provided=frozenset({"dbus", "nc"}),
        services={"openvswitch": UP, "libvirtd": UP},
        bridges={"ovsbr0": BridgeState(datapath="netdev", ports=("vnet1",), device=True)},
        networks={
            "default": Definition(xml="<network/>", active=True, persistent=True, autostart=True),
            "ovsbr0": Definition(xml=NETWORK, active=True, persistent=True, autostart=True),
        },
        cluster=ClusterState(status="running, auto-recovery enabled", nodes=1, listed=True),
        pools={"sheepdog": Definition(xml=POOL, active=True, persistent=True, autostart=True)},
        vdis={"papeete": 10**9},
        domains={
            "papeete": Definition(
                xml=DOMAIN, active=True, persistent=True, autostart=True, live_xml=LIVE
            )
        },
        texts={"/var/lib/sheepvirt/vdi-papeete.from": f"papeete-1.img {'0' * 64}"},
        hashes={
            REPOMD: WANTED.repomd,
            repository.REPO_FILE: hashlib.sha256(text).hexdigest(),
            **{p: hashlib.sha256(c).hexdigest() for p, c in units.wanted_files(HOST_FILES).items()},
        },
    )
    found = [one.mark for one in ownership.unmarked(WANTED, facts) if one.mark]
    marks = {(m.kind, m.name): replace(m, origin=Origin.DEFINED) for m in found}
    return replace(facts, marks=marks)


def changes(step: Step, facts: Facts, wanted: DesiredState = WANTED) -> list[str]:
    """Return what ``step`` would do on a host with ``facts``."""
    return [c.what for c in step.check(wanted, facts, ())]


class Planned:
    """Answers the commands that were planned, in order, and refuses every other."""

    def __init__(self, *plan: tuple[str, int, str]) -> None:
        self.plan = list(plan)
        self.sent: list[bytes] = []

    def __call__(
        self, argv: Sequence[str], stdin: IO[bytes] | None, on_line: OnLine | None
    ) -> Result:
        line = " ".join(shlex.split(argv[-1])[2:])  # without env LC_ALL=C
        assert self.plan, f"nobody planned: {line}"
        wanted, code, out = self.plan.pop(0)
        assert wanted in line
        self.sent.append(stdin.read() if stdin else b"")
        return Result(code=code, stdout=out, stderr="")


def context(
    monkeypatch: pytest.MonkeyPatch, *plan: tuple[str, int, str]
) -> tuple[StepContext, Planned]:
    """Return what a step works with, on a host that answers ``plan`` (words, exit code, output)."""
    run = run_in()
    planned = Planned(*plan)
    connection = client.Connection(
        SETTINGS, HOST, by_config(HOST, Path("/config")), planned, run.clock
    )
    monkeypatch.setattr(connection, "_alive", lambda: True)
    with run.progress.stage("test") as stage:
        return StepContext(run, connection, stage), planned
