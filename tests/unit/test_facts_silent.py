"""A service that does not answer is known as such: nothing of it looks absent."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from finished import UP, WANTED, done
from virsh_program import virsh

from sheepvirt.bootstrap import planned, refusals, runner
from sheepvirt.bootstrap.facts import gather
from sheepvirt.bootstrap.facts.fact import FactQuery
from sheepvirt.bootstrap.facts.libvirt import SECONDS
from sheepvirt.bootstrap.facts.replies import Reply, ServiceReply
from sheepvirt.bootstrap.steps import bridge
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.bootstrap.facts.facts import Facts

QUERY = FactQuery(networks=("n",), domains=("a", "b", "c"), pools=("p",))
VIRSH = {
    "stopped": "echo 'error: failed to connect to the hypervisor' >&2\n"
    "echo 'error: Failed to connect socket: No such file' >&2; exit 1",
    "hung": "exec sleep 60",
    "lost": """case $1 in list) echo a ;; net-info) echo 'Active: yes' ;;
net-dumpxml) echo '<network/>' ;; *) echo 'error: failed to connect to the hypervisor' >&2; exit 1
esac""",
    "hanging later": "case $1 in list) echo a ;; *) exec sleep 60 ;; esac",
    "ending early": "case $1 in list) echo a ;; pool-info) kill -KILL $$ ;; esac",
    "absent objects": "case $1 in list) : ;; *) echo 'error: no such' >&2; exit 1 ;; esac",
}


def asked(root: Path, shell: str, programs: dict[str, str], seconds: int = SECONDS) -> Facts:
    """Gather facts with ``programs`` first on the PATH; a virsh that hangs is given ``seconds``."""
    (root / "bin").mkdir()
    for name, text in programs.items():
        (root / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (root / "bin" / name).chmod(0o755)
    script = gather.SCRIPT.replace(f"timeout {SECONDS} ", f"timeout {seconds} ")
    done = subprocess.run(
        [str(shutil.which(shell)), "-s", "--", "@@b", *gather.arguments(QUERY)],
        input=script,
        capture_output=True,
        text=True,
        env={"PATH": f"{root}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    found = gather.sections(done.stdout, "@@b")
    assert "end" in found
    return gather.parse(found)


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(
    ("how", "reply"),
    [
        ("stopped", Reply.STOPPED),
        ("hung", Reply.HUNG),
        ("lost", Reply.STOPPED),
        ("hanging later", Reply.HUNG),
        ("ending early", Reply.STOPPED),
        ("absent objects", Reply.ANSWERS),
    ],
)
def test_libvirt_that_does_not_answer_is_a_state_of_its_own(
    how: str, reply: Reply, shell: str, tmp_path: Path
) -> None:
    """It is asked once more at most: with thirty guests a hung one would take minutes."""
    program = virsh(VIRSH[how], first='echo asked >>"$0.log"')
    found = asked(tmp_path, shell, {"virsh": program}, 1 if "sleep" in program else SECONDS)
    assert found.libvirt.reply == reply
    asked_for = (tmp_path / "bin" / "virsh.log").read_text().splitlines()
    assert reply == Reply.ANSWERS or len(asked_for) <= 4
    words = {
        "stopped": "error: Failed to connect socket: No such file",
        "ending early": "virsh ended with 137",
    }
    assert found.libvirt.words == words.get(how, found.libvirt.words)


@pytest.mark.parametrize(
    ("vsctl", "reply"),
    [
        ("echo 'ovs-vsctl: database connection failed' >&2; exit 1", Reply.STOPPED),
        ("kill -ALRM $$", Reply.HUNG),
        ("[ $2 != get ] || kill -ALRM $$; echo br0", Reply.HUNG),
        (":", Reply.ANSWERS),
    ],
)
def test_a_switch_that_does_not_answer_is_a_state_of_its_own(
    vsctl: str, reply: Reply, tmp_path: Path
) -> None:
    found = asked(tmp_path, "dash", {"ovs-vsctl": vsctl})
    assert found.switch.reply == reply


STOPPED = ServiceReply(reply=Reply.STOPPED, words="error: no socket")
HUNG = ServiceReply(reply=Reply.HUNG)


def silent(facts: Facts) -> Facts:
    """The facts of a host whose libvirtd says nothing: all that it has looks absent."""
    return replace(facts, networks={}, pools={}, domains={}, running={})


def test_a_plan_does_not_define_again_what_a_stopped_libvirtd_has() -> None:
    """Its service is started, and what it has is then looked at."""
    services = {**done().services, "libvirtd": replace(UP, active=False)}
    facts = replace(silent(done()), libvirt=STOPPED, services=services)
    unknown = "libvirtd is stopped: what it has is not known"
    found = runner.differences(WANTED, facts)
    assert [(c.step, c.what) for c in found if c.step not in {"kvm", "repo"}] == [
        ("services", "libvirtd started"),
        *((step, unknown) for step in ("network", "pool", "disk", "domain", "port")),
    ]


@pytest.mark.parametrize(
    ("libvirt", "switch", "said"),
    [
        (HUNG, ServiceReply(), "libvirtd hangs"),
        (STOPPED, ServiceReply(), "libvirtd is up and refuses: error: no socket"),
        (ServiceReply(), HUNG, "openvswitch hangs"),
        (ServiceReply(), STOPPED, "openvswitch is up and refuses"),
        (HUNG, HUNG, "libvirtd hangs.*openvswitch hangs"),
    ],
)
def test_a_service_that_is_up_and_does_not_answer_is_a_refusal(
    libvirt: ServiceReply, switch: ServiceReply, said: str
) -> None:
    facts = replace(silent(done()), libvirt=libvirt, switch=switch)
    with pytest.raises(BootstrapError, match=said) as caught:
        refusals.require(WANTED, facts)
    assert "nothing is compared or changed" in caught.value.message


def test_what_is_unknown_is_a_change_in_a_plan_and_no_step() -> None:
    facts = replace(done(), switch=STOPPED)
    unknown = "openvswitch is stopped: what it has is not known"
    assert runner._check(bridge.STEP, WANTED, facts, ()) == [Change(step="bridge", what=unknown)]


def test_a_run_says_that_what_was_not_known_was_looked_at() -> None:
    started = Change(step="services", what="libvirtd started")
    unknown = Change(step="network", what=f"libvirtd is stopped: {planned.NOT_KNOWN}")
    rows = planned.told([started, unknown], [started], ["services", "network"])
    assert [row.note for row in rows] == ["", planned.LOOKED_AT]
