"""Cluster, pool, KVM and our units: what must be true before guests live on sheepdog."""

from dataclasses import replace

import pytest
from finished import FORMER, HOST_FILES, KEPT, NOTED, POOL, UNDONE, WANTED, changes, context, done

from sheepvirt.bootstrap.facts.facts import Facts
from sheepvirt.bootstrap.facts.libvirt import Definition
from sheepvirt.bootstrap.facts.services import ServiceState
from sheepvirt.bootstrap.facts.sheepdog import ClusterState
from sheepvirt.bootstrap.steps import cluster, kvm, pool, units
from sheepvirt.bootstrap.steps import domain as domains
from sheepvirt.bootstrap.steps import services as service_step
from sheepvirt.core.errors import BootstrapError

INFO = "timeout 5 dog cluster info"
UNFORMATTED = "Cluster status: Waiting for cluster to be formatted\n"
RUNNING = "Cluster status: running, auto-recovery enabled\n"


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (None, "does not answer yet"),
        (ClusterState(status="", nodes=0, listed=False), "does not answer yet"),
        (
            ClusterState(status="Waiting for other nodes to join cluster", nodes=0, listed=False),
            "Waiting for other nodes",
        ),
        (
            ClusterState(status="running", nodes=0, listed=True),
            "running",
        ),  # formatted, and no node in it
        (
            ClusterState(status="running", nodes=1, listed=False),
            "running",
        ),  # nobody knows what it holds
        (
            ClusterState(status="Waiting for cluster to be formatted", nodes=0, listed=False),
            "now it says 'Waiting for cluster to be formatted'",
        ),
    ],
)
def test_a_cluster_is_ready_when_formatted_with_a_node_in_it(
    state: ClusterState | None, what: str
) -> None:
    (change,) = cluster.STEP.check(WANTED, replace(done(), cluster=state), ())
    assert change.what.startswith("sheepdog's cluster waited for")  # whatever it says now
    assert what in change.note


def test_a_cluster_is_formatted_once_it_has_been_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, planned = context(
        monkeypatch,
        (INFO, 2, ""),
        (INFO, 0, UNFORMATTED),
        ("dog cluster format -c 1", 0, ""),
        (INFO, 0, RUNNING),
    )
    cluster.apply(WANTED, done(), worker)
    assert planned.plan == []


def test_a_formatted_cluster_is_never_formatted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "Cluster status: Waiting for other nodes to join cluster\n"
    worker, planned = context(monkeypatch, (INFO, 0, other), (INFO, 0, RUNNING))
    cluster.apply(WANTED, done(), worker)
    assert planned.plan == []


def test_the_wait_for_a_cluster_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "Cluster status: The sheepdog is stopped doing IO, short of living nodes\n"
    worker, _ = context(monkeypatch, *[(INFO, 0, other)] * 121)  # twice a second for a minute
    with pytest.raises(BootstrapError, match="short of living nodes"):
        cluster.apply(WANTED, done(), worker)


