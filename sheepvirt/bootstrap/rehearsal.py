"""Rehearsal hosts: containers that act as machines, with a real init and a real sshd.

The engine creates and removes them and copies keys; everything else goes over SSH, as on a machine.
Host keys are made inside on the first start and read through the engine. So no key is trusted only
because it was the first one on the network.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from sheepvirt.config import inventory
from sheepvirt.core import locks
from sheepvirt.core.errors import EngineError, HostUnreachableError
from sheepvirt.core.waiting import wait_until
from sheepvirt.images import recipes
from sheepvirt.model.enums import Init
from sheepvirt.ssh import hostkeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from sheepvirt.core.progress import Progress, Stage
    from sheepvirt.engine.container import Container
    from sheepvirt.engine.engine import Engine
    from sheepvirt.model.hosts import Host
    from sheepvirt.run import Run

START_SECONDS = 90.0
ANSWER_SECONDS = 20.0  # of a running host: it may be in the middle of a reboot
SSH_PORT = 22
SYSV_STAND_INS = (
    "SysV init, rc and sshd are real; chkconfig, the network scripts and the init scripts that are "
    "not in the repo's RPMs are stand-ins"
)
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


def container_name(host: Host) -> str:
    """Return the name of ``host``'s container."""
    return f"sheepvirt-host-{host.name}"


def exists(engine: Engine, host: Host) -> bool:
    """Tell whether ``host``'s container exists, running or not. Raises EngineError."""
    return engine.find(container_name(host)) is not None


def running(engine: Engine, host: Host) -> bool:
    """Tell whether ``host``'s container runs. Raises EngineError."""
    container = engine.find(container_name(host))
    return container is not None and container.running


def made_with(engine: Engine, host: Host) -> Init | None:
    """Return the init in ``host``'s container, running or not; None if it does not exist.

    The name of its image says which. Raises EngineError.
    """
    container = engine.find(container_name(host))
    if container is None:
        return None
    name = container.image_name.partition(":")[0]
    return Init.SYSV if name.endswith(f"-host-{Init.SYSV}") else Init.SYSTEMD


def ensure(run: Run, host: Host) -> bool:
    """Make ``host`` answer over SSH: create its container if absent, start it if stopped.

    Returns whether it was created. An existing host is kept even if its image's recipe has changed
    since; a line says so. Raises EngineError (no container, no systemd), SshError.
    """
    engine, progress = run.engine, run.progress
    found = engine.find(container_name(host))
    target = inventory.load_target(run.settings, host.target)
    if host.init == Init.SYSV:
        progress.say(f"  {host.name}: {SYSV_STAND_INS}")
    if found is not None:
        tag = recipes.tag_of(run.settings, target, _image(host))
        _say_if_outdated(engine, found, tag, host, progress)
        if found.running and _answers(run, host):
            return False
    tag = recipes.ensure(run, target, _image(host)) if found is None else ""
    verb = "create" if found is None else "enter" if found.running else "start"
    with progress.stage(f"{verb} rehearsal host {host.name}") as stage:
        container = _create(engine, host, tag) if found is None else found
        if not container.running:
            container.start()
        stage.note = f"127.0.0.1 port {container.published_port(SSH_PORT)}"
        if host.init == Init.SYSV:
            _wait_for_runlevel(run, container, host)
        else:
            _wait_for_systemd(run, container, host, stage)
        _introduce(run, container, host)
        run.connect(host).wait(START_SECONDS)
    return found is None


def remove(run: Run, host: Host) -> None:
    """Remove ``host``'s container, key and pinned host key, if they exist.

    Waits for a run that uses the host. Raises EngineError, LockedError.
    """
    with locks.lock(run.settings, f"host-{host.name}", run.progress, clock=run.clock):
        run.engine.remove(container_name(host))
        hostkeys.forget(run.settings, host)


def _image(host: Host) -> str:
    """Return the kind of image for ``host``."""
    return f"host-{Init.SYSV}" if host.init == Init.SYSV else "host"


def _create(engine: Engine, host: Host, tag: str) -> Container:
    port = host.port or _free_port()
    container = engine.start_host(
        container_name(host),
        tag,
        command=["/usr/local/sbin/rehearsal-init"],
        hostname=host.name,
        environment={"container": "docker", **({"LANG": host.language} if host.language else {})},
        publish={SSH_PORT: port},
        labels={"sheepvirt.host": host.name, "sheepvirt.port": str(port)},
    )
    try:
        _set_language(container, host)
    except BaseException:
        engine.remove(container_name(host))
        raise
    return container


