"""Patching by intent, on miniature specs of both ages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sheepvirt.core.errors import ConfigError, RuleMismatchError
from sheepvirt.spec import by_intent
from tests.here import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sheepvirt.spec.model import Patched

DATA = Path(__file__).parent / "data" / "spec"
DAEMON = (DATA / "daemon.spec").read_text(encoding="utf-8")
PLUGIN = (DATA / "plugin.spec.in").read_text(encoding="utf-8")
TOML = SETTINGS.patches / "libvirt" / "enable-sheepdog.toml"
INTENT = by_intent.load_intent(TOML)

RHEL6 = {"rhel": "6", "dist": ".el6"}
FEDORA = {"fedora": "33", "dist": ".fc33"}
TARGETS = {"rhel6": RHEL6, "rhel8": {"rhel": "8"}, "fedora16": {"fedora": "16"}, "fedora33": FEDORA}
OFF = "    %define with_storage_sheepdog 0\n"


def patch(text: str, macros: dict[str, str] | None = None) -> Patched:
    return by_intent.patch(text, INTENT, macros or RHEL6, name="x.spec")


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["daemon.spec", "plugin.spec.in"])
def test_what_changes(name: str, target: str, golden: Callable[[str, str], None]) -> None:
    text = (DATA / name).read_text(encoding="utf-8")
    done = by_intent.patch(text, INTENT, TARGETS[target], name=name)
    golden(f"{name}.{target}.txt", "".join(f"{a}\n" for a in done.actions) + done.diff)
    again = by_intent.patch(done.text, INTENT, TARGETS[target], name=name)
    assert (again.text, again.diff, again.already) == (done.text, "", True)


def test_a_spec_that_has_it_is_left_alone() -> None:
    done = patch(PLUGIN, FEDORA)
    assert done.already
    assert done.text == PLUGIN
    assert done.diff == ""
    assert any("on already" in action for action in done.actions)


def test_patched_for_one_target_after_another_nothing_is_there_twice() -> None:
    text = DAEMON
    for macros in [*TARGETS.values(), RHEL6]:
        text = patch(text, macros).text
    assert text.count("\nBuildRequires: sheepdog\n") == 1
    assert text.count("--with-storage-sheepdog") == 1


def test_every_other_line_stays_to_the_byte() -> None:
    odd = DAEMON.replace("\n", "\r\n").replace("A text.", "A\ttext\x0b \u2028  ").rstrip("\r\n")
    before, after = odd.split("\n"), patch(odd).text.split("\n")
    gone = [line for line in before if line not in after]
    new = [line for line in after if line not in before]
    assert gone == []  # "…sheepdog 0" stands a second time, where there is no daemon
    assert all(line.endswith("\r") for line in new)
    assert len(after) == len(before) + 4
    assert patch(odd).text.endswith("%endif")
    assert "No newline at end" not in patch(odd).diff


def test_the_zero_without_a_daemon_stays() -> None:
    assert patch(DAEMON).text.count(OFF) == DAEMON.count(OFF) - 1
    assert "%if ! %{with_libvirtd}" in patch(DAEMON).text.split(OFF)[0]


def test_a_builder_can_still_say_without() -> None:
    body = "%define with_storage_sheepdog 0%{!?_without_storage_sheepdog:"
    assert patch(PLUGIN).text.count(body + "1}") == 2
    assert patch(DAEMON).text.count(body + "%{server_drivers}}") == 2


@pytest.mark.parametrize(
    "definition",
    [
        "%define with_storage_sheepdog 0%{!?_without_storage_sheepdog:0}",
        "%global with_storage_sheepdog 0",
        "\t%define   with_storage_sheepdog\t0  ",
        "%if 0%{?rhel}\n%define with_storage_sheepdog 0\n%endif",
        "%if 0%{?fedora}\n%elif 0%{?rhel} == 6\n%define with_storage_sheepdog 0\n%else\n%endif",
        "%define rhel 6\n%if ! 0%{?fedora}\n%define with_storage_sheepdog 0\n%endif",
        "# %%define with_storage_sheepdog 1\n%define with_storage_sheepdog 0",
        "%define with_storage_sheepdog 0\n%if 0\n%define with_storage_sheepdog 1\n%endif",
    ],
)
def test_other_ways_to_be_off(definition: str) -> None:
    start, end = PLUGIN.index("%if 0%{?fedora}"), PLUGIN.index("%ifnarch")
    text = PLUGIN[:start] + definition + "\n" + PLUGIN[end:]
    before, after = text.split("\n"), patch(text).text.split("\n")
    changed = [now for old, now in zip(before, after, strict=True) if old != now]
    assert len(changed) == 1
    assert changed[0].split()[1:] == ["with_storage_sheepdog", "0%{!?_without_storage_sheepdog:1}"]


def test_the_argument_goes_before_a_last_line() -> None:
    last = swap(
        DAEMON, "           %{with_packager} \\\n           --with-init-script=redhat\n", ""
    )
    last = swap(last, "%{?_without_storage_sheepdog} \\\n", "%{?_without_storage_sheepdog}\n")
    added = "%{!?_without_storage_sheepdog:--with-storage-sheepdog} \\\n"
    assert f"{added}           %{{?_without_storage_sheepdog}}\nmake" in patch(last).text


def test_a_lost_requires_is_added_to_the_daemon() -> None:
    block = "    %if %{with_storage_sheepdog}\nRequires: sheepdog\n    %endif\n"
    assert patch(swap(DAEMON, block, "")).text == patch(DAEMON).text


@pytest.mark.parametrize("names", ["foo, sheepdog", "foo >= 1 sheepdog", "sheepdog >= 0.5 bar"])
def test_dependencies_are_read_as_rpm_reads_them(names: str) -> None:
    text = swap(DAEMON, "BuildRequires: gawk", f"buildrequires:{names}")
    assert "\nBuildRequires: sheepdog\n" not in patch(text).text


@pytest.mark.parametrize("names", ["sheepdog-devel", "foo >= sheepdog", "%{nil}"])
def test_other_names_are_no_evidence(names: str) -> None:
    text = swap(DAEMON, "BuildRequires: gawk", f"BuildRequires: {names}")
    assert "\nBuildRequires: sheepdog\n" in patch(text).text


SHELL = "%if %(uname) == 1\n%define with_storage_sheepdog 0\n%endif\nSummary:"
DEAD = "%if 0%{?fedora}\nBuildRequires: sheepdog\n%endif\nBuildRequires: gawk"
MISMATCHES = {
    "gone": (OFF, "", ["switch", "line 24", "line 23, %if 0%{?fedora} >= 17"]),
    "misspelt": ("with_storage_sheepdog", "with_storage_shepdog", ["line 33", "shepdog 0"]),
    "comment": (OFF, f"# {OFF.lstrip()}", ["line 26", "# %define with_storage_sheepdog 0"]),
    "lines": (OFF, f"{OFF.rstrip()} \\\n0\n", ["line 26", "not a plain %define"]),
    "inline": (OFF, "%{!?x:%define with_storage_sheepdog 0}\n", ["line 26", "%{!?x:"]),
    "shell": ("Summary:", SHELL, ["line 37", "line 36, %if %(uname)", "cannot be evaluated"]),
    "no %endif": ("%endif # with_libvirtd\n", "", ["'conditions'", "line 66", "%if %{with_lib"]),
    "no %if": ("%prep\n", "%prep\n%endif\n", ["'conditions'", "line 89", "closes nothing"]),
    "no %if for %else": ("%prep\n", "%prep\n%else\n", ["'conditions'", "line 89", "%else"]),
    "hard off": ("%{?_without_storage_sheepdog} \\", "--without-storage-sheepdog \\", ["line 102"]),
    "kept off": (
        "%if ! %{with_storage_sheepdog}",
        "%if 1",
        ["line 96", "this keeps with_storage_sheepdog off"],
    ),
    "not passed": ("%configure", "autogen.sh #", ["configure argument", "line 91", "%build"]),
    "dead": ("BuildRequires: gawk", DEAD, ["BuildRequires: sheepdog", "line 61", "line 60"]),
}


@pytest.mark.parametrize("case", MISMATCHES)
def test_what_does_not_fit_is_named(case: str) -> None:
    old, new, said = MISMATCHES[case]
    text = DAEMON.replace(old, new) if case == "misspelt" else swap(DAEMON, old, new)
    if case == "not passed":
        text = "".join(ln for ln in text.splitlines(True) if "{?_without_storage" not in ln)
    with pytest.raises(RuleMismatchError) as caught:
        patch(text)
    for part in ["x.spec: rule '", "line ", "found: ", *said]:
        assert part in caught.value.message, caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"_without_libvirtd": "--without-libvirtd"}, "off because of with_libvirtd, line 29"),
        ({"client_only": "1"}, "off because of with_libvirtd, line 29"),
        ({"_without_storage_sheepdog": "1"}, "the target itself defines _without_storage_sheepdog"),
    ],
)
def test_what_the_target_rules_out_is_refused(extra: dict[str, str], said: str) -> None:
    with pytest.raises(RuleMismatchError, match=said):
        patch(DAEMON, RHEL6 | extra)


@pytest.mark.parametrize("text", ["", "\n", "Name: x\n", "\0\xff%if", "%define", "%{" * 50])
def test_what_is_no_libvirt_spec_is_refused(text: str) -> None:
    with pytest.raises(RuleMismatchError, match="line 1: "):
        patch(text)


# --- proof ---------------------------------------------------------------------------------------

EXPANDED = """\
Name: libvirt
BuildRequires: gcc, sheepdog
%package daemon-driver-storage-sheepdog
Requires: sheepdog
%description daemon-driver-storage-sheepdog
Requires: words
%build
# meson -Dstorage_sheepdog=disabled
meson build \\
  -Dstorage_sheepdog=enabled
