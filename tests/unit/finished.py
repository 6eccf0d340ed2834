"""A finished host and a recorder to play it, for the tests of the steps."""

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import pytest

from sheepvirt.bootstrap import host_files
from sheepvirt.bootstrap.facts.bridges import BridgeState
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.libvirt import Definition
from sheepvirt.bootstrap.facts.services import ServiceState
from sheepvirt.bootstrap.facts.sheepdog import ClusterState
from sheepvirt.bootstrap.schemas import Schemas
from sheepvirt.bootstrap.steps import repository, units
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.model.builds import BuildRecord, PublishedRpm
from sheepvirt.model.hosts import Dependencies, Guest, Host
from sheepvirt.ssh import client
from tests.here import SETTINGS, run_in

DATA = Path(__file__).parent / "data" / "libvirt-7.0.0"
DOMAIN = (DATA / "domain-sheepdog.xml").read_text(encoding="utf-8")
LIVE = (DATA / "domain-sheepdog-live.xml").read_text(encoding="utf-8")
NETWORK = (DATA / "network.xml").read_text(encoding="utf-8")
POOL = (DATA / "pool.xml").read_text(encoding="utf-8")
TITLE = 'it\'s "quoted" <b>&amp; spaced</b> 日本語'  # of the host that the XML is from
GUEST = Guest("papeete", TITLE, 256, 1, "ovsbr0", "up")
HOST = Host("tahiti", "rehearsal", True, "127.0.0.1", 0, "root", "ovsbr0", "ovsbr0", (GUEST,),
            datapath="netdev")  # fmt: skip
RPM = PublishedRpm("libvirt", "libvirt-7.0.0-1.rehearsal.x86_64", "libvirt/l.rpm", "f" * 64, "aa")
SOURCE = PublishedRpm(
    "libvirt", "libvirt-7.0.0-1.rehearsal.src", "libvirt/l.src.rpm", "e" * 64, "b"
)
RECORD = BuildRecord("libvirt", "7.0.0", "k", {}, (RPM, SOURCE), ("libvirt",), (), 1.0)


HOST_FILES = host_files.load(SETTINGS.host)


class AnyXml(Schemas):
    """Takes any XML: what libvirt's schemas refuse is test_schemas' affair."""

    def __init__(self) -> None: ...

    def validate(self, kind: str, text: str, what: str) -> None:
        ElementTree.fromstring(text)


WANTED = DesiredState(
    host=HOST,
    dependencies=Dependencies(("dbus", "nc"), ("openvswitch", "libvirtd")),
    repo=Path("/repo"),
    repomd="ab" * 32,
    records=(RECORD,),
    images={"papeete": "papeete-1.img"},
    schemas=AnyXml(),
    host_files=HOST_FILES,
)
UP = ServiceState(active=True, enabled=True)


def done() -> Facts:
    """A host on which nothing is left to do."""
    text = repository.repo_file(WANTED).encode()
    return Facts(
        os="debian 11",
        init="systemd",
        boot="b/2",
        reboot_wanted="b/1",
        installer="dnf",
        packages={"libvirt": RPM.nevra},
        headers={"libvirt": "aa"},
        provided=frozenset({"dbus", "nc"}),
        services={"openvswitch": UP, "libvirtd": UP},
        bridges={"ovsbr0": BridgeState("netdev", ("vnet1",), True)},
        networks={
            "default": Definition("<network/>", True, True, True),
            "ovsbr0": Definition(NETWORK, True, True, True),
        },
        cluster=ClusterState("running, auto-recovery enabled", 1, listed=True),
        pools={"sheepdog": Definition(POOL, True, True, True)},
        vdis={"papeete": 10**9},
        domains={"papeete": Definition(DOMAIN, True, True, True, LIVE)},
        texts={"/var/lib/sheepvirt/vdi-papeete.from": f"papeete-1.img {'0' * 64}"},
        hashes={
            repository.REPOMD: WANTED.repomd,
            repository.REPO_FILE: hashlib.sha256(text).hexdigest(),
            **{p: hashlib.sha256(c).hexdigest() for p, c in units.wanted_files(HOST_FILES).items()},
        },
    )


def changes(step: Step, facts: Facts, wanted: DesiredState = WANTED) -> list[str]:
    """Return what ``step`` would do on a host with ``facts``."""
    return [c.what for c in step.check(wanted, facts, ())]


class Planned:
    """Answers the commands that were planned, in order, and refuses every other."""

    def __init__(self, *plan: tuple[str, int, str]) -> None:
        self.plan = list(plan)
        self.sent: list[bytes] = []

    def __call__(
        self, argv: Sequence[str], stdin: IO[bytes] | None, on_line: client.OnLine | None
    ) -> client.Result:
        line = " ".join(shlex.split(argv[-1])[2:])  # without env LC_ALL=C
        assert self.plan, f"nobody planned: {line}"
        wanted, code, out = self.plan.pop(0)
        assert wanted in line
        self.sent.append(stdin.read() if stdin else b"")
        return client.Result(code, out, "")


def context(
    monkeypatch: pytest.MonkeyPatch, *plan: tuple[str, int, str]
) -> tuple[StepContext, Planned]:
    """Return what a step works with, on a host that answers ``plan`` (words, exit code, output)."""
    run = run_in()
    planned = Planned(*plan)
    connection = client.Connection(SETTINGS, HOST, Path("/config"), planned, run.clock)
    monkeypatch.setattr(connection, "_alive", lambda: True)
    with run.progress.stage("test") as stage:
        return StepContext(run, connection, stage), planned
