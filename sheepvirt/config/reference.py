"""A reference of a TOML file's keys in Markdown, from the declarations that read them. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sheepvirt.config.keys import Key, Section


def table(section: Section) -> str:
    """Return a table of the keys of a section: what each takes, its default, what it means."""
    rows = [
        f"| `{key.name}` | {key.kind.title} | {_default(key)} | {key.meaning} |"
        for key in section.keys
    ]
    rows += [
        f"| `{group.key}` | {'list of tables' if group.listed else 'tables'} | none | "
        f"{group.meaning} |"
        for group in section.groups
    ]
    return "\n".join(["| key | value | default | what it says |", "|---|---|---|---|", *rows])


def _default(key: Key[object]) -> str:
    if key.otherwise:
        return key.otherwise
    if key.required:
        return "**required**"
    return f"`{json.dumps(key.plain_default)}`"
