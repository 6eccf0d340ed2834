"""Shapes of specs that were once refused, or judged wrongly; each has its right value here.

What is said of rpm was seen with rpm 4.16 and 4.18.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sheepvirt.config import inventory
from sheepvirt.core.errors import RuleMismatchError
from sheepvirt.spec import by_intent
from sheepvirt.spec.lines import by_section, has_tags
from sheepvirt.spec.reader import read
from sheepvirt.spec.rules import argument_seen
from tests.here import SETTINGS

if TYPE_CHECKING:
    from sheepvirt.spec.model import Patched

DATA = Path(__file__).parent / "data" / "spec"
INTENT = by_intent.load_intent(SETTINGS.patches / "libvirt" / "enable-sheepdog.toml")
DAEMON = (DATA / "daemon.spec").read_text(encoding="utf-8")
MONOLITH = (DATA / "monolithic.spec").read_text(encoding="utf-8")
RHEL6 = {"rhel": "6", "dist": ".el6"}
SWITCH = "with_storage_sheepdog"

MINI = """\
<switch>
Name: libvirt
Version: 1.0.3
BuildRequires: gawk
<asks>

%description
A text.

%package daemon
Summary: The daemon
Requires: iproute
<needs>

%description daemon
A text.

%build
<build>

%changelog
- 1.0.3
"""
CONFIGURE = """\
%if ! %{with_storage_sheepdog}
%define _without_storage_sheepdog --without-storage-sheepdog
%endif
%configure %{?_without_storage_mpath} \\
           %{?_without_storage_sheepdog} \\
           --last"""


def mini(
    switch: str = "%define with_storage_sheepdog 0",
    build: str = CONFIGURE,
    asks: str = "# nothing",
    needs: str = "# nothing",
) -> str:
    text = MINI.replace("<switch>", switch).replace("<build>", build)
    return text.replace("<asks>", asks).replace("<needs>", needs)


def patch(text: str, macros: dict[str, str] | None = None) -> Patched:
    done = by_intent.patch(text, INTENT, macros or RHEL6, name="x.spec")
    again = by_intent.patch(done.text, INTENT, macros or RHEL6, name="x.spec")
    assert (again.text, again.already) == (done.text, True)
    return done


def refusal(text: str, macros: dict[str, str] | None = None) -> RuleMismatchError:
    with pytest.raises(RuleMismatchError) as caught:
        by_intent.patch(text, INTENT, macros or RHEL6, name="x.spec")
    return caught.value


# --- monolithic specs ----------------------------------------------------------------------------


def asking(text: str) -> list[tuple[str, str]]:
    return [
        (section, line.strip())
        for section, lines in by_section(text).items()
        for line in lines
        if has_tags(section) and line.strip().endswith(": sheepdog")
    ]


@pytest.mark.parametrize("target", ["el6", "el7", "el8", "rehearsal"])
def test_a_spec_without_sub_packages_asks_in_its_main_package(target: str) -> None:
    text = patch(MONOLITH, dict(inventory.load_target(SETTINGS, target).macros)).text
    assert asking(text) == [("", "Requires: sheepdog"), ("", "BuildRequires: sheepdog")]
    assert read(text, RHEL6).is_true(SWITCH)


def test_a_spec_with_a_daemon_package_never_asks_in_its_main_package() -> None:
    assert asking(patch(mini()).text)[1] == ("package daemon", "Requires: sheepdog")
    bare = (
        mini()
        .replace("Requires: iproute\n", "")
        .replace("BuildRequires: gawk", "BuildRequires: gawk\nRequires: bridge-utils")
    )
    error = refusal(bare)
    assert "there is no other Requires to put it after" in error.message
    assert "line 12: " in error.message
    assert "found: Summary: The daemon" in error.message


# --- what messages name --------------------------------------------------------------------------


def test_rules_after_the_first_name_the_users_own_lines() -> None:
    hard = CONFIGURE.replace("%{?_without_storage_sheepdog}", "--without-storage-sheepdog")
    text = mini(build=hard)
    number = text.split("\n").index("           --without-storage-sheepdog \\") + 1
    error = refusal(text)
    assert f"line {number}: it says --without-storage-sheepdog" in error.message
    assert patch(mini()).actions[1:4] == (
        "BuildRequires: sheepdog: added after line 4",
        "Requires: sheepdog: added after line 12",
        "configure argument: %{!?_without_storage_sheepdog:--with-storage-sheepdog} added after "
        "line 23",
    )


def test_what_is_quoted_is_what_the_user_wrote() -> None:
    """The switch's line is rewritten before a later rule says that it depends on it."""
    text = mini(asks="%if ! %{with_storage_sheepdog}\nBuildRequires: sheepdog\n%endif")
    error = refusal(text)
    assert "line 6: it depends on line 5, %if ! %{with_storage_sheepdog}, which" in error.message
    assert error.message.endswith("found: BuildRequires: sheepdog")


