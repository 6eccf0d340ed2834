"""docs/inventory.md: its tables are the parser's, its examples work, its mistakes are refused."""

from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import fastjsonschema
import pytest

from sheepvirt.config import inventory, reference, schema
from sheepvirt.core import paths, sizes
from sheepvirt.core.errors import ConfigError
from tests.here import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from sheepvirt.config.keys import Section

PAGE = paths.ROOT / "docs" / "inventory.md"
TEXT = PAGE.read_text(encoding="utf-8")
VALIDATE = fastjsonschema.compile(schema.document(inventory.SECTION))
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
MISTAKES = re.findall(r"^\| (host|guest|both hosts) \| `(.*)` \| (.*) \| (.*) \|$", TEXT, re.M)
HOST_SECTION = inventory.SECTION.groups[0].section
GUEST_SECTION = HOST_SECTION.groups[0].section
SECTIONS = (HOST_SECTION, GUEST_SECTION, GUEST_SECTION.groups[0].section)


def filled(text: str, section: Section) -> str:
    """Return the page with the table of a section between its two comments."""
    place = rf"(<!-- keys: {re.escape(section.path)} -->\n).*?(<!-- end -->)"
    table = reference.table(section)
    return re.sub(place, lambda m: f"{m[1]}\n{table}\n\n{m[2]}", text, count=1, flags=re.DOTALL)


def test_the_tables_of_keys_are_those_of_the_parser(request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for section in SECTIONS:
        assert f"<!-- keys: {section.path} -->" in text
        text = filled(text, section)
    if request.config.getoption("--regenerate"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "as it should be? pytest --regenerate"


def test_every_key_is_in_an_example_or_needs_none() -> None:
    written = {key for text in EXAMPLES for key in re.findall(r"\b(\w+) = ", text)}
    declared = {key.name for section in SECTIONS for key in section.keys} | {"nics"}
    assert written <= declared
    assert declared - written == {"init", "language", "treat_as_real"}  # of rehearsals alone


@pytest.mark.parametrize("text", EXAMPLES)
def test_each_example_is_a_right_inventory(tmp_path: Path, text: str) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text(text, encoding="utf-8")
    assert inventory.check(replace(SETTINGS, inventory=path))
    VALIDATE(tomllib.loads(text))


def test_there_are_examples_and_mistakes() -> None:
    assert len(EXAMPLES) >= 9
    assert len(MISTAKES) >= 20


def with_mistake(where: str, written: str) -> str:
    """Return an inventory that is right but for the lines that are ``written``."""
    host = {"target": '"el6"', "bridge": '"ovsbr0"', "network": '"ovsbr0"'}
    guest = {"memory": '"1 GB"', "line": '"up"'}
    said = dict(line.split(" = ", 1) for line in written.split("; "))
    if where == "guest":
        guest |= said
    else:
        host |= said
    tables = {"hosts.papara": host, "hosts.papara.guests.g": guest}
    if where == "both hosts":
        tables["hosts.faaa"] = host
    return "\n".join(
        f"[{table}]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())
        for table, rows in tables.items()
    )


@pytest.mark.parametrize(("where", "written", "why", "hint"), MISTAKES)
def test_each_mistake_is_refused_as_the_page_says(
    tmp_path: Path, where: str, written: str, why: str, hint: str
) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text(with_mistake(where, written), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        inventory.load_hosts(replace(SETTINGS, inventory=path))
    assert caught.value.message.partition("inventory.toml: ")[2] == why
    assert caught.value.hint == hint


def test_the_table_of_units_is_libvirts() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d^]+) \| (?:`(\w+)` \| ([\d^]+))? ?\|", TEXT, re.MULTILINE
    )
    assert len(rows) == 5
    for decimal, ten, binary, two in rows:
        for name, amount in filter(all, ((decimal, ten), (binary, two))):
            base, _, power = amount.partition("^")
            assert sizes.parse(f"1 {name}") == int(base) ** int(power or 1)


def test_the_way_to_the_first_real_machine_starts_with_a_right_inventory(tmp_path: Path) -> None:
    """The same five lines are on each page; test_first_machine.py of the pipeline runs them."""
    found = [
        re.findall(r"^    (printf .*|invoke [^#\n]*)", page.partition(title)[2], re.MULTILINE)[:5]
        for page, title in (
            ((paths.ROOT / "README.md").read_text(encoding="utf-8"), "your first real machine"),
            ((paths.ROOT / "README.ja.md").read_text(encoding="utf-8"), "`ssh papara`"),
            (TEXT, "the first real machine"),
        )
    ]
    lines, *others = [[line.strip() for line in page] for page in found]
    assert [line.split()[1] for line in lines[1:]] == [
        "inventory", "build-rpms", "bootstrap", "bootstrap",
    ]  # fmt: skip  # a list
    assert all(other == lines for other in others)
    path = tmp_path / "host" / "inventory.toml"
    path.parent.mkdir()
    path.write_text((paths.ROOT / "host" / "inventory.toml").read_text(encoding="utf-8"))
    subprocess.run(["sh", "-c", lines[0]], cwd=tmp_path, check=True)
    papara = inventory.check(replace(SETTINGS, inventory=path))["papara"]
    assert papara.real
    assert (papara.ssh, papara.target, papara.guests) == ("papara", "el6", ())
