"""Our XML against libvirt's own schemas, from the RPM that was built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import SETTINGS, run_with

from sheepvirt.bootstrap import host_files, schemas
from sheepvirt.bootstrap.steps.definition import Interface
from sheepvirt.builds import execute, repo
from sheepvirt.config import inventory
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Disk
from sheepvirt.model.guests import Guest, GuestDisk, Nic

if TYPE_CHECKING:
    from sheepvirt.bootstrap.schemas import Schemas

pytestmark = pytest.mark.engine
FILES = host_files.load(SETTINGS.host)
TITLE = 'it\'s "quoted" <b>&amp; $(touch /tmp/pwned) `x` 日本語'
GUEST = Guest(
    name="papeete",
    title=TITLE,
    memory=256 * 10**6,
    vcpus=1,
    nics=(Nic(network="ovsbr0"),),
    console_marker="papeete is up",
)
VISIBLE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1).filter(
    str.isprintable
)


@pytest.fixture(scope="module")
def libvirts() -> Schemas:
    target = inventory.load_target(SETTINGS, "rehearsal")
    records = execute.build_rpms(run_with(SETTINGS), target, ["sheepdog=stand-in"])
    return schemas.load(SETTINGS.cache / "schemas", repo.home(SETTINGS, target.name), records)


def domain(guest: Guest = GUEST) -> str:
    return FILES.render(
        "domain.xml.j2",
        guest=guest,
        type="kvm",
        bridge="ovsbr0",
        file="/disk.img",
        address="127.0.0.1",
        port=7000,
        cache="none",
        uuid="",
        interfaces=[Interface()],
    )


POOL = FILES.render("pool.xml.j2", pool="sheepdog", address="127.0.0.1", port=7000, uuid="")
NETWORK = FILES.render("network.xml.j2", network="ovsbr0", bridge="ovsbr0", uuid="")


def test_what_we_send_is_valid(libvirts: Schemas) -> None:
    libvirts.validate("domain", domain(), "papeete")
    libvirts.validate(
        "domain",
        domain(
            Guest(
                name="p",
                title=TITLE,
                memory=1 * 10**6,
                vcpus=1,
                nics=(Nic(network="n"),),
                console_marker="l",
                disks=(GuestDisk(kind=Disk.FILE),),
            )
        ),
        "papeete",
    )
    libvirts.validate("pool", POOL, "pool")
    libvirts.validate("network", NETWORK, "network")


@given(VISIBLE)
def test_any_title_is_valid(libvirts: Schemas, title: str) -> None:
    libvirts.validate(
        "domain",
        domain(
            Guest(
                name="p",
                title=title,
                memory=1 * 10**6,
                vcpus=1,
                nics=(Nic(network="n"),),
                console_marker="l",
            )
        ),
        "p",
    )


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "blamed"),
    [
        ("domain", "<memballoon", "<membaloon", "<membaloon>"),  # the how-to's
        ("domain", 'bus="virtio"', 'bus="virtoi"', "attribute bus='virtoi' of <target>"),
        ("domain", 'io="threads"', 'oi="threads"', "attribute oi='threads' of <driver>"),
        ("domain", "<acpi/>", "<acpi/><apci/>", "<apci>"),
        ("domain", 'protocol="sheepdog"', 'protocol="sheepdgo"', "<source>|<disk>"),
        ("pool", 'port="7000"', 'port="many"', "attribute port='many' of <host>"),
        ("network", "<virtualport", "<virtualprot", "<virtualprot>"),
    ],
)
def test_what_libvirt_would_drop_is_refused_by_name_and_line(
    kind: str, right: str, wrong: str, blamed: str, libvirts: Schemas
) -> None:
    text = {"domain": domain(), "pool": POOL, "network": NETWORK}[kind]
    assert right in text
    broken = text.replace(right, wrong)
    line = broken[: broken.index(wrong)].count("\n") + 1
    with pytest.raises(BootstrapError, match=blamed) as caught:
        libvirts.validate(kind, broken, f"{kind} papeete")
    assert f"line {line}: " in caught.value.message or "|" in blamed
    assert f"{kind} papeete" in caught.value.message
    assert f"host/templates/{kind}.xml.j2" in caught.value.hint


def test_a_missing_element_is_refused(libvirts: Schemas) -> None:
    with pytest.raises(BootstrapError, match="line 1: "):
        libvirts.validate("network", "<network><bridge/></network>", "network")


def test_a_bridge_that_does_not_exist_is_no_schemas_affair(libvirts: Schemas) -> None:
    wrong = NETWORK.replace('bridge name="ovsbr0"', 'bridge name="obsbr0"')
    assert wrong != NETWORK
    libvirts.validate("network", wrong, "network")
