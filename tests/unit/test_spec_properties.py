"""Properties of the patch, on specs put together at random and on specs torn apart at random."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from norpm.macro import MacroRegistry
from norpm.specfile import specfile_expand_string

from sheepvirt.core.errors import SpecError
from sheepvirt.spec import by_intent
from tests.here import SETTINGS

DATA = Path(__file__).parent / "data" / "spec"
WHOLE = [path.read_text(encoding="utf-8") for path in sorted(DATA.iterdir())]
INTENT = by_intent.load_intent(SETTINGS.patches / "libvirt" / "enable-sheepdog.toml")
TARGETS = [{"rhel": "6"}, {"rhel": "7"}, {"rhel": "8"}, {"rhel": "9"}, {"fedora": "33"}]

ON = "0%{!?_without_storage_sheepdog:1}"
MACRO = "with_storage_sheepdog"
GATES = [
    ["%if 0%{?fedora}", f"%define {MACRO} {ON}", "%else", f"%define {MACRO} 0", "%endif"],
    ["%if 0%{?rhel}", f"%global {MACRO} 0", "%else", f"%define {MACRO} {ON}", "%endif"],
    [f"%define {MACRO} 0%{{!?_without_storage_sheepdog:0}}"],
    [f"%define {MACRO} {ON}", "%if 0%{?rhel} >= 7", f"%define {MACRO} 0", "%endif"],
    [f"%define {MACRO}  0", "%define a 1", "%if ! %{a}", f"%define {MACRO} 0", "%endif"],
]
ASKS = [f"%if %{{{MACRO}}}", "BuildRequires: sheepdog", "%endif"]
KIN = ["%if %{with_storage_rbd}", "BuildRequires: librbd-devel", "%endif"]
ARGUMENT = [
    f"%if ! %{{{MACRO}}}",
    "%define _without_storage_sheepdog --without-storage-sheepdog",
    "%endif",
    "%configure \\",
    "  %{?_without_storage_sheepdog} \\",
    "  --last",
]
NOISE = st.sampled_from(
    [
        "",
        "# %%if 0",
        "%{!?a:%define b 1}",
        "%if 0%{?rhel} > 6",
        "x \\",
        "\t",
        "%define q %{nil}",
        "é",
    ]
)


@st.composite
def specs(draw: st.DrawFn) -> str:
    """A spec that the intent fits, with random noise, indentation and line endings."""

    def noise() -> list[str]:
        found = draw(st.lists(NOISE, max_size=3))
        return found + ["%endif"] * sum(line.startswith("%if") for line in found)

    def indented(lines: list[str]) -> list[str]:
        margin = draw(st.sampled_from(["", " ", "    ", "\t"]))
        return [margin + line if line.startswith("%") else line for line in lines]

    lines = [*noise(), "%define with_storage_rbd 1", *indented(draw(st.sampled_from(GATES)))]
    lines += ["Name: x", "BuildRequires: gcc", *indented(KIN)]
    lines += draw(st.sampled_from([[], indented(ASKS)]))
    lines += ["Requires: sheepdog", "%description", "words", "%build", *indented(ARGUMENT)]
    lines += ["%changelog", *noise(), "- end"]
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    return ending.join(lines) + draw(st.sampled_from(["", ending]))


def value(text: str, macros: dict[str, str]) -> str:
    """Let norpm read the whole spec by itself, and say what the switch is at its end."""
    registry = MacroRegistry()
    registry.target = "x86_64"
    for name, body in macros.items():
        registry[name] = body
    text = text.replace("\r\n", "\n") + f"\n%changelog\nvalue=%{{{MACRO}}}\n"
    return str(specfile_expand_string(text, registry)).rpartition("value=")[2].strip()


@settings(max_examples=60, deadline=None)
@given(specs(), st.sampled_from(TARGETS))
def test_patched(text: str, macros: dict[str, str]) -> None:
    done = by_intent.patch(text, INTENT, macros)
    assert by_intent.patch(done.text, INTENT, macros).text == done.text
    assert value(done.text, macros) == "01"
    assert done.text.count("BuildRequires: sheepdog") == 1
    assert done.already == (done.diff == "") == (done.text == text)
    assert len(lost(text, done.text)) <= 1


def lost(old: str, new: str) -> list[str]:
    """Return the lines of ``old`` that are not in ``new`` in the same order, to the byte."""
    rest, missing = new.split("\n"), []
    for line in old.split("\n"):
        if line in rest:
            rest = rest[rest.index(line) + 1 :]
        else:
            missing.append(line)
    return missing


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_torn_specs_are_patched_or_refused(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(WHOLE)).splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "twice", "swap", "cut", "junk"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "twice":
                lines.insert(at, lines[at])
            case "swap":
                lines[at], lines[0] = lines[0], lines[at]
            case "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
            case _:
                lines.insert(at, data.draw(st.text(max_size=8)) + "\n")
    text = "".join(lines)
    try:
        done = by_intent.patch(text, INTENT, {"rhel": "6"})
    except SpecError as error:
        said = error.message
    else:
        assert by_intent.patch(done.text, INTENT, {"rhel": "6"}).already
        return
    assert "line " in said


FRAGMENTS = ["%if ", "%else", "%elif 1", "%endif", "%define ", "%global ", f"{MACRO} ", "0", "\\\n"]
FRAGMENTS += ["%{", "}", "%(", ")", "%[", "]", "%%", "%", "!?", "%build\n", "Requires: ", "\n", ON]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=40))
def test_garbage_is_refused(parts: list[str]) -> None:
    try:
        by_intent.patch("".join(parts), INTENT, {"rhel": "6"})
    except SpecError as error:
        said = error.message
    else:
        return
    assert "line " in said
