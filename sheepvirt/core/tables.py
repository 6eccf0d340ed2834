"""TOML tables, read key by key. An unknown key is refused with the nearest known one."""

from __future__ import annotations

import difflib
import re
import tomllib
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn, TypeVar, overload

from sheepvirt.core.errors import ConfigError, UnknownNameError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import EllipsisType

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class Table:
    """A TOML table that is read key by key; ``done`` refuses keys that were never read."""

    def __init__(
        self, data: Mapping[str, object], where: str, path: str = "", number: int = 0
    ) -> None:
        self._data = data
        self._file = where
        self._path = path
        self._row = f"[[{path}]] {number}" if number else f"[{path}]"
        self._where = f"{where}: {self._row}" if path else where
        self._known: set[str] = set()
        self._misspelt: set[str] = set()  # named in the error of a missing key

    @property
    def path(self) -> str:
        """Return its name with all above it, as TOML writes it: ``[hosts.a.guests.g]``."""
        return self._row

    def __bool__(self) -> bool:
        """Whether it has any key."""
        return bool(self._data)

    def names(self) -> tuple[str, ...]:
        """Return its keys."""
        return tuple(self._data)

    def plain(self, key: str) -> object:
        """Return the value of ``key`` as TOML has it; None if it is not there."""
        return self._data.get(key)

    def get(self, key: str, kind: type[T], default: T | EllipsisType = ...) -> T:
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
                hint=f"change the value to {kind.__name__}",
            )
        return value

    @overload
    def one_of(
        self, key: str, kind: type[E], default: E | EllipsisType = ..., *, hint: str
    ) -> E: ...
    @overload
    def one_of(self, key: str, kind: type[E], default: None, *, hint: str) -> E | None: ...
    def one_of(
        self, key: str, kind: type[E], default: E | EllipsisType | None = ..., *, hint: str
    ) -> E | None:
        """Return the value of ``key`` as a member of ``kind``; another value is refused.

        With the default None, an empty value is None as well.
        """
        otherwise: str | EllipsisType = "" if default is None else default
        value = self.get(key, str, otherwise)
        if default is None and not value:
            return None
        try:
            return kind(value)
        except ValueError:
            self.refuse(key, f"is {value!r}", hint=hint)

    def missing(self, key: str, example: str) -> NoReturn:
        """Raise ConfigError: the key is not there. ``example`` is what to add."""
        near = self._instead(key)
        hint = near if self._misspelt else f"add `{example}`"
        raise ConfigError(f"{self._where}: {key!r} is missing", hint=hint)

    def _instead(self, key: str) -> str:
        """Return a hint for a missing key: it may be there, misspelt."""
        near = difflib.get_close_matches(key, self._data.keys() - self._known, n=1)
        self._misspelt.update(near)
        return f"is {near[0]!r} it, misspelt?" if near else f"add `{key} = …`"

    def strings(self, key: str, default: tuple[str, ...] | EllipsisType = ()) -> tuple[str, ...]:
        """Return a list of strings as a tuple."""
        values: list[object] = self.get(key, list, ... if default is ... else list(default))
        found = tuple(v for v in values if isinstance(v, str))
        if len(found) < len(values):
            raise ConfigError(f"{self._where}: {key!r} has an element that is not a string")
        return found

    def table(self, key: str, *, required: bool = False) -> Table:
        """Return a sub-table; an absent one is empty unless required."""
        data = self.get(key, dict, ... if required else {})
        return Table(data, self._file, self._below(key))

    def _below(self, *names: str) -> str:
        """Return the path of a table below this one."""
        written = (n if re.fullmatch(r"[A-Za-z0-9_-]+", n) else repr(n) for n in names)
        return ".".join([*([self._path] if self._path else []), *written])

    def tables(self, key: str) -> list[tuple[str, Table]]:
        """Return the named sub-tables of ``[key.<name>]``."""
        group: dict[str, object] = self.get(key, dict, {})
        found = []
        for name, value in group.items():
            if not isinstance(value, dict):
                raise ConfigError(f"{self._where}: [{key}] {name!r} is not a table")
            found.append((name, Table(value, self._file, self._below(key, name))))
        return found

    def array(self, key: str) -> list[Table]:
        """Return the tables of ``[[key]]``."""
        rows: list[object] = self.get(key, list, [])
        found = []
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                raise ConfigError(f"{self._where}: {key!r} must be [[{key}]] tables")
            found.append(Table(row, self._file, self._below(key), number))
        return found

    def macros(self, key: str) -> dict[str, str]:
        """Return a table of strings with any keys."""
        values: dict[str, object] = self.get(key, dict, {})
        found = {name: value for name, value in values.items() if isinstance(value, str)}
        if len(found) < len(values):
            raise ConfigError(f"{self._where}: [{key}] takes strings only", hint="quote the value")
        return found

    def refuse(self, key: str, what: str, *, hint: str) -> NoReturn:
        """Raise ConfigError: the value of ``key`` is not acceptable."""
        raise self.error(key, what, hint=hint)

    def error(self, key: str, what: str, *, hint: str) -> ConfigError:
        """Return the error that the value of ``key`` is not acceptable."""
        return ConfigError(f"{self._where}: {key!r} {what}", hint=hint)

    def knows(self, *keys: str) -> None:
        """Add known keys, before any is read: a misspelt one is not taken for one of them."""
        self._known.update(keys)

    def unknown(self) -> list[ConfigError]:
        """Return an error for each key that was never read, and is in no other error."""
        return [
            ConfigError(f"{self._where}: unknown key {key!r}", hint=suggest(key, self._known))
            for key in self._data
            if key not in self._known | self._misspelt
        ]

    def done(self) -> None:
        """Refuse keys that were never read."""
        for error in self.unknown():
            raise error


def read_toml(path: Path) -> Table:
    """Read ``path``. Raises ConfigError, which names the file and, for broken TOML, the line."""
    return Table(read_data(path), str(path))


def read_data(path: Path) -> dict[str, object]:
    """Read ``path`` as ``read_toml`` does; return the plain data."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="is the path right?") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        first = _first(path, str(error))
        hint = f"the first is in line {first}: remove one, or rename it" if first else ""
        raise ConfigError(f"{path}: not TOML: {error}", hint=hint or "correct that line") from error


def _first(path: Path, message: str) -> int:
    """Return the line where what a TOML file says twice is said first; 0 if it is another error."""
    place = re.search(r"(?:twice|overwrite a value) \(at line (\d+)", message)
    if not place:
        return 0
    *before, second = path.read_text(encoding="utf-8").splitlines()[: int(place.group(1))]
    key = second.partition("#")[0] if second.lstrip().startswith("[") else second.partition("=")[0]
    same = re.compile(rf"\s*{re.escape(key.strip())}\s*({'#' if '[' in key else '='}.*)?")
    found = [number for number, line in enumerate(before, start=1) if same.fullmatch(line)]
    return found[-1] if found else 0


def pick(kind: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if it is known. Raises UnknownNameError with a suggestion."""
    choices = list(known)
    if name not in choices:
        raise UnknownNameError(f"there is no {kind} {name!r}", hint=suggest(name, choices))
    return name