def _set_language(container: Container, host: Host) -> None:
    """Set the host's language, also for SSH sessions (pam_env reads the file)."""
    if not host.language:
        return
    known = container.run(["locale", "-a"], check=True).stdout.split()
    # locale -a spells the codeset differently: ja_JP.utf8.
    if host.language.replace("UTF-8", "utf8") not in known:
        raise EngineError(
            f"the host image has no locale {host.language!r} for {host.name}",
            hint=f"use one of: {', '.join(n.replace('utf8', 'UTF-8') for n in known)}; or add it "
            "to containers/rehearsal/host/Containerfile.j2",
        )
    container.write("/etc/default/locale", f"LANG={host.language}\n")


def _wait_for_systemd(run: Run, container: Container, host: Host, stage: Stage) -> None:
    """Wait until systemd has started its units; report a failed unit without an error.

    On a new host a failed unit is a defect of the image. On an old one a bootstrap may repair it.
    """
    name = container_name(host)
    state = _wait(
        run,
        container,
        host,
        ["systemctl", "is-system-running"],
        ready={"running", "degraded"}.__contains__,
        more=f"`docker exec {name} systemctl --failed` and `docker logs {name}` say more",
    )
    if state == "degraded":
        failed = container.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout
        for line in failed.splitlines():
            stage.line(f"failed unit: {line}")
        stage.note += f"; failed units: {' '.join(x.split()[0] for x in failed.splitlines())}"


def _wait_for_runlevel(run: Run, container: Container, host: Host) -> None:
    """Wait until SysV init is in a runlevel; its scripts may still be running."""
    _wait(
        run,
        container,
        host,
        ["runlevel"],
        ready=lambda said: bool(said) and "unknown" not in said,
        more=f"`docker logs {container_name(host)}` says more",
    )


def _wait(
    run: Run,
    container: Container,
    host: Host,
    argv: list[str],
    *,
    ready: Callable[[str], bool],
    more: str,
) -> str:
    """Return the state that the host's init reports once it is ``ready``. Raises EngineError.

    ``more`` names commands that show why it is not.
    """

    def ask() -> str:
        with contextlib.suppress(EngineError):  # between two boots nothing can be run inside
            return container.run(argv).stdout.strip()
        return ""

    said = wait_until(ask, ready, clock=run.clock, seconds=START_SECONDS, every=0.2)
    if not ready(said):
        raise EngineError(
            f"{host.name}: its init is not ready after {START_SECONDS:.0f} s: `{argv[0]}` says "
            f"{said or 'nothing'!r}",
            hint=f"{more}; `invoke destroy {host.name}` removes the host",
        )
    return said


def _introduce(run: Run, container: Container, host: Host) -> None:
    """Give the host the client's public key, and pin its host key; both through the engine."""
    home = container.run(["getent", "passwd", host.user], check=True).stdout.split(":")[5]
    container.run(["install", "-d", "-m", "700", "-o", host.user, f"{home}/.ssh"], check=True)
    keys = f"{home}/.ssh/authorized_keys"
    container.write(keys, hostkeys.public_key(run.settings, host) + "\n", mode=0o600)
    container.run(["chown", f"{host.user}:", keys], check=True)
    key = container.run(["cat", HOST_KEY], check=True).stdout
    hostkeys.pin(run.settings, host, container.published_port(SSH_PORT), key)


def _answers(run: Run, host: Host) -> bool:
    """Tell whether the host accepts the existing key and has the pinned host key.

    Returns False if one of them is lost: it is then copied again. Raises errors that need the user
    (a changed host key, no sshd).
    """
    folder = hostkeys.folder(run.settings, host)
    if not all((folder / n).exists() for n in (hostkeys.key_name(host), "known_hosts", "port")):
        return False
    connection = run.connect(host)
    try:
        connection.open()
    except HostUnreachableError:
        with run.progress.stage(f"wait for {host.name}"):
            connection.wait(ANSWER_SECONDS)
    return True


def _free_port() -> int:
    """Return a loopback port that is free now; the host keeps it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say_if_outdated(
    engine: Engine, container: Container, tag: str, host: Host, progress: Progress
) -> None:
    if container.image != engine.image_id(tag):
        progress.say(
            f"  {host.name} was made from an older host image and is kept; "
            f"`invoke destroy {host.name}` and a new bootstrap replace it"
        )
