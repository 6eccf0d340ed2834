"""dnf or yum: one transaction, dependencies resolved, nothing forced.

yum 3 (el6's is 3.2.29) has what is used here (``-y``, ``-q list``, ``install``, ``reinstall``,
``shell FILE``) and two habits of its own: it installs the rest where it does not know a name, and
its shell ends with 0 whatever happened. So names are looked up first, and what it says is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sheepvirt.bootstrap import parsers
from sheepvirt.bootstrap.facts import REBOOT_WANTED
from sheepvirt.bootstrap.steps.base import STATE, StepContext
from sheepvirt.core.errors import BootstrapError
from sheepvirt.model.hosts import Facts
from sheepvirt.ssh.client import Result

YUM = "yum"
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
) -> None:
    """Install ``install`` (names or NEVRAs), replace ``reinstall``, take ``remove`` away: at once.

    Notes first that the host must reboot: a run that is cut off here is finished by the next one.
    Raises BootstrapError where the host has neither dnf nor yum, RemoteCommandError.
    """
    if not facts.installer:
        raise BootstrapError(
            f"{context.connection.host.name} has neither dnf nor yum",
            hint="install one of them there; RPMs are never installed without resolving them",
        )
    if facts.installer == YUM and install:
        _refuse_unknown(context, install)
    context.connection.write(REBOOT_WANTED, f"{facts.boot}\n".encode())
    if not reinstall and not remove:
        _judge(context.run(facts.installer, "-y", "install", *install), facts, context)
        return
    # Only their shell can do more than one of these in one transaction.
    verbs = (("remove", remove), ("install", install), ("reinstall", reinstall))
    lines = [f"{verb} {' '.join(names)}" for verb, names in verbs if names]
    script = f"{STATE}/transaction"
    context.connection.write(script, "\n".join([*lines, "run", ""]).encode())
    _judge(context.run(facts.installer, "-y", "shell", script), facts, context)


def _refuse_unknown(context: StepContext, names: Sequence[str]) -> None:
    """Raise BootstrapError for what yum does not know, before it installs the rest without it."""
    said = context.run(YUM, "-q", "list", *names, check=False).stdout
    unknown = sorted(set(names) - parsers.yum_knows(said))
    if unknown:
        raise BootstrapError(
            f"{context.connection.host.name}: yum knows no package {', '.join(unknown)}",
            hint="are the repos of the distribution enabled there (`yum repolist`), and in reach? "
            "mirrors of el6 are gone: its repos are in the vault",
        )


def _judge(result: Result, facts: Facts, context: StepContext) -> None:
    """Say which scriptlets failed. Raises BootstrapError: yum 3 reports trouble and ends well."""
    _say_what_failed(result, context)
    trouble = TROUBLE.search(result.stdout + "\n" + result.stderr)
    if facts.installer == YUM and trouble:
        raise BootstrapError(
            f"{context.connection.host.name}: yum ended well, and said:\n  {trouble[0].strip()}",
            hint="mend what it says and run this again: what was done stays done",
        )


def _say_what_failed(result: Result, context: StepContext) -> None:
    """Say which scriptlets failed: to rpm that is a warning, and the transaction ends well."""
    for line in (result.stdout + result.stderr).splitlines():
        if "scriptlet failed" in line:
            context.progress.say(f"  {context.connection.host.name}: {line.strip()}")
