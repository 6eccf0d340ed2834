"""A network is not restarted under guests that it would cut off, unless that was agreed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from finished import FORMER, HOST, KEPT, NETWORK, NOTED, WANTED, changes, context, done
from virsh_program import virsh

from sheepvirt.bootstrap import consent, restore
from sheepvirt.bootstrap.consent import Consent
from sheepvirt.bootstrap.facts import gather
from sheepvirt.bootstrap.facts.attached import Attached
from sheepvirt.bootstrap.facts.fact import FactQuery
from sheepvirt.bootstrap.facts.libvirt import SECONDS, Definition
from sheepvirt.bootstrap.facts.replies import Reply
from sheepvirt.bootstrap.steps import network, own, power, restarting
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.enums import ObjectKind, Origin

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.steps.base import DesiredState
    from sheepvirt.model.hosts import Change
    from sheepvirt.ssh.client import Connection

REAL = replace(HOST, rehearsal=False)
PATH = (ObjectKind.NETWORK, "ovsbr0")
UUID = NETWORK.partition("<uuid>")[2].partition("</uuid>")[0]
NAT = (
    f"<network><name>ovsbr0</name><uuid>{UUID}</uuid><forward mode='nat'/>"
    "<bridge name='virbr9'/><ip address='192.168.99.1' netmask='255.255.255.0'/></network>"
)
LIVE_NAT = NAT.replace("<network>", "<network connections='2'>")
GUESTS = {
    "papeete": Attached(networks=frozenset({"ovsbr0"})),
    "db": Attached(bridges=frozenset({"virbr9"})),
    "elsewhere": Attached(networks=frozenset({"default"}), bridges=frozenset({"virbr0"})),
}
OUTDATED = "ovsbr0 restarted: it runs from another definition"
WHOM = "papeete, db (not of this inventory)"


def real(**agreed: object) -> DesiredState:
    return replace(WANTED, host=REAL, consent=Consent(**agreed))  # type: ignore[arg-type]


def facts(stored: str = NAT, live: str = LIVE_NAT, **fields: object) -> Facts:
    """A host whose network of that name is libvirt's own NAT, made by an inventory of before."""
    state = Definition(xml=stored, active=True, persistent=True, autostart=True, live_xml=live)
    former = replace(done().marks[PATH], origin=Origin.DEFINED, sent="<network/>", made=NAT)
    changed: dict[str, object] = {
        "networks": {**done().networks, "ovsbr0": state},
        "marks": {**done().marks, PATH: former},
        "attached": GUESTS,
        **fields,
    }
    return replace(done(), **changed)  # type: ignore[arg-type]


def left() -> Facts:
    """The host after a run that has defined the network and left it running."""
    mark = replace(done().marks[PATH], origin=Origin.DEFINED, made=NETWORK, live=LIVE_NAT)
    return facts(NETWORK, marks={**done().marks, PATH: mark})


def rows(found: list[Change]) -> dict[str, str]:
    return {row.what: row.waits_for for row in found}


def test_a_network_is_defined_and_its_restart_waits_and_names_whom_it_cuts_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert rows(network.STEP.check(real(), facts(), ())) == {
        f"ovsbr0 defined{FORMER}": "",
        f"{OUTDATED}; it counts from its next start, which cuts off {WHOM}": (
            "--allow-guest-restart"
        ),
    }
    worker, planned = context(
        monkeypatch,
        KEPT,
        ("network-ovsbr0.xml", 0, ""),
        ("net-define", 0, ""),
        ("net-dumpxml --inactive ovsbr0", 0, NETWORK),
        NOTED,
    )
    network.apply(real(), facts(), worker)
    assert planned.plan == []
    assert b"connections='2'" in planned.sent[-1], "what it was left with is noted"


def test_until_it_is_restarted_each_plan_says_so() -> None:
    (change,) = network.STEP.check(real(), left(), ())
    assert change.what.startswith(OUTDATED)
    assert change.waits_for == "--allow-guest-restart"
    assert '-  <forward mode="nat" />' in change.diff