mingw-meson -Dstorage_sheepdog=disabled
%files daemon-driver-storage-sheepdog
/usr/lib64/libvirt/storage-backend/libvirt_storage_backend_sheepdog.so
%changelog
- BuildRequires: sheepdog
"""


def prove(expanded: str) -> dict[str, bool]:
    found = by_intent.prove(INTENT, expanded, package="libvirt", feature="sheepdog")
    assert {(e.gate, e.package, e.feature) for e in found} == {("spec", "libvirt", "sheepdog")}
    return {evidence.claim.split()[0]: evidence.ok for evidence in found}


def test_all_four_claims_are_seen() -> None:
    seen = prove(EXPANDED)
    assert seen == {"configure": True, "BuildRequires:": True, "Requires:": True, "%files": True}


def test_an_old_spec_has_no_sub_package_to_judge() -> None:
    old = swap(EXPANDED, "%package daemon-driver-storage-sheepdog", "%package daemon")
    assert "%files" not in prove(old)
    told = swap(old, "-Dstorage_sheepdog=enabled", "--with-storage-sheepdog")
    assert all(prove(told).values())


@pytest.mark.parametrize(
    ("old", "new", "claim"),
    [
        ("=enabled", "=disabled", "configure"),
        ("=enabled", "=enabled -Dstorage_sheepdog=disabled", "configure"),
        ("  -Dstorage_sheepdog=enabled\nmingw-meson -Dstorage_sheepdog=disabled", "", "configure"),
        ("gcc, sheepdog", "gcc", "BuildRequires:"),
        ("\nRequires: sheepdog", "", "Requires:"),
        ("_sheepdog.so", "_rbd.so", "%files"),
        ("%files daemon-driver-storage-sheepdog\n", "", "%files"),
    ],
)
def test_what_is_missing_is_no_evidence(old: str, new: str, claim: str) -> None:
    assert [name for name, ok in prove(swap(EXPANDED, old, new)).items() if not ok] == [claim]


# --- intents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("unless =", "unles =", "'unles'"),
        ("[[dependencies]]\ntag =", "[[dependencies]]\ntagg =", "'tag'"),
        ("serves =", "serve =", "'serve'"),
        ("[switch]", "[swich]", "'swich'"),
    ],
)
def test_a_typo_in_an_intent_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "typo.toml"
    path.write_text(swap(TOML.read_text(encoding="utf-8"), old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        by_intent.load_intent(path)
    assert said in str(caught.value)
