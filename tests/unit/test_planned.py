"""What a run did is told in the words and the order of its plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from finished import HOST, WANTED, done

from sheepvirt.bootstrap import planned, readiness, runner
from sheepvirt.bootstrap.consent import Consent
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.libvirt import Definition
from sheepvirt.bootstrap.facts.sheepdog import ClusterState
from sheepvirt.bootstrap.steps import STEPS
from sheepvirt.model.enums import Init, ObjectKind
from sheepvirt.model.hosts import Change
from tests.here import run_in

if TYPE_CHECKING:
    from sheepvirt.bootstrap.steps.base import DesiredState
    from sheepvirt.ssh.client import Connection

ORDER = ("a", "b", "c")
REAL = replace(WANTED, host=replace(HOST, treat_as_real=True), consent=Consent())


def change(step: str, what: str, **more: str) -> Change:
    return Change(step=step, what=what, **more)  # type: ignore[arg-type]


def test_what_an_earlier_change_brought_along_is_told_as_planned() -> None:
    rows = planned.told([change("a", "x"), change("b", "y")], [change("a", "x")], ORDER)
    assert [(row.what, row.note) for row in rows] == [("x", ""), ("y", planned.CAME_ALONG)]


def test_what_only_the_run_found_out_is_marked_and_stands_in_its_place() -> None:
    rows = planned.told(
        [change("a", "x"), change("c", "z")],
        [change("a", "x"), change("b", "y"), change("c", "z")],
        ORDER,
    )
    assert [(row.what, row.note) for row in rows] == [
        ("x", ""),
        ("y", planned.UNPLANNED),
        ("z", ""),
    ]


def test_what_waited_in_the_plan_and_was_settled_waits_no_more() -> None:
    waiting = change("a", "x", waits_for="--allow-reboot")
    assert planned.told([waiting], [], ORDER)[0].waits_for == ""
    assert planned.told([waiting], [waiting], ORDER) == [waiting]


def test_the_note_is_the_plans() -> None:
    rows = planned.told([change("a", "x", note="then")], [change("a", "x", note="now")], ORDER)
    assert rows == [change("a", "x", note="then")]


def lost(**now: object) -> Facts:
    return replace(done(), **now)  # type: ignore[arg-type]


FAULTS = {
    "fresh": Facts(boot="b/2", init=Init.SYSTEMD),
    "used": done(),
    "bridge": lost(bridges={}),
    "cluster": lost(cluster=ClusterState(status="", nodes=0, listed=False)),
    "guest": lost(domains={}),
    "network": lost(networks={}),
    "pool": lost(pools={}),
    "disk": lost(vdis={}),
    "rpm": lost(packages={"libvirt": "libvirt-1-1.x86_64"}),
    "services": lost(services={}),
    "reboot": lost(reboot_wanted="b/2", running={"papeete": True}),
    "network off": lost(
        networks={
            **done().networks,
            "ovsbr0": Definition(
                xml=done().networks["ovsbr0"].xml, active=False, persistent=True, autostart=True
            ),
        }
    ),
}


@pytest.mark.parametrize("wanted", [WANTED, REAL], ids=["rehearsal", "real"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_says_what_its_plan_said(
    fault: str, wanted: DesiredState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step repairs its own and nothing else; the words and their order are the plan's."""
    facts = FAULTS[fault]
    if wanted is REAL and fault == "reboot":
        wanted = replace(wanted, consent=Consent(reboot=True))
    plan = runner.differences(wanted, facts)
    fields = {
        "dependencies": ("provided",),
        "repo": ("hashes",),
        "packages": ("packages", "headers", "installer"),
        "services": ("services", "boot"),
        "bridge": ("bridges",),
        "reboot": ("reboot_wanted",),
        "cluster": ("cluster",),
        "network": ("networks",),
        "pool": ("pools",),
        "disk": ("vdis", "texts"),
        "domain": ("domains",),
    }
    marked = {
        "repo": (ObjectKind.FILE,),
        "services": (ObjectKind.FILE,),
        "bridge": (ObjectKind.BRIDGE,),
        "network": (ObjectKind.NETWORK,),
        "pool": (ObjectKind.POOL,),
        "domain": (ObjectKind.DOMAIN,),
    }
    now = [facts]

    def apply(step: str) -> None:
        repaired = {field: getattr(done(), field) for field in fields.get(step, ())}
        kinds = marked.get(step, ())
        marks = {key: mark for key, mark in done().marks.items() if key[0] in kinds}
        now[0] = replace(now[0], **repaired, marks={**now[0].marks, **marks})

    steps = tuple(replace(step, apply=lambda *_, name=step.name: apply(name)) for step in STEPS)
    monkeypatch.setattr(runner, "STEPS", steps)
    monkeypatch.setattr(readiness, "settle", lambda _connection, clock: None)
    monkeypatch.setattr(runner, "gather", lambda *_: now[0])
    ran = runner.converge(run_in(), wanted, cast("Connection", None))
    assert [(row.step, row.what) for row in ran] == [(row.step, row.what) for row in plan]
    assert bool(plan) is (fault != "used")
