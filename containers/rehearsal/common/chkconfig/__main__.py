"""A stand-in for el6's chkconfig 1.3.49 that we wrote, over the same headers and links.

Its answers, links and exit codes were compared with those of chkconfig 1.3.49.5 itself, case by
case: tests/unit/data/sysv/chkconfig.toml. That program's faults are kept, since a host has them
too; each is marked "fault". Left out: xinetd's services, install_initd, translations, and what
an override file with a broken line does (a matter of chance there, ignored here). Python 3.9's
standard library.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

from headers import levels_of
from links import Host, Refused
from verbs import add, delete, listed, override, query, switch

NAME = "chkconfig version 1.3.49.5 (a stand-in of the rehearsal host)"
USAGE = f"""\
{NAME}
usage:   chkconfig [--list] [--type <type>] [name]
         chkconfig --add <name>
         chkconfig --del <name>
         chkconfig --override <name>
         chkconfig [--level <levels>] [--type <type>] <name> <on|off|reset|resetpriorities>"""
VERBS = {"--add": add, "--del": delete, "--override": override}
STATES = ("on", "off", "reset", "resetpriorities")


def usage() -> NoReturn:
    """Refuse with the synopsis."""
    raise Refused(USAGE)


def run(argv: list[str], etc: Path) -> int:
    """Do what the arguments say; returns the exit code. Raises Refused."""
    verbs: set[str] = set()
    words: list[str] = []
    levels: frozenset[int] | None = frozenset()
    rest = iter(argv)
    for word in rest:
        option, _, value = word.partition("=")
        if option in ("--level", "--levels"):
            levels = levels_of(value or next(rest, ""))
        elif option == "--type" and (value or next(rest, "")) != "sysv":
            raise Refused("this stand-in knows --type sysv alone")
        elif word in ("--version", "-v"):
            print(NAME)
            return 0
        elif word in (*VERBS, "--list"):
            verbs.add(word)
        elif word in ("--help", "-h"):
            usage()
        elif word.startswith("-") and option != "--type":
            raise Refused(f"{word}: unknown option")
        elif option != "--type":
            words.append(word)
    if len(verbs) > 1:
        raise Refused("only one of --list, --add, --del, or --override may be specified")
    if not argv:
        verbs = {"--list"}
    return obey("".join(verbs), words, levels, Host(etc))


def obey(verb: str, words: list[str], levels: frozenset[int] | None, host: Host) -> int:
    """Do what one verb, or the lack of one, asks for. Raises Refused."""
    if verb == "--list":
        if len(words) > 1:
            usage()
        return listed(host, words[0] if words else None)
    if verb:
        if len(words) != 1 or not words[0]:
            usage()
        return VERBS[verb](host, Path(words[0]).name)
    if not words or levels is None:
        usage()
    if len(words) == 1:
        return query(host, words[0], levels)
    if words[1] not in STATES:
        usage()
    return switch(host, words[0], levels, words[1])


def main(argv: list[str], etc: Path = Path("/etc")) -> int:
    """Run, and say why not."""
    try:
        return run(argv, etc)
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
