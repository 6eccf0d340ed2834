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
    from collections.abc import Iterable, Sequence

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
    return (
        START
        + "".join(f"{prelude}\n" for prelude in preludes)
        + f"{{\n{_run([p for p in parts if p.beside])}}} | {{\n"
        + _run([p for p in parts if not p.beside])
        + "cat\n}\nsection end\nexit 0\n"
    )


def _run(parts: Sequence[Fragment]) -> str:
    """Return lines that run ``parts``: without arguments, with all of them, with each of them."""
    fixed = (f"section {p.name}\n{_alone(p)}\n" for p in parts if not p.arguments)
    together = (f"{_alone(p, _own_arguments(p))}\n" for p in parts if p.together)
    each = [p for p in parts if p.arguments and not p.together]
    return ":\n" + "".join(fixed) + "".join(together) + (_for_each(each) if each else "")


def _for_each(parts: Iterable[Fragment]) -> str:
    cases = "".join(f'  {p.name}:*) section "$wanted"\n{_alone(p)} ;;\n' for p in parts)
    return f"for wanted; do\n  value=${{wanted#*:}}\n  case $wanted in\n{cases}  esac\ndone\n"


def _own_arguments(part: Fragment) -> str:
    """Return lines that leave only the arguments of ``part``, without its name, in ``$@``."""
    return f"""
begin() {{ section "{part.name}:$1"; }}
for value; do
  shift
  case $value in {part.name}:*) set -- "$@" "${{value#*:}}" ;; esac
done
"""


def _alone(part: Fragment, before: str = "") -> str:
    return f"({before}\n{part.shell.strip()}\n) </dev/null || [ $? -ne 99 ] || lost=yes"


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
