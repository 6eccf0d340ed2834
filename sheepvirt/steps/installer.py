"""dnf or yum: one transaction, dependencies resolved, nothing forced."""

from __future__ import annotations

from collections.abc import Sequence

from sheepvirt.errors import BootstrapError
from sheepvirt.facts import REBOOT_WANTED
from sheepvirt.model import Facts
from sheepvirt.steps.base import STATE, Hands


def transaction(
    facts: Facts, hands: Hands, install: Sequence[str], reinstall: Sequence[str] = ()
) -> None:
    """Install ``install`` (names or NEVRAs) and replace ``reinstall`` in one transaction.

    Notes first that the host must reboot: a run that is cut off here is finished by the next one.
    Raises BootstrapError where the host has neither dnf nor yum, RemoteCommandError.
    """
    if not facts.installer:
        raise BootstrapError(
            f"{hands.connection.host.name} has neither dnf nor yum",
            hint="install one of them there; RPMs are never installed without resolving them",
        )
    hands.connection.write(REBOOT_WANTED, f"{facts.boot}\n".encode())
    if not reinstall:
        hands.run(facts.installer, "-y", "install", *install)
        return
    # Only their shell can install and reinstall in one transaction.
    lines = [f"reinstall {' '.join(reinstall)}"]
    if install:
        lines.insert(0, f"install {' '.join(install)}")
    script = f"{STATE}/transaction"
    hands.connection.write(script, "\n".join([*lines, "run", ""]).encode())
    hands.run(facts.installer, "-y", "shell", script)
