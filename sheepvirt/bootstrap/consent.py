"""What the user has agreed to, beyond changes that stop and replace nothing. Pure.

On a real machine nothing is rebooted, stopped or remade that the user did not ask for by name. What
waits for that is in the plan with the option that agrees to it. A rehearsal host is there to be
tried on: everything is agreed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sheepvirt.model.hosts import Host

# Options of `invoke bootstrap`.
REBOOT = "--allow-reboot"
GUEST_RESTART = "--allow-guest-restart"
GUEST_POWEROFF = "--allow-guest-poweroff"
REIMAGE = "--reimage"
ADOPT = "--adopt"
REPLACE = "--replace"


@dataclass(frozen=True, kw_only=True)
class Consent:
    """The options of one bootstrap; ``everything`` is a rehearsal host's."""

    reboot: bool = False
    guest_restart: bool = False  # a guest is shut down and started again
    guest_poweroff: bool = False  # a guest that does not shut down in time is destroyed
    reimages: frozenset[str] = frozenset()  # guests whose disks are made from their images again
    adopted: frozenset[str] = frozenset()  # names of objects that sheepvirt did not make
    # Names of objects in which what somebody else changed is replaced by the inventory's.
    replaced: frozenset[str] = frozenset()
    everything: bool = False

    def waits_for_reboot(self) -> str:
        """Return the option that a reboot waits for; "" if it is agreed."""
        return "" if self.everything or self.reboot else REBOOT

    def waits_for_restart(self) -> str:
        """Return the option that the restart of a guest waits for; "" if it is agreed."""
        return "" if self.everything or self.guest_restart else GUEST_RESTART

    def may_power_off(self) -> bool:
        """Tell whether a guest that does not shut down may be destroyed."""
        return self.everything or self.guest_poweroff

    def may_reimage(self, guest: str) -> bool:
        """Tell whether the disk of ``guest`` may be made from its image again."""
        return self.everything or guest in self.reimages

    def may_adopt(self, name: str) -> bool:
        """Tell whether an object that sheepvirt did not make may be taken over."""
        return self.everything or name in self.adopted

    def waits_for_replacement(self, name: str) -> str:
        """Return the option that undoing somebody's change waits for; "" if it is agreed."""
        return "" if self.everything or name in self.replaced else f"{REPLACE} {name}"


EVERYTHING = Consent(everything=True)
NOTHING = Consent()


def on(host: Host, given: Consent) -> Consent:
    """Return what is agreed on ``host``: everything on a rehearsal host, else what was given."""
    return given if host.real else EVERYTHING