def test_a_tag_without_a_place_quotes_where_it_would_stand() -> None:
    error = refusal(mini().replace("BuildRequires: gawk\n", ""))
    assert "line 3: there is no other BuildRequires to put it after" in error.message
    assert error.message.endswith("found: Version: 1.0.3")


def test_a_configure_command_without_a_place_is_quoted() -> None:
    error = refusal(mini(build="cd src\n%configure --last"))
    assert error.message.endswith("found: %configure --last")


@pytest.mark.parametrize("version", ["8.8.0", "8.10.0", "9.0.0", "10.3.0", "8.8"])
def test_a_spec_of_8_8_or_later_is_told_that_upstream_dropped_it(version: str) -> None:
    error = refusal(f"Name: libvirt\nVersion: {version}\nBuildRequires: meson\n")
    assert error.hint.startswith("upstream dropped sheepdog in libvirt 8.8; this spec's version is")
    assert version in error.hint
    assert "0.10.0 to 8.7" in error.hint


@pytest.mark.parametrize("version", ["8.7.0", "1.0.3", "0.9.12", "@VERSION@", "x8.9"])
def test_others_are_not_told_so(version: str) -> None:
    assert "dropped" not in refusal(f"Name: libvirt\nVersion: {version}\n").hint


# --- what the distribution defines ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "on"),
    [
        ("%if 0%{?centos} >= 6", {"el6", "el7", "el8"}),
        ("%if 0%{?centos_ver} == 7", {"el7"}),
        ("%if 0%{?el6}%{?el7}", {"el6", "el7"}),
        ("%if %{defined el8}", {"el8"}),
        ("%if 0%{?redhat}", set()),  # CentOS defines no such macro
    ],
)
def test_a_gate_on_what_centos_defines(gate: str, on: set[str]) -> None:
    switch = f"{gate}\n%define {SWITCH} 1\n%else\n%define {SWITCH} 0\n%endif"
    for name in ("el6", "el7", "el8"):
        done = patch(mini(switch), dict(inventory.load_target(SETTINGS, name).macros))
        assert ("on already (line 2)" in done.actions[0]) == (name in on), name
        assert ("line 4: 0 is now" in done.actions[0]) == (name not in on), name


# --- conditional builds --------------------------------------------------------------------------

WITH = """\
%configure \\
%if %{with storage_sheepdog}
    --with-storage-sheepdog \\
%else
    --without-storage-sheepdog \\
%endif
    --last"""
ASKS = {
    "asks": "%if %{with storage_sheepdog}\nBuildRequires: sheepdog\n%endif",
    "needs": "%{?with_storage_sheepdog:Requires: sheepdog}",
}


def test_bcond_without_is_on() -> None:
    needs = "%if %{with storage_sheepdog}\nRequires: sheepdog\n%endif"
    text = mini("%bcond_without storage_sheepdog", WITH, ASKS["asks"], needs)
    assert patch(text).already


