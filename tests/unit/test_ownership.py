"""An object of a wanted name that sheepvirt did not make is refused, all at once, or adopted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from finished import DOMAIN, GUEST, HOST, NETWORK, POOL, WANTED, context, done

from sheepvirt.bootstrap import ownership, runner
from sheepvirt.bootstrap.consent import Consent
from sheepvirt.bootstrap.facts.bridges import BridgeState
from sheepvirt.bootstrap.facts.interfaces import Device
from sheepvirt.bootstrap.facts.libvirt import Definition
from sheepvirt.bootstrap.marks import Mark
from sheepvirt.bootstrap.steps import bridge, disk, domain, network, own, pool, services, units
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import Disk, ObjectKind, Origin
from tests.here import with_disk

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import DesiredState

REAL = replace(HOST, rehearsal=False)
UNIT = f"{units.SYSTEM}/sheepvirt-autostart.service"
HAND_MADE = "<domain type='qemu'><name>papeete</name><uuid>9</uuid><memory>4</memory></domain>"
NAT = "<network><name>ovsbr0</name><uuid>7</uuid><forward mode='nat'/></network>"
OTHER_POOL = POOL.replace("127.0.0.1", "10.0.0.1").replace("f512", "0000")


def real(**agreed: object) -> DesiredState:
    return replace(WANTED, host=REAL, consent=Consent(**agreed))  # type: ignore[arg-type]


def state(xml: str, *, live: str = "") -> Definition:
    return Definition(xml=xml, active=bool(live), persistent=True, autostart=True, live_xml=live)


def before() -> Facts:
    """A host that was bootstrapped before there were marks."""
    return replace(done(), marks={})


def foreign() -> Facts:
    """A host on which every name is taken by somebody else's."""
    own_bridge = BridgeState(datapath="system", ports=("eth1", "vnet0"), device=True)
    return replace(
        done(),
        marks={},
        texts={},
        networks={**done().networks, "ovsbr0": state(NAT)},
        pools={"sheepdog": state(OTHER_POOL)},
        domains={"papeete": state(HAND_MADE, live=HAND_MADE)},
        bridges={"ovsbr0": own_bridge},
        devices={"ovsbr0": Device(addresses=("192.0.2.7/24",))},
        hashes={UNIT: "0" * 64},
    )


ADOPTED = ("ovsbr0", "sheepdog", "papeete", UNIT)


def test_all_that_is_somebody_elses_is_refused_at_once() -> None:
    with pytest.raises(BootstrapError) as caught:
        runner.differences(real(), foreign())
    rows = [line.strip() for line in caught.value.message.splitlines()[1:-1]]
    assert rows == [
        f"file {UNIT}",
        "bridge ovsbr0 (system datapath, with the ports eth1, with an address)",
        "network ovsbr0 (inactive)",
        "pool sheepdog (inactive)",
        "domain papeete (active)",
        "VDI papeete (1000000000 bytes; a guest may run from it, here or on another host of this "
        "cluster, and a second one would destroy it)",
    ]
    assert "Nothing was changed" in caught.value.message
    assert "other names" in caught.value.hint
    for name in ADOPTED:
        assert f"--adopt {name}" in caught.value.hint


def test_what_is_adopted_is_no_refusal_and_the_rest_is() -> None:
    with pytest.raises(BootstrapError) as caught:
        ownership.require(real(adopted=frozenset(ADOPTED[:3])), foreign())
    assert caught.value.message.count("\n  ") == 1
    ownership.require(real(adopted=frozenset(ADOPTED)), foreign())
    ownership.require(WANTED, foreign())  # a rehearsal host is there to be tried on


def test_a_pool_of_another_type_cannot_be_adopted() -> None:
    facts = replace(done(), pools={"sheepdog": state(POOL.replace("'sheepdog'", "'dir'"))})
    with pytest.raises(BootstrapError, match="is of type dir, not sheepdog") as caught:
        ownership.require(real(adopted=frozenset({"sheepdog"})), facts)
    assert "another `pool`" in caught.value.hint
    ownership.require(WANTED, facts)


