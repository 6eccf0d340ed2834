"""Run ``checks/`` against a host, before and after a reboot, and say what came of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from sheepvirt.bootstrap import parsers
from sheepvirt.bootstrap.steps import reboot as rebooting
from sheepvirt.core import locks, paths
from sheepvirt.core.errors import BootstrapError, VerifyError
from sheepvirt.core.progress import Progress, Stage
from sheepvirt.model.hosts import Check, Host, VerifyOutcome
from sheepvirt.ssh import client
from sheepvirt.verify.display import Display

BEFORE = "1-before-reboot.xml"
AFTER = "2-after-reboot.xml"
PASS_SECONDS = 900.0  # a virsh that waits for a hung libvirtd would wait for ever
GUEST_SECONDS = 180.0  # a guest starts with libvirtd; a host under load takes its time


@dataclass(frozen=True)
class Ended:
    """How a run of pytest ended: its exit code and its last lines."""

    code: int
    tail: str


def verify(host: Host, *, reboot: bool, progress: Progress, display: Display) -> VerifyOutcome:
    """Verify ``host``; with ``reboot`` reboot it and verify it again. JUnit in ``dist/verify/``.

    ``display`` shows each pass.

    Before the reboot the guests are destroyed, as by a power cut: what they find on their disks
    afterwards is what they had written. Raises VerifyError: a check failed (it is named), or the
    run itself did (a crash or a run of no check at all is never a pass); SshError where the host
    cannot be reached; LockedError.
    """
    folder = paths.dist() / "verify" / host.name
    folder.mkdir(parents=True, exist_ok=True)
    with locks.lock(f"host-{host.name}", progress):
        for old in folder.glob("*.xml"):
            old.unlink()
        title = f"verify {host.name}"
        checks = _verify_once(host, folder / BEFORE, title, progress, display)
        if reboot:
            with progress.stage(f"destroy the guests of {host.name}") as stage:
                stage.note = destroy_guests(host)
            with progress.stage(f"reboot {host.name}") as stage:
                stage.note = reboot_host(host, stage)
            with progress.stage(f"guests of {host.name} come back by themselves") as stage:
                stage.note = wait_for_guests(host, stage)
            title = f"verify {host.name} after the reboot"
            checks = (*checks, *_verify_once(host, folder / AFTER, title, progress, display))
            progress.say(data_proof(folder))
    return VerifyOutcome(
        passed=sum(c.result == "passed" for c in checks),
        failed=sum(c.result == "failed" for c in checks),
        junit_folder=folder,
    )


def _verify_once(
    host: Host, junit: Path, title: str, progress: Progress, display: Display
) -> tuple[Check, ...]:
    after = junit.name == AFTER
    before = junit.with_name(BEFORE) if after else None
    checks = one_pass(host, junit, title, progress, before=before)
    failed = [c for c in checks if c.result == "failed"]
    display.checks(progress, title, checks)
    display.edited(progress, host, _edited(junit, before))
    if failed:
        lines = "\n".join(f"  {c.title}: {c.message}" for c in failed)
        hint = f"`invoke bootstrap {host.name}` mends what differs; then verify again"
        if after:
            hint = f"what was good before the reboot does not start by itself; {hint}"
        raise VerifyError(
            f"{host.name}: {len(failed)} of {len(checks)} checks failed ({title}):\n{lines}\n"
            f"  report: {junit}",
            hint=hint,
        )
    return checks


def _edited(junit: Path, before: Path | None) -> list[str]:
    """Return what a pass tells of edited configuration that the pass before it did not."""
    former = parsers.edited(before.read_text(encoding="utf-8")) if before else []
    return [
        text for text in parsers.edited(junit.read_text(encoding="utf-8")) if text not in former
    ]


def one_pass(
    host: Host,
    junit: Path,
    title: str,
    progress: Progress,
    *,
    before: Path | None = None,
    nodes: Sequence[str] = (),
) -> tuple[Check, ...]:
    """Run the checks once and return them, the failed ones too.

    ``before`` is the report of a pass before a reboot; with ``nodes`` only these run. Raises
    VerifyError where the run itself failed, SshError where the host cannot be reached.
    """
    config = client.write_config(host)
    with progress.stage(title) as stage:
        # Reach the host first: where it cannot be reached, that is said once and not by each test.
        client.connect(host).open()
        argv = [*pytest_argv(host, config, junit), *(nodes or [str(paths.CHECKS)])]
        if before:
            argv.append(f"--before={before}")
        ended = run_pytest(argv, stage)
        checks = judge(host, junit, ended)
        failed = sum(c.result == "failed" for c in checks)
        stage.note = (
            f"{failed} of {len(checks)} checks FAILED"
            if failed
            else f"{len(checks)} checks, none failed"
        )
    return checks


def destroy_guests(host: Host) -> str:
    """Destroy every guest of ``host``: no shutdown, no chance to write. Raises VerifyError."""
    connection = client.connect(host)
    for guest in host.guests:
        argv = ["timeout", "60", "virsh", "destroy", "--domain", guest.name]
        done = connection.run(argv, check=False)
        if done.code:
            raise VerifyError(
                f"{host.name}: guest {guest.name} could not be destroyed: {done.stderr.strip()}",
                hint="look at libvirtd's log on the host; then verify again",
            )
    return f"{', '.join(g.name for g in host.guests)} destroyed"


def data_proof(folder: Path) -> str:
    """Return a line that says what the guests' disks said before and after the reboot."""
    before, after = (
        parsers.boot_records((folder / name).read_text(encoding="utf-8"))
        for name in (BEFORE, AFTER)
    )
    return "\n".join(
        f"  data of {guest}: marker {marker} after boot {boots}, destroyed, host rebooted; "
        f"marker {after[guest][1]} after boot {after[guest][0]}"
        for guest, (boots, marker) in before.items()
        if guest in after
    )


