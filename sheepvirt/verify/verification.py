"""Run ``checks/`` against a host, before and after a reboot, and return the results."""

from __future__ import annotations

import re
import signal
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap import host_lock
from sheepvirt.bootstrap.steps import reboot as rebooting
from sheepvirt.core import locks, paths, processes
from sheepvirt.core.errors import BootstrapError, VerifyError
from sheepvirt.core.secret import Secret
from sheepvirt.core.waiting import wait_until
from sheepvirt.model.enums import CheckResult
from sheepvirt.model.hosts import Check, Host, VerifyOutcome
from sheepvirt.ssh import client
from sheepvirt.ssh.sudo import PASSWORD_FILE
from sheepvirt.verify import junit_reports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sheepvirt.core.progress import Stage
    from sheepvirt.core.settings import Settings
    from sheepvirt.run import Run
    from sheepvirt.verify.display import Display

BEFORE = "1-before-reboot.xml"
AFTER = "2-after-reboot.xml"
PASS_SECONDS = 900.0  # virsh waits forever for a hung libvirtd
GUEST_SECONDS = 180.0  # guests start with libvirtd; a busy host is slow


@dataclass(frozen=True)
class Ended:
    """The end of a run of pytest: its exit code and its last lines."""

    code: int
    tail: str


def verify(run: Run, host: Host, *, reboot: bool, display: Display) -> VerifyOutcome:
    """Verify ``host``; with ``reboot``, reboot it and verify it again. JUnit in ``dist/verify/``.

    ``display`` shows each pass. Before the reboot the guests are destroyed, as by a power cut;
    afterwards their disks must have what they wrote. Raises VerifyError (a check failed, or the
    run itself did: a crash or a run without checks never passes), SshError (the host is
    unreachable), LockedError.
    """
    progress = run.progress
    folder = run.settings.dist / "verify" / host.name
    folder.mkdir(parents=True, exist_ok=True)
    changes = host_lock.held(run, run.connect(host), f"verify {host.name}") if reboot else None
    with (
        locks.lock(run.settings, f"host-{host.name}", progress, clock=run.clock),
        changes or nullcontext(),
    ):
        for old in folder.glob("*.xml"):
            old.unlink()
        title = f"verify {host.name}"
        checks = _verify_once(run, host, folder / BEFORE, title, display)
        if reboot:
            with progress.stage(f"destroy the guests of {host.name}") as stage:
                stage.note = destroy_guests(run, host)
            with progress.stage(f"reboot {host.name}") as stage:
                stage.note = reboot_host(run, host, stage)
            with progress.stage(f"guests of {host.name} come back by themselves") as stage:
                stage.note = wait_for_guests(run, host, stage)
            title = f"verify {host.name} after the reboot"
            checks = (*checks, *_verify_once(run, host, folder / AFTER, title, display))
            progress.say(data_proof(folder))
    return VerifyOutcome(
        passed=sum(c.result == CheckResult.PASSED for c in checks),
        failed=sum(c.result == CheckResult.FAILED for c in checks),
        junit_folder=folder,
    )


def _verify_once(
    run: Run, host: Host, junit: Path, title: str, display: Display
) -> tuple[Check, ...]:
    after = junit.name == AFTER
    before = junit.with_name(BEFORE) if after else None
    checks = one_pass(run, host, junit, title, before=before)
    failed = [c for c in checks if c.result == CheckResult.FAILED]
    display.checks(run.progress, title, checks)
    display.edited(run.progress, host, _edited(junit, before))
    if failed:
        lines = "\n".join(f"  {c.title}: {c.message}" for c in failed)
        hint = f"run `invoke bootstrap {host.name}`, then verify again"
        if after:
            hint = f"{hint}; what passed before the reboot does not start by itself"
        raise VerifyError(
            f"{host.name}: {len(failed)} of {len(checks)} checks failed ({title}):\n{lines}\n"
            f"  report: {junit}",
            hint=hint,
        )
    return checks


