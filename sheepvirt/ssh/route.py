"""How ssh reaches a host: with a key and a configuration of its own here, or by the user's alias.

An alias is reached as ``ssh ALIAS`` reaches it: with the user's configuration, agent, keys, jump
hosts and known hosts. Only what a shared connection without a terminal needs is added.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sheepvirt.core import processes
from sheepvirt.core.errors import SshError
from sheepvirt.ssh import hostkeys, sockets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.hosts import Host

# Options of a command line win over the user's configuration. These undo what there would ask on a
# terminal, run another command, or open what no command here needs. Every ssh since 7.6 knows them.
PLAIN = (
    "BatchMode yes",
    "LogLevel ERROR",
    "ClearAllForwardings yes",
    "ForwardAgent no",
    "ForwardX11 no",
    "PermitLocalCommand no",
    "RemoteCommand none",
    "RequestTTY no",
)


@dataclass(frozen=True, kw_only=True)
class Route:
    """What follows ``ssh`` on the command line, and who logs in."""

    options: tuple[str, ...]
    destination: str
    user: str
    where: str  # for messages
    jump: str = ""  # the alias's ProxyJump or ProxyCommand


def find(settings: Settings, host: Host) -> Route:
    """Return how ssh reaches ``host``. Raises as hostkeys.write_config; SshError."""
    if host.ssh:
        return by_alias(settings, host, resolve(host))
    return by_config(host, hostkeys.write_config(settings, host))


def by_config(host: Host, config: Path) -> Route:
    """Return the route of sheepvirt's own configuration."""
    return Route(
        options=("-F", str(config)),
        destination=host.name,
        user=host.user,
        where=f"{host.name} ({host.user}@{host.address})",
    )


def by_alias(settings: Settings, host: Host, resolved: Mapping[str, str]) -> Route:
    """Return the route of an alias, from what ssh makes of it.

    The socket's name covers all of that: an alias that leads elsewhere gets no old connection.
    """
    sockets.make_folder(settings)
    identity = "\0".join(f"{key} {value}" for key, value in sorted(resolved.items()))
    socket = sockets.path(settings, f"{host.ssh}\0{host.old_ssh}\0{identity}")
    own = [
        *PLAIN,
        *hostkeys.ALIVE,
        *(hostkeys.OLD_SSH if host.old_ssh else ()),
        *(["ConnectTimeout 10"] if resolved.get("connecttimeout", "none") == "none" else ()),
        "ControlMaster auto",
        f"ControlPath {hostkeys.quoted(socket)}",
        f"ControlPersist {hostkeys.PERSIST_SECONDS}",
    ]
    jumps = (resolved.get(key, "none") for key in ("proxyjump", "proxycommand"))
    user = resolved.get("user", "")
    return Route(
        options=tuple(word for option in own for word in ("-o", option.replace(" ", "=", 1))),
        destination=host.ssh,
        user=user,
        where=f"{host.name} (your ssh alias {host.ssh!r}: {user}@{resolved.get('hostname', '')})",
        jump=next((jump for jump in jumps if jump != "none"), ""),
    )


def resolve(host: Host) -> dict[str, str]:
    """Return what the user's configuration makes of the host's alias (``ssh -G``).

    Of a key that comes several times the last value counts here. Raises SshError.
    """
    if shutil.which("ssh") is None:
        raise SshError("there is no ssh on this machine", hint="run `make engine` to install it")
    done = processes.run(["env", "LC_ALL=C", "ssh", "-G", host.ssh])
    if done.code:
        raise SshError(
            f"your ssh configuration cannot be read for {host.name}: {done.stderr.strip()}",
            hint=f"correct that line; `ssh -G {host.ssh}` tells whether it can be read",
        )
    return dict(row.partition(" ")[::2] for row in done.stdout.splitlines())
