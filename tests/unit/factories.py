"""Valid values of the model, of which a test sets only the fields that it is about.

Each factory takes fields by keyword, as the dataclass does, and mypy checks them: ``package()``,
``package(name="qemu", build_packages=("sheepdog",))``. ``Facts()`` needs no factory: it is a bare
host. For one on which nothing is left to do, see finished.py.
"""

from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sheepvirt.bootstrap import consent, host_files
from sheepvirt.bootstrap.schemas import Schemas
from sheepvirt.bootstrap.steps.base import DesiredState
from sheepvirt.model.builds import BuildRecord, Evidence, Package, PublishedRpm, Rpm, Target
from sheepvirt.model.enums import CheckResult, Datapath, Disk, Gate
from sheepvirt.model.guests import Guest, GuestDisk, Nic
from sheepvirt.model.hosts import Check, Dependencies, Host
from sheepvirt.model.inputs import BuildInputs
from sheepvirt.model.networks import Bridge, Network
from tests.here import SETTINGS

NOWHERE = Path("/nowhere")


class AnyXml(Schemas):
    """Accepts any XML: test_schemas.py tests what libvirt's schemas refuse."""

    def __init__(self) -> None: ...

    def validate(self, kind: str, text: str, what: str) -> None:
        ElementTree.fromstring(text)


package = partial(
    Package,
    name="libvirt",
    version="7.0.0",
    spec="libvirt.spec",
    spec_from="tarball",
    sources=(),
    features=(),
    build_packages=(),
    targets=(),
    rpmbuild_args=(),
    installed_subpackages=(),
    stand_in="",
    folder=NOWHERE,
    patches=NOWHERE,
)
target = partial(
    Target,
    name="rehearsal",
    summary="",
    suite="bullseye",
    arch="x86_64",
    macros={"dist": ".rehearsal"},
    folder=NOWHERE,
)
rpm = partial(
    Rpm,
    name="libvirt",
    epoch=0,
    version="7.0.0",
    release="1.rehearsal",
    arch="x86_64",
    path=NOWHERE / "libvirt.rpm",
    sha256="f" * 64,
)
published_rpm = partial(
    PublishedRpm,
    name="libvirt",
    nevra="libvirt-7.0.0-1.rehearsal.x86_64",
    file="libvirt/l.rpm",
    sha256="f" * 64,
    header_sha1="aa",
)
evidence = partial(
    Evidence,
    gate=Gate.RPM,
    package="libvirt",
    feature="sheepdog",
    claim="a claim",
    observed="seen",
    ok=True,
)
record = partial(
    BuildRecord,
    package="libvirt",
    version="7.0.0",
    key="k",
    inputs=BuildInputs(),
    rpms=(),
    installed_subpackages=(),
    evidence=(),
    seconds=1.0,
)


def guest(
    *, network: str = "ovsbr0", disk: Disk = Disk.SHEEPDOG, size: int = 10**9, **fields: Any
) -> Guest:
    """Return a guest with one network interface and one disk."""
    usual: dict[str, Any] = {
        "name": "papeete",
        "title": "title",
        "memory": 256 * 10**6,
        "vcpus": 1,
        "console_marker": "ia ora na",
        "nics": (Nic(network=network),),
        "disks": (GuestDisk(kind=disk, size=size),),
    }
    return Guest(**{**usual, **fields})


def host(*, bridge: str = "ovsbr0", network: str = "ovsbr0", **fields: Any) -> Host:
    """Return a host with one bridge and one network; ``datapath`` is that of its bridge."""
    datapath = fields.pop("datapath", Datapath.SYSTEM)
    usual: dict[str, Any] = {
        "name": "tahiti",
        "target": "rehearsal",
        "rehearsal": True,
        "address": "127.0.0.1",
        "port": 0,
        "user": "root",
        "bridges": (Bridge(name=bridge, datapath=datapath),),
        "networks": (Network(name=network, bridge=bridge),),
    }
    return Host(**{**usual, **fields})


desired_state = partial(
    DesiredState,
    host=host(),
    dependencies=Dependencies(packages=(), services=()),
    repo=Path("/repo"),
    repomd="",
    records=(),
    images={},
    consent=consent.EVERYTHING,
    schemas=AnyXml(),
    host_files=host_files.load(SETTINGS.host),
)
check = partial(
    Check,
    name="networks: active",
    subject="",
    result=CheckResult.PASSED,
    seconds=1.0,
)
