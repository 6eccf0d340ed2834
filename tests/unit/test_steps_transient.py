"""What a host would lose at its next boot is made to stay; what a control broke is restored."""

from dataclasses import replace

import pytest
from finished import DOMAIN, NOTED, POOL, WANTED, changes, context, done

from sheepvirt.bootstrap.consent import Consent
from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.libvirt import Definition
from sheepvirt.bootstrap.steps import domain as domains
from sheepvirt.bootstrap.steps import network, pool, undo
from sheepvirt.core.errors import RemoteCommandError


def transient(state: Definition) -> Definition:
    """As libvirt has it once it was undefined while it ran."""
    return replace(state, persistent=False, autostart=False)


def of(**kinds: dict[str, Definition]) -> Facts:
    return replace(done(), **kinds)  # type: ignore[arg-type]


def test_networks_are_defined_as_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = of(networks={n: transient(s) for n, s in done().networks.items()})
    assert changes(network.STEP, facts) == [
        "ovsbr0 made persistent",
        "ovsbr0 autostarted",
        "default made persistent",
        "default autostarted",
    ]
    worker, planned = context(
        monkeypatch,
        ("network-as-it-runs-default.xml", 0, ""),
        ("net-define", 0, ""),
        ("network-as-it-runs-ovsbr0.xml", 0, ""),
        ("net-define", 0, ""),
        ("net-autostart default", 0, ""),
        ("net-autostart ovsbr0", 0, ""),
    )
    network.apply(WANTED, facts, worker)
    assert planned.plan == []
    assert planned.sent[0] == b"<network/>", "libvirt's own network keeps its identity"


def test_a_pool_is_defined_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = of(pools={"sheepdog": transient(done().pools["sheepdog"])})
    assert changes(pool.STEP, facts) == ["sheepdog made persistent", "sheepdog autostarted"]
    worker, planned = context(
        monkeypatch,
        ("pool-sheepdog.xml", 0, ""),
        ("pool-define", 0, ""),
        ("pool-dumpxml --inactive sheepdog", 0, POOL),
        NOTED,
        ("pool-autostart sheepdog", 0, ""),
    )
    pool.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_a_guest_is_defined_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = of(domains={"papeete": transient(done().domains["papeete"])})
    assert changes(domains.STEP, facts) == ["papeete made persistent", "papeete autostarted"]
    worker, planned = context(
        monkeypatch,
        ("domain-papeete.xml", 0, ""),
        ("define", 0, ""),
        ("dumpxml --inactive papeete", 0, DOMAIN),
        NOTED,
        ("autostart papeete", 0, ""),
    )
    domains.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_what_was_adopted_while_it_ran_is_stored_as_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nat = "<network><name>ovsbr0</name><uuid>7</uuid><forward mode='nat'/></network>"
    both = {**done().networks, "ovsbr0": transient(replace(done().networks["ovsbr0"], xml=nat))}
    real = replace(
        WANTED,
        host=replace(WANTED.host, rehearsal=False),
        consent=Consent(adopted=frozenset({"ovsbr0"})),
    )
    rows = network.STEP.check(real, of(networks=both), ())
    assert [(c.what.split(";")[0], c.waits_for) for c in rows] == [
        ("ovsbr0 defined, and restarted", "--replace ovsbr0"),
        ("ovsbr0 made persistent", ""),
        ("ovsbr0 autostarted", ""),
    ]
    worker, planned = context(
        monkeypatch,
        ("network-as-it-runs-ovsbr0.xml", 0, ""),
        ("net-define", 0, ""),
        ("net-autostart ovsbr0", 0, ""),
    )
    network.apply(real, of(networks=both), worker)
    assert planned.plan == []
    assert planned.sent[0] == nat.encode()


def test_what_a_control_broke_is_put_back_and_the_script_goes_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = replace(done(), texts={**done().texts, undo.SCRIPT: "mv a b"})
    assert changes(undo.STEP, facts) == ["what a control of `verify --prove` broke is restored"]
    worker, planned = context(
        monkeypatch, (f"sh -e {undo.SCRIPT}", 0, ""), (f"rm {undo.SCRIPT}", 0, "")
    )
    undo.apply(WANTED, facts, worker)
    assert planned.plan == []


def test_a_script_that_fails_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, planned = context(monkeypatch, ("sh -e", 1, ""))
    with pytest.raises(RemoteCommandError):
        undo.apply(WANTED, done(), worker)
    assert planned.plan == []