def reboot_host(host: Host, stage: Stage) -> str:
    """Reboot ``host`` and return how it was proven. Raises VerifyError: it did not come back."""
    try:
        return rebooting.reboot(client.connect(host), stage.line)
    except BootstrapError as error:
        raise VerifyError(error.message, hint=error.hint) from error


def wait_for_guests(host: Host, stage: Stage, seconds: float = GUEST_SECONDS) -> str:
    """Wait at most ``seconds`` until every guest of ``host`` runs; return the states seen.

    Nobody helps them, and a guest that does not come is no error here: the checks name it.
    """
    connection = client.connect(host)
    deadline = time.monotonic() + seconds
    while True:
        states = {g.name: _state(connection, g.name) for g in host.guests}
        said = ", ".join(f"{name} {state}" for name, state in states.items())
        stage.line(said)
        if set(states.values()) <= {"running"} or time.monotonic() > deadline:
            return said
        time.sleep(1)


def _state(connection: client.Connection, guest: str) -> str:
    argv = ["timeout", "20", "virsh", "domstate", "--domain", guest]
    return connection.run(argv, check=False).stdout.strip() or "not there"


def pytest_argv(host: Host, config: Path, junit: Path) -> list[str]:
    """Return the command that verifies ``host`` by ``config`` (of SSH), less what to run."""
    return [
        sys.executable, "-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider",
        "-c", str(paths.PROJECT), f"--rootdir={paths.ROOT}",
        f"--hosts=ssh://{host.name}", f"--ssh-config={config}", f"--junitxml={junit}",
    ]  # fmt: skip


def run_pytest(argv: Sequence[str], stage: Stage, seconds: float = PASS_SECONDS) -> Ended:
    """Run pytest, a line of output at a time; end it and its children after ``seconds``."""
    # A run of ours may be inside another pytest: its options are not for this one.
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    tail: list[str] = []
    with subprocess.Popen(
        list(argv), cwd=paths.ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        timer = threading.Timer(seconds, _end, [process])
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                stage.line(line)
                tail = [*tail[-19:], line.rstrip()]
            code = process.wait()
            if code == -signal.SIGKILL:
                tail.append(f"(it was killed; {seconds:.0f} s are all that one pass gets)")
        except BaseException:
            _end(process)
            raise
        finally:
            timer.cancel()
    return Ended(code, "\n".join(tail))


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the group is the run and its ssh


def judge(host: Host, junit: Path, ended: Ended) -> tuple[Check, ...]:
    """Return the checks of a run that counts; raise VerifyError for one that does not.

    pytest's exit codes: 0 all passed, 1 some failed; from 2 on (and below 0, a signal) it did not
    do its work: https://docs.pytest.org/en/stable/reference/exit-codes.html
    """
    checks = read_junit(junit, host) if junit.is_file() else ()
    failed = any(c.result == "failed" for c in checks)
    ran = sum(c.result != "skipped" for c in checks)
    if ended.code not in {0, 1} or ran == 0 or failed != (ended.code == 1):
        why = (
            f"no check ran ({junit})" if ended.code in {0, 5} and not ran else "it did not end well"
        )
        raise VerifyError(
            f"{host.name}: the verification itself failed: {why}; pytest's exit code is "
            f"{ended.code}, its last lines:\n{ended.tail}",
            hint=f"mend what the lines say; `invoke bootstrap {host.name}` comes before verify",
        )
    return checks


def read_junit(path: Path, host: Host) -> tuple[Check, ...]:
    """Return the checks of a JUnit report by pytest; an error while setting up is a failure.

    Raises VerifyError where the file is not one.
    """
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except ElementTree.ParseError as error:
        raise VerifyError(
            f"{path} is no JUnit report: {error}", hint="is the disk full? then verify again"
        ) from error
    return tuple(_check(case, host) for case in cases)


def _check(case: ElementTree.Element, host: Host) -> Check:
    module = case.get("classname", "").rpartition(".")[2].removeprefix("test_")
    words, _, parameter = case.get("name", "").partition("[")
    # The host is the same for all: what is left of the parameter is the guest, network, package …
    host_id = rf"-?ssh://{re.escape(host.name)}$|^ssh://{re.escape(host.name)}-"
    bad = [*case.findall("failure"), *case.findall("error")]
    said = (bad or case.findall("skipped"))[:1]
    message = said[0].get("message", "") if said else ""
    first = message.splitlines()[0].removeprefix("AssertionError: ") if message else ""
    return Check(
        name=f"{module}: {words.removeprefix('test_').replace('_', ' ')}",
        subject=re.sub(host_id, "", parameter.removesuffix("]")),
        result="failed" if bad else "skipped" if said else "passed",
        seconds=float(case.get("time", 0)),
        message=first,
        node=f"{paths.CHECKS}/test_{module}.py::{case.get('name', '')}",
    )
