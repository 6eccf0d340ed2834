"""dnf or yum: one transaction, dependencies resolved, nothing forced."""

from __future__ import annotations

from collections.abc import Sequence

from sheepvirt.errors import BootstrapError
from sheepvirt.facts import REBOOT_WANTED
from sheepvirt.host_model import Facts
from sheepvirt.ssh import Result
from sheepvirt.steps.base import STATE, Hands


def transaction(
    facts: Facts,
    hands: Hands,
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
            f"{hands.connection.host.name} has neither dnf nor yum",
            hint="install one of them there; RPMs are never installed without resolving them",
        )
    hands.connection.write(REBOOT_WANTED, f"{facts.boot}\n".encode())
    if not reinstall and not remove:
        _say_what_failed(hands.run(facts.installer, "-y", "install", *install), hands)
        return
    # Only their shell can do more than one of these in one transaction.
    verbs = (("remove", remove), ("install", install), ("reinstall", reinstall))
    lines = [f"{verb} {' '.join(names)}" for verb, names in verbs if names]
    script = f"{STATE}/transaction"
    hands.connection.write(script, "\n".join([*lines, "run", ""]).encode())
    _say_what_failed(hands.run(facts.installer, "-y", "shell", script), hands)


def _say_what_failed(result: Result, hands: Hands) -> None:
    """Say which scriptlets failed: to rpm that is a warning, and the transaction ends well."""
    for line in (result.stdout + result.stderr).splitlines():
        if "scriptlet failed" in line:
            hands.progress.say(f"  {hands.connection.host.name}: {line.strip()}")
