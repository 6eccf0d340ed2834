"""What others may have done on a host: the copy of the repo, free space, libvirt's default."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from finished import HOST, WANTED, changes, context, done

from sheepvirt.bootstrap import desired, refusals, space
from sheepvirt.bootstrap.facts.routes import Route
from sheepvirt.bootstrap.facts.space import Space
from sheepvirt.bootstrap.steps import network, repository
from sheepvirt.bootstrap.steps.base import DISKS, STATE
from sheepvirt.core.errors import BootstrapError

REAL = replace(WANTED, host=replace(HOST, rehearsal=False))
FILES = {"libvirt/l.rpm": "11", "repodata/repomd.xml": "22", "repodata/p.xml.gz": "33"}
REPO = replace(WANTED, repo_files=FILES, repo_size=40 << 20)
DEFAULT = (
    "<network><name>default</name>"
    "<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp/></ip></network>"
)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (FILES, []),
        (FILES | {"someones/own.rpm": "44"}, []),
        (FILES | {"libvirt/l.rpm": "12"}, ["libvirt/l.rpm is altered"]),
        ({"libvirt/l.rpm": "12"}, ["libvirt/l.rpm is altered, repodata/p.xml.gz is missing"]),
        ({}, ["is missing, repodata/p.xml.gz is missing, repodata/repomd.xml is missing"]),
    ],
)
def test_each_file_of_the_repos_copy_has_its_hash(there: dict[str, str], said: list[str]) -> None:
    found = changes(repository.STEP, replace(done(), trees={repository.FOLDER: there}), REPO)
    assert len(found) == len(said)
    for what, words in zip(found, said, strict=True):
        assert what.startswith(f"{repository.FOLDER} copied again: ")
        assert words in what


def test_a_copy_that_does_not_fit_is_refused_before_anything() -> None:
    """Both filesystems may be one: then the sum counts."""
    facts = replace(done(), space={STATE: Space(mount="/", free=(41 << 20) - 1)})
    with pytest.raises(
        BootstrapError, match=r"filesystem / has 41 MiB free, and 41 MiB are needed"
    ):
        refusals.require(REPO, facts)
    refusals.require(REPO, replace(facts, space={STATE: Space(mount="/", free=41 << 20)}))
    refusals.require(WANTED, facts)  # nothing is copied
    refusals.require(REPO, replace(facts, space={}))
    needs = [space.Need(folder=folder, size=30 << 20, what=folder) for folder in (STATE, DISKS)]
    one = dict.fromkeys((STATE, DISKS), Space(mount="/", free=50 << 20))
    with pytest.raises(BootstrapError, match="61 MiB are needed"):
        space.require(WANTED, replace(done(), space=one), needs)
    two = {**one, DISKS: Space(mount="/var", free=50 << 20)}
    space.require(WANTED, replace(done(), space=two), needs)


def test_default_of_a_real_machine_is_set_up_once_with_its_rpm() -> None:
    gone = {name: one for name, one in done().networks.items() if name != "default"}
    facts = replace(done(), networks=gone)
    defined = ["default defined as libvirt ships it", "default started", "default autostarted"]
    assert changes(network.STEP, facts) == defined  # on a rehearsal host
    assert changes(network.STEP, facts, REAL) == []
    rpm = replace(WANTED.records[0].rpms[0], name=network.DEFAULT_RPM)
    record = replace(REAL.records[0], rpms=(*REAL.records[0].rpms, rpm))
    published = replace(REAL, records=(record,))
    assert changes(network.STEP, facts, published) == defined  # the RPM is going to be installed
    there = replace(facts, packages={**facts.packages, network.DEFAULT_RPM: rpm.nevra})
    assert changes(network.STEP, there, published) == []
    new = replace(there, texts={**there.texts, network.NEW: "new"})
    assert changes(network.STEP, new, published) == defined  # it was just installed
    up = replace(new, networks=done().networks)
    assert changes(network.STEP, up, published) == ["default left as it is from now on"]


def test_default_that_is_off_on_a_real_machine_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    off = replace(done().networks["default"], active=False, autostart=False, persistent=False)
    facts = replace(done(), networks={**done().networks, "default": off})
    assert changes(network.STEP, facts, REAL) == []
    assert len(changes(network.STEP, facts)) == 3
    worker, planned = context(monkeypatch)
    network.apply(REAL, facts, worker)
    assert planned.plan == []


def test_default_is_not_started_where_its_addresses_are_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = replace(done().networks["default"], active=False, xml=DEFAULT)
    facts = replace(done(), networks={**done().networks, "default": off})
    assert changes(network.STEP, facts) == ["default started"]
    for taken in ("192.168.122.0/24", "192.168.122.64/26", "192.168.0.0/16"):
        route = Route(interface="eth1", network=IPv4Network(taken))
        used = replace(facts, routes=(route,))
        assert changes(network.STEP, used) == []
        assert network.notes(used) == [
            "network default does not run: 192.168.122.0/24 is in use by eth1; guests of this "
            "inventory do not use it"
        ]
    other = Route(interface="eth1", network=IPv4Network("192.168.123.0/24"))
    assert changes(network.STEP, replace(facts, routes=(other,))) == ["default started"]
    worker, planned = context(monkeypatch)
    network.apply(WANTED, used, worker)
    assert planned.plan == []
    assert network.notes(replace(used, networks=done().networks)) == []


def test_a_host_is_asked_for_each_disks_notes_and_the_repos_copy() -> None:
    query = desired.fact_query(WANTED)
    assert query.trees == (repository.FOLDER,)
    assert "/var/lib/sheepvirt/vdi-papeete.copying" in query.texts
    assert "/var/lib/libvirt/images/papeete.img.again" in query.files
