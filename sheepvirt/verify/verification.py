"""Run ``checks/`` against a host, before and after a reboot, and return the results."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import host_lock
from sheepvirt.bootstrap.steps import reboot as rebooting
from sheepvirt.core import locks, paths, processes
from sheepvirt.core.errors import BootstrapError, ConfigError, VerifyError
from sheepvirt.core.secret import Secret
from sheepvirt.model.enums import CheckResult, Stop
from sheepvirt.model.hosts import Check, DataProof, Host, VerifyOutcome
from sheepvirt.ssh import client
from sheepvirt.ssh.sudo import PASSWORD_FILE
from sheepvirt.verify import guests, junit_reports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sheepvirt.core.progress import Stage
    from sheepvirt.core.settings import Settings
    from sheepvirt.run import Run
    from sheepvirt.verify.display import Display

BEFORE = "1-before-reboot.xml"
AFTER = "2-after-reboot.xml"
PASS_SECONDS = 900.0  # virsh waits forever for a hung libvirtd
# In the place of a command in the run's log: each command of the checks is logged after the pass.
CHECKS_LINE = "(the checks of verify, which only read)"


@dataclass(frozen=True)
class Ended:
    """The end of a run of pytest: its exit code and its last lines."""

    code: int
    tail: str


def stop_of(
    host: Host, *, reboot: bool = False, no_reboot: bool = False, power_cut: bool = False
) -> Stop:
    """Return what happens to the guests of ``host``, from the user's options. Pure.

    Without options: nothing on a real machine, a power cut on a rehearsal host. Raises ConfigError:
    the options contradict one another, or a power cut without a reboot was asked for.
    """
    if no_reboot and (reboot or power_cut):
        raise ConfigError(
            "--no-reboot contradicts --reboot and --power-cut", hint="leave one of them out"
        )
    if no_reboot or (host.real and not (reboot or power_cut)):
        return Stop.NOTHING
    if not host.real:
        return Stop.POWER_CUT
    if not reboot:
        raise ConfigError(
            f"--power-cut destroys the guests of {host.name} before its reboot, and --reboot was "
            "not given",
            hint="add --reboot if that is wanted",
        )
    return Stop.POWER_CUT if power_cut else Stop.SHUT_DOWN


def verify(
    run: Run, host: Host, *, stop: Stop, consoles: bool = False, display: Display
) -> VerifyOutcome:
    """Verify ``host``; unless ``stop`` is nothing, reboot it and verify it again.

    JUnit in ``dist/verify/``; ``display`` shows each pass. Before the reboot the guests are stopped
    as ``stop`` says; afterwards their disks must have what they wrote. Without a reboot the checks
    only read; on a real machine they then read the guests' consoles only with ``consoles``.

    Raises VerifyError (a check failed, or the run itself did: a crash or a run without checks never
    passes; a guest could not be stopped or would not come back), SshError (the host is
    unreachable), LockedError.
    """
    progress = run.progress
    folder = run.settings.dist / "verify" / host.name
    folder.mkdir(parents=True, exist_ok=True)
    consoles = consoles or not host.real or stop != Stop.NOTHING
    held = (
        nullcontext()
        if stop == Stop.NOTHING
        else host_lock.held(run, run.connect(host), f"verify {host.name}")
    )
    with locks.lock(run.settings, f"host-{host.name}", progress, clock=run.clock), held:
        if stop != Stop.NOTHING and host.real:
            guests.require_autostart(run, host)
        for old in folder.glob("*.xml"):
            old.unlink()
        title = f"verify {host.name}"
        checks = _verify_once(run, host, folder / BEFORE, title, display=display, consoles=consoles)
        data: tuple[DataProof, ...] = ()
        if stop != Stop.NOTHING:
            with progress.stage(f"stop the guests of {host.name}") as stage:
                others = guests.others(run, host)
                stage.note = guests.stop(run, host, stop, others, stage)
            with progress.stage(f"reboot {host.name}") as stage:
                stage.note = reboot_host(run, host, stage)
            with progress.stage(f"guests of {host.name} come back by themselves") as stage:
                stage.note = guests.wait(run, host, others, stage)
            title = f"verify {host.name} after the reboot"
            checks = (
                *checks,
                *_verify_once(run, host, folder / AFTER, title, display=display, consoles=consoles),
            )
            data = data_proof(folder)
    return VerifyOutcome(
        passed=sum(c.result == CheckResult.PASSED for c in checks),
        failed=sum(c.result == CheckResult.FAILED for c in checks),
        junit_folder=folder,
        stopped=stop,
        data=data,
    )


def _verify_once(
    run: Run, host: Host, junit: Path, title: str, *, display: Display, consoles: bool
) -> tuple[Check, ...]:
    after = junit.name == AFTER
    before = junit.with_name(BEFORE) if after else None
    checks = one_pass(run, host, junit, title, before=before, consoles=consoles)
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
    consoles: bool,
) -> tuple[Check, ...]:
    """Run the checks once and return them, also the failed ones.

    ``before`` is the report of a pass before a reboot; with ``nodes`` only these run; ``consoles``:
    also those that read a guest's console. Raises
    VerifyError (the run itself failed), SshError (the host is unreachable).
    """
    connection = run.connect(host)
    config = client.write_config(run.settings, host)
    with run.progress.stage(title) as stage:
        # Connect first: an unreachable host is then reported once, and not by each check.
        connection.open()
        argv = [*pytest_argv(host, config, junit), *(nodes or [str(paths.CHECKS)])]
        argv += [f"--before={before}"] if before else []
        argv += [] if consoles else ["--no-consoles"]
        sent = junit.with_suffix(".commands")
        sent.unlink(missing_ok=True)
        argv.append(f"--commands={sent}")
        try:
            with run.sent.command(host.name, CHECKS_LINE, run.clock) as ended_with:
                password = run.sudo.password(host)
                ended = run_pytest(run.settings, argv, stage, password=password)
                ended_with(ended.code)
        finally:
            _log_commands(run, host, sent)
        checks = judge(host, junit, ended)
        failed = sum(c.result == CheckResult.FAILED for c in checks)
        stage.note = (
            f"{failed} of {len(checks)} checks FAILED"
            if failed
            else f"{len(checks)} checks, none failed"
        )
    return checks


def _log_commands(run: Run, host: Host, sent: Path) -> None:
    """Write the commands that the checks have sent to the run's log."""
    lines = sent.read_text(encoding="utf-8").splitlines() if sent.exists() else []
    for line in lines:
        run.progress.log(f"{host.name} $ {line}")


