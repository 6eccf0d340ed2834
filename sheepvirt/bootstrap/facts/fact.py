"""Define what a fact is: shell fragments, and the pure parser of what they print.

A new fact is one `Fact` in the module of its topic, and the field of `Facts` (facts.py) that names
it. The script and the assembly follow from the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
# What the script printed, by section. An absent or empty section means: the thing does not exist.
Sections = Mapping[str, str]
FACT = "fact"  # key of a field's metadata


@dataclass(frozen=True, kw_only=True)
class FactQuery:
    """What to look up on a host, in addition to what is always looked up."""

    names: tuple[str, ...] = ()  # does an installed rpm provide them?
    modules: tuple[str, ...] = ()  # of the kernel
    services: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    changed_networks: tuple[str, ...] = ()  # those of them that a run may define
    pools: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()  # paths; PATH.from says what a disk was made from
    files: tuple[str, ...] = ()  # paths to hash
    texts: tuple[str, ...] = ()  # paths of small files to read
    trees: tuple[str, ...] = ()  # folders of which every file is hashed


Arguments = Callable[[FactQuery], tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """Lines of POSIX shell that print the section ``name``.

    With ``arguments`` they run once for each of them, as ``$value``, and print NAME:VALUE. They may
    start more sections with ``section KIND:NAME``, and ask ``has PROGRAM``. Each run has a subshell
    of its own and no standard input. ``prelude`` runs before all fragments, outside of subshells:
    what it sets, all see. If a fragment exits with 99, ``$lost`` is set for the next ones.
    ``beside``: it waits or takes long, so it runs at the same time as the others.
    ``together``: it runs once for all its arguments, which are its ``$@``, and starts their
    sections itself, with ``begin VALUE``: one program may answer for all of them.
    """

    name: str
    shell: str
    arguments: Arguments | None = None
    prelude: str = ""
    beside: bool = False
    together: bool = False


@dataclass(frozen=True)
class Fact(Generic[T_co]):
    """What is known of a host about one thing. Facts that share a fragment run it once."""

    fragments: tuple[Fragment, ...]
    parse: Callable[[Sections], T_co]


def fixed_fact(name: str, shell: str, parse: Callable[[str], T]) -> Fact[T]:
    """Return a fact of one section."""
    return Fact((Fragment(name=name, shell=shell),), lambda sections: parse(sections.get(name, "")))


def queried_fact(
    name: str,
    shell: str,
    arguments: Arguments,
    parse: Callable[[str], T | None],
    *,
    beside: bool = False,
) -> Fact[dict[str, T]]:
    """Return a fact of one section per argument; those that ``parse`` calls None are left out."""

    def parse_all(sections: Sections) -> dict[str, T]:
        found = ((value, parse(text)) for value, text in of_kind(sections, name).items())
        return {value: one for value, one in found if one is not None}

    part = Fragment(name=name, shell=shell, arguments=arguments, beside=beside)
    return Fact((part,), parse_all)


def of_kind(sections: Sections, kind: str) -> dict[str, str]:
    """Return the sections KIND:VALUE, by value."""
    start = f"{kind}:"
    return {n.removeprefix(start): text for n, text in sections.items() if n.startswith(start)}


def filled_by(fact: Fact[T]) -> T:
    """Declare a field of `Facts`. Its default is what the fact is where nothing exists."""
    return field(default_factory=lambda: fact.parse({}), metadata={FACT: fact})


def is_yes(text: str) -> bool:
    """Parse the output of a fragment that prints "yes" or nothing."""
    return text.strip() == "yes"
