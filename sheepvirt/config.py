"""TOML to model. Unknown keys are refused, with the nearest known one."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from sheepvirt import paths
from sheepvirt.errors import ConfigError, UnknownNameError, suggest
from sheepvirt.model import (
    DebianSource,
    Dependencies,
    Feature,
    Guest,
    Host,
    Package,
    Source,
    Target,
)


class Table:
    """A TOML table that is read key by key; ``done`` refuses what nobody asked for."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self._data = data
        self._where = where
        self._known: set[str] = set()

    def get(self, key: str, kind: type[Any], default: Any = ...) -> Any:
        """Return the value of ``key``, which must be of ``kind``; ``...`` makes it required."""
        self._known.add(key)
        if key not in self._data:
            if default is ...:
                raise ConfigError(f"{self._where}: {key!r} is missing", hint=self._instead(key))
            return default
        value = self._data[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError(
                f"{self._where}: {key!r} is {type(value).__name__}, wanted {kind.__name__}",
                hint="mend the value's type",
            )
        return value

    def _instead(self, key: str) -> str:
        """Say what to write for a missing key: a misspelt one may stand in its place."""
        near = difflib.get_close_matches(key, self._data.keys() - self._known, n=1)
        return f"is {near[0]!r} it, misspelt?" if near else f"add `{key} = …` there"

    def strings(self, key: str, default: Any = ()) -> tuple[str, ...]:
        """Return a list of strings as a tuple."""
        values = self.get(key, list, list(default) if default is not ... else ...)
        if not all(isinstance(v, str) for v in values):
            raise ConfigError(f"{self._where}: {key!r} holds something that is no string", hint="")
        return tuple(values)

    def table(self, key: str, *, required: bool = False) -> Table:
        """Return a sub-table; an absent one is empty unless required."""
        return Table(self.get(key, dict, ... if required else {}), f"{self._where}: [{key}]")

    def tables(self, key: str) -> list[tuple[str, Table]]:
        """Return the named sub-tables of ``[key.<name>]``."""
        group = self.get(key, dict, {})
        for name, value in group.items():
            if not isinstance(value, dict):
                raise ConfigError(f"{self._where}: [{key}] {name!r} is no table", hint="")
        return [(n, Table(v, f"{self._where}: [{key}.{n}]")) for n, v in group.items()]

    def array(self, key: str) -> list[Table]:
        """Return the tables of ``[[key]]``."""
        rows = self.get(key, list, [])
        if not all(isinstance(r, dict) for r in rows):
            raise ConfigError(f"{self._where}: {key!r} must be [[{key}]] tables", hint="")
        return [Table(r, f"{self._where}: [[{key}]] {i + 1}") for i, r in enumerate(rows)]

    def macros(self, key: str) -> dict[str, str]:
        """Return a free table of strings (any key is allowed in it)."""
        values = self.get(key, dict, {})
        if not all(isinstance(v, str) for v in values.values()):
            raise ConfigError(f"{self._where}: [{key}] takes strings only", hint="quote the value")
        return dict(values)

    def refuse(self, key: str, what: str, *, hint: str) -> NoReturn:
        """Raise ConfigError: the value of ``key`` is not acceptable."""
        raise ConfigError(f"{self._where}: {key!r} {what}", hint=hint)

    def done(self) -> None:
        """Refuse keys that were never asked for."""
        for key in self._data:
            if key not in self._known:
                raise ConfigError(
                    f"{self._where}: unknown key {key!r}", hint=suggest(key, self._known)
                )


def read_toml(path: Path) -> Table:
    """Read ``path``; ConfigError names the file, and the line where TOML itself is broken."""
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="is the path right?") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}", hint="mend the line named") from error


def _names(folder: Path, file: str) -> list[str]:
    return sorted(p.parent.name for p in folder.glob(f"*/{file}"))


