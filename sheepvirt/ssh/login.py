"""What ssh says when a login fails, as an error with the one thing to do. Pure.

The signs were read off OpenSSH 8.4 and 9.2 under ``LC_ALL=C``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.core.errors import (
    ConnectionBrokenError,
    HostKeyChangedError,
    HostKeyUnknownError,
    HostNameError,
    HostUnreachableError,
    JumpHostError,
    LoginRefusedError,
    NoShellError,
    SshError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.model.hosts import Host
    from sheepvirt.ssh.route import Route

# What ssh prints after the reason, when a jump host did not connect it to the host.
BROKEN_JUMP = ("kex_exchange_identification", "Connection closed by UNKNOWN port", "stdio forward")
NO_WAY_ON = "open failed: "  # the jump host's own answer
# A part of ssh's message, its error, what happened, and what to do.
UNREACHABLE: tuple[tuple[str, type[HostUnreachableError], str, str], ...] = (
    (
        "Could not resolve hostname",
        HostNameError,
        "has no address: its name does not resolve here",
        "correct {address}, or this machine's DNS",
    ),
    (
        "Connection refused",
        HostUnreachableError,
        "refused the SSH connection: no sshd listens there",
        "start sshd there, or correct {port}",
    ),
    (
        "kex_exchange_identification",
        HostUnreachableError,
        "has no sshd that answers",
        "start sshd there, or correct {port}",
    ),
    (
        "timed out",
        HostUnreachableError,
        "does not answer",
        "check that the machine is up and that no firewall blocks its address",
    ),
    ("No route to host", HostUnreachableError, "cannot be reached", "check {address}"),
)


def explain(
    host: Host, route: Route, said: str, *, key: str = "", known: Path | None = None
) -> SshError:
    """Return the error for what ssh printed.

    ``key`` is the line for authorized_keys, ``known`` the file of pinned keys; an alias has
    neither. A host that is not pinned at all is not for here (hostkeys.unknown).
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else "ssh printed nothing"
    reasons = [line for line in lines if not line.startswith(BROKEN_JUMP)]
    silent = "UNKNOWN port" in said and "timed out" in said
    if route.jump and (silent or (reasons and len(reasons) < len(lines))):
        return _of_jump(host, route, last if silent else reasons[-1])
    if "IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said:
        return _of_host_key(host, route, said, known)
    if "Unable to negotiate" in said:
        return _of_algorithms(host, route, last)
    if "Permission denied" in said:
        return _of_permission(host, route, last, key)
    for sign, kind, what, hint in UNREACHABLE:
        if sign in said:
            return kind(f"{route.where} {what}: {last}", hint=hint.format(**_places(host)))
    return broke(route, last)


def broke(route: Route, why: str) -> ConnectionBrokenError:
    """Return the error for a connection that was there, and broke."""
    return ConnectionBrokenError(
        f"the SSH connection to {route.where} broke: {why}",
        hint="check that the machine is up, then run this again",
    )


def no_shell(host: Host, route: Route, said: str) -> NoShellError:
    """Return the error for a login that succeeded, after which the account ran no command."""
    last = (said.strip().splitlines() or ["nothing"])[-1].strip()
    return NoShellError(
        f"{route.where} accepted the login, and the account runs no commands. It printed: {last}",
        hint=f"correct {_places(host)['user']}: name an account with a shell",
    )


def _places(host: Host) -> dict[str, str]:
    """Return where the user says what of ``host``."""
    if host.ssh:
        names = {"address": "HostName", "port": "Port", "user": "User"}
        return {key: f"{name} of {host.ssh!r} in ~/.ssh/config" for key, name in names.items()}
    return {key: f"`{key}` of {host.name} in the inventory" for key in ("address", "port", "user")}


def _of_jump(host: Host, route: Route, reason: str) -> JumpHostError:
    if "UNKNOWN port" in reason:  # a message of the ssh behind the jump host
        return JumpHostError(
            f"{route.where} does not answer through its jump host {route.jump}: {reason}",
            hint=_jump_hint(host, route.jump),
        )
    if NO_WAY_ON in reason:
        return JumpHostError(
            f"the jump host {route.jump} was reached, and cannot reach {route.where}: "
            f"{reason.partition(NO_WAY_ON)[2]}",
            hint=f"check that the machine is up, and HostName and Port of {host.ssh!r} in "
            "~/.ssh/config as the jump host sees them",
        )
    return JumpHostError(
        f"{route.where} was not reached, because its jump host {route.jump} was not: {reason}",
        hint=_jump_hint(host, route.jump),
    )


def _jump_hint(host: Host, jump: str) -> str:
    if "," in jump or " " in jump:  # several jump hosts, or a ProxyCommand
        return f"make `ssh -o BatchMode=yes {host.ssh} true` succeed; with -v it shows each jump"
    there = f"ssh://{jump}" if ":" in jump else jump
    return f"make `ssh -o BatchMode=yes {there} true` succeed first"


def _of_host_key(host: Host, route: Route, said: str, known: Path | None) -> SshError:
    changed = "IDENTIFICATION HAS CHANGED" in said
    if host.ssh and not changed:
        return HostKeyUnknownError(
            f"your known_hosts has no key of {route.where}, so nothing was sent to it",
            hint=f"run `ssh {host.ssh}` once, compare the fingerprint that it shows with the one "
            "on the host's own console, and confirm it",
        )
    if host.ssh:
        row = next((x.strip() for x in said.splitlines() if x.startswith("Offending")), "")
        return HostKeyChangedError(
            f"{route.where} presents another host key than your known_hosts has, so nothing was "
            f"sent to it. {row}",
            hint="find out whether another machine answers at this address; if the host was "
            f"reinstalled, run `ssh {host.ssh}`, which says how to remove the old key",
        )
    return HostKeyChangedError(
        f"{route.where} presents another host key than the pinned one ({known}), so nothing was "
        "sent to it",
        hint="find out whether another machine answers at this address; if the host was "
        f"reinstalled, run `invoke trust {host.name}`",
    )


def _of_algorithms(host: Host, route: Route, last: str) -> SshError:
    hint = f"set `old_ssh = true` for {host.name} in the inventory if its sshd is as old as el6's"
    if host.old_ssh:
        hint = "update its sshd: `old_ssh` allows el6's algorithms, and this one needs older ones"
    return SshError(
        f"{route.where} and this machine's ssh have no algorithm in common: {last}", hint=hint
    )


def _of_permission(host: Host, route: Route, last: str, key: str) -> LoginRefusedError:
    if host.ssh:
        return LoginRefusedError(
            f"{route.where} refused the login of {route.user!r}: {last}",
            hint=f"make `ssh -o BatchMode=yes {host.ssh} true` succeed: the user must be right, "
            "and the key in your agent (ssh-add) or without a passphrase",
        )
    return LoginRefusedError(
        f"{route.where} refused sheepvirt's key for the user {host.user!r}: {last}",
        hint=f"append this line to ~{host.user}/.ssh/authorized_keys there (or correct `user` of "
        f"{host.name} in the inventory): {key}",
    )