def test_a_disk_file_without_a_note_is_somebody_elses() -> None:
    wanted = replace(real(), host=replace(REAL, guests=(with_disk(GUEST, kind=Disk.FILE),)))
    path = "/var/lib/libvirt/images/papeete.img"
    noted = replace(done(), disks={path: "papeete-1.img 00"}, domains={})
    ownership.require(wanted, noted)
    with pytest.raises(BootstrapError, match=f"disk file papeete \\({path}\\)"):
        ownership.require(wanted, replace(noted, disks={path: ""}))


def test_another_object_under_the_marked_name_is_not_the_marked_one() -> None:
    facts = replace(done(), domains={"papeete": state(HAND_MADE)})
    with pytest.raises(BootstrapError, match="domain papeete"):
        ownership.require(real(), facts)


def test_a_copy_of_a_domain_of_ours_is_no_domain_of_ours() -> None:
    mark = "<metadata><m:guest xmlns:m='urn:sheepvirt:1' name='{}'/></metadata>"
    for name, ours in (("papeete", True), ("tautira", False)):
        xml = HAND_MADE.replace("<memory>", f"{mark.format(name)}<memory>")
        facts = replace(before(), domains={"papeete": state(xml)})
        (found,) = [o for o in ownership.unmarked(real(), facts) if o.kind == ObjectKind.DOMAIN]
        assert found.ours is ours


def test_a_host_of_before_is_recognised_and_marked_by_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ownership.require(real(), before())
    (change,) = own.STEP.check(real(), before(), ())
    assert "marked as sheepvirt's" in change.what
    for title in ("network ovsbr0", "pool sheepdog", "domain papeete", "bridge ovsbr0"):
        assert title in change.what
    # A unit without a mark: maybe its run was interrupted before systemd read it.
    reload = ("systemctl daemon-reload", 0, "")
    worker, planned = context(monkeypatch, reload, ("/var/lib/sheepvirt/owned", 0, ""))
    own.apply(real(), before(), worker)
    assert planned.sent[1].count(b'"origin": "taken"') == 4 + len(ownership.files(WANTED, done()))
    for step in (network.STEP, pool.STEP, domain.STEP, bridge.STEP, services.STEP):
        assert step.check(real(), before(), ()) == []


def test_a_host_of_before_is_recognised_by_what_it_was_sent_last() -> None:
    """The inventory has changed since: what is there is as the file says that it was sent."""
    larger = replace(real(), host=replace(REAL, guests=(replace(GUEST, memory=512 * 10**6),)))
    with pytest.raises(BootstrapError, match="domain papeete"):
        ownership.require(larger, before())
    sent = domain.wanted_domain(WANTED, GUEST, before()).xml
    facts = replace(before(), texts={**done().texts, "/var/lib/sheepvirt/domain-papeete.xml": sent})
    ownership.require(larger, facts)
    changes = domain.STEP.check(larger, facts, ())
    assert [c.waits_for for c in changes] == ["", "--allow-guest-restart"]
    broken = {**done().texts, "/var/lib/sheepvirt/domain-papeete.xml": "<domain"}
    with pytest.raises(BootstrapError, match="domain papeete"):
        ownership.require(larger, replace(before(), texts=broken))


def test_files_of_a_host_of_before_are_ours_whatever_an_older_version_wrote() -> None:
    facts = replace(before(), hashes={**done().hashes, UNIT: "0" * 64})
    ownership.require(real(), facts)
    (change,) = services.STEP.check(real(), facts, ())
    assert (change.what, change.waits_for) == (f"{UNIT} written; the former one is kept", "")


def test_a_unit_that_somebody_edited_is_replaced_by_consent_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = replace(
        done(), hashes={**done().hashes, UNIT: "0" * 64}, texts={**done().texts, UNIT: "[Unit]"}
    )
    (change,) = services.STEP.check(real(), facts, ())
    assert change.waits_for == f"--replace {UNIT}"
    assert "+[Service]" in change.diff
    worker, planned = context(monkeypatch)  # nothing is planned: nothing may be run
    units.apply(real(), facts, worker)
    assert planned.sent == []


def test_what_is_adopted_changes_only_by_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = real(adopted=frozenset(ADOPTED))
    rows = own.STEP.check(wanted, foreign(), ())
    assert len([row for row in rows if row.what.endswith("adopted as it is")]) == 6
    worker, planned = context(
        monkeypatch, ("vdi-papeete.from", 0, ""), ("/var/lib/sheepvirt/owned", 0, "")
    )
    own.apply(wanted, foreign(), worker)
    assert planned.sent[0] == b"adopted\n"
    for step, name in ((network.STEP, "ovsbr0"), (pool.STEP, "sheepdog"), (domain.STEP, "papeete")):
        change = step.check(wanted, foreign(), ())[0]
        assert change.waits_for == f"--replace {name}"
        assert "it undoes what somebody else made" in change.what
    assert disk.STEP.check(wanted, foreign(), ()) == []