@pytest.mark.parametrize(
    "live",
    [NETWORK, NAT.replace("virbr9", "virbr8")],
    ids=["it was restarted", "somebody else has changed it while it ran"],
)
def test_what_it_was_left_with_is_what_is_compared(live: str) -> None:
    now = replace(left().networks["ovsbr0"], live_xml=live)
    changed = replace(left(), networks={**left().networks, "ovsbr0": now})
    assert network.STEP.check(real(), changed, ()) == []


def test_with_consent_its_guests_are_shut_down_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agreed = real(guest_restart=True)
    assert rows(network.STEP.check(agreed, left(), ())) == {
        f"{OUTDATED}; {WHOM} shut down before, and started again after it": ""
    }
    worker, planned = context(
        monkeypatch,
        (power.STOPPED, 0, ""),
        ("shutdown papeete", 0, ""),
        ("domstate papeete", 0, "shut off\n"),
        ("shutdown db", 0, ""),
        ("domstate db", 0, "shut off\n"),
        ("net-destroy ovsbr0", 0, ""),
        ("net-start ovsbr0", 0, ""),
        ("domstate papeete", 0, "shut off\n"),
        ("start papeete", 0, ""),
        ("domstate db", 0, "shut off\n"),
        ("start db", 0, ""),
        (f"rm -f {power.STOPPED}", 0, ""),
    )
    network.apply(agreed, left(), worker)
    assert planned.plan == []
    assert planned.sent[0] == b"papeete\ndb\n"


def test_a_guest_that_does_not_go_down_keeps_the_network_and_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, planned = context(
        monkeypatch,
        (power.STOPPED, 0, ""),
        ("shutdown papeete", 0, ""),
        ("domstate papeete", 0, "shut off\n"),
        ("shutdown db", 0, ""),
        *[("domstate db", 0, "running\n")] * 601,
        ("domstate papeete", 0, "shut off\n"),
        ("start papeete", 0, ""),
        ("domstate db", 0, "running\n"),
    )
    with pytest.raises(BootstrapError, match="db did not shut down"):
        network.apply(real(guest_restart=True), left(), worker)
    assert planned.plan == [], "the note stays: it may go down late"


def test_what_an_interrupted_run_had_shut_down_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guests of the inventory are started by their own step."""
    texts = {**done().texts, power.STOPPED: "papeete\ndb\nmail\n"}
    off = replace(done(), texts=texts, running={"mail": True})
    assert changes(network.STEP, off, real()) == ["db started: an interrupted run had shut it down"]
    worker, planned = context(
        monkeypatch,
        ("domstate db", 0, "shut off\n"),
        ("start db", 1, ""),
        (f"rm -f {power.STOPPED}", 0, ""),
    )
    network.apply(real(), off, worker)
    assert planned.plan == []
    running = replace(off, running={"mail": True, "db": False})
    assert changes(network.STEP, running, real()) == [network.NONE_LEFT]


def test_what_an_interrupted_run_had_shut_down_stays_off_until_the_network_is_restarted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be cut off by that."""
    texts = {**done().texts, power.STOPPED: "db\n"}
    off = replace(left(), texts=texts, attached={}, running={})
    worker, planned = context(
        monkeypatch,
        (power.STOPPED, 0, ""),
        ("net-destroy ovsbr0", 1, ""),  # what the interrupted run had sent was done only now
        ("net-start ovsbr0", 0, ""),
        ("domstate db", 0, "shut off\n"),
        ("start db", 0, ""),
        (f"rm -f {power.STOPPED}", 0, ""),
        ("domstate db", 0, "running\n"),
        (f"rm -f {power.STOPPED}", 0, ""),
    )
    network.apply(real(), off, worker)
    assert planned.plan == []


