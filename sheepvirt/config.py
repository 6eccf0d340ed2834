"""TOML to model. Unknown keys are refused, with the nearest known one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

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
                self.done()
                raise ConfigError(
                    f"{self._where}: {key!r} is missing", hint=f"add `{key} = …` there"
                )
            return default
        value = self._data[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError(
                f"{self._where}: {key!r} is {type(value).__name__}, wanted {kind.__name__}",
                hint="mend the value's type",
            )
        return value

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


def _feature(name: str, table: Table) -> Feature:
    feature = Feature(
        name=name,
        intent=table.get("intent", str),
        build_log=table.get("build_log", str, ""),
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
    )
    table.done()
    if package.spec_from not in {"tarball", "here"}:
        raise ConfigError(
            f"{folder / 'package.toml'}: spec_from is {package.spec_from!r}",
            hint="use 'tarball' (upstream's spec) or 'here' (beside package.toml)",
        )
    return package


def _guest(name: str, table: Table) -> Guest:
    guest = Guest(
        name=name,
        title=table.get("title", str, name),
        memory_mb=table.get("memory_mb", int),
        vcpus=table.get("vcpus", int, 1),
        network=table.get("network", str),
        line=table.get("line", str),
    )
    table.done()
    return guest


def _host(name: str, table: Table) -> Host:
    host = Host(
        name=name,
        target=table.get("target", str),
        rehearsal=table.get("rehearsal", bool, False),
        address=table.get("address", str, "127.0.0.1"),
        port=table.get("port", int, 0 if table.get("rehearsal", bool, False) else 22),
        user=table.get("user", str, "root"),
        bridge=table.get("bridge", str),
        network=table.get("network", str),
        guests=tuple(_guest(n, t) for n, t in table.tables("guests")),
        language=table.get("language", str, ""),
    )
    table.done()
    return host


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
