"""Facts of sheepvirt's files on a host: disks, hashes, notes."""

from __future__ import annotations

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


def _content(text: str) -> str | None:
    return text.strip() or None


TEXTS = queried_fact(
    "text", '[ ! -r "$value" ] || cat "$value"\n', lambda query: query.texts, _content
)
