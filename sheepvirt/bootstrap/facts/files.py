"""Facts of sheepvirt's files on a host: disks, hashes, notes."""

from __future__ import annotations

import re

from sheepvirt.bootstrap.facts.fact import queried_fact


def _origin(text: str) -> str | None:
    return text.removeprefix("there ").strip() if text.startswith("there ") else None


DISKS = queried_fact(
    "disk",
    '[ ! -e "$value" ] || { printf \'there \'; cat "$value.from" 2>/dev/null; }\n',
    lambda query: query.disks,
    _origin,
)


def _hash(text: str) -> str | None:
    return text.split(maxsplit=1)[0] if text.strip() else None


HASHES = queried_fact(
    "file", '[ ! -r "$value" ] || sha256sum <"$value"\n', lambda query: query.files, _hash
)


def _tree(text: str) -> dict[str, str] | None:
    rows = (re.split(r" [ *]\./", line, maxsplit=1) for line in text.splitlines())
    return {row[1]: row[0] for row in rows if len(row) == 2} or None


# Every byte is read: size and time stay the same where a disk forgets a bit. openssl uses the
# processor's own instructions for that, sha256sum often does not. So few files for each program
# that its lines come in one piece.
TREES = queried_fact(
    "tree",
    r"""
cd "$value" 2>/dev/null || exit
hash='openssl dgst -sha256 -r'
$hash </dev/null >/dev/null 2>&1 || hash=sha256sum
find . -type f -print0 | xargs -0 -r -n 8 -P 2 $hash 2>/dev/null
""",
    lambda query: query.trees,
    _tree,
    beside=True,
)


def _content(text: str) -> str | None:
    return text.strip() or None


TEXTS = queried_fact(
    "text", '[ ! -r "$value" ] || cat "$value"\n', lambda query: query.texts, _content
)