def pick(kind: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if known, else raise UnknownNameError with a suggestion."""
    choices = list(known)
    if name not in choices:
        raise UnknownNameError(f"there is no {kind} {name!r}", hint=suggest(name, choices))
    return name


def target_names() -> list[str]:
    """Names of all targets."""
    return _names(paths.CONTAINERS, "target.toml")


def package_names() -> list[str]:
    """Names of all packages."""
    return _names(paths.SPECS, "package.toml")


def load_target(name: str) -> Target:
    """Read ``containers/<name>/target.toml``. Raises UnknownNameError, ConfigError."""
    folder = paths.CONTAINERS / pick("target", name, target_names())
    table = read_toml(folder / "target.toml")
    target = Target(
        name=name,
        summary=table.get("summary", str),
        suite=table.get("suite", str, ""),
        arch=table.get("arch", str, "x86_64"),
        macros=table.macros("macros"),
        folder=folder,
    )
    table.done()
    if "dist" not in target.macros:
        raise ConfigError(f"{folder / 'target.toml'}: [macros] has no dist", hint="add dist = …")
    return target


def _source(table: Table) -> Source:
    debian = table.table("debian")
    package = debian.get("package", str, "")
    source = Source(
        file=table.get("file", str),
        sha256=table.get("sha256", str),
        urls=table.strings("urls"),
        debian=DebianSource(package, debian.get("file", str)) if package else None,
    )
    debian.done()
    table.done()
    if len(source.sha256) != 64 or set(source.sha256) - set("0123456789abcdef"):
        raise ConfigError(f"{source.file}: sha256 {source.sha256!r} is not 64 hex digits", hint="")
    if "/" in source.file or source.file in {"", ".", ".."}:
        raise ConfigError(f"source file {source.file!r} must be a plain file name", hint="")
    return source


def _pattern(table: Table, key: str, groups: int = 0) -> str:
    """Return a regular expression that compiles and has at least ``groups`` groups, or ""."""
    text = str(table.get(key, str, ""))
    try:
        if text and re.compile(text).groups < groups:
            table.refuse(key, "has no group", hint="put what it must catch into ( )")
    except re.error as error:
        table.refuse(key, f"is no regular expression: {error}", hint="mend it")
    return text


def _feature(name: str, table: Table) -> Feature:
    feature = Feature(
        name=name,
        intent=table.get("intent", str),
        build_log=_pattern(table, "build_log"),
        build_tool=_pattern(table, "build_tool", groups=1),
        rpm_file=table.get("rpm_file", str, ""),
        rpm_requires=table.get("rpm_requires", str, ""),
        host_line=table.get("host_line", str, ""),
    )
    table.done()
    return feature


def load_package(name: str, folder: Path | None = None) -> Package:
    """Read ``specs/<name>/package.toml``. Raises UnknownNameError, ConfigError."""
    folder = folder or paths.SPECS / pick("package", name, package_names())
    table = read_toml(folder / "package.toml")
    package = Package(
        name=name,
        version=table.get("version", str),
        spec=table.get("spec", str),
        spec_from=table.get("spec_from", str),
        sources=tuple(_source(t) for t in table.array("sources")),
        features=tuple(_feature(n, t) for n, t in table.tables("features")),
        needs=table.strings("needs"),
        targets=table.strings("targets"),
        rpmbuild_args=table.strings("rpmbuild_args"),
        install=table.strings("install"),
        stand_in=table.get("stand_in", str, ""),
        folder=folder,
        files=table.strings("files"),
    )
    table.done()
    for file in package.files:
        if "/" in file or not (folder / file).exists():
            table.refuse(
                "files", f"names {file!r}", hint="name files and folders beside package.toml"
            )
    if package.spec_from not in {"tarball", "here"}:
        raise ConfigError(
            f"{folder / 'package.toml'}: spec_from is {package.spec_from!r}",
            hint="use 'tarball' (upstream's spec) or 'here' (beside package.toml)",
        )
    return package


def _word(table: Table, key: str, value: str, pattern: str, allowed: str) -> str:
    """Return ``value`` if it may stand in a path, an option and an argument; else ConfigError."""
    if not re.fullmatch(pattern, value):
        table.refuse(key, f"is {value!r}", hint=f"allowed: {allowed}")
    return value


def _name(table: Table, key: str, value: str) -> str:
    return _word(
        table, key, value, r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}",
        "1 to 63 of A-Z a-z 0-9 . _ - (the first one no . or -)",
    )  # fmt: skip


def _bridge(table: Table, key: str, value: str) -> str:
    # 15 is the kernel's IFNAMSIZ less its final NUL.
    return _word(
        table, key, value, r"[A-Za-z0-9_][A-Za-z0-9._-]{0,14}",
        "1 to 15 of A-Z a-z 0-9 . _ - (the first one no . or -)",
    )  # fmt: skip


def _visible(table: Table, key: str, value: str) -> str:
    """Return free text of one line: XML has no control characters, a title no second line."""
    if not value.isprintable():
        table.refuse(key, f"is {value!r}: it has a control character", hint="use one line of text")
    return value


def _guest(name: str, table: Table) -> Guest:
    guest = Guest(
        name=_name(table, "name", name),
        title=_visible(table, "title", table.get("title", str, name)),
        memory_mb=table.get("memory_mb", int),
        vcpus=table.get("vcpus", int, 1),
        network=_name(table, "network", table.get("network", str)),
        line=_visible(table, "line", table.get("line", str)),
    )
    table.done()
    for key in ("memory_mb", "vcpus"):
        if getattr(guest, key) < 1:
            table.refuse(key, f"is {getattr(guest, key)}", hint="give at least 1")
    return guest


def _host(name: str, table: Table) -> Host:
    rehearsal = table.get("rehearsal", bool, False)
    host = Host(
        name=_name(table, "name", name),
        target=_name(table, "target", table.get("target", str)),
        rehearsal=rehearsal,
        address=_word(
            table, "address", table.get("address", str, "127.0.0.1"),
            r"[A-Za-z0-9_][A-Za-z0-9._:%-]*|::[A-Za-z0-9.:%]*",
            "a host name or an IP address",
        ),
        port=table.get("port", int, 0 if rehearsal else 22),
        user=_name(table, "user", table.get("user", str, "root")),
        bridge=_bridge(table, "bridge", table.get("bridge", str)),
        network=_name(table, "network", table.get("network", str)),
        guests=tuple(_guest(n, t) for n, t in table.tables("guests")),
        language=_word(
            table, "language", table.get("language", str, ""),
            r"[A-Za-z0-9._@-]*", "a locale such as ja_JP.UTF-8",
        ),
        datapath=table.get("datapath", str, "netdev" if rehearsal else "system"),
    )  # fmt: skip
    table.done()
    _check_host(host, table)
    return host


def _check_host(host: Host, table: Table) -> None:
    if host.datapath not in {"system", "netdev"}:
        table.refuse(
            "datapath", f"is {host.datapath!r}",
            hint="use 'system' (the kernel's) or 'netdev' (userspace, where the kernel has none)",
        )  # fmt: skip
    if not 0 <= host.port <= 65535 or (host.port == 0 and not host.rehearsal):
        table.refuse("port", f"is {host.port}", hint="give a TCP port, 1 to 65535")
    if host.network == "default":
        table.refuse("network", "is libvirt's own 'default'", hint="name the bridge's network")
    for guest in host.guests:
        if guest.network != host.network:
            table.refuse(
                "guests", f"{guest.name!r} is on network {guest.network!r}",
                hint=f"put it on the host's network, {host.network!r}",
            )  # fmt: skip


def load_hosts(path: Path | None = None) -> dict[str, Host]:
    """Read the inventory: every host by name. Raises ConfigError."""
    table = read_toml(path or paths.inventory())
    hosts = {name: _host(name, t) for name, t in table.tables("hosts")}
    table.done()
    return hosts


def load_host(name: str, path: Path | None = None) -> Host:
    """Read one host of the inventory. Raises UnknownNameError, ConfigError."""
    hosts = load_hosts(path)
    return hosts[pick("host", name, hosts)]


def load_dependencies() -> Dependencies:
    """Read ``host/dependencies.toml``. Raises ConfigError."""
    table = read_toml(paths.HOST / "dependencies.toml")
    found = Dependencies(packages=table.strings("packages"), services=table.strings("services"))
    table.done()
    return found
