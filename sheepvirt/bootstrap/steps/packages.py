"""The published RPMs: exactly those of the repo, installed in one transaction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.steps import installer, network
from sheepvirt.bootstrap.steps.base import (
    LIBVIRTD,
    OPENVSWITCH,
    DesiredState,
    Step,
    StepContext,
)
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sheepvirt.bootstrap.facts.facts import Facts

NAME = "packages"
EPOCH = re.compile(r"-\d+:")
# Package to the service that runs from it. Only libvirtd is restarted: see held.py.
SERVICES = {
    "libvirt": LIBVIRTD,
    "openvswitch": OPENVSWITCH,
    "pocketsheep": "sheepdog",
    "sheepdog": "sheepdog",
}
DAEMON = "libvirt-daemon"
DAEMON_CONFIG = "libvirt-daemon-config-"
LIBVIRTD_RESTARTS = "libvirtd is restarted, and guests run on"


@dataclass(frozen=True, kw_only=True)
class Differences:
    """How a host's RPMs differ from the repo's."""

    absent: tuple[str, ...]  # names that are missing on the host
    other: tuple[str, ...]  # NEVRAs that replace another version
    rebuilt: tuple[str, ...]  # same NEVRA, other build: the header's digest differs
    left: tuple[str, ...] = ()  # names from another version of the package, absent in this one


def differences(wanted: DesiredState, facts: Facts) -> Differences:
    """Compare the host's RPMs with the repo's. Pure."""
    installed = [rpm for name, rpm in wanted.rpms.items() if name in facts.packages]
    return Differences(
        absent=tuple(n for n in wanted.install(facts) if n not in facts.packages),
        other=tuple(r.nevra for r in installed if facts.packages[r.name] != r.nevra),
        rebuilt=tuple(
            r.nevra
            for r in installed
            if facts.packages[r.name] == r.nevra and facts.headers.get(r.name) != r.header_sha1
        ),
        left=_left(wanted, facts),
    )


def _left(wanted: DesiredState, facts: Facts) -> tuple[str, ...]:
    """Return installed RPMs of the repo's packages in another version that the repo lacks now.

    They require the former version of their siblings, and would block its replacement.
    """
    ours = {f"{EPOCH.sub('-', nevra)}.rpm" for nevra in wanted.source_nevras}
    names = {_source_name(file) for file in ours}
    return tuple(
        sorted(
            name
            for name, source in facts.source_rpms.items()
            if name not in wanted.rpms and source not in ours and _source_name(source) in names
        )
    )


def _source_name(file: str) -> str:
    """Return ``name`` of ``name-version-release.src.rpm``."""
    return file.rsplit("-", 2)[0]


def check(wanted: DesiredState, facts: Facts, _earlier: Sequence[Change]) -> list[Change]:
    """Every required RPM is installed, and every installed one is the repo's build."""
    found, host = differences(wanted, facts), wanted.host
    tool = facts.installer or "dnf"
    # What is new is started now. What is replaced may run on until the next reboot. A rehearsal
    # host reboots in both cases: it shows that everything comes back by itself.
    rows = (
        (found.absent, f"by {tool}, with what they require, in one transaction", not host.real),
        (found.other, f"by {tool}, in place of another version", True),
        (found.rebuilt, f"by {tool}, in place of another build", True),
        (found.left, f"removed by {tool}: from another version, and not in this repo", True),
    )
    return [
        Change(
            step=NAME,
            what=f"{', '.join(names)} {how}{_services(wanted, facts, names)}",
            reboots=reboots,
        )
        for names, how, reboots in rows
        if names
    ]


def _services(wanted: DesiredState, facts: Facts, nevras: Collection[str]) -> str:
    """Return what replacing RPMs means for the services that run from them; "" for nothing."""
    replaced = {
        SERVICES.get(record.package, "")
        for record in wanted.records
        if any(r.nevra in nevras and _restarts(r.name, facts) for r in record.rpms)
    }
    running = sorted(name for name in replaced if (s := facts.services.get(name)) and s.active)
    held = [name for name in running if name != LIBVIRTD]
    words = f"; {LIBVIRTD_RESTARTS}" if LIBVIRTD in running else ""
    if held:
        words += f"; {' and '.join(held)} {'run' if held[1:] else 'runs'} on as before"
    return words


def _restarts(rpm: str, facts: Facts) -> bool:
    """Tell whether an RPM has a service, or scriptlets that restart it. libvirt has many others."""
    whole = DAEMON not in facts.packages  # before 0.9.11 and in el6's own, it is all in one
    own = rpm == DAEMON or rpm.startswith(DAEMON_CONFIG)
    return own or whole or not rpm.startswith("libvirt")


def restarts_libvirtd(wanted: DesiredState, facts: Facts) -> bool:
    """Tell whether the transaction restarts libvirtd, which then forgets its sheepdog pools."""
    return any(LIBVIRTD_RESTARTS in change.what for change in check(wanted, facts, ()))


def apply(wanted: DesiredState, facts: Facts, context: StepContext) -> None:
    """Run the transaction."""
    found = differences(wanted, facts)
    if network.DEFAULT_RPM in wanted.rpms and network.DEFAULT_RPM not in facts.packages:
        context.connection.write(network.NEW, b"its RPM was installed by sheepvirt\n")
    installer.transaction(
        facts,
        context,
        (*found.absent, *found.other),
        found.rebuilt,
        found.left,
        reboots=any(change.reboots for change in check(wanted, facts, ())),
    )


STEP = Step(name=NAME, check=check, apply=apply)