def test_a_guest_that_could_not_be_started_again_is_not_shut_down() -> None:
    guests = {**GUESTS, "db": replace(GUESTS["db"], persistent=False)}
    once = replace(left(), attached=guests)
    assert len(network.STEP.check(real(), once, ())) == 1
    with pytest.raises(BootstrapError, match="db would be cut off, and cannot be started again"):
        network.STEP.check(real(guest_restart=True), once, ())


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthrough", "hostdev"])
def test_where_the_ports_stay_nothing_needs_to_be_asked(mode: str) -> None:
    live = NETWORK.replace("mode='bridge'", f"mode='{mode}'").replace("name='ovsbr0'", "name='o'")
    found = network.STEP.check(real(), facts(live, live), ())
    assert [row.waits_for for row in found if "restarted" in row.what] == ["--replace ovsbr0"]
    found = network.STEP.check(real(replaced=frozenset({"ovsbr0"})), facts(live, live), ())
    assert ["ovsbr0 defined, and restarted" in row.what for row in found] == [True]


@pytest.mark.parametrize(
    "forward", ["", "<forward/>", "<forward mode='route'/>", "<forward mode='open'/>"]
)
def test_where_the_bridge_is_libvirts_own_its_guests_are_cut_off(forward: str) -> None:
    xml = NAT.replace("<forward mode='nat'/>", forward)
    state = facts(xml, xml).networks["ovsbr0"]
    assert list(restarting.cut_off("ovsbr0", state, facts(xml, xml))) == ["papeete", "db"]
    assert restarting.cut_off("ovsbr0", replace(state, active=False), facts()) == {}
    assert restarting.cut_off("ovsbr0", None, facts()) == {}


def test_without_guests_it_is_restarted_at_once() -> None:
    found = network.STEP.check(real(), facts(attached={}), ())
    assert rows(found) == {f"ovsbr0 defined, and restarted{FORMER}": ""}


def test_a_definition_that_waits_shows_the_restart_that_it_brings() -> None:
    mark = replace(facts().marks[PATH], origin=Origin.ADOPTED, sent="")
    adopted = facts(marks={**done().marks, PATH: mark})
    found = network.STEP.check(real(), adopted, ())
    assert {row.waits_for for row in found} == {"--replace ovsbr0"}
    assert WHOM in found[-1].what


def test_what_a_network_was_left_with_is_no_drift_that_could_be_accepted() -> None:
    started = replace(left().networks["ovsbr0"], live_xml=NETWORK)
    now = replace(left(), networks={**left().networks, "ovsbr0": started})
    assert own.STEP.check(real(adopted=frozenset({"ovsbr0"})), now, ()) == []


def test_a_network_that_is_put_back_says_whom_its_restart_cuts_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    item = restore.Item(kind=ObjectKind.NETWORK, name="n", path="/kept/network-n.xml")
    guests = {"db": Attached(networks=frozenset({"n"}))}
    one = restore.Todo(item=item, diff="+x", restart=True, cut_off=guests)
    asked = restore._changes(REAL, [one], consent.on(REAL, Consent()))
    assert "it cuts off db (not of this inventory)" in asked[1].what
    assert asked[1].waits_for == "--allow-guest-restart"
    agreed = Consent(guest_restart=True)
    assert restore._changes(REAL, [one], agreed)[1].waits_for == ""
    worker, planned = context(
        monkeypatch,
        ("cat", 0, "Autostart:      yes\n"),
        ("net-define", 0, ""),
        ("net-autostart n", 0, ""),
        (power.STOPPED, 0, ""),
        ("shutdown db", 0, ""),
        ("domstate db", 0, "shut off\n"),
        ("net-destroy n", 0, ""),
        ("net-start n", 0, ""),
        ("domstate db", 0, "shut off\n"),
        ("start db", 0, ""),
        (f"rm -f {power.STOPPED}", 0, ""),
    )
    restore._put_back(REAL, one, agreed, worker)
    assert planned.plan == []
    once = replace(one, cut_off={"db": Attached(persistent=False)})
    with pytest.raises(BootstrapError, match="db would be cut off"):
        restore._changes(REAL, [once], agreed)