def test_bcond_with_is_turned_and_asked_as_the_spec_asks() -> None:
    done = patch(mini("%bcond_with storage_sheepdog  # why", WITH))
    assert "line 1: %bcond_with is now %bcond_without" in done.actions[0]
    assert done.text.startswith("%bcond_without storage_sheepdog  # why\n")
    # %if %{with_storage_sheepdog} would be no expression where a builder says --without.
    assert done.text.count("%if %{with storage_sheepdog}\nBuildRequires: sheepdog\n%endif\n") == 1
    assert "configure argument: --with-storage-sheepdog already" in done.actions
    off = read(done.text, RHEL6 | {"_without_storage_sheepdog": "--without-storage-sheepdog"})
    assert not [ln for ln in off.lines if ln.live and ln.tag == ("buildrequires", "sheepdog")]


def test_the_branch_of_this_target_is_turned() -> None:
    switch = "\n".join(
        [
            "%if 0%{?fedora}",
            "%bcond_without storage_sheepdog",
            "%else",
            "%bcond_with storage_sheepdog",
            "%endif",
        ]
    )
    assert "line 4: %bcond_with is now" in patch(mini(switch, WITH)).actions[0]
    assert "on already (line 2)" in patch(mini(switch, WITH), {"fedora": "33"}).actions[0]


def test_the_later_bcond_with_its_default_written_out() -> None:
    done = patch(mini("%bcond storage_sheepdog 0", WITH))
    assert done.text.startswith("%bcond storage_sheepdog 1\n")
    assert "on already" in patch(mini("%bcond storage_sheepdog 1", WITH)).actions[0]


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        (
            "%if 0%{?fedora}\n%bcond_without storage_sheepdog\n%endif",
            "line 2: it depends on line 1",
        ),
        ("%if %(uname)\n%bcond_with storage_sheepdog\n%endif", "cannot be evaluated"),
        (
            "%define _without_storage_sheepdog 1\n%bcond_with storage_sheepdog",
            "line 1: this keeps with_storage_sheepdog off",
        ),
    ],
)
def test_a_bcond_that_cannot_be_turned_is_refused(switch: str, said: str) -> None:
    assert said in refusal(mini(switch, WITH)).message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("%bcond_without foo\n%define x %{with foo}\n", True),
        ("%bcond_with foo\n%define x %{with foo}\n", False),
        ("%bcond_with foo\n%define x %{without foo}\n", True),
        ("%{bcond_without foo}\n%define x %{with foo}\n", True),
        ("%bcond_without foo # why\n%if %with foo\n%define x 1\n%endif\n", True),
        ("%define y 0\n%define x %{defined y}\n", True),
        ("%define x %{undefined y}\n", True),
        ("%define y 0\n%define x %{undefined y}\n", False),
        ("%bcond_with a\n%bcond b %{without a}\n%define x %{with b}\n", True),
    ],
)
def test_macros_of_conditional_builds(text: str, value: bool) -> None:
    assert read(text, {}).is_true("x") is value


def test_builders_options_count() -> None:
    text = "%bcond_without foo\n%bcond_with bar\n%define x %{with bar} && %{without foo}\n"
    given = {"_without_foo": "--without-foo", "_with_bar": "--with-bar"}
    assert read(text, given).is_true("x")
    assert not read(text, {}).is_true("x")


# --- on by a plain option ------------------------------------------------------------------------

PLAIN = "%configure --with-storage-sheepdog \\\n  --last"


def test_a_spec_that_tells_configure_itself_is_enabled() -> None:
    text = mini("# no switch", PLAIN, "BuildRequires: sheepdog", "Requires: sheepdog")
    done = patch(text)
    assert done.already
    assert "not in this spec, line 19 says --with-storage-sheepdog itself" in done.actions[0]


def test_what_such_a_spec_lacks_is_added_without_a_condition() -> None:
    done = patch(mini("# no switch", PLAIN))
    assert asking(done.text) == [
        ("", "BuildRequires: sheepdog"),
        ("package daemon", "Requires: sheepdog"),
    ]
    assert "%if" not in done.text


@pytest.mark.parametrize(
    "build",
    [
        "%configure --without-storage-sheepdog \\\n  --last",
        "%configure --with-storage-sheepdog \\\n  --without-storage-sheepdog",
        "%configure # --with-storage-sheepdog",
        "%if 0\n%configure --with-storage-sheepdog\n%endif",
    ],
)
def test_what_only_looks_like_it_is_refused(build: str) -> None:
    assert f"nothing defines {SWITCH}" in refusal(mini("# no switch", build)).message