def data_proof(folder: Path) -> tuple[DataProof, ...]:
    """Return for each guest its boot count and marker before and after the reboot."""
    before, after = (
        junit_reports.boot_records((folder / name).read_text(encoding="utf-8"))
        for name in (BEFORE, AFTER)
    )
    return tuple(
        DataProof(guest=guest, boots=(boots, after[guest][0]), markers=(marker, after[guest][1]))
        for guest, (boots, marker) in before.items()
        if guest in after
    )


def reboot_host(run: Run, host: Host, stage: Stage) -> str:
    """Reboot ``host`` and return the proof. Raises VerifyError: it did not come back."""
    try:
        return rebooting.reboot(run.connect(host), stage.line, clock=run.clock)
    except BootstrapError as error:
        raise VerifyError(error.message, hint=error.hint) from error


def pytest_argv(host: Host, config: Path | None, junit: Path) -> list[str]:
    """Return the pytest command for ``host``, without its checks.

    ``config`` is SSH's; without one the checks use the user's alias of the host.
    """
    ours = [f"--ssh-config={config}"] if config else []
    return [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "-c",
        str(paths.PROJECT),
        f"--rootdir={paths.ROOT}",
        f"--hosts=ssh://{host.name}",
        *ours,
        f"--junitxml={junit}",
    ]


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
    checks = junit_reports.read_junit(junit, host) if junit.is_file() else ()
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
