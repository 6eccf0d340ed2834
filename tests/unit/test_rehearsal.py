"""Rehearsal hosts: keys and pins come through the engine; an existing host is kept."""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import factories
import pytest
from rich.console import Console

from sheepvirt.bootstrap import rehearsal
from sheepvirt.core.errors import EngineError
from sheepvirt.core.processes import Result
from sheepvirt.core.progress import Progress
from sheepvirt.core.settings import Settings
from sheepvirt.images import recipes
from sheepvirt.model.enums import Init
from sheepvirt.model.hosts import Host
from sheepvirt.ssh import hostkeys
from tests.here import run_in

HOST = factories.host(name="moorea", language="ja_JP.UTF-8")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI root@moorea"


class Machine:
    """A container that plays a machine, played by this."""

    def __init__(
        self, states: Sequence[str] = ("running",), locales: str = "C\nja_JP.utf8"
    ) -> None:
        self.id, self.running, self.image = "c1", True, "image-1"
        self.image_name = "sheepvirt/rehearsal-host:f00"
        self.states, self.locales = list(states), locales
        self.files: dict[str, str] = {}

    def run(self, argv: Sequence[str], **_: Any) -> Result:
        line = " ".join(argv)
        if line == "systemctl is-system-running":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return Result(code=0, stdout=state, stderr="")
        answers = {
            "locale -a": self.locales,
            "getent passwd root": "root:x:0:0:root:/root:/bin/bash",
            f"cat {rehearsal.HOST_KEY}": KEY,
            "runlevel": self.states.pop(0) if line == "runlevel" else "",
            "systemctl --failed --plain --no-legend": "numad.service loaded failed failed x",
        }
        return Result(code=0, stdout=answers.get(line, ""), stderr="")

    def write(self, path: str, content: str, *, mode: int = 0o644) -> None:
        self.files[path] = content

    def start(self) -> None:
        self.running = True

    def published_port(self, _port: int) -> int:
        return 40022


class FakeEngine:
    """An engine with one container or none."""

    def __init__(self, found: Machine | None, made: Machine | None = None) -> None:
        self.found, self.made = found, made
        self.removed: list[str] = []
        self.options: dict[str, Any] = {}

    def find(self, _name: str) -> Machine | None:
        return self.found

    def image_id(self, _tag: str) -> str:
        return "image-2"

    def start_host(self, name: str, image: str, **options: Any) -> Machine:
        assert self.made is not None, "nobody planned to create a container"
        self.options = options
        return self.made

    def remove(self, name: str) -> None:
        self.removed.append(name)


class Answering:
    """A connection that answers at once."""

    def wait(self, _seconds: float) -> None: ...

    def open(self) -> None: ...


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host image exists."""
    monkeypatch.setattr(recipes, "ensure", lambda *_: "tag")


def ensure(settings: Settings, engine: FakeEngine, host: Host = HOST) -> tuple[bool, str]:
    out = io.StringIO()
    progress = Progress(console=Console(file=out, width=200))
    run = run_in(engine=engine, peer=Answering(), settings=settings, progress=progress)
    return rehearsal.ensure(run, host), out.getvalue()


def test_a_new_host_gets_our_key_and_its_own_is_pinned(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(["starting", "running"])
    engine = FakeEngine(None, machine)
    created, _ = ensure(settings, engine)
    assert created
    assert machine.files["/root/.ssh/authorized_keys"] == hostkeys.public_key(settings, HOST) + "\n"
    assert machine.files["/etc/default/locale"] == "LANG=ja_JP.UTF-8\n"
    known = (hostkeys.folder(settings, HOST) / "known_hosts").read_text()
    assert known == "[127.0.0.1]:40022 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\n"
    port = engine.options["publish"][22]
    assert port > 1024  # chosen once: an engine's own choice changes with every reboot
    assert engine.options["labels"]["sheepvirt.port"] == str(port)
    assert hostkeys.port(settings, HOST) == 40022


def test_a_host_with_sysv_init_is_another_image_and_is_waited_for_by_its_runlevel(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds: list[str] = []

    def image(_run: object, _target: object, kind: str) -> str:
        kinds.append(kind)
        return "tag"

    monkeypatch.setattr(recipes, "ensure", image)
    machine = Machine(["", "unknown", "N 3"])
    created, _ = ensure(settings, FakeEngine(None, machine), replace(HOST, init=Init.SYSV))
    assert created
    assert kinds == ["host-sysv"]
    assert recipes.parent("host-sysv") == "host"
    assert machine.states == []


@pytest.mark.parametrize(
    ("image", "init"),
    [
        ("sheepvirt/rehearsal-host-sysv:f00", Init.SYSV),
        ("sheepvirt/rehearsal-host:ba5", Init.SYSTEMD),
    ],
)
def test_what_a_host_was_made_with_its_image_says(
    image: str, init: Init, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    machine.image_name, machine.running = image, False
    run = run_in(engine=FakeEngine(machine))
    assert rehearsal.made_with(run.engine, HOST) == init
    run = run_in(engine=FakeEngine(None))
    assert rehearsal.made_with(run.engine, HOST) is None


def test_an_existing_host_is_kept_and_an_older_image_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("no image was to be built")

    hostkeys.ensure_key(settings, HOST)
    hostkeys.pin(settings, HOST, 40022, KEY)
    monkeypatch.setattr(recipes, "ensure", refuse)
    created, said = ensure(settings, FakeEngine(Machine()))
    assert not created
    assert "older host image and is kept" in said


def test_a_stopped_host_is_started(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    machine.running = False
    created, said = ensure(settings, FakeEngine(machine))
    assert (created, machine.running) == (False, True)
    assert "start rehearsal host moorea" in said


def test_lost_keys_are_copied_again_through_the_engine(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    created, _ = ensure(settings, FakeEngine(machine))
    assert not created
    assert "/root/.ssh/authorized_keys" in machine.files


def test_a_failed_unit_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = ensure(settings, FakeEngine(None, Machine(["degraded"])))
    assert "failed units: numad.service" in said


def test_a_language_the_image_has_not_is_refused_and_nothing_left(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = FakeEngine(None, Machine(locales="C\nen_US.utf8"))
    with pytest.raises(EngineError, match="no locale") as caught:
        ensure(settings, engine)
    assert "en_US.UTF-8" in caught.value.hint
    assert engine.removed == ["sheepvirt-host-moorea"]


def test_removing_leaves_no_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(None)
    run = run_in(engine=engine, settings=settings)
    hostkeys.ensure_key(settings, HOST)
    folder = hostkeys.folder(settings, HOST)
    rehearsal.remove(run, HOST)
    assert engine.removed == ["sheepvirt-host-moorea"]
    assert not folder.exists()
