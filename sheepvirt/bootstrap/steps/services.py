"""Services: enabled at boot and started, with sheepvirt's own units or init script.

On a host with SysV init, numbers in file names give the boot order. It is computed from the
scripts' headers and compared with ``host/dependencies.toml`` before any reboot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.bootstrap import boot_order
from sheepvirt.bootstrap.facts.services import ServiceState
from sheepvirt.bootstrap.facts.sheepdog import PORT
from sheepvirt.bootstrap.service_commands import asked, commands, last_words, log_hint
from sheepvirt.bootstrap.steps import units
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.core.errors import BootstrapError, RemoteCommandError
from sheepvirt.model.enums import Init
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "services"
# Messages of sheep 1.0.1 (sheep/config.c, sheep/request.c), and their hints. Its --upgrade has no
# conversion to its own layout, 6 (sheep/migrate.c ends at 5): it crashed on a store of 0.9.5.
KNOWN = (
    (
        "not compatible with the existing data layout",
        "an older sheepdog wrote the store in /var/lib/sheepdog. Put that sheepdog back and copy "
        "the VDIs out (`dog vdi read NAME >FILE`), or move the store away and run this again with "
        "an empty one. Do not use sheep's --upgrade: 1.0.1 crashes on it",
    ),
    (
        "Address already in use",
        f"find the process on port {PORT} with `ss -ltnp`, stop it, and run this again",
    ),
)
ABSENT = ServiceState(active=False, enabled=False)


def names(wanted: DesiredState, facts: Facts) -> tuple[str, ...]:
    """Return the services that this host must have, in start order.

    sheepvirt's own is included if it is an init script; under systemd other units start it. An
    optional service is included if the host has it, or if the host is unknown yet (in a plan).
    """
    dependencies = wanted.dependencies
    unseen = not facts.boot
    found = tuple(
        name
        for name in asked(facts.init, dependencies.services, dependencies.optional)
        if unseen or name not in dependencies.optional or name in facts.services
    )
    return (*found, units.AUTOSTART) if facts.init == Init.SYSV else found


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """sheepvirt's units exist; every service is enabled and active; they start in order.

    Raises BootstrapError: a boot would start them in another order.
    """
    changes = units.check(NAME, wanted, facts)
    for name in names(wanted, facts):
        state = facts.services.get(name, ABSENT)
        verbs = [*([] if state.enabled else ["enabled"]), *([] if state.active else ["started"])]
        if verbs:
            changes.append(Change(step=NAME, what=f"{name} {' and '.join(verbs)}"))
    if not changes:
        _refuse_wrong_order(wanted, facts)
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Enable and start services. Raises BootstrapError: unknown init, or a script is missing."""
    if facts.init == Init.OTHER:
        raise BootstrapError(
            f"{wanted.host.name} has neither systemd nor chkconfig ({facts.init})",
            hint="use a host with systemctl, or with chkconfig and service as in el6",
        )
    for name in names(wanted, facts):
        if facts.init == Init.SYSV and name != units.AUTOSTART and name not in facts.services:
            raise BootstrapError(
                f"{wanted.host.name} has no init script for {name}: no /etc/init.d/{name}",
                hint="install the RPM that has it, or use a libvirt that still has init scripts; a "
                f"rehearsal host is replaced after `invoke destroy {wanted.host.name}`",
            )
    units.apply(wanted, facts, context)
    for name in names(wanted, facts):
        state = facts.services.get(name, ABSENT)
        verbs = [*([] if state.enabled else ["enable"]), *([] if state.active else ["start"])]
        for verb in verbs:
            for argv in commands(facts.init, verb, name):
                if verb == "start":
                    _start(argv, name, facts, context)
                else:
                    context.run(*argv)


def _start(argv: Sequence[str], name: str, facts: Facts, context: StepContext) -> None:
    """Start a service. Raises BootstrapError with the service's last log lines."""
    try:
        context.run(*argv)
    except RemoteCommandError as error:
        words = context.run(*last_words(facts.init, name), check=False).stdout.strip()
        # A unit that restarts itself would continue with its old settings, and the next bootstrap
        # would wait for it instead of starting it.
        for stop in commands(facts.init, "stop", name):
            context.run(*stop, check=False)
        said = "\n".join(f"    {line}" for line in (words or error.message).splitlines())
        hint = next((why for sign, why in KNOWN if sign in words), log_hint(facts.init, name))
        raise BootstrapError(
            f"{context.connection.host.name}: {name} does not start. Its last lines:\n{said}",
            hint=hint,
        ) from error


def _refuse_wrong_order(wanted: DesiredState, facts: Facts) -> None:
    if facts.init != Init.SYSV:
        return
    wrong = boot_order.misplaced(names(wanted, facts), facts.scripts, facts.links, facts.starts)
    if wrong:
        raise BootstrapError(
            f"{wanted.host.name} would boot in the wrong order:\n"
            + "\n".join(f"  {w.what}" for w in wrong),
            hint="\n".join(w.fix for w in wrong),
        )


STEP = Step(name=NAME, check=check, apply=apply)
