"""The commands, as ``invoke NAME`` in a checkout and as ``sheepvirt NAME`` where it is installed.

Thin: each task reads its arguments and calls ``sheepvirt``. Errors of the tree end here. (The three
``python -m`` commands have an end of their own: core/output.py.)
"""

from __future__ import annotations

import functools
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Collection, Context, Exit, Program, task

from sheepvirt import pipeline
from sheepvirt.bootstrap import consent, host_lock, ownership, rehearsal
from sheepvirt.bootstrap import restore as restoring
from sheepvirt.bootstrap import runner as bootstrapping
from sheepvirt.bootstrap.consent import Consent
from sheepvirt.builds import execute, preflight, repo
from sheepvirt.bundle import importer, writer
from sheepvirt.cli import report, terminal
from sheepvirt.config import catalog, inventory
from sheepvirt.core import paths, processes, settings
from sheepvirt.core.errors import PreflightError, SheepvirtError, VerifyError
from sheepvirt.core.progress import Progress
from sheepvirt.core.tables import pick
from sheepvirt.core.visible import visible
from sheepvirt.engine import machine
from sheepvirt.engine.engine import Engine
from sheepvirt.run import Run
from sheepvirt.ssh import trust as trusting
from sheepvirt.ssh.sudo import Sudo
from sheepvirt.verify import trace as tracing
from sheepvirt.verify import verification as verifying
from sheepvirt.verify.controls import control_runner

if TYPE_CHECKING:
    from collections.abc import Callable


# Exit codes of `bootstrap`, besides those of the errors (core/errors.py).
PLANNED = 20  # --plan: something would change
WAITING = 21  # done, and something waits for the user's consent


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a sheepvirt error into its message and hint on standard error, and its exit code."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except SheepvirtError as error:
            raise Exit(visible(f"\nerror: {error}"), code=error.exit_code) from None
        except KeyboardInterrupt:
            raise Exit("\ninterrupted; former results are unchanged", code=130) from None

    return wrapper


def start(name: str) -> Run:
    """Return what the command ``name`` works with: the environment, read once, and an engine."""
    chosen = settings.from_environment(os.environ)
    log = chosen.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}.log"
    progress = Progress(log=log, live="CI" not in os.environ)
    sudo = Sudo(terminal.passwords(progress))
    return Run(settings=chosen, engine=Engine(), progress=progress, sudo=sudo)


@task
@command
def engine(_c: Context) -> None:
    """Install and start the Docker Engine if it is not running (needs root)."""
    run = start("engine")
    machine.ensure(run.settings, run.progress, run.clock)


@task(help={"target": "check only this target; without it, every target"}, positional=[])
@command
def doctor(_c: Context, target: str = "") -> None:
    """Check what each target needs of this machine and its network; print fixes."""
    run = start("doctor")
    able = []
    for name in [target] if target else catalog.target_names(run.settings):
        one = inventory.load_target(run.settings, name)
        found = preflight.examine(run, one)
        report.findings(run.progress, one, found)
        able += [name] if all(finding.ok for finding in found) else []
    if not able:
        raise Exit(code=PreflightError.exit_code)


@task(
    help={
        "target": "what to build for; without it, the best target that can be built here",
        "from_bundle": "use images and sources of this file from `invoke bundle`, without network",
        "package": "build only this package (and what it needs); may be repeated; libvirt=1.0.3 "
        "is a version; sheepdog=real or sheepdog=stand-in selects its provider",
        "source": "NAME=FILE: use FILE as the package's source; if its hash is not the pinned "
        "one, the RPMs say so and are only for rehearsal hosts; may be repeated",
        "explain": "print the order and the reason of each build; build nothing",
    },
    iterable=["package", "source"],
    positional=[],
)
@command
def build_rpms(
    _c: Context,
    package: list[str],
    source: list[str],
    target: str = "",
    explain: bool = False,
    from_bundle: str = "",
) -> None:
    """Patch the spec, prove it, build the RPMs in a container, publish the repo in dist/TARGET."""
    run = start("build-rpms")
    if from_bundle:
        imported = importer.use(run, Path(from_bundle), target)
        chosen, bundle_sources = imported.target, imported.bundle_sources
        pipeline.say_unproven(chosen, run.progress)
        why = f"target {chosen.name}: {imported.bundle_sources.name} is for it ({chosen.summary})"
        package = package or list(imported.selectors)
    else:
        chosen, why = pipeline.choose_target(run, target)
        bundle_sources = None
    if explain:
        planned = execute.explain(run.settings, chosen, package, source, bundle_sources)
        report.plan(run.progress, planned)
        return
    records = execute.build_rpms(run, chosen, package, source, bundle_sources)
    report.builds(run.progress, chosen, repo.home(run.settings, chosen.name), records)
    run.progress.write_timings(run.settings.timings)
    run.progress.say(why)