# --- shapes that only rpm can judge --------------------------------------------------------------

LUA = "%{lua: rpm.define('with_storage_sheepdog 0')}"


def test_a_switch_that_lua_defines_is_refused() -> None:
    error = refusal(mini(f"%define {SWITCH} 1\n{LUA}"))
    assert "line 2: only rpm can evaluate what is defined here" in error.message
    assert error.message.endswith(f"found: {LUA}")


def test_a_definition_after_it_counts() -> None:
    assert "on already (line 2)" in patch(mini(f"{LUA}\n%define {SWITCH} 1")).actions[0]
    assert patch(mini(f"%if 0\n{LUA}\n%endif\n%define {SWITCH} 1")).warnings == ()


@pytest.mark.parametrize(
    ("define", "name"),
    [
        (f"%define {SWITCH} 0%{{?kind}}", "kind"),
        (f"%define {SWITCH} 0%{{!?_without_storage_sheepdog:1}}", "_without_storage_sheepdog"),
    ],
)
def test_a_switch_that_asks_for_what_lua_defines_is_refused(define: str, name: str) -> None:
    error = refusal(mini(f"%{{lua: rpm.define('{name} 1')}}\n{define}"))
    assert "line 1: only rpm can evaluate what is defined here" in error.message


def test_a_configure_command_that_lua_has_words_for_is_refused() -> None:
    text = mini(
        f"%{{lua: rpm.define('more --without-storage-sheepdog')}}\n%define {SWITCH} 1",
        CONFIGURE.replace("--last", "%{?more}"),
    )
    assert "line 25: it uses more of line 1: only rpm can evaluate" in refusal(text).message
    assert patch(text.replace("%{?more}", "--last\nmake %{?more}")).warnings == ()


def test_a_condition_on_what_lua_defines_cannot_be_told() -> None:
    text = f"%{{lua:\n  rpm.define('kind 1')\n}}\n%if 0%{{?kind}}\n%define {SWITCH} 0\n%endif"
    assert (
        "line 5: it depends on line 4, %if 0%{?kind}, which cannot" in refusal(mini(text)).message
    )


@pytest.mark.parametrize(
    "line", ["%{lua: rpm.define(name)}", "%{load:%{SOURCE1}}", "%{lua: rpm.expand(text)}"]
)
def test_what_may_define_anything_is_warned_of(line: str) -> None:
    done = patch(mini(f"%define {SWITCH} 1\n{line}"))
    assert done.warnings == (
        f"x.spec: line 2 may define macros that only rpm can evaluate: {line}",
    )


def test_lua_that_defines_nothing_is_nobodys_concern() -> None:
    text = mini(f"%define {SWITCH} 1\n%{{lua: for i, p in ipairs(patches) do print(p) end}}")
    assert patch(text).warnings == ()


@pytest.mark.parametrize(
    ("names", "holds"),
    [
        ("x86_64, aarch64", False),  # rpm: "x86_64," is another name
        ("aarch64,x86_64", False),
        ("aarch64, x86_64", True),
        ("X86_64", True),
    ],
)
def test_a_comma_belongs_to_the_name_before_it(names: str, holds: bool) -> None:
    text = f"%ifarch {names}\n%define x 1\n%else\n%define x 0\n%endif\n"
    assert read(text, {"_target_cpu": "x86_64"}).is_true("x") is holds


@pytest.mark.parametrize(
    "body", ["%{expand:\n1}", "%{?rhel:\n0\n}", "{\n0\n}", "%{?rhel:0\n}", "0\\\n+1"]
)
def test_a_definition_that_goes_on_over_lines_is_not_edited(body: str) -> None:
    error = refusal(mini(f"%define {SWITCH} {body}"))
    assert "line 1: " in error.message
    assert error.message.endswith(f"found: %define {SWITCH} {body.partition(chr(10))[0]}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("%define x {1}\n", True),  # rpm takes the braces away
        ("%define x %{expand:\n1}\n", False),  # %if ends with its line, before the 1
        ("%define x 0\\\n+1\n", False),
        ("# %{?foo: \n%define x 1\n# }\n", False),  # all of it is one piece, with foo undefined
    ],
)
def test_definitions_with_braces(text: str, value: bool) -> None:
    assert read(text, {}).is_true("x") is value


