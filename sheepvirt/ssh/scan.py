"""The host keys that a host presents now, read once over the network: nothing vouches for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.core import processes
from sheepvirt.core.errors import HostNameError

if TYPE_CHECKING:
    from collections.abc import Iterable

# ssh's own order of preference, with the strongest first.
PREFERRED = ("ssh-ed25519", "ecdsa", "ssh-rsa")


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """A public host key and its fingerprint, as ssh-keygen prints both."""

    kind: str  # ssh-ed25519
    data: str  # AAAA…
    fingerprint: str  # SHA256:…

    @property
    def line(self) -> str:
        """A row for the user."""
        return f"{self.fingerprint} ({self.kind})"


def scan(address: str, port: int) -> tuple[HostKey, ...]:
    """Return the keys of the sshd at ``address``, the strongest first; () if nothing answers.

    Raises HostNameError: the address is a name that does not resolve.
    """
    argv = ["env", "LC_ALL=C", "ssh-keyscan", "-T", "5", "-p", str(port), address]
    done = processes.run(argv)
    if "getaddrinfo" in done.stderr:
        raise HostNameError(
            f"the name {address} does not resolve here: {done.stderr.strip().splitlines()[-1]}",
            hint="correct `address` in the inventory, or this machine's DNS",
        )
    # A row has the host, the kind and the key; the host's spelling is not needed.
    rows = [row.split()[1:3] for row in done.stdout.splitlines() if not row.startswith("#")]
    return read(f"{row[0]} {row[1]}" for row in rows if len(row) == 2)


def read(lines: Iterable[str]) -> tuple[HostKey, ...]:
    """Return public keys (``ssh-ed25519 AAAA…``) with their fingerprints, the strongest first."""
    found = []
    for line in lines:
        kind, data = line.split()[:2]
        said = processes.run(["ssh-keygen", "-l", "-f", "-"], stdin=f"{kind} {data}\n".encode())
        words = said.stdout.split()
        if said.code == 0 and len(words) > 1:
            found.append(HostKey(kind=kind, data=data, fingerprint=words[1]))
    return tuple(sorted(found, key=_preference))


def _preference(key: HostKey) -> int:
    for number, kind in enumerate(PREFERRED):
        if key.kind.startswith(kind):
            return number
    return len(PREFERRED)
