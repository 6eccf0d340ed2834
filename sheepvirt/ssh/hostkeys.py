"""Client key, pinned host key and ssh configuration of a host.

Everything is in ``<state>/hosts/<name>/`` (0700), so removing that folder forgets the host.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from sheepvirt.core import files, processes
from sheepvirt.core.errors import HostKeyUnknownError, HostUnreachableError, SshError
from sheepvirt.ssh import scan, sockets

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.model.hosts import Host
    from sheepvirt.ssh.scan import HostKey

# An idle connection stays this long for the next command.
PERSIST_SECONDS = 60


# What el6's sshd (OpenSSH 5.3) needs and today's ssh has disabled: host keys and signatures with
# SHA-1, its key exchange. PubkeyAcceptedKeyTypes is the name of PubkeyAcceptedAlgorithms before
# 8.5; every ssh knows it. Source: https://www.openssh.com/legacy.html
OLD_SSH = (
    "HostKeyAlgorithms +ssh-rsa",
    "PubkeyAcceptedKeyTypes +ssh-rsa",
    "KexAlgorithms +diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1",
)


# A machine that is gone is noticed within 15 s.
ALIVE = ("ServerAliveInterval 5", "ServerAliveCountMax 3")

# Shows the fingerprints of a host's keys where nobody on the network can change them.
ON_CONSOLE = "for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done"

# Characters that a quoted path of ssh_config(5) cannot have.
UNTOLD = re.compile(r'["\x00-\x1f]|\\[\\\']|\$\{')


def folder(settings: Settings, host: Host) -> Path:
    """Return the path of the host's state folder."""
    return settings.state / "hosts" / host.name


def known_hosts(settings: Settings, host: Host) -> Path:
    """Return the path of the file with the host's pinned keys."""
    return folder(settings, host) / "known_hosts"


def has_key(settings: Settings, host: Host) -> bool:
    """Tell whether the private key for ``host`` exists."""
    return (folder(settings, host) / key_name(host)).exists()


def key_name(host: Host) -> str:
    """Return the file name of the private key for ``host``."""
    return "id_rsa" if host.old_ssh else "id_ed25519"


def ensure_key(settings: Settings, host: Host) -> Path:
    """Return the private key for ``host``; generate it if absent. Raises SshError.

    An sshd before 6.5 does not know ed25519, so el6's gets an RSA key.
    """
    key = files.private_folder(folder(settings, host)) / key_name(host)
    kind = ["rsa", "-b", "3072"] if host.old_ssh else ["ed25519"]
    if not key.exists():
        # Written under another name and renamed, so an existing key is complete.
        temporary = key.with_name(f"new-{os.getpid()}")
        for path in (temporary, temporary.with_suffix(".pub")):
            path.unlink(missing_ok=True)
        comment = f"sheepvirt-{host.name}"
        argv = ["ssh-keygen", "-q", "-t", *kind, "-N", "", "-C", comment, "-f", str(temporary)]
        done = processes.run(argv)
        if done.code:
            raise SshError(
                f"ssh-keygen made no key for {host.name}: {done.stderr.strip()}",
                hint="check that this machine's disk is not full",
            )
        temporary.with_suffix(".pub").replace(key.with_suffix(".pub"))
        temporary.replace(key)
    return key


def public_key(settings: Settings, host: Host) -> str:
    """Return the line for the host's authorized_keys."""
    return ensure_key(settings, host).with_suffix(".pub").read_text(encoding="ascii").strip()


def pin(settings: Settings, host: Host, port: int, *public_host_keys: str) -> None:
    """Pin keys (``ssh-ed25519 AAAA…``) that were read on the host itself or that the user knows."""
    keys = [key.split()[:2] for key in public_host_keys]
    lines = [f"{_known_as(host.address, port)} {kind} {data}\n" for kind, data in keys]
    _write(settings, host, "known_hosts", "".join(lines))
    _write(settings, host, "port", f"{port}\n")


