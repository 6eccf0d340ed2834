"""What decides which disk image a guest gets."""

from dataclasses import replace
from pathlib import Path

import factories
import pytest

from sheepvirt.core.errors import ConfigError
from sheepvirt.core.progress import quiet
from sheepvirt.images import guest as guests
from sheepvirt.images import recipes

GUEST = factories.guest(console_marker="papeete: ia ora na")


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tag of the image of the parts, which a test may change."""
    tag = ["guest:1"]
    monkeypatch.setattr(recipes, "tag_of", lambda _target, _kind: tag[0])
    return tag


def test_name_is_stable_and_readable() -> None:
    name = guests.image_name(GUEST)
    assert name == guests.image_name(GUEST)
    assert name.startswith("papeete-")
    assert name.endswith(".img")


def test_name_changes_with_line_and_recipe_only(recipe: list[str]) -> None:
    names = {guests.image_name(GUEST), guests.image_name(replace(GUEST, console_marker="another"))}
    assert guests.image_name(replace(GUEST, memory_mb=512, title="another")) in names
    recipe[0] = "guest:2"
    names.add(guests.image_name(GUEST))
    assert len(names) == 3


@pytest.mark.parametrize("name", ["../../etc/x", "a b", "$(touch x)", "ぱぺーて", "it's"])
def test_name_of_a_guest_cannot_leave_the_folder(name: str) -> None:
    file = guests.image_name(replace(GUEST, name=name))
    assert "/" not in file
    assert file.isascii()
    assert not set(file) & set("$()' ")


@pytest.mark.parametrize("line", ["", "  ", "two\nlines", "esc\x1b[2J", "ends in space "])
def test_a_line_that_no_console_shows_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match="papeete"):
        guests.check_console_marker(replace(GUEST, console_marker=line))


def test_a_line_may_have_quotes_and_any_script() -> None:
    guests.check_console_marker(
        replace(GUEST, console_marker='it\'s "up" $(touch /tmp/pwned) `x` 日本語')
    )


def test_an_image_that_is_there_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse() -> None:
        raise AssertionError("no engine is needed")

    monkeypatch.setenv("SHEEPVIRT_DIST", str(tmp_path))
    monkeypatch.setattr(guests, "Engine", refuse)
    path = tmp_path / "guests" / guests.image_name(GUEST)
    path.parent.mkdir()
    path.write_bytes(b"a disk")
    assert guests.ensure_image(GUEST, quiet()) == path
    assert path.read_bytes() == b"a disk"
