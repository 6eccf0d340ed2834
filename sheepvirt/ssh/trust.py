"""Pin the host keys that were shown: they are scanned once, and exactly those are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.core.errors import (
    HostKeyChangedError,
    HostKeyUnknownError,
    HostUnreachableError,
    SshError,
)
from sheepvirt.ssh import hostkeys, scan

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings
    from sheepvirt.model.hosts import Host
    from sheepvirt.ssh.scan import HostKey


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a host presents now, and what is pinned."""

    host: Host
    port: int
    keys: tuple[HostKey, ...]
    pinned: tuple[HostKey, ...]

    @property
    def known(self) -> bool:
        """Whether a presented key is pinned already."""
        return bool({k.data for k in self.keys} & {k.data for k in self.pinned})

    def lines(self) -> list[str]:
        """Return rows for the user."""
        where = f"{self.host.name} ({self.host.address} port {self.port})"
        rows = [f"{where} presents:", *(f"  {key.line}" for key in self.keys)]
        if self.pinned and not self.known:
            rows += ["they are not what is pinned:", *(f"  {key.line}" for key in self.pinned)]
        return rows


def look(settings: Settings, host: Host) -> Offer:
    """Scan the keys of ``host`` once. Raises SshError (it is not pinned here), its kinds."""
    if host.ssh:
        raise SshError(
            f"{host.name} is reached by your ssh alias {host.ssh!r}, whose key is in your own "
            "known_hosts",
            hint=f"run `ssh {host.ssh}` and confirm its fingerprint",
        )
    if host.rehearsal:
        raise SshError(
            f"{host.name} is a rehearsal host: its key is read through the container engine",
            hint=f"run `invoke bootstrap {host.name}`",
        )
    number = hostkeys.port(settings, host)
    found = scan.scan(host.address, number)
    if not found:
        raise HostUnreachableError(
            f"nothing answers at {host.address} port {number} ({host.name}) with a host key",
            hint="check that the machine is up, and its address and port in the inventory",
        )
    return Offer(host=host, port=number, keys=found, pinned=hostkeys.pinned(settings, host))


def matching(offer: Offer, fingerprint: str) -> tuple[HostKey, ...]:
    """Return the presented keys with this fingerprint. Raises HostKeyChangedError: none has it."""
    found = tuple(key for key in offer.keys if key.fingerprint == fingerprint.strip())
    if not found:
        rows = "\n".join(offer.lines())
        raise HostKeyChangedError(
            f"no key of {offer.host.name} has the fingerprint {fingerprint}; nothing was pinned. "
            f"{rows}",
            hint=f"compare again on the host's own console ({hostkeys.ON_CONSOLE}), or find out "
            "whether another machine answers at this address",
        )
    return found


def unconfirmed(offer: Offer) -> HostKeyUnknownError:
    """Return the error for keys that nobody confirmed."""
    return HostKeyUnknownError(
        f"nothing was pinned for {offer.host.name}: nobody confirmed its keys",
        hint=f"compare them on the host's own console ({hostkeys.ON_CONSOLE}), then run "
        f"`invoke trust {offer.host.name} --fingerprint {offer.keys[0].fingerprint}`",
    )


def pin(settings: Settings, offer: Offer, keys: tuple[HostKey, ...]) -> None:
    """Pin ``keys`` of the offer, in place of what was pinned."""
    hostkeys.pin(settings, offer.host, offer.port, *(f"{key.kind} {key.data}" for key in keys))