COMMENTED = """\
%configure --a \\
    # --with-storage-sheepdog \\
    --b"""


@pytest.mark.parametrize(
    ("build", "seen"),
    [
        (COMMENTED, ""),
        ("./configure --a # --with-storage-sheepdog", ""),
        ("./configure --a \\\n# more \\\n  --with-storage-sheepdog", ""),  # ended by the comment
        ("./configure --x='# y' --with-storage-sheepdog", "--with-storage-sheepdog"),
        ("./configure --x=a#b \\\n --with-storage-sheepdog", "--with-storage-sheepdog"),
        ('./configure --x="a \\\n # b" --with-storage-sheepdog', "--with-storage-sheepdog"),
        ("# ./configure \\\n./configure --with-storage-sheepdog", "--with-storage-sheepdog"),
    ],
)
def test_a_comment_of_the_shell_tells_configure_nothing(build: str, seen: str) -> None:
    assert argument_seen(INTENT.argument, build.split("\n"))[1] == seen


def test_an_option_that_a_comment_keeps_from_configure_is_not_called_on() -> None:
    done = CONFIGURE.replace("%configure", "# --with-storage-sheepdog\n%configure")
    assert "added after line 24" in patch(mini(build=done)).actions[3]
    late = CONFIGURE.replace("mpath} \\\n", "mpath} \\\n  # --with-storage-sheepdog \\\n")
    assert "a comment ends it before" in refusal(mini(build=late)).message


# --- byte order mark, long changelogs ------------------------------------------------------------


def test_a_byte_order_mark_is_kept_and_warned_of() -> None:
    done = by_intent.patch("\ufeff" + mini(), INTENT, RHEL6, name="x.spec")
    assert done.text == "\ufeff" + patch(mini()).text
    assert done.diff.split("\n")[3].startswith("-\ufeff%define")
    assert done.warnings == (
        "x.spec starts with a byte order mark, which is kept: rpm refuses such a spec",
    )


ENTRY = "* Wed Mar 06 2013 Nobody <nobody@example.com> - 1.0.3-1\n- {}\n\n"


@pytest.mark.parametrize("words", ["a change", "100% %%define of %{name}"])
def test_a_changelog_is_read_as_one_piece(words: str) -> None:
    log = ENTRY.format(words) * 1000
    spec = read(DAEMON + log, RHEL6)
    assert len(spec.lines) < len(read(DAEMON, RHEL6).lines) + 3
    assert "".join(line.text for line in spec.lines) == DAEMON + log
    assert patch(DAEMON + log).text == patch(DAEMON).text + log
    assert patch(DAEMON + log).diff == patch(DAEMON + ENTRY.format(words)).diff


def test_lines_after_a_long_changelog_have_their_numbers() -> None:
    text = mini().replace("- 1.0.3\n", ENTRY.format("x") * 9 + "%build\n%define z 1\n")
    lines = read(text, RHEL6).lines
    numbers = [line.origin.number for line in lines[-2:]]
    assert numbers == [text.count("\n") - 1, text.count("\n")]


@pytest.mark.parametrize(
    "log",
    [
        "%if 0\n- %define with_storage_sheepdog 1\n%endif\n%define with_storage_sheepdog 0\n",
        "- words\n- more %define with_storage_sheepdog 0\n- words\n",
        "- words\n- {more} %{!?x:%define with_storage_sheepdog 0}\n",
    ],
)
def test_what_a_changelog_defines_still_counts(log: str) -> None:
    spec = read(mini(f"%define {SWITCH} 1") + log, RHEL6)
    assert not spec.is_true(SWITCH)


def test_a_changelog_in_a_branch_ends_with_it() -> None:
    text = "%if 0\n%changelog\n- a\n- b\n%endif\nRequires: a\nRequires: b\n"
    assert [line.tag for line in read(text, {}).lines if line.tag] == [
        ("requires", "a"),
        ("requires", "b"),
    ]
