"""Gather the facts of a host in one round trip.

The host runs a POSIX shell script from standard input (no Python there), which is made of the
facts' fragments and prints sections. A section starts with a random boundary, so no text from the
host (such as a domain's title) can be mistaken for the start of a section.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.facts import Facts, all_facts
from sheepvirt.core.errors import BootstrapError, BrokenXmlError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sheepvirt.bootstrap.facts.fact import Fact, FactQuery, Fragment, Sections
    from sheepvirt.ssh.client import Connection

START = r"""
boundary=$1; shift
section() { printf '\n%s %s\n' "$boundary" "$1"; }
has() { command -v "$1" >/dev/null 2>&1; }
lost=
"""


def fragments(facts: Iterable[Fact[object]]) -> tuple[Fragment, ...]:
    """Return the fragments of ``facts``, each once, in order."""
    return tuple(dict.fromkeys(one for fact in facts for one in fact.fragments))


def script(parts: Iterable[Fragment]) -> str:
    """Return the script that runs fragments, each in a subshell: none can end or change another.

    They have no standard input, because the script itself comes from there. What runs beside the
    others prints into a pipe, which is read last.
    """
    parts = tuple(parts)
    preludes = dict.fromkeys(p.prelude.strip() for p in parts if p.prelude)
    fixed = (f"section {p.name}\n{_alone(p)}\n" for p in parts if not p.arguments)
    inside = [p for p in parts if not p.beside]
    beside = [p for p in parts if p.beside]
    return (
        START
        + "".join(f"{prelude}\n" for prelude in preludes)
        + f"{{\n{_queried(beside)}}} | {{\n"
        + "".join(fixed)
        + f"{_queried(inside)}cat\n}}\nsection end\nexit 0\n"
    )


def _queried(parts: Iterable[Fragment]) -> str:
    cases = "".join(
        f'  {p.name}:*) section "$wanted"\n{_alone(p)} ;;\n' for p in parts if p.arguments
    )
    if not cases:
        return ":\n"
    return f"for wanted; do\n  value=${{wanted#*:}}\n  case $wanted in\n{cases}  esac\ndone\n"


def _alone(part: Fragment) -> str:
    return f"(\n{part.shell.strip()}\n) </dev/null || [ $? -ne 99 ] || lost=yes"


FRAGMENTS = fragments(all_facts().values())
SCRIPT = script(FRAGMENTS)


def arguments(query: FactQuery) -> list[str]:
    """Return the script's arguments, after the boundary."""
    return [f"{p.name}:{v}" for p in FRAGMENTS if p.arguments for v in p.arguments(query)]


def gather(connection: Connection, query: FactQuery) -> Facts:
    """Gather facts in one round trip; change nothing. Raises SshError, BootstrapError.

    BrokenXmlError is a BootstrapError: it names the object whose XML is broken.
    """
    boundary = f"@@{secrets.token_hex(12)}"
    argv = ["sh", "-s", "--", boundary, *arguments(query)]
    result = connection.run(argv, stdin=SCRIPT.encode())
    found = sections(result.stdout, boundary)
    name = connection.host.name
    if "end" not in found:
        raise BootstrapError(
            f"{name} did not answer the whole query; its last output:\n"
            f"{(result.stdout + result.stderr)[-400:]}",
            hint="is /bin/sh on the host a POSIX shell? does its login shell print anything?",
        )
    try:
        return parse(found)
    except BrokenXmlError as error:
        raise BrokenXmlError(f"{name}: {error.message}", hint=error.hint) from error


def sections(text: str, boundary: str) -> dict[str, str]:
    """Split the script's output at its boundaries; return section name to content."""
    found = {}
    for part in ("\n" + text).split(f"\n{boundary} ")[1:]:
        name, _, content = part.partition("\n")
        found[name] = content
    return found


def parse(found: Sections) -> Facts:
    """Parse sections with the parser of each fact."""
    return Facts(**{name: fact.parse(found) for name, fact in all_facts().items()})
