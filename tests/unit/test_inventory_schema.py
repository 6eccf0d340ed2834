"""The JSON schema of the inventory accepts what the parser accepts, and knows the same keys."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fastjsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sheepvirt.config import inventory, keys, schema
from sheepvirt.core import paths, sizes
from sheepvirt.core.errors import ConfigError
from tests.here import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.config.keys import Key, Section

SCHEMA = schema.document(inventory.SECTION)
VALIDATE = fastjsonschema.compile(SCHEMA)
INVENTORIES = [
    path
    for path in sorted(paths.ROOT.glob("**/inventory.toml"))
    if not {"dist", ".venv"} & set(path.relative_to(paths.ROOT).parts)
]


def sections(top: Section) -> Iterator[Section]:
    """Yield a section and all below it."""
    yield top
    for group in top.groups:
        yield from sections(group.section)


def objects(top: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each table that a schema describes, in the order of ``sections``."""
    yield top
    for found in top["properties"].values():
        if found.get("type") == "object":
            yield from objects(found["additionalProperties"])
        elif found.get("type") == "array" and found["items"]["type"] == "object":
            yield from objects(found["items"])


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: str(path.relative_to(paths.ROOT)))
def test_the_inventories_of_the_repo_are_valid(path: Path) -> None:
    VALIDATE(tomllib.loads(path.read_text(encoding="utf-8")))
    assert inventory.check(replace(SETTINGS, inventory=path))


def test_there_are_inventories() -> None:
    assert len(INVENTORIES) >= 2


def test_the_schema_has_the_keys_of_the_parser_and_no_others() -> None:
    tables = list(zip(sections(inventory.SECTION), objects(SCHEMA), strict=True))
    assert len(tables) == 4
    for section, found in tables:
        known = {key.name for key in section.keys} | {group.key for group in section.groups}
        assert set(found["properties"]) == known
        assert found["additionalProperties"] is False
        assert all(value["description"] for value in found["properties"].values())


EVERYTHING = """
[hosts.a]
target = "rehearsal"
bridge = "br0"
network = "lan"

[hosts.a.guests.g]
memory = "1 GB"
line = "up"
nics = [{ vlan = 10 }]
"""


def test_every_declared_key_is_used_by_the_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that nobody reads would be accepted, and have no effect."""
    used: set[int] = set()

    class Recording(keys.Values):
        def __getitem__(self, key: Key[Any]) -> Any:
            used.add(id(key))
            return super().__getitem__(key)

    monkeypatch.setattr(keys, "Values", Recording)
    path = tmp_path / "inventory.toml"
    # Two spellings of one thing are not in one guest.
    older = EVERYTHING.replace('memory = "1 GB"', "memory_mb = 1000").replace("nics =", "# nics =")
    for text in (EVERYTHING, older):
        path.write_text(text, encoding="utf-8")
        inventory.load_hosts(replace(SETTINGS, inventory=path))
    declared = [key for section in sections(inventory.SECTION) for key in section.keys]
    assert [key.name for key in declared if id(key) not in used] == []
    assert len({id(key) for key in declared}) == len(declared)


@pytest.mark.parametrize(
    "wrong",
    [
        EVERYTHING.replace("memory =", "memroy ="),
        EVERYTHING.replace('"1 GB"', '"1 G"'),
        EVERYTHING.replace('"1 GB"', "1"),
        EVERYTHING + "memory_mb = 1\n",
        EVERYTHING.replace('memory = "1 GB"\n', ""),
        EVERYTHING.replace("10", "4095"),
        EVERYTHING.replace("vlan = 10", 'mac = "52-54-00-12-34-56"'),
        EVERYTHING.replace("vlan = 10", "vlna = 10"),
        EVERYTHING.replace("[{ vlan = 10 }]", "[]"),
        EVERYTHING + 'network = "lan"\n',
        EVERYTHING + "vcpus = 0\n",
        EVERYTHING + 'disk = "vdi"\n',
        EVERYTHING + 'disk = "file"\ndisk_size = "1 GB"\n',
        EVERYTHING.replace("guests.g]", "guests.'g h']"),
        EVERYTHING.replace('"br0"', '"a bridge"'),
        EVERYTHING.replace('network = "lan"', 'network = "lan"\nssh = "a"\nport = 22'),
        EVERYTHING.replace('network = "lan"', 'network = "lan"\nssh = "a"\nrehearsal = true'),
        EVERYTHING.replace('network = "lan"', 'network = "lan"\nsheepdog_listen = [1]'),
        EVERYTHING.replace('bridge = "br0"\n', ""),
    ],
)
def test_an_editor_shows_what_the_parser_refuses(tmp_path: Path, wrong: str) -> None:
    VALIDATE(tomllib.loads(EVERYTHING))
    with pytest.raises(fastjsonschema.JsonSchemaException):
        VALIDATE(tomllib.loads(wrong))
    path = tmp_path / "inventory.toml"
    path.write_text(wrong, encoding="utf-8")
    with pytest.raises(ConfigError):
        inventory.load_hosts(replace(SETTINGS, inventory=path))


WORDS = st.sampled_from(
    ["", "a", "a b", "eth0", "dhcp", "192.0.2.7/24", "lan", "file", "sysv", "ü"]
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    WORDS,
    st.integers(-1, 70000),
    st.booleans(),
    st.lists(WORDS, max_size=2),
    st.integers(0, 2**43).map(sizes.text),
)
HOST_KEYS = [key.name for key in list(sections(inventory.SECTION))[1].keys]
GUEST_KEYS = [key.name for key in list(sections(inventory.SECTION))[2].keys]


@examples(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    host=st.dictionaries(st.sampled_from(HOST_KEYS), VALUES, max_size=4),
    guest=st.dictionaries(st.sampled_from(GUEST_KEYS), VALUES, max_size=3),
)
def test_what_the_parser_accepts_the_schema_accepts(
    tmp_path: Path, host: dict[str, Any], guest: dict[str, Any]
) -> None:
    usual = {"target": "rehearsal", "bridge": "br0", "network": "lan"}
    first = {} if "memory_mb" in guest else {"memory": "1 GB"}
    rows = [
        "[hosts.a]",
        *(f"{key} = {json.dumps(value)}" for key, value in {**usual, **host}.items()),
        "[hosts.a.guests.g]",
        *(f"{key} = {json.dumps(v)}" for key, v in {**first, "line": "up", **guest}.items()),
    ]
    path = tmp_path / "inventory.toml"
    path.write_text("\n".join(rows), encoding="utf-8")
    try:
        inventory.load_hosts(replace(SETTINGS, inventory=path))
    except ConfigError:
        return
    VALIDATE(tomllib.loads("\n".join(rows)))