@task(
    positional=["target"],
    help={
        "target": "what to build for, such as el6",
        "package": "only what this package needs; as in build-rpms",
        "output": "the file to write; without it, dist/sheepvirt-TARGET.tar",
    },
    iterable=["package"],
)
@command
def bundle(_c: Context, target: str, package: list[str], output: str = "") -> None:
    """Write images, sources, repos, keys and a lock to one file, for builds without a network."""
    run = start("bundle")
    chosen, _ = pipeline.choose_target(run, target)
    path = Path(output) if output else writer.default_path(run.settings, chosen)
    writer.make(run, chosen, package, path)


@task(
    positional=["host"],
    help={
        "host": "a name of host/inventory.toml",
        "plan": "print what would change; change nothing (exit code 20 if anything would)",
        "allow_reboot": "agree to a reboot of a real machine; its guests are shut down first",
        "allow_guest_restart": "agree to shut guests down and start them again",
        "allow_guest_poweroff": "destroy a guest that does not shut down in time",
        "reimage": "GUEST: make its disk from its image again; may be repeated",
        "adopt": "NAME: take what has this name as it is, though sheepvirt did not make it, or "
        "somebody has changed it since; may be repeated",
        "replace": "NAME: define it as the inventory says, which undoes what somebody else "
        "changed there; may be repeated",
    },
    iterable=["reimage", "adopt", "replace"],
)
@command
def bootstrap(
    _c: Context,
    host: str,
    reimage: list[str],
    adopt: list[str],
    replace: list[str],
    plan: bool = False,
    allow_reboot: bool = False,
    allow_guest_restart: bool = False,
    allow_guest_poweroff: bool = False,
) -> None:
    """Bring HOST to its desired state over SSH; a second run changes nothing.

    On a real machine nothing is rebooted, stopped or made again without the option that says so.
    Exit code 21: something waits for such an option.
    """
    run = start("bootstrap")
    wanted = inventory.load_host(run.settings, host)
    pipeline.say_unproven(inventory.load_target(run.settings, wanted.target), run.progress)
    for name in reimage:
        pick("guest", name, [guest.name for guest in wanted.guests])
    for name in (*adopt, *replace):
        pick("object", name, ownership.names(wanted))
    given = Consent(
        reboot=allow_reboot,
        guest_restart=allow_guest_restart,
        guest_poweroff=allow_guest_poweroff,
        reimages=frozenset(reimage),
        adopted=frozenset(adopt),
        replaced=frozenset(replace),
    )
    changes = bootstrapping.bootstrap(run, wanted, plan=plan, given=given)
    report.changes(run.progress, wanted, changes, plan=plan)
    if not plan:
        run.progress.write_timings(run.settings.timings)
    if plan and changes:
        raise Exit(code=PLANNED)
    if any(change.waits_for for change in changes):
        raise Exit(code=WAITING)


@task(positional=["host"], help={"host": "a name of host/inventory.toml"})
@command
def kept(_c: Context, host: str) -> None:
    """List what bootstraps of HOST have replaced and kept, by time, for `invoke restore`."""
    run = start("kept")
    wanted = inventory.load_host(run.settings, host)
    report.kept(run.progress, wanted, restoring.times(run.connect(wanted)))


@task(
    positional=["host", "time"],
    help={
        "host": "a name of host/inventory.toml",
        "time": "when it was replaced; `invoke kept HOST` lists the times",
        "plan": "print what would be put back; change nothing (exit code 20 if anything would)",
        "allow_guest_restart": "agree to restart guests and networks, so that it counts now",
        "allow_guest_poweroff": "destroy a guest that does not shut down in time",
    },
)
@command
def restore(
    _c: Context,
    host: str,
    time: str,
    plan: bool = False,
    allow_guest_restart: bool = False,
    allow_guest_poweroff: bool = False,
) -> None:
    """Put back what a bootstrap of HOST replaced at TIME. What is there until then is kept too."""
    run = start("restore")
    wanted = inventory.load_host(run.settings, host)
    given = Consent(guest_restart=allow_guest_restart, guest_poweroff=allow_guest_poweroff)
    agreed = consent.on(wanted, given)
    planned = restoring.restore(run, wanted, time, agreed, plan=True)
    report.changes(run.progress, wanted, planned, plan=True)
    if plan and planned:
        raise Exit(code=PLANNED)
    if not planned:
        return
    done = restoring.restore(run, wanted, time, agreed, plan=False)
    run.progress.say(f"{host}: put back as it was kept at {time}")
    if any(change.waits_for for change in done):
        raise Exit(code=WAITING)


@task(
    positional=["host"],
    help={
        "host": "a name of host/inventory.toml",
        "fingerprint": "SHA256:…, as the host's own console shows it: pin only a key that has it, "
        "and do not ask",
    },
)
@command
def trust(_c: Context, host: str, fingerprint: str = "") -> None:
    """Show the host keys that HOST presents, and pin those that you confirm."""
    run = start("trust")
    offer = trusting.look(run.settings, inventory.load_host(run.settings, host))
    keys = trusting.matching(offer, fingerprint) if fingerprint else offer.keys
    for line in offer.lines():
        run.progress.say(line)
    if not fingerprint and not terminal.confirmed("Are these the keys that its console shows?"):
        raise trusting.unconfirmed(offer)
    trusting.pin(run.settings, offer, keys)
    run.progress.say(f"pinned: {', '.join(key.line for key in keys)}")