def port(settings: Settings, host: Host) -> int:
    """Return the TCP port of ``host``. Raises HostUnreachableError: it is unknown.

    The engine chooses the port of a rehearsal host, unless the inventory sets one.
    """
    if not host.rehearsal:
        return host.port
    try:
        return int((folder(settings, host) / "port").read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise HostUnreachableError(
            f"the rehearsal host {host.name} does not exist",
            hint=f"run `invoke bootstrap {host.name}` to create it",
        ) from error


def forget(settings: Settings, host: Host) -> None:
    """Remove the keys, the pinned host key and all other state of ``host``."""
    control_path(settings, host).unlink(missing_ok=True)
    shutil.rmtree(folder(settings, host), ignore_errors=True)


def write_config(settings: Settings, host: Host) -> Path:
    """Write an OpenSSH configuration with the alias ``host.name`` for the host; return its path.

    Source of the keys: ssh_config(5). Raises HostKeyUnknownError (no host key is pinned; with the
    host's current key and the command that pins it), HostUnreachableError, SshError.
    """
    if shutil.which("ssh") is None:
        raise SshError("there is no ssh on this machine", hint="run `make engine` to install it")
    known = known_hosts(settings, host)
    number = port(settings, host)
    key = ensure_key(settings, host)
    if not known.exists():
        raise unknown(settings, host)
    sockets.make_folder(settings)
    lines = [
        f"Host {host.name}",
        f"  HostName {_plain(host.address)}",
        f"  Port {number}",
        f"  User {host.user}",
        f"  IdentityFile {quoted(key)}",
        "  IdentitiesOnly yes",
        "  IdentityAgent none",
        "  PreferredAuthentications publickey",
        "  BatchMode yes",
        f"  UserKnownHostsFile {quoted(known)}",
        "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
        "  UpdateHostKeys no",
        "  ClearAllForwardings yes",
        "  ConnectTimeout 10",
        *(f"  {one}" for one in ALIVE),
        "  LogLevel ERROR",
        "  ControlMaster auto",
        f"  ControlPath {quoted(control_path(settings, host))}",
        f"  ControlPersist {PERSIST_SECONDS}",
        *(f"  {one}" for one in OLD_SSH if host.old_ssh),
    ]
    return _write(settings, host, "ssh_config", "\n".join(lines) + "\n")


def control_path(settings: Settings, host: Host) -> Path:
    """Return the path of the shared connection's socket.

    It covers the pinned key, so a recreated host does not get the former host's connection.
    """
    known = known_hosts(settings, host)
    text = known.read_text(encoding="utf-8") if known.exists() else ""
    return sockets.path(
        settings, f"{known}\0{host.user}@{host.address}\0{host.port}\0{host.old_ssh}\0{text}"
    )


def pinned(settings: Settings, host: Host) -> tuple[HostKey, ...]:
    """Return the pinned keys of ``host``; () if none is pinned."""
    known = known_hosts(settings, host)
    if not known.exists():
        return ()
    rows = (row.split() for row in known.read_text(encoding="utf-8").splitlines())
    return scan.read(f"{row[1]} {row[2]}" for row in rows if len(row) >= 3)


def unknown(settings: Settings, host: Host) -> HostKeyUnknownError:
    """Return the error for a first contact: the host's current keys, and how to pin one."""
    number = port(settings, host)
    found = scan.scan(host.address, number)
    if not found:
        return HostKeyUnknownError(
            f"no host key of {host.name} is pinned, and nothing answers at "
            f"{host.address} port {number}",
            hint="check that the machine is up, and its address in the inventory",
        )
    rows = "\n".join(f"  {key.line}" for key in found)
    return HostKeyUnknownError(
        f"no host key of {host.name} is pinned. {host.address} port {number} presents now:\n{rows}",
        hint=f"compare that on the host's own console ({ON_CONSOLE}); if it is the same, run "
        f"`invoke trust {host.name} --fingerprint {found[0].fingerprint}`",
    )


def _known_as(address: str, number: int) -> str:
    return address if number == 22 else f"[{address}]:{number}"


def _plain(value: str) -> str:
    """Escape ``%``, which starts a token in ssh_config, such as in fe80::1%eth0."""
    return value.replace("%", "%%")


def quoted(path: Path) -> str:
    """Quote a path for ssh's configuration. Raises SshError: some version of ssh cannot read it.

    Newer versions expand ``${NAME}``; a backslash before a quote or a backslash is lost.
    """
    if wrong := UNTOLD.search(str(path)):
        raise SshError(
            f"ssh cannot use {path}: its configuration cannot express {wrong[0]!r}",
            hint="set $SHEEPVIRT_STATE (or $XDG_RUNTIME_DIR) to a folder without that",
        )
    return f'"{_plain(str(path))}"'


def _write(settings: Settings, host: Host, name: str, text: str) -> Path:
    path = files.private_folder(folder(settings, host)) / name
    files.write_whole(path, text, mode=0o600)
    return path