def _edited(junit: Path, before: Path | None) -> list[str]:
    """Return the edited configuration that a pass reports and the pass before did not."""
    former = junit_reports.edited(before.read_text(encoding="utf-8")) if before else []
    return [
        text
        for text in junit_reports.edited(junit.read_text(encoding="utf-8"))
        if text not in former
    ]


def one_pass(
    run: Run,
    host: Host,
    junit: Path,
    title: str,
    *,
    before: Path | None = None,
    nodes: Sequence[str] = (),
) -> tuple[Check, ...]:
    """Run the checks once and return them, also the failed ones.

    ``before`` is the report of a pass before a reboot; with ``nodes`` only these run. Raises
    VerifyError (the run itself failed), SshError (the host is unreachable).
    """
    connection = run.connect(host)
    config = client.write_config(run.settings, host)
    with run.progress.stage(title) as stage:
        # Connect first: an unreachable host is then reported once, and not by each check.
        connection.open()
        argv = [*pytest_argv(host, config, junit), *(nodes or [str(paths.CHECKS)])]
        if before:
            argv.append(f"--before={before}")
        ended = run_pytest(run.settings, argv, stage, password=run.sudo.password(host))
        checks = judge(host, junit, ended)
        failed = sum(c.result == CheckResult.FAILED for c in checks)
        stage.note = (
            f"{failed} of {len(checks)} checks FAILED"
            if failed
            else f"{len(checks)} checks, none failed"
        )
    return checks


def destroy_guests(run: Run, host: Host) -> str:
    """Destroy every guest of ``host``, without a shutdown. Raises VerifyError."""
    connection = run.connect(host)
    for guest in host.guests:
        argv = ["timeout", "60", "virsh", "destroy", "--domain", guest.name]
        done = connection.run(argv, check=False)
        if done.code:
            raise VerifyError(
                f"{host.name}: guest {guest.name} could not be destroyed: {done.stderr.strip()}",
                hint="read libvirtd's log on the host, then verify again",
            )
    return f"{', '.join(g.name for g in host.guests)} destroyed"


def data_proof(folder: Path) -> str:
    """Return a line for each guest: its marker and boot count before and after the reboot."""
    before, after = (
        junit_reports.boot_records((folder / name).read_text(encoding="utf-8"))
        for name in (BEFORE, AFTER)
    )
    return "\n".join(
        f"  data of {guest}: marker {marker} after boot {boots}, destroyed, host rebooted; "
        f"marker {after[guest][1]} after boot {after[guest][0]}"
        for guest, (boots, marker) in before.items()
        if guest in after
    )


def reboot_host(run: Run, host: Host, stage: Stage) -> str:
    """Reboot ``host`` and return the proof. Raises VerifyError: it did not come back."""
    try:
        return rebooting.reboot(run.connect(host), stage.line, clock=run.clock)
    except BootstrapError as error:
        raise VerifyError(error.message, hint=error.hint) from error


def wait_for_guests(run: Run, host: Host, stage: Stage, seconds: float = GUEST_SECONDS) -> str:
    """Wait at most ``seconds`` until every guest of ``host`` runs; return their states.

    Nothing starts them, and a guest that does not run is no error here: the checks report it.
    """
    connection = run.connect(host)

    def ask() -> dict[str, str]:
        states = {g.name: _state(connection, g.name) for g in host.guests}
        stage.line(_listed(states))
        return states

    def all_run(states: Mapping[str, str]) -> bool:
        return set(states.values()) <= {"running"}

    return _listed(wait_until(ask, all_run, clock=run.clock, seconds=seconds, every=1.0))


