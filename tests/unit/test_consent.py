"""On a real machine nothing is rebooted, stopped or made again that the user did not agree to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from finished import DOMAIN, FORMER, GUEST, HOST, KEPT, NOTED, WANTED, changes, context, done

from sheepvirt.bootstrap import consent, readiness, runner
from sheepvirt.bootstrap.consent import Consent
from sheepvirt.bootstrap.steps import dependencies, disk, domain, packages, power, reboot
from sheepvirt.bootstrap.steps.base import Step
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.hosts import Change
from tests.here import run_in, with_disk

if TYPE_CHECKING:
    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import DesiredState
    from sheepvirt.ssh.client import Connection

REAL = replace(HOST, rehearsal=False)


def real(**agreed: object) -> DesiredState:
    return replace(WANTED, host=REAL, consent=Consent(**agreed))  # type: ignore[arg-type]


def waiting(rows: list[Change]) -> dict[str, str]:
    return {row.what: row.waits_for for row in rows}


def test_everything_is_agreed_on_a_rehearsal_host_unless_it_plays_a_real_machine() -> None:
    assert consent.on(HOST, Consent()) == consent.EVERYTHING
    assert consent.on(REAL, Consent()) == Consent()
    played = replace(HOST, treat_as_real=True)
    assert consent.on(played, Consent(reboot=True)) == Consent(reboot=True)


def test_a_reboot_of_a_real_machine_waits_and_says_whom_it_would_stop() -> None:
    facts = replace(done(), reboot_wanted="b/2", running={"papeete": True, "db": False})
    (change,) = reboot.STEP.check(real(), facts, ())
    assert change.waits_for == "--allow-reboot"
    assert "counts from the next reboot" in change.what
    assert "db (not of this inventory, does NOT come back)" in change.what
    assert "papeete (comes back by itself)" in change.what
    (change,) = reboot.STEP.check(real(reboot=True), facts, ())
    assert change.waits_for == ""


def test_what_is_new_on_a_real_machine_needs_no_reboot_and_what_is_replaced_does() -> None:
    bare = replace(done(), packages={}, provided=frozenset())
    other = replace(done(), packages={"libvirt": "libvirt-1-1.x86_64"})
    for facts, machine, needs in ((bare, False, False), (bare, True, True), (other, False, True)):
        wanted = WANTED if machine else real()
        rows = [
            *dependencies.STEP.check(wanted, facts, ()),
            *packages.STEP.check(wanted, facts, ()),
        ]
        assert rows
        assert any(row.reboots for row in rows) is needs
        assert bool(reboot.STEP.check(wanted, facts, rows)) is needs


def test_guests_of_a_real_machine_are_shut_down_before_its_reboot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done_first: list[str] = []
    worker, planned = context(
        monkeypatch,
        ("echo reboots", 0, ""),
        ("shutdown db", 0, ""),
        ("domstate db", 0, "running\n"),
        ("domstate db", 0, "shut off\n"),
    )

    def rebooted(*_: object, **__: object) -> str:
        done_first.append("reboot")
        return ""

    monkeypatch.setattr(reboot, "reboot", rebooted)
    reboot.apply(real(reboot=True), replace(done(), running={"db": True}), worker)
    assert planned.plan == []
    assert done_first == ["reboot"]


def test_a_guest_that_does_not_shut_down_is_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = [("shutdown papeete", 0, ""), *[("domstate papeete", 0, "running\n")] * 601]
    worker, planned = context(monkeypatch, *hung)
    with pytest.raises(BootstrapError, match="did not shut down within 300 s, and still runs") as e:
        power.stop(real(guest_restart=True), "papeete", worker)
    assert "--allow-guest-poweroff" in e.value.hint
    assert planned.plan == []
    worker, planned = context(monkeypatch, *hung, ("destroy papeete", 0, ""))
    power.stop(real(guest_restart=True, guest_poweroff=True), "papeete", worker)
    assert planned.plan == []


def test_a_guest_with_another_definition_is_defined_and_not_restarted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    larger = replace(GUEST, memory=512 * 10**6)
    wanted = replace(real(), host=replace(REAL, guests=(larger,)))
    rows = domain.STEP.check(wanted, done(), ())
    assert waiting(rows) == {
        f"papeete defined{FORMER}": "",
        "papeete restarted: it runs from another definition": "--allow-guest-restart",
    }
    worker, planned = context(
        monkeypatch,
        KEPT,
        ("domain-papeete.xml", 0, ""),
        ("define", 0, ""),
        ("dumpxml --inactive papeete", 0, DOMAIN),
        NOTED,
    )
    domain.apply(wanted, done(), worker)
    assert planned.plan == []


def test_a_title_restarts_nobody() -> None:
    renamed = replace(GUEST, title="another")
    wanted = replace(WANTED, host=replace(HOST, guests=(renamed,)))
    assert changes(domain.STEP, done(), wanted) == [f"papeete defined{FORMER}"]
    assert "another" not in DOMAIN


def test_a_disk_is_made_once_and_made_again_only_when_asked() -> None:
    moved = replace(real(), images={"papeete": "papeete-2.img"})
    assert disk.STEP.check(moved, done(), ()) == []
    (note,) = disk.notes(moved, done())
    assert "made from papeete-1.img" in note
    assert "`--reimage papeete` makes it again" in note
    asked = replace(moved, consent=Consent(reimages=frozenset({"papeete"})))
    (change,) = disk.STEP.check(asked, done(), ())
    assert "VDI papeete replaced from papeete-2.img" in change.what
    assert disk.notes(asked, done()) == []


def test_a_disk_that_grows_restarts_its_guest_only_when_agreed() -> None:
    wanted = replace(real(), host=replace(REAL, guests=(with_disk(GUEST, size=2 * 10**9),)))
    (change,) = disk.STEP.check(wanted, done(), ())
    assert change.waits_for == "--allow-guest-restart"
    off = replace(done(), domains={})
    (change,) = disk.STEP.check(wanted, off, ())
    assert change.waits_for == ""


def test_a_run_does_what_is_agreed_and_returns_what_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    applied: list[str] = []

    def step(name: str, *rows: Change) -> Step:
        def apply(*_: object) -> None:
            applied.append(name)

        left = list(rows)

        def check(_wanted: object, _facts: Facts, _earlier: object) -> list[Change]:
            return [row for row in left if row.waits_for or name not in applied]

        return Step(name=name, check=check, apply=apply)

    agreed = Change(step="a", what="a changed")
    later = Change(step="a", what="a restarted", waits_for="--allow-x")
    only = Change(step="b", what="b restarted", waits_for="--allow-x")
    monkeypatch.setattr(runner, "STEPS", (step("a", agreed, later), step("b", only)))
    monkeypatch.setattr(readiness, "settle", lambda _connection, clock: None)
    monkeypatch.setattr(runner, "gather", lambda *_: done())
    found = runner.converge(run_in(), real(), cast("Connection", None))
    assert found == [agreed, later, only]
    assert applied == ["a"]
