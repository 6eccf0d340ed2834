"""Gather the facts of a host in one round trip.

The host runs a POSIX shell script from standard input (no Python there), which is made of the
facts' fragments and prints sections. A section starts with a random boundary, so no text from the
host (such as a domain's title) can be mistaken for the start of a section.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sheepvirt.bootstrap.facts.facts import Facts, all_facts
from sheepvirt.core.errors import BootstrapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sheepvirt.bootstrap.facts.fact import Fact, FactQuery, Fragment, Sections
    from sheepvirt.ssh.client import Connection

START = r"""
boundary=$1; shift
section() { printf '\n%s %s\n' "$boundary" "$1"; }
has() { command -v "$1" >/dev/null 2>&1; }
"""


def fragments(facts: Iterable[Fact[object]]) -> tuple[Fragment, ...]:
    """Return the fragments of ``facts``, each once, in order."""
    return tuple(dict.fromkeys(one for fact in facts for one in fact.fragments))


def script(parts: Iterable[Fragment]) -> str:
    """Return the script that runs fragments, each in a subshell: none can end or change another.

    They have no standard input, because the script itself comes from there.
    """
    parts = tuple(parts)
    fixed = (f"section {p.name}\n{_alone(p)}\n" for p in parts if not p.arguments)
    queried = (f"  {p.name}:*) {_alone(p)} ;;\n" for p in parts if p.arguments)
    return (
        START
        + "".join(fixed)
        + 'for wanted; do\n  value=${wanted#*:}\n  section "$wanted"\n  case $wanted in\n'
        + "".join(queried)
        + "  esac\ndone\nsection end\nexit 0\n"
    )


def _alone(part: Fragment) -> str:
    return f"(\n{part.shell.strip()}\n) </dev/null"


FRAGMENTS = fragments(all_facts().values())
SCRIPT = script(FRAGMENTS)


def arguments(query: FactQuery) -> list[str]:
    """Return the script's arguments, after the boundary."""
    return [f"{p.name}:{v}" for p in FRAGMENTS if p.arguments for v in p.arguments(query)]


def gather(connection: Connection, query: FactQuery) -> Facts:
    """Gather facts in one round trip; change nothing. Raises SshError, BootstrapError."""
    boundary = f"@@{secrets.token_hex(12)}"
    argv = ["sh", "-s", "--", boundary, *arguments(query)]
    result = connection.run(argv, stdin=SCRIPT.encode())
    found = sections(result.stdout, boundary)
    if "end" not in found:
        raise BootstrapError(
            f"{connection.host.name} did not answer the whole query; its last output:\n"
            f"{(result.stdout + result.stderr)[-400:]}",
            hint="is /bin/sh on the host a POSIX shell? does its login shell print anything?",
        )
    return parse(found)


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
