"""What decides which disk image a guest gets."""

from dataclasses import replace

import factories
import pytest

from sheepvirt.core.errors import ConfigError
from sheepvirt.images import guest as guests
from sheepvirt.images import recipes
from sheepvirt.run import Run
from tests.here import SETTINGS

GUEST = factories.guest(console_marker="papeete: ia ora na")


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tag of the image of the parts, which a test may change."""
    tag = ["guest:1"]
    monkeypatch.setattr(recipes, "tag_of", lambda _settings, _target, _kind: tag[0])
    return tag


def test_name_is_stable_and_readable() -> None:
    name = guests.image_name(SETTINGS, GUEST)
    assert name == guests.image_name(SETTINGS, GUEST)
    assert name.startswith("papeete-")
    assert name.endswith(".img")


def test_name_changes_with_line_and_recipe_only(recipe: list[str]) -> None:
    names = {
        guests.image_name(SETTINGS, GUEST),
        guests.image_name(SETTINGS, replace(GUEST, console_marker="another")),
    }
    assert guests.image_name(SETTINGS, replace(GUEST, memory=512 * 10**6, title="another")) in names
    recipe[0] = "guest:2"
    names.add(guests.image_name(SETTINGS, GUEST))
    assert len(names) == 3


@pytest.mark.parametrize("name", ["../../etc/x", "a b", "$(touch x)", "ぱぺーて", "it's"])
def test_name_of_a_guest_cannot_leave_the_folder(name: str) -> None:
    file = guests.image_name(SETTINGS, replace(GUEST, name=name))
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


def test_an_image_that_is_there_is_used(run: Run) -> None:
    path = run.settings.dist / "guests" / guests.image_name(run.settings, GUEST)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a disk")
    assert guests.ensure_image(run, GUEST) == path
    assert path.read_bytes() == b"a disk"