def test_a_restore_looks_for_the_guests_of_an_active_network() -> None:
    said = {
        "network:n": "Active: yes\nPersistent: yes\nAutostart: yes\n",
        "network-xml:n": NAT,
        "network-live-xml:n": LIVE_NAT,
        "attached-xml:a&b": DOMAIN.format(name="a&amp;b", source="network='n' bridge='virbr9'"),
        "transient:n": "a&b\n",
    }

    class Recorded:
        host = REAL

        def run(self, argv: list[str], *, stdin: bytes = b"") -> object:
            assert argv[4:] == ["object:network:n", "network-live-xml:n"]
            rows = "".join(f"\n{argv[3]} {name}\n{text}" for name, text in said.items())
            return type("Result", (), {"stdout": f"{rows}\n{argv[3]} end\n", "stderr": ""})

    item = restore.Item(kind=ObjectKind.NETWORK, name="n", path="/kept/network-n.xml")
    found = restore._cut_off(cast("Connection", Recorded()), item)
    assert [*found] == ["a&b"]
    assert not found["a&b"].persistent


DOMAIN = """<domain><name>{name}</name><devices>
<interface type='network'><source {source}/></interface></devices></domain>"""
VIRSH = r"""
case "$*" in
'list --name') printf 'a\nb c\n\n' ;;
'list --name --transient') printf 'b c\n\n' ;;
'net-info '*) printf 'Active: yes\nPersistent: yes\nAutostart: yes\n' ;;
'net-dumpxml --inactive n') echo "<network><name>stored</name></network>" ;;
'net-dumpxml n') echo "<network>
  <forward dev='eth0' mode='MODE'>
    <interface dev='eth0'/></forward>
</network>" ;;
'dumpxml a') echo "<domain><devices><interface><source network='n' bridge='virbr9'/></interface>
<interface><source bridge='br7'/></interface><disk><source file='x'/></disk></devices></domain>" ;;
'dumpxml b c') MORE ;;
*) exit 1 ;;
esac
"""


def asked(root: Path, shell: str, **words: str) -> Facts:
    text = VIRSH
    for word, value in words.items():
        text = text.replace(word, value)
    program = root / "virsh"
    program.write_text("#!/bin/sh\n" + virsh(text, first='echo "$*" >>"$0.log"'))
    program.chmod(0o755)
    query = FactQuery(networks=("n",), changed_networks=("n",))
    ran = subprocess.run(
        [str(shutil.which(shell)), "-s", "--", "@@b", *gather.arguments(query)],
        input=gather.SCRIPT.replace(f"timeout {SECONDS} ", "timeout 1 "),
        capture_output=True,
        text=True,
        env={"PATH": f"{root}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    return gather.parse(gather.sections(ran.stdout, "@@b"))


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_host_is_asked_for_guests_only_where_some_could_be_cut_off(
    shell: str, tmp_path: Path
) -> None:
    found = asked(tmp_path, shell, MODE="nat", MORE="echo '<domain/>'")
    assert "mode='nat'" in found.networks["n"].live_xml
    assert "stored" in found.networks["n"].xml
    assert found.attached == {
        "a": Attached(networks=frozenset({"n"}), bridges=frozenset({"virbr9", "br7"})),
        "b c": Attached(persistent=False),
    }
    (tmp_path / "virsh.log").unlink()
    found = asked(tmp_path, shell, MODE="bridge", MORE="exit 9")
    assert "mode='bridge'" in found.networks["n"].live_xml
    assert found.attached == {}
    assert "dumpxml a" not in (tmp_path / "virsh.log").read_text().replace("net-dumpxml", "")


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("more", "reply"), [("exec sleep 60", Reply.HUNG), ("exit 1", Reply.ANSWERS)]
)
def test_a_libvirtd_that_hangs_meanwhile_is_known_and_a_guest_that_ends_is_left_out(
    more: str, reply: Reply, shell: str, tmp_path: Path
) -> None:
    found = asked(tmp_path, shell, MODE="nat", MORE=more)
    assert found.libvirt.reply == reply
    assert [*found.attached] == ["a"]
