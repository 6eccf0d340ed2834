"""Keys of TOML tables as declarations.

A key is declared once: its name, how its value is written, its default, what it means. From that it
is read (here), and described to editors (`schema.py`) and to people (`reference.py`), so the three
cannot differ.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from sheepvirt.core.errors import ConfigError, ConfigErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import EllipsisType

    from sheepvirt.core.tables import Table

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[T_co]):
    """How a value is written."""

    title: str  # in the reference: "whole number"
    schema: Mapping[str, object]  # JSON schema; it may accept more than `read`, and never less
    read: Callable[[Table, str], T_co]  # the value of a key that is there. Raises ConfigError


@dataclass(frozen=True, kw_only=True)
class Key(Generic[T_co]):
    """A key of a table."""

    name: str
    kind: Kind[T_co]
    meaning: str
    default: T_co | EllipsisType = ...  # ...: the key is required
    otherwise: str = ""  # the default in words, where it depends on other keys

    @property
    def required(self) -> bool:
        """Whether a table without it is refused."""
        return self.default is ...

    @property
    def plain_default(self) -> object:
        """Return its default as JSON has it."""
        if isinstance(self.default, tuple):
            return list(self.default)
        return str(self.default) if isinstance(self.default, str) else self.default

    def read(self, table: Table) -> T_co:
        """Return its value, or its default. Raises ConfigError."""
        if self.name in table.names() or self.default is ...:
            return self.kind.read(table, self.name)
        return self.default


@dataclass(frozen=True, kw_only=True)
class Apart:
    """Two keys that are not in one table; ``with_value`` restricts that to a value of the second.

    ``why`` and ``hint`` end the error; ``{0}`` is the value of the first.
    """

    first: str
    second: str
    hint: str
    why: str = ""
    with_value: object = None

    def check(self, table: Table) -> None:
        """Raise ConfigError if both are there."""
        if not {self.first, self.second} <= set(table.names()):
            return
        if self.with_value is None or table.plain(self.second) == self.with_value:
            table.refuse(
                self.first,
                f"and {self.second!r} are both set{self.why}",
                hint=self.hint.format(repr(table.plain(self.first))),
            )


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """Keys of which a table has one and only one; the first is the usual one."""

    keys: tuple[str, ...]
    example: str  # a line to add where all are missing

    def check(self, table: Table) -> None:
        """Raise ConfigError if none of them, or several, are there."""
        there = [key for key in self.keys if key in table.names()]
        if not there:
            table.missing(self.keys[0], self.example)
        if len(there) > 1:
            first, second = there[:2]
            what = f"and {second!r} are both set: {table.plain(first)!r}, {table.plain(second)!r}"
            table.refuse(first, what, hint=f"remove one of them, such as `{there[-1]}`")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Tables in a table: named ones (``[hosts.NAME]``), or (``listed``) a list (``[[nics]]``)."""

    key: str
    section: Section
    meaning: str
    listed: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table: its keys, its named tables, and which keys exclude one another."""

    path: str  # as the reference shows it: hosts.HOST
    meaning: str
    keys: tuple[Key[object], ...] = ()
    groups: tuple[Group, ...] = ()
    rules: tuple[Apart | OneOf, ...] = ()

    def read(self, table: Table, problems: Problems) -> Values | None:
        """Return the values of the table; None if one of them is a problem."""
        before = problems.count
        table.knows(*(key.name for key in self.keys), *(group.key for group in self.groups))
        found: dict[str, object] = {}
        for key in self.keys:
            with problems.collecting():
                found[key.name] = key.read(table)
        for rule in self.rules:
            with problems.collecting():
                rule.check(table)
        problems.add(*table.unknown())
        return Values(table, found) if problems.count == before else None


class Values:
    """The values of one table, by key."""

    def __init__(self, table: Table, found: Mapping[str, object]) -> None:
        self.table = table
        self._found = found

    def __getitem__(self, key: Key[T]) -> T:
        """Return the value of ``key``, or its default."""
        return cast("T", self._found[key.name])

    def said(self, key: Key[object]) -> bool:
        """Tell whether the table has the key itself."""
        return key.name in self.table.names()


@dataclass
class Problems:
    """The errors of a file, so that all of them are said at once."""

    found: list[ConfigError] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many there are so far."""
        return len(self.found)

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Add the error that ends the block."""
        try:
            yield
        except ConfigError as error:
            self.add(error)

    def add(self, *errors: ConfigError) -> None:
        """Add errors."""
        self.found += errors

    def stop(self) -> None:
        """Raise them, if there are any, as one error."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise ConfigErrors(self.found)
