"""Install RPMs with dnf or yum: one transaction, with dependencies, nothing forced.

yum 3 (el6 has 3.2.29) supports what is used here (``-y``, ``-q list``, ``install``, ``reinstall``,
``shell FILE``). It differs in two points: it ignores an unknown name and installs the rest, and its
shell always ends with 0. So names are looked up first, and its output is checked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sheepvirt.bootstrap import installed_rpms
from sheepvirt.bootstrap.facts.system import REBOOT_WANTED
from sheepvirt.bootstrap.steps import held
from sheepvirt.bootstrap.steps.base import STATE, StepContext
from sheepvirt.core.errors import BootstrapError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.core.processes import Result

YUM = "yum"
SCRIPTLET = re.compile(r"%\w+\(([^)\s]+)\) scriptlet failed")
TROUBLE = re.compile(
    r"(?m)^ *(?:No package .+ available\.|Error: .+|Error Downloading Packages:.*"
    r"|Transaction Check Error:.*)$"
)


def transaction(
    facts: Facts,
    context: StepContext,
    install: Sequence[str],
    reinstall: Sequence[str] = (),
    remove: Sequence[str] = (),
    *,
    reboots: bool,
) -> None:
    """Install ``install`` (names or NEVRAs), reinstall ``reinstall``, remove ``remove``.

    All in one transaction. If it ``reboots`` the host, that is noted first, so the next run
    completes an interrupted one. Raises BootstrapError (the host has neither dnf nor yum),
    RemoteCommandError.
    """
    if not facts.installer:
        raise BootstrapError(
            f"{context.connection.host.name} has neither dnf nor yum",
            hint="install one of them there: RPMs are only installed with their dependencies",
        )
    if facts.installer == YUM and install:
        _refuse_unknown(context, install)
    if reboots:
        context.connection.write(REBOOT_WANTED, f"{facts.boot}\n".encode())
    if not reinstall and not remove:
        _run(("install", *install), facts, context)
        return
    # Only the shell can do several of these in one transaction.
    verbs = (("remove", remove), ("install", install), ("reinstall", reinstall))
    lines = [f"{verb} {' '.join(names)}" for verb, names in verbs if names]
    script = f"{STATE}/transaction"
    context.connection.write(script, "\n".join([*lines, "run", ""]).encode())
    _run(("shell", script), facts, context)


def _run(words: Sequence[str], facts: Facts, context: StepContext) -> None:
    """Run the installer. No scriptlet stops what guests need meanwhile: see held.py."""
    argv = held.through(facts.installer, "-y", *words)
    _judge(context.run(*argv, stdin=held.SCRIPT.encode()), facts, context)


def _refuse_unknown(context: StepContext, names: Sequence[str]) -> None:
    """Raise BootstrapError for names that yum does not know: it would install only the rest."""
    said = context.run(YUM, "-q", "list", *names, check=False).stdout
    unknown = sorted(set(names) - installed_rpms.yum_knows(said))
    if unknown:
        raise BootstrapError(
            f"{context.connection.host.name}: yum knows no package {', '.join(unknown)}",
            hint="check with `yum repolist` there that the distribution's repos are enabled and "
            "reachable; el6's repos are only in the vault",
        )


def _judge(result: Result, facts: Facts, context: StepContext) -> None:
    """Report failed scriptlets. Raises BootstrapError: yum 3 printed an error and ended with 0."""
    _say_what_failed(result, facts.installer, context)
    trouble = TROUBLE.search(result.stdout + "\n" + result.stderr)
    if facts.installer == YUM and trouble:
        raise BootstrapError(
            f"{context.connection.host.name}: yum ended with 0, and printed:\n"
            f"  {trouble[0].strip()}",
            hint="fix that, then run this again",
        )


def _say_what_failed(result: Result, installer: str, context: StepContext) -> None:
    """Report failed scriptlets: for rpm they are warnings, and the transaction succeeds."""
    name = context.connection.host.name
    for line in (result.stdout + result.stderr).splitlines():
        if "scriptlet failed" in line:
            found = SCRIPTLET.search(line)
            again = f" (`{installer} reinstall {found[1]}` there runs it again)" if found else ""
            context.progress.say(f"  {name}: {line.strip()}{again}")
