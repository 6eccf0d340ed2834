"""Services: enabled for every boot, and started now; our own units or init script beside them.

On a host with SysV init the boot order is a matter of numbers in file names: it is computed from
the scripts' headers and held against ``host/dependencies.toml`` before anything reboots.
"""

from __future__ import annotations

from collections.abc import Sequence

from sheepvirt.bootstrap import initscripts
from sheepvirt.bootstrap.services import asked, commands, last_words, log_hint
from sheepvirt.bootstrap.sheepdog import PORT
from sheepvirt.bootstrap.steps import units
from sheepvirt.bootstrap.steps.base import DesiredState, Step, StepContext
from sheepvirt.core.errors import BootstrapError, RemoteCommandError
from sheepvirt.model.hosts import INITS, SYSV, Change, Facts, ServiceState

NAME = "services"
# --upgrade of 1.0.1 has no conversion to its own layout, 6 (sheep/migrate.c ends at 5). Seen with a
# store that 0.9.5 had made.
# What sheep 1.0.1 says (sheep/config.c, sheep/request.c), and what to do about it.
KNOWN = (
    (
        "not compatible with the existing data layout",
        "an older sheepdog wrote the store in /var/lib/sheepdog. Put that sheepdog back and copy "
        "the VDIs out (`dog vdi read NAME >FILE`), or move the store away and run this again with "
        "an empty one. Do not use sheep's --upgrade: 1.0.1 crashes on it",
    ),
    (
        "Address already in use",
        f"find what has port {PORT}: `ss -ltnp`; stop it, and run this again",
    ),
)
ABSENT = ServiceState(active=False, enabled=False)


def names(wanted: DesiredState, facts: Facts) -> tuple[str, ...]:
    """Return the services that this host is to have, in the order of their start.

    Ours is among them where it is one (an init script; under systemd others pull it in). What may
    be absent is wanted where the host has it, and in a plan for a host that nobody has looked at.
    """
    dependencies = wanted.dependencies
    unseen = not facts.boot
    found = tuple(
        name
        for name in asked(facts.init, dependencies.services, dependencies.optional)
        if unseen or name not in dependencies.optional or name in facts.services
    )
    return (*found, units.AUTOSTART) if facts.init == SYSV else found


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Our units are there; every service is enabled and active; they start in order.

    Raises BootstrapError where a boot would start them in another order.
    """
    changes = units.check(NAME, facts)
    for name in names(wanted, facts):
        state = facts.services.get(name, ABSENT)
        verbs = [*([] if state.enabled else ["enabled"]), *([] if state.active else ["started"])]
        if verbs:
            changes.append(Change(NAME, f"{name} {' and '.join(verbs)}"))
    if not changes:
        _refuse_wrong_order(wanted, facts)
    return changes


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Enable and start what is not. Raises BootstrapError: another init, or a script is missing."""
    if facts.init not in INITS:
        raise BootstrapError(
            f"{wanted.host.name} runs no systemd and has no chkconfig ({facts.init or 'unknown'})",
            hint="services are switched by systemctl, or by chkconfig and service, as el6 has them",
        )
    for name in names(wanted, facts):
        if facts.init == SYSV and name != units.AUTOSTART and name not in facts.services:
            raise BootstrapError(
                f"{wanted.host.name} has no init script for {name}: no /etc/init.d/{name}",
                hint="the RPM that brought it has gone, or never had one: libvirt has not since it "
                "knows systemd alone. A rehearsal host comes anew after `invoke destroy "
                f"{wanted.host.name}`",
            )
    units.apply(facts, context)
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
    """Start a service. Raises BootstrapError with what the service itself said last."""
    try:
        context.run(*argv)
    except RemoteCommandError as error:
        words = context.run(*last_words(facts.init, name), check=False).stdout.strip()
        # A unit that starts itself again would go on with what it was started with, and the next
        # bootstrap would wait for that instead of starting it.
        for stop in commands(facts.init, "stop", name):
            context.run(*stop, check=False)
        said = "\n".join(f"    {line}" for line in (words or error.message).splitlines())
        hint = next((why for sign, why in KNOWN if sign in words), log_hint(facts.init, name))
        raise BootstrapError(
            f"{context.connection.host.name}: {name} does not start. It said last:\n{said}",
            hint=hint,
        ) from error


def _refuse_wrong_order(wanted: DesiredState, facts: Facts) -> None:
    if facts.init != SYSV:
        return
    wrong = initscripts.misplaced(names(wanted, facts), facts.scripts, facts.links, facts.starts)
    if wrong:
        raise BootstrapError(
            f"{wanted.host.name} would boot in the wrong order:\n"
            + "\n".join(f"  {w.what}" for w in wrong),
            hint="\n".join(w.fix for w in wrong),
        )


STEP = Step(NAME, check, apply)