def test_a_pool_is_defined_started_and_autostarted(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(done(), pools={})
    assert changes(pool.STEP, facts) == [
        "sheepdog defined",
        "sheepdog started",
        "sheepdog autostarted",
    ]
    worker, planned = context(
        monkeypatch,
        ("pool-sheepdog.xml", 0, ""),
        ("pool-define", 0, ""),
        ("pool-dumpxml --inactive sheepdog", 0, POOL),
        NOTED,
        ("pool-start sheepdog", 0, ""),
        ("pool-autostart sheepdog", 0, ""),
    )
    pool.apply(WANTED, facts, worker)
    assert planned.plan == []
    assert b'<host name="127.0.0.1" port="7000"/>' in planned.sent[0]


def test_a_pool_at_another_port_is_defined_and_restarted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = Definition(
        xml=POOL.replace("port='7000'", "port='7001'"), active=True, persistent=True, autostart=True
    )
    facts = replace(done(), pools={"sheepdog": wrong})
    assert changes(pool.STEP, facts) == [f"sheepdog defined, and restarted{UNDONE}"]
    worker, planned = context(
        monkeypatch,
        KEPT,
        ("pool-sheepdog.xml", 0, ""),
        ("pool-destroy sheepdog", 0, ""),
        ("pool-define", 0, ""),
        ("pool-dumpxml --inactive sheepdog", 0, POOL),
        NOTED,
        ("pool-start sheepdog", 0, ""),
    )
    pool.apply(WANTED, facts, worker)
    assert planned.plan == []
    assert b"<uuid>" in planned.sent[1]  # its identity is kept


def test_our_units_are_written_before_services_start(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(done(), hashes={})
    assert changes(service_step.STEP, facts) == [
        f"{path} written" for path in units.wanted_files(HOST_FILES)
    ]
    plan = [(path, 0, "") for path in units.wanted_files(HOST_FILES)]
    # The marks come last: a file without one says that a run was interrupted.
    worker, planned = context(monkeypatch, *plan, ("systemctl daemon-reload", 0, ""), NOTED)
    service_step.apply(WANTED, facts, worker)
    assert planned.plan == []


KEY = "qemu-kvm-5.2.0-1.rehearsal.x86_64 6.1"


def probed(note: str) -> Facts:
    packages = {**done().packages, "qemu-kvm": "qemu-kvm-5.2.0-1.rehearsal.x86_64"}
    return replace(
        done(),
        kvm_device=True,
        kernel="6.1",
        packages=packages,
        texts={**done().texts, kvm.NOTE: note},
    )


def test_without_the_device_there_is_nothing_to_try() -> None:
    assert kvm.verdict(done()) == kvm.Verdict("qemu", "the host has no /dev/kvm")
    assert changes(kvm.STEP, done()) == []


@pytest.mark.parametrize(
    "note", ["", f"{KEY}\nkvm", f"{KEY}\nfast\nx", f"{KEY}.1\nkvm\nx", "garbage\n\n\n"]
)
def test_a_device_is_tried_once_for_each_qemu_and_kernel(note: str) -> None:
    assert kvm.verdict(probed(note)) is None
    assert len(changes(kvm.STEP, probed(note))) == 1


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("yes 3\n", "kvm\na guest printed its line under KVM within 3 s"),
        (
            "no KVM internal error. Suberror: 1\n",
            "qemu\nunder KVM a guest did not print its line: KVM internal error. Suberror: 1",
        ),
        ("no\n", "qemu\nunder KVM a guest did not print its line: it printed nothing"),
    ],
)
def test_only_a_guests_own_line_speaks_for_kvm(
    said: str, verdict: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr("sheepvirt.images.guest.ensure_image", lambda *_: None)
    worker, planned = context(
        monkeypatch,
        ("sh -s -- /var/lib/sheepvirt/kvm-probe.img up 20", 0, said),
        ("rm -f", 0, ""),
        ("/var/lib/sheepvirt/kvm", 0, ""),
    )
    monkeypatch.setattr(worker.connection, "put", lambda *_, **__: None)
    kvm.apply(WANTED, probed(""), worker)
    assert planned.plan == []
    assert planned.sent[-1].decode() == f"{KEY}\n{verdict}\n"


def test_a_guest_moves_to_kvm_where_it_was_proven() -> None:
    found = domains.STEP.check(WANTED, probed(f"{KEY}\nkvm\nit printed its line"), ())
    assert [c.what for c in found] == [
        f"papeete defined{FORMER}",
        "papeete restarted: it runs from another definition",
    ]
    assert found[0].note == "as kvm: it printed its line"
    assert '+<domain xmlns:sheepvirt="urn:sheepvirt:1" type="kvm">' in found[0].diff


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("This sheep version is not compatible with the existing data layout, 4", "`dog vdi read"),
        ("failed to bind server socket: Address already in use", "`ss -ltnp`"),
        ("what nobody has seen yet", "`journalctl -u sheepdog`"),
    ],
)
def test_a_service_that_does_not_start_says_what_it_said_last(
    monkeypatch: pytest.MonkeyPatch, said: str, hint: str
) -> None:
    wanted = replace(WANTED, dependencies=replace(WANTED.dependencies, services=("sheepdog",)))
    down = ServiceState(active=False, enabled=True)
    worker, planned = context(
        monkeypatch,
        ("systemctl start sheepdog", 1, "Job failed."),
        ("journalctl", 0, f"{said}\n"),
        ("systemctl stop sheepdog", 0, ""),
    )
    with pytest.raises(BootstrapError, match=said) as caught:
        service_step.apply(wanted, replace(done(), services={"sheepdog": down}), worker)
    assert hint in caught.value.hint
    assert planned.plan == []
