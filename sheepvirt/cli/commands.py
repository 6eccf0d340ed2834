"""The commands, as ``invoke NAME`` in a checkout and as ``sheepvirt NAME`` where it is installed.

Thin: each task reads its arguments and calls ``sheepvirt``. The one place that catches its errors.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Collection, Context, Exit, Program, task

from sheepvirt import pipeline
from sheepvirt.bootstrap import rehearsal
from sheepvirt.bootstrap import runner as bootstrapping
from sheepvirt.builds import execute, preflight
from sheepvirt.bundle import importer, writer
from sheepvirt.cli import report
from sheepvirt.config import catalog, inventory
from sheepvirt.core import paths
from sheepvirt.core.errors import PreflightError, SheepvirtError, VerifyError
from sheepvirt.core.progress import Progress
from sheepvirt.engine import machine
from sheepvirt.verify import trace as tracing
from sheepvirt.verify import verification as verifying
from sheepvirt.verify.controls import control_runner

if TYPE_CHECKING:
    from collections.abc import Callable


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a sheepvirt error into its message and hint on standard error, and its exit code."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except SheepvirtError as error:
            raise Exit(f"\nerror: {error}", code=error.exit_code) from None
        except KeyboardInterrupt:
            raise Exit("\ninterrupted; former results are unchanged", code=130) from None

    return wrapper


def _progress(name: str) -> Progress:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Progress(log=paths.dist() / "logs" / f"{stamp}-{name}.log")


@task
@command
def engine(_c: Context) -> None:
    """Install and start the Docker Engine if it is not running (needs root)."""
    machine.ensure(_progress("engine"))


@task(help={"target": "check only this target; without it, every target"}, positional=[])
@command
def doctor(_c: Context, target: str = "") -> None:
    """Check what each target needs of this machine and its network; print fixes."""
    progress = _progress("doctor")
    able = []
    for name in [target] if target else catalog.target_names():
        one = inventory.load_target(name)
        found = preflight.examine(one)
        report.findings(progress, one, found)
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
    progress = _progress("build-rpms")
    if from_bundle:
        offline = importer.use(Path(from_bundle), target, progress)
        chosen, shelf = offline.target, offline.shelf
        pipeline.say_unproven(chosen, progress)
        why = f"target {chosen.name}: {offline.shelf.name} is for it ({chosen.summary})"
        package = package or list(offline.words)
    else:
        chosen, why = pipeline.choose_target(target, progress)
        shelf = None
    if explain:
        report.plan(progress, execute.explain(chosen, package, source, shelf))
        return
    records = execute.build_rpms(chosen, package, progress, source, shelf)
    report.builds(progress, chosen, records)
    progress.write_timings(paths.dist() / "timings.json")
    progress.say(why)


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
    progress = _progress("bundle")
    chosen, _ = pipeline.choose_target(target, progress)
    path = Path(output) if output else writer.default_path(chosen)
    writer.make(chosen, package, path, progress)


@task(
    positional=["host"],
    help={
        "host": "a name of host/inventory.toml",
        "plan": "print what would change; change nothing",
    },
)
@command
def bootstrap(_c: Context, host: str, plan: bool = False) -> None:
    """Bring HOST to its desired state over SSH; a second run changes nothing."""
    progress = _progress("bootstrap")
    wanted = inventory.load_host(host)
    pipeline.say_unproven(catalog.load_target(wanted.target), progress)
    changes = bootstrapping.bootstrap(wanted, plan=plan, progress=progress)
    report.changes(progress, wanted, changes, plan=plan)
    if not plan:
        progress.write_timings(paths.dist() / "timings.json")


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
    progress = _progress("verify")
    if prove:
        control_runner.prove(inventory.load_host(host), progress, report)
        return
    wanted = inventory.load_host(host)
    pipeline.say_unproven(catalog.load_target(wanted.target), progress)
    verifying.verify(wanted, reboot=reboot, progress=progress, display=report)


@task(
    positional=["host", "package"],
    help={"host": "a name of host/inventory.toml", "package": "a published package"},
)
@command
def why(_c: Context, host: str, package: str) -> None:
    """Trace PACKAGE from the running HOST back to its RPMs, build, spec diff, sources and tests."""
    progress = _progress("why")
    links = tracing.trace(inventory.load_host(host), package)
    report.chain(progress, f"why {package} on {host}", links)
    broken = [link.what for link in links if not link.ok]
    if broken:
        raise VerifyError(
            f"the chain is broken at: {', '.join(broken)}",
            hint=f"run `invoke build-rpms`, `invoke bootstrap {host}` and `invoke verify {host}`",
        )


def _everything(host: str, progress: Progress, from_bundle: Path | None = None) -> None:
    done = pipeline.everything(host, progress, report, from_bundle)
    report.builds(progress, done.target, done.records)
    report.changes(progress, done.host, done.changes, plan=False)
    report.summary(progress, done.target, done.host, done.records, done.outcome)


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
    _everything(host, _progress("all"), Path(from_bundle) if from_bundle else None)


@task(help={"host": "a name of host/inventory.toml"})
@command
def nightly(_c: Context, host: str = "tahiti") -> None:
    """Do the whole job on a new rehearsal host; the artifacts are in dist/."""
    wanted = inventory.load_host(host)
    if wanted.rehearsal:
        rehearsal.remove(wanted)
    _everything(host, _progress("nightly"))


@task(positional=["host"], help={"host": "a rehearsal host of host/inventory.toml"})
@command
def destroy(_c: Context, host: str) -> None:
    """Remove a rehearsal host: its container, key and pinned host key."""
    wanted = inventory.load_host(host)
    if not wanted.rehearsal:
        raise Exit(f"error: {host} is a real machine; only rehearsal hosts are removed", code=2)
    rehearsal.remove(wanted)


def _run(*argv: str) -> None:
    """Run a program of this Python's environment in the checkout."""
    if not paths.IN_CHECKOUT:
        raise Exit("error: the tests are in the checkout alone; run this command there", code=2)
    print("  $", *argv, flush=True)
    program = Path(sys.executable).with_name(argv[0])
    code = subprocess.run([str(program), *argv[1:]], cwd=paths.ROOT).returncode
    if code:
        raise Exit(code=code)


@task
def check(_c: Context) -> None:
    """Run the fast part of the tests: format, lint, imports, strict types, unit tests."""
    _run("ruff", "format", "--check", ".")
    _run("ruff", "check", ".")
    _run("lint-imports")
    _run("mypy")
    _run("pytest", "-q", "-n", "auto", "tests/unit")


@task(pre=[check])
def test(_c: Context) -> None:
    """Run all tests, also the end-to-end tests (needs the engine)."""
    _run("pytest", "-q", "--durations=10", "tests/pipeline")


namespace = Collection(
    doctor,
    engine,
    build_rpms,
    bundle,
    bootstrap,
    verify,
    everything,
    why,
    nightly,
    destroy,
    check,
    test,
)


def main() -> None:
    """Run ``sheepvirt NAME``: the commands of ``invoke``, without a tasks.py in the folder."""
    Program(paths.version(), namespace, name="sheepvirt", binary="sheepvirt").run()
