"""A JSON schema of a TOML file, for editors, from the declarations that read the file. Pure.

Draft 7 is what editors' TOML plug-ins know: https://json-schema.org/draft-07
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sheepvirt.config.host_values import NAME
from sheepvirt.config.keys import Apart, OneOf

if TYPE_CHECKING:
    from sheepvirt.config.keys import Group, Key, Section

DRAFT = "http://json-schema.org/draft-07/schema#"
Schema = dict[str, Any]


def document(section: Section) -> Schema:
    """Return the schema of a whole file."""
    return {"$schema": DRAFT, "title": section.meaning, **_table(section)}


def _table(section: Section) -> Schema:
    found: Schema = {
        "type": "object",
        "description": section.meaning,
        "properties": {
            **{key.name: _key(key) for key in section.keys},
            **{group.key: _group(group) for group in section.groups},
        },
        "additionalProperties": False,
    }
    required = [key.name for key in section.keys if key.required]
    if required:
        found["required"] = required
    if section.rules:
        found["allOf"] = [_rule(rule) for rule in section.rules]
    return found


def _key(key: Key[object]) -> Schema:
    found: Schema = {**key.kind.schema, "description": key.meaning}
    if not key.required and not key.otherwise:
        found["default"] = key.plain_default
    return found


def _group(group: Group) -> Schema:
    if group.listed:
        items = _table(group.section)
        return {"type": "array", "description": group.meaning, "minItems": 1, "items": items}
    return {
        "type": "object",
        "description": group.meaning,
        "propertyNames": {"pattern": NAME.schema["pattern"]},
        "additionalProperties": _table(group.section),
    }


def _rule(rule: Apart | OneOf) -> Schema:
    if isinstance(rule, OneOf):
        return {"oneOf": [{"required": [key]} for key in rule.keys]}
    both: Schema = {"required": [rule.first, rule.second]}
    if rule.with_value is not None:
        both["properties"] = {rule.second: {"const": rule.with_value}}
    return {"not": both}