def test_an_adopted_bridge_keeps_its_datapath(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = real(adopted=frozenset({"ovsbr0"}))
    (change,) = bridge.STEP.check(wanted, foreign(), ())
    assert change.waits_for == "--replace ovsbr0"
    worker, _ = context(
        monkeypatch,
        ("/kept", 0, "20261128-010203\n"),
        ("datapath_type=system", 0, ""),
        ("test -e", 0, ""),
    )
    bridge.apply(wanted, foreign(), worker)


def test_an_adopted_bridge_without_an_interface_restarts_no_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have none because of the datapath that it has, and other bridges run on the switch."""
    mark = Mark(kind=ObjectKind.BRIDGE, name="ovsbr0", origin=Origin.ADOPTED)
    dead = BridgeState(datapath="system", ports=(), device=False)
    other = BridgeState(datapath="netdev", ports=("vnet7",), device=True)
    facts = replace(
        done(),
        bridges={"ovsbr0": dead, "br9": other},
        marks={**done().marks, (ObjectKind.BRIDGE, "ovsbr0"): mark},
    )
    found = bridge.STEP.check(real(), facts, ())
    assert [row.waits_for for row in found] == ["--replace ovsbr0"] * 2
    worker, planned = context(monkeypatch)
    bridge.apply(real(), facts, worker)  # as where another change of the step is done
    assert planned.plan == []


def test_adopting_again_accepts_what_somebody_changed() -> None:
    drifted = DOMAIN.replace("<memballoon", "<video/><memballoon")
    facts = replace(done(), domains={"papeete": state(drifted)})
    (change, _) = [*domain.STEP.check(real(), facts, ()), None][:2]
    assert change
    assert change.waits_for == "--replace papeete"
    wanted = real(adopted=frozenset({"papeete"}))
    (accepted,) = own.STEP.check(wanted, facts, ())
    assert "accepted as it is" in accepted.what
    assert "+    <video />" in accepted.diff
    # The plan of the same run has it accepted already.
    assert [c.what for c in domain.STEP.check(wanted, facts, ())] == ["papeete started"]


def test_what_was_accepted_is_undone_when_asked() -> None:
    path, drifted = (ObjectKind.NETWORK, "ovsbr0"), NETWORK.replace("</n", "<portgroup/></n")
    mark = replace(done().marks[path], origin=Origin.ADOPTED, made=drifted)
    facts = replace(
        done(),
        networks={**done().networks, "ovsbr0": state(drifted, live=drifted)},
        marks={**done().marks, path: mark},
    )
    assert network.STEP.check(real(), facts, ()) == []
    (change,) = network.STEP.check(real(replaced=frozenset({"ovsbr0"})), facts, ())
    assert "-  <portgroup />" in change.diff
    assert change.waits_for == ""


def test_replacing_is_for_the_named_object_alone() -> None:
    drifted = NETWORK.replace("</network>", "<portgroup name='db'/></network>")
    facts = replace(done(), networks={**done().networks, "ovsbr0": state(drifted)})
    other = network.STEP.check(real(replaced=frozenset({"papeete"})), facts, ())[0]
    assert other.waits_for == "--replace ovsbr0"
    assert '+  <portgroup name="db" />' in other.diff
    agreed = network.STEP.check(real(replaced=frozenset({"ovsbr0"})), facts, ())[0]
    assert agreed.waits_for == ""


def test_a_plan_says_what_is_marked_once() -> None:
    rows = [c for c in runner.differences(real(), before()) if c.step == own.NAME]
    assert len(rows) == 1


def test_a_note_that_an_interrupted_run_did_not_write_is_written() -> None:
    path = (ObjectKind.FILE, UNIT)
    old = replace(done().marks[path], sent="0" * 64)
    facts = replace(done(), marks={**done().marks, path: old})
    (found,) = ownership.unmarked(real(), facts)
    assert found.mark
    assert (found.ours, found.mark.origin) == (True, Origin.TAKEN)
