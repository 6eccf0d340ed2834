"""Guests around the reboot of a verification: none is lost, and none destroyed without request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import factories
import pytest

from sheepvirt.core.errors import VerifyError
from sheepvirt.core.processes import Result
from sheepvirt.core.progress import Stage, quiet
from sheepvirt.model.enums import Stop
from sheepvirt.verify import guests
from tests.here import run_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.core.processes import OnLine
    from sheepvirt.model.hosts import Host

HOST = factories.host(guests=(factories.guest(),))
REAL = replace(HOST, rehearsal=False)
STAGE = Stage("s", quiet())


class Libvirt:
    """A host on which guests run; ``deaf`` ones do not react to their power button."""

    host = HOST

    def __init__(
        self,
        *running: str,
        autostarted: Sequence[str] = (),
        deaf: Sequence[str] = (),
        code: int = 0,
    ) -> None:
        self.on = list(running)
        self.autostarted, self.deaf, self.code = autostarted, deaf, code
        self.sent: list[str] = []

    def run(
        self, argv: Sequence[str], *, check: bool, stdin: bytes = b"", on_line: OnLine | None = None
    ) -> Result:
        name = argv[-1]
        if "list" in argv:
            names = [n for n in self.on if n in self.autostarted or "--autostart" not in argv]
            return Result(code=self.code, stdout="\n".join(names) + "\n\n", stderr="it hangs")
        if "domstate" in argv:
            return Result(code=0, stdout="running\n" if name in self.on else "shut off\n\n")
        verb = next(word for word in argv if word in {"shutdown", "destroy"})
        self.sent.append(f"{verb} {name}")
        if self.code:
            return Result(code=self.code, stderr="error: it hangs\n")
        if verb == "destroy" or name not in self.deaf:
            self.on.remove(name)
        return Result(code=0)


def stop(host: Libvirt, how: Stop, machine: Host = REAL) -> str:
    run = run_in(peer=host)
    return guests.stop(run, machine, how, guests.others(run, machine), STAGE)


def test_guests_of_a_rehearsal_host_are_destroyed_and_not_shut_down() -> None:
    host = Libvirt("papeete", "other")
    assert stop(host, Stop.POWER_CUT, HOST) == "papeete destroyed"
    assert host.sent == ["destroy papeete"]
    with pytest.raises(VerifyError, match="papeete could not be destroyed: error: it hangs"):
        stop(Libvirt("papeete", code=1), Stop.POWER_CUT, HOST)


def test_all_guests_of_a_real_machine_are_shut_down() -> None:
    host = Libvirt("papeete", "db")
    assert stop(host, Stop.SHUT_DOWN) == "papeete shut down; db shut down"
    assert host.sent == ["shutdown papeete", "shutdown db"]


def test_a_power_cut_is_for_the_inventorys_guests_alone() -> None:
    host = Libvirt("papeete", "db")
    assert stop(host, Stop.POWER_CUT) == "papeete destroyed; db shut down"
    assert host.sent == ["destroy papeete", "shutdown db"]


def test_a_guest_that_does_not_shut_down_runs_on() -> None:
    host = Libvirt("papeete", "db", deaf=("db",))
    with pytest.raises(
        VerifyError, match="guest db did not shut down within 300 s, and still runs"
    ):
        stop(host, Stop.SHUT_DOWN)
    assert host.on == ["db"]


def test_a_guest_that_would_not_come_back_is_named_before_anything_is_done() -> None:
    host = Libvirt("papeete", "db", "web", autostarted=("papeete",))
    with pytest.raises(VerifyError, match=r"by themselves: db, web\. Nothing was done") as caught:
        guests.require_autostart(run_in(peer=host), REAL)
    assert "virsh autostart db" in caught.value.hint
    assert host.sent == []
    guests.require_autostart(run_in(peer=Libvirt("db", autostarted=("db",))), REAL)


def test_a_libvirt_that_does_not_answer_is_an_error_and_not_no_guest() -> None:
    with pytest.raises(VerifyError, match="does not say which guests run: it hangs"):
        guests.require_autostart(run_in(peer=Libvirt("db", code=124)), REAL)


class Virsh:
    """A host whose virsh gives the planned states, one after the other, and nothing else."""

    def __init__(self, states: list[str]) -> None:
        self.states = states

    def run(self, argv: Sequence[str], *, check: bool) -> Result:
        assert argv[-2:] == ["--domain", "papeete"]
        return Result(code=0, stdout=self.states.pop(0) + "\n\n", stderr="")


def test_guests_are_waited_for() -> None:
    virsh = Virsh(["", "shut off", "running"])
    assert guests.wait(run_in(peer=virsh), HOST, (), STAGE) == "papeete running"
    assert not virsh.states


def test_a_guest_that_does_not_come_is_left_to_the_checks() -> None:
    run = run_in(peer=Virsh(["shut off"] * 3))
    assert guests.wait(run, HOST, (), STAGE, seconds=2.0) == "papeete shut off"


def test_another_guest_that_does_not_come_back_is_an_error() -> None:
    alone = replace(HOST, guests=())
    with pytest.raises(VerifyError, match="ran before the reboot and do not run now: papeete shut"):
        guests.wait(run_in(peer=Virsh(["shut off"] * 3)), alone, ["papeete"], STAGE, seconds=2.0)
