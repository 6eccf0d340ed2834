"""Hosts in the inventory: ``[hosts.HOST]``."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from sheepvirt.config import guests, host_values, networks
from sheepvirt.config.keys import Apart, Group, Key, Section
from sheepvirt.model.enums import Init
from sheepvirt.model.hosts import Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sheepvirt.config.keys import Problems, Values
    from sheepvirt.core.errors import ConfigError
    from sheepvirt.core.tables import Table

INIT_HINT = "use systemd or sysv on a rehearsal host; remove it for a real machine"

TARGET: Key[str] = Key(
    name="target",
    kind=host_values.NAME,
    meaning="which RPMs it gets: a folder of `containers/`",
)
REHEARSAL: Key[bool] = Key(
    name="rehearsal",
    kind=host_values.FLAG,
    default=False,
    meaning="a container on this machine plays it; else it is a real machine",
)
SSH: Key[str] = Key(
    name="ssh",
    kind=host_values.matching(
        "name",
        r"|[A-Za-z0-9_][A-Za-z0-9._:-]*",
        "a Host of your ~/.ssh/config, or a host name, without user and port",
    ),
    default="",
    otherwise="none",
    meaning="your ssh alias of it (docs/logging-in.md)",
)
ADDRESS: Key[str] = Key(
    name="address", kind=host_values.ADDRESS, default="127.0.0.1", meaning="where its sshd listens"
)
PORT: Key[int | None] = Key(
    name="port",
    kind=host_values.whole(0, 65535, "give a TCP port, 1 to 65535"),
    default=None,
    otherwise="22; a rehearsal host gets a free one",
    meaning="the port of its sshd",
)
USER: Key[str] = Key(
    name="user",
    kind=host_values.NAME,
    default="root",
    meaning="who logs in; another user than root needs sudo",
)
SUDO_PASSWORD_COMMAND: Key[tuple[str, ...]] = Key(
    name="sudo_password_command",
    kind=host_values.STRINGS,
    default=(),
    otherwise="none",
    meaning="a command on this machine that prints the password for sudo",
)
OLD_SSH: Key[bool] = Key(
    name="old_ssh",
    kind=host_values.FLAG,
    default=False,
    meaning="its sshd is as old as el6's: allow RSA and SHA-1 for it",
)
POOL: Key[str] = Key(
    name="pool",
    kind=host_values.NAME,
    default="sheepdog",
    meaning="name of libvirt's storage pool of the host's sheepdog cluster",
)
SHEEPDOG_LISTEN: Key[tuple[str, ...]] = Key(
    name="sheepdog_listen",
    kind=host_values.STRINGS,
    default=Host.sheepdog_listen,
    meaning="IP addresses that sheepdog's port may be open on; verification looks",
)
GUEST_SHUTDOWN_SECONDS: Key[int | None] = Key(
    name="guest_shutdown_seconds",
    kind=host_values.whole(0),
    default=None,
    otherwise="300; 10 on a rehearsal host",
    meaning="how long a guest may take to shut down",
)
KVERSION: Key[str] = Key(
    name="kversion",
    kind=host_values.matching(
        "text",
        r"([0-9][A-Za-z0-9._-]*)?",
        "what `uname -r` prints there: 2.6.32-754.el6.x86_64",
    ),
    default="",
    otherwise="none",
    meaning="kernel that its kernel modules are built for, as `uname -r` prints it",
)
LANGUAGE: Key[str] = Key(
    name="language",
    kind=host_values.matching("text", r"[A-Za-z0-9._@-]*", "a locale such as ja_JP.UTF-8"),
    default="",
    otherwise="none",
    meaning="`LANG` of a rehearsal host",
)
INIT: Key[Init | None] = Key(
    name="init",
    kind=host_values.optional_choice(Init, INIT_HINT, without=(Init.OTHER,)),
    default=None,
    otherwise="the one that its RPMs need",
    meaning="init of a rehearsal host",
)
TREAT_AS_REAL: Key[bool] = Key(
    name="treat_as_real",
    kind=host_values.FLAG,
    default=False,
    meaning="a rehearsal host asks as a real machine does (docs/real-machine.md)",
)
SECTION = Section(
    path="hosts.HOST",
    meaning="a host: a real machine, or a container that plays one",
    keys=(
        TARGET,
        REHEARSAL,
        SSH,
        ADDRESS,
        PORT,
        USER,
        SUDO_PASSWORD_COMMAND,
        OLD_SSH,
        *networks.KEYS,
        POOL,
        SHEEPDOG_LISTEN,
        GUEST_SHUTDOWN_SECONDS,
        KVERSION,
        LANGUAGE,
        INIT,
        TREAT_AS_REAL,
    ),
    groups=(Group(key="guests", section=guests.SECTION, meaning="its guests, if it has any"),),
    rules=(
        *(
            Apart(
                first="ssh",
                second=key,
                why=", and an alias has its own",
                hint=f"remove `{key}` (and set {place} for {{0}} in ~/.ssh/config), or `ssh`",
            )
            for key, place in (("address", "HostName"), ("port", "Port"), ("user", "User"))
        ),
        Apart(
            first="ssh",
            second="rehearsal",
            with_value=True,
            hint="remove `ssh`: the engine knows how to reach a rehearsal host",
        ),
    ),
)


def read(name: str, table: Table, problems: Problems) -> Host | None:
    """Return the host; None if something in its table, or in one of its guests, is a problem."""
    before = problems.count
    with problems.collecting():
        host_values.name(table, "name", name)
    values = SECTION.read(table, problems)
    usual = values[networks.NETWORK] if values else ""
    tables: dict[str, Table] = {}
    with problems.collecting():
        tables = dict(table.tables("guests"))
    found = [guests.read(n, t, problems, usual) for n, t in tables.items()]
    if values is None:
        return None
    bridge = networks.bridge(values, rehearsal=values[REHEARSAL])
    network = networks.network(values)
    rehearsal, alias = values[REHEARSAL], values[SSH]
    port, patience = values[PORT], values[GUEST_SHUTDOWN_SECONDS]
    host = Host(
        name=name,
        target=values[TARGET],
        rehearsal=rehearsal,
        address="" if alias else values[ADDRESS],
        port=(0 if rehearsal else 22) if port is None else port,
        user="" if alias else values[USER],
        bridges=(bridge,),
        networks=(network,),
        guests=tuple(guest for guest in found if guest),
        language=values[LANGUAGE],
        pool=values[POOL],
        kversion=values[KVERSION],
        init=values[INIT],
        sheepdog_listen=values[SHEEPDOG_LISTEN],
        old_ssh=values[OLD_SSH],
        treat_as_real=values[TREAT_AS_REAL],
        ssh=alias,
        sudo_password_command=values[SUDO_PASSWORD_COMMAND],
        guest_shutdown_seconds=(10 if rehearsal else 300) if patience is None else patience,
    )
    problems.add(*networks.wrong_names(values))
    with problems.collecting():
        networks.check_addresses(bridge, values)
    problems.add(*_contradictions(host, values))
    for guest in host.guests:
        problems.add(*networks.wrong_network(guest, tables[guest.name], host, table))
    return host if problems.count == before else None


def _contradictions(host: Host, values: Values) -> Iterator[ConfigError]:
    """Yield what the host's own keys say against one another. Pure."""
    error = values.table.error
    if not host.sheepdog_listen:
        hint = "name an address, or remove it: then it is 127.0.0.1"
        yield error("sheepdog_listen", "is empty", hint=hint)
    for word in host.sheepdog_listen:
        try:
            ipaddress.ip_address(word)
        except ValueError:
            yield error(
                "sheepdog_listen",
                f"names {word!r}",
                hint="give IP addresses of the host; 0.0.0.0 is every IPv4 one, :: every IPv6 one",
            )
    if host.init and not host.rehearsal:
        yield error("init", f"is {host.init.value!r}, and 'rehearsal' is false", hint=INIT_HINT)
    if host.port == 0 and not host.rehearsal:
        yield error("port", "is 0", hint="give a TCP port, 1 to 65535")
    if host.rehearsal and not _is_local(host.address):
        yield error(
            "address",
            f"is {host.address!r}, and 'rehearsal' is true: that is a container on this machine",
            hint="set `rehearsal = false` for a real machine, else remove `address`",
        )
    if host.sudo_password_command and host.user == "root":
        default = "" if values.said(USER) else ", its default"
        yield error(
            "sudo_password_command",
            f"is set, and 'user' is 'root'{default}, who needs no sudo",
            hint="remove `sudo_password_command`, or name the `user` who logs in",
        )


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def between(found: Mapping[str, Host], tables: Mapping[str, Table]) -> Iterator[ConfigError]:
    """Yield what two hosts say against one another: they are one machine. Pure."""
    known: dict[tuple[str, int], str] = {}
    for name, host in found.items():
        if host.rehearsal and not host.port:
            continue  # the engine publishes a free one
        address = f"ssh {host.ssh}" if host.ssh else host.address.lower()
        first = known.setdefault((address, 0 if host.ssh else host.port), name)
        if first == name:
            continue
        there, here = tables[first].path, tables[name]
        hint = f"remove one of the two hosts, {first!r} or {name!r}, or correct"
        if host.ssh:
            what = f"is {host.ssh!r}, and so is that of {there}"
            yield here.error("ssh", what, hint=f"{hint} its alias")
        else:
            what = f"is {host.address!r} with port {host.port}, and so it is of {there}"
            yield here.error("address", what, hint=f"{hint} its `address` or `port`")