@task(
    positional=["host"],
    help={
        "host": "a name of host/inventory.toml",
        "reboot": "also reboot the host and verify again (the default)",
        "prove": "break one thing at a time on a rehearsal host: exactly its checks must fail",
    },
)
@command
def verify(_c: Context, host: str, reboot: bool = True, prove: bool = False) -> None:
    """Prove that HOST works with testinfra, before and after a reboot. Writes JUnit XML."""
    run = start("verify")
    wanted = inventory.load_host(run.settings, host)
    if prove:
        control_runner.prove(run, wanted, report)
        return
    pipeline.say_unproven(inventory.load_target(run.settings, wanted.target), run.progress)
    verifying.verify(run, wanted, reboot=reboot, display=report)


@task(
    positional=["host", "package"],
    help={"host": "a name of host/inventory.toml", "package": "a published package"},
)
@command
def why(_c: Context, host: str, package: str) -> None:
    """Trace PACKAGE from the running HOST back to its RPMs, build, spec diff, sources and tests."""
    run = start("why")
    links = tracing.trace(run, inventory.load_host(run.settings, host), package)
    report.chain(run.progress, f"why {package} on {host}", links)
    broken = [link.what for link in links if not link.ok]
    if broken:
        raise VerifyError(
            f"the chain is broken at: {', '.join(broken)}",
            hint=f"run `invoke build-rpms`, `invoke bootstrap {host}` and `invoke verify {host}`",
        )


def _everything(run: Run, host: str, from_bundle: Path | None = None) -> None:
    done = pipeline.everything(run, host, report, from_bundle)
    report.builds(
        run.progress, done.target, repo.home(run.settings, done.target.name), done.records
    )
    report.changes(run.progress, done.host, done.changes, plan=False)
    report.summary(run.progress, done.target, done.host, done.records, done.outcome)


@task(
    name="all",
    help={
        "host": "a name of host/inventory.toml",
        "from_bundle": "use images and sources of this file from `invoke bundle`, without network",
    },
)
@command
def everything(_c: Context, host: str = "tahiti", from_bundle: str = "") -> None:
    """Do the whole job, as `make` does: RPMs, repo, host, guest, verification, summary."""
    _everything(start("all"), host, Path(from_bundle) if from_bundle else None)


@task(help={"host": "a name of host/inventory.toml"})
@command
def nightly(_c: Context, host: str = "tahiti") -> None:
    """Do the whole job on a new rehearsal host; the artifacts are in dist/."""
    run = start("nightly")
    wanted = inventory.load_host(run.settings, host)
    if wanted.rehearsal:
        rehearsal.remove(run, wanted)
    _everything(run, host)


@task(positional=["host"], help={"host": "a name of host/inventory.toml"})
@command
def unlock(_c: Context, host: str) -> None:
    """Remove the lock that a run left on HOST; refused while that run is alive on this machine."""
    run = start("unlock")
    held = host_lock.remove(run.connect(inventory.load_host(run.settings, host)))
    run.progress.say(f"{host}: the lock of {held} is removed" if held else f"{host}: no lock")


@task(positional=["host"], help={"host": "a rehearsal host of host/inventory.toml"})
@command
def destroy(_c: Context, host: str) -> None:
    """Remove a rehearsal host: its container, key and pinned host key."""
    run = start("destroy")
    wanted = inventory.load_host(run.settings, host)
    if not wanted.rehearsal:
        raise Exit(f"error: {host} is a real machine; only rehearsal hosts are removed", code=2)
    rehearsal.remove(run, wanted)


def _in_checkout(*argv: str) -> None:
    """Run a program of this Python's environment in the checkout."""
    if not paths.IN_CHECKOUT:
        raise Exit("error: the tests are in the checkout alone; run this command there", code=2)
    print("  $", *argv, flush=True)
    program = Path(sys.executable).with_name(argv[0])
    code = processes.run_on_terminal([str(program), *argv[1:]], paths.ROOT)
    if code:
        raise Exit(code=code)


@task
def check(_c: Context) -> None:
    """Run the fast part of the tests: format, lint, imports, strict types, unit tests."""
    _in_checkout("ruff", "format", "--check", ".")
    _in_checkout("ruff", "check", ".")
    _in_checkout("lint-imports")
    _in_checkout("mypy")
    _in_checkout("pytest", "-q", "-n", "auto", "tests/unit")


@task(pre=[check])
def test(_c: Context) -> None:
    """Run all tests, also the end-to-end tests (needs the engine)."""
    _in_checkout("pytest", "-q", "--durations=10", "tests/pipeline")


namespace = Collection(
    doctor,
    engine,
    build_rpms,
    bundle,
    bootstrap,
    kept,
    restore,
    trust,
    verify,
    everything,
    why,
    nightly,
    destroy,
    unlock,
    check,
    test,
)


def main() -> None:
    """Run ``sheepvirt NAME``: the commands of ``invoke``, without a tasks.py in the folder."""
    Program(paths.version(), namespace, name="sheepvirt", binary="sheepvirt").run()