def _listed(states: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {state}" for name, state in states.items())


def _state(connection: client.Connection, guest: str) -> str:
    argv = ["timeout", "20", "virsh", "domstate", "--domain", guest]
    return connection.run(argv, check=False).stdout.strip() or "not there"


def pytest_argv(host: Host, config: Path | None, junit: Path) -> list[str]:
    """Return the pytest command for ``host``, without its checks.

    ``config`` is SSH's; without one the checks use the user's alias of the host.
    """
    ours = [f"--ssh-config={config}"] if config else []
    return [
        sys.executable, "-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider",
        "-c", str(paths.PROJECT), f"--rootdir={paths.ROOT}",
        f"--hosts=ssh://{host.name}", *ours, f"--junitxml={junit}",
    ]  # fmt: skip


def run_pytest(
    settings: Settings,
    argv: Sequence[str],
    stage: Stage,
    seconds: float = PASS_SECONDS,
    password: Secret | None = None,
) -> Ended:
    """Run pytest and show its output line by line; kill it and its children after ``seconds``.

    It gets the ``password`` that sudo wants on the host through an open file.
    """
    with processes.handed(password or Secret("")) as number:
        done = processes.run(
            argv,
            cwd=paths.ROOT,
            env=settings.environment() | ({PASSWORD_FILE: str(number)} if password else {}),
            # sheepvirt's tests run this inside another pytest, whose options are not for this one.
            without=lambda name: name.startswith("PYTEST_"),
            on_line=stage.line,
            seconds=seconds,
            merged=True,
            keep=(number,),
        )
    tail = done.stdout.splitlines()[-20:]
    if done.code == -signal.SIGKILL:
        tail.append(f"(it was killed: a pass may take {seconds:.0f} s)")
    return Ended(done.code, "\n".join(tail))


def judge(host: Host, junit: Path, ended: Ended) -> tuple[Check, ...]:
    """Return the checks of a valid run. Raises VerifyError: the run itself failed.

    pytest's exit codes: 0 all passed, 1 some failed; 2 and above (and below 0, a signal) mean that
    the run failed: https://docs.pytest.org/en/stable/reference/exit-codes.html
    """
    checks = read_junit(junit, host) if junit.is_file() else ()
    failed = any(c.result == CheckResult.FAILED for c in checks)
    ran = sum(c.result != CheckResult.SKIPPED for c in checks)
    if ended.code not in {0, 1} or ran == 0 or failed != (ended.code == 1):
        why = f"no check ran ({junit})" if ended.code in {0, 5} and not ran else "pytest crashed"
        raise VerifyError(
            f"{host.name}: the verification itself failed: {why}; pytest's exit code is "
            f"{ended.code}, its last lines:\n{ended.tail}",
            hint=f"fix what the lines say; run `invoke bootstrap {host.name}` before verify",
        )
    return checks


def read_junit(path: Path, host: Host) -> tuple[Check, ...]:
    """Return the checks in a JUnit report of pytest; an error during set-up is a failure.

    Raises VerifyError: the file is not a JUnit report.
    """
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except ElementTree.ParseError as error:
        raise VerifyError(
            f"{path} is not a JUnit report: {error}", hint="check that the disk is not full"
        ) from error
    return tuple(_check(case, host) for case in cases)


def _result(failed: bool, said: bool) -> CheckResult:
    if failed:
        return CheckResult.FAILED
    return CheckResult.SKIPPED if said else CheckResult.PASSED


def _check(case: ElementTree.Element, host: Host) -> Check:
    module = case.get("classname", "").rpartition(".")[2].removeprefix("test_")
    words, _, parameter = case.get("name", "").partition("[")
    # The parameter without the host's id is the guest, network, package …
    host_id = rf"-?ssh://{re.escape(host.name)}$|^ssh://{re.escape(host.name)}-"
    bad = [*case.findall("failure"), *case.findall("error")]
    said = (bad or case.findall("skipped"))[:1]
    message = said[0].get("message", "") if said else ""
    first = message.splitlines()[0].removeprefix("AssertionError: ") if message else ""
    return Check(
        name=f"{module}: {words.removeprefix('test_').replace('_', ' ')}",
        subject=re.sub(host_id, "", parameter.removesuffix("]")),
        result=_result(bool(bad), bool(said)),
        seconds=float(case.get("time", 0)),
        message=first,
        node=f"{paths.CHECKS}/test_{module}.py::{case.get('name', '')}",
    )
