"""A program that takes the place of virsh: it runs one command, or several in one string."""


def virsh(body: str, first: str = "") -> str:
    """Return lines of shell; ``body`` answers one command, which it has as ``$@``.

    As with virsh, a command that fails ends no other, and `echo` adds no newline. ``first`` runs
    before all commands; it has the whole command line.
    """
    return f"""{first}
shift 3
one() {{ (
[ $1 = echo ] && {{ shift; printf '%s' "$*"; exit; }}
{body}
) }}
if [ $# -gt 1 ]; then one "$@"; exit; fi
eval "$(printf '%s' "$1" | sed 's/^ *\\([a-z]\\)/one \\1/; s/; *\\([a-z]\\)/; one \\1/g')"
"""
