"""Which lines of a spec hold on a target; each case was checked against rpm 4.16's own reading."""

from __future__ import annotations

import pytest

from sheepvirt.core.errors import RuleMismatchError
from sheepvirt.spec.reader import read


def live(text: str, **macros: str) -> list[str]:
    """Return the marked lines (``== x``) that rpm would read."""
    spec = read(text, macros)
    assert "".join(line.text for line in spec.lines) == text
    return [line.text[3:].rstrip() for line in spec.lines if line.live and line.text[:2] == "=="]


CHAIN = """\
%if 0%{?rhel} == 6
== six
%elif 0%{?rhel} >= 7
== later
    %if 0%{?rhel} > 7 || \\
        0%{?never}
== much later
    %endif # trailing words
%else
== no rhel
%endif
== all
"""


@pytest.mark.parametrize(
    ("rhel", "wanted"),
    [
        ("6", ["six", "all"]),
        ("7", ["later", "all"]),
        ("8", ["later", "much later", "all"]),
        ("", ["no rhel", "all"]),
    ],
)
def test_chains(rhel: str, wanted: list[str]) -> None:
    assert live(CHAIN, **({"rhel": rhel} if rhel else {})) == wanted
    assert live(CHAIN.replace("\n", "\r\n"), **({"rhel": rhel} if rhel else {})) == wanted


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("%if 0%{!?nothing:1}", True),
        ("%if ! %{one} && %{one}", False),
        ('%if "%{one}" == "1"', True),
        ("%ifarch %{ix86} x86_64", True),
        ("%ifarch %{ix86}, x86_64", True),
        ("%ifnarch x86_64", False),
        ("%ifos linux", True),
        ("%if %(echo 1)", False),  # cannot be told: norpm runs no shell, and neither do we
        ("%if %{undefined_here}", False),
        ("# %if 0", None),
        ("%%if 0", None),
        ("%iffy 0", None),
        ("- text %if 0", None),
    ],
)
def test_conditions(condition: str, holds: bool | None) -> None:
    end = "" if holds is None else "%endif\n"
    assert live(f"%define one 1\n{condition}\n== x\n{end}") == ([] if holds is False else ["x"])


def test_what_cannot_be_told_is_not_called_false() -> None:
    spec = read("%if %(uname)\n== a\n%else\n== b\n%endif\n== c\n", {})
    assert [line.unsure for line in spec.lines] == [False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("cpu", "names", "holds"),
    [
        ("i686", "%{ix86} x86_64 ia64", True),  # rpm's own macros, which a spec does not define
        ("i686", "%ix86", True),
        ("x86_64", "%{ix86} %{arm} %{power64}", False),
        ("ppc64le", "x86_64 %{power64} aarch64", True),
        ("aarch64", "%{arm}", False),
        ("x86_64", "%{our_arches} x86_64", True),
        ("x86_64", "%{our_arches} s390x", None),  # may be the target's macro
    ],
)
def test_architectures(cpu: str, names: str, holds: bool | None) -> None:
    for word, wanted in (("%ifarch", holds), ("%ifnarch", None if holds is None else not holds)):
        line = read(f"{word} {names}\nx\n%endif\n", {"_target_cpu": cpu}).lines[1]
        assert (line.live, line.unsure) == (bool(wanted), wanted is None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("%define x 1\n", True),
        ("  %global x 0%{!?y:1}\n", True),
        ("# %define x 1\n", True),  # rpm obeys it in a comment
        ("# %%define x 1\n", False),
        ("%{!?z:%define x 1}\n", True),
        ("%define x 1\n%define x 0\n", False),
        ("%define x 1\n%undefine x\n", False),
        ("%define x 0%{!?later:1}\n%define later 1\n", False),  # expanded when it is used
        ("%global x 0%{!?later:1}\n%define later 1\n", True),  # expanded at once
        ("%define x \\\n1\n", True),
        ("%define y() \\\n%if 0 \\\n%{nil}\n%define x 1\n", True),  # no condition: a macro's body
        ("%{expand:%(echo \\\n '%%define y 1')}\n%define x 1\n", True),
        ("%if 0\n%define x 1\n%endif\n", False),
        ("%changelog\n- %define x 1\n", True),
        ("%define 3x\n%define\n%define x 1\n", True),
    ],
)
def test_definitions(text: str, value: bool) -> None:
    assert read(text, {}).is_true("x") is value


def test_a_shell_command_that_goes_on_hides_no_condition() -> None:
    text = "%build\nrun \\\n  %{?a} \\\n%if 0\n== a \\\n%endif\n== b\n"
    assert live(text) == ["b"]


def test_sections() -> None:
    text = (
        "Name: x\n  %package a\nA: 1\n%if 0\n%package dead\nB: 1\n%endif\nC: 1\n"
        "%description a\n  %build\nD: 1\n%files -n  b -f l\n%{_bindir}\n"
    )
    found = [(line.text.strip(), line.section) for line in read(text, {}).lines if line.tag]
    assert found == [
        ("Name: x", ""),
        ("A: 1", "package a"),
        ("B: 1", "package dead"),
        ("C: 1", "package a"),  # the dead package ended with its condition
    ]
    assert read(text, {}).lines[-1].section == "files -n b -f l"
    assert read(text, {}).lines[-3].section == "description a"


def test_which_lines_define_a_macro() -> None:
    text = (
        "%define a 1\n%{!?a:%define b 1}%define c() %1\n%define a 2\n"
        "%if 0\n%define c 1\n%endif\n%c x\n# %define d %{c 1}\n%undefine a\n"
    )
    assert dict(read(text, {"a": "0"}).defined_at) == {"a": (1, 3), "c": (2,), "d": (8,)}


def test_conditions_do_not_nest_for_ever() -> None:
    deep = "%if 1\n" * 100 + "== x\n" + "%endif\n" * 100
    assert live(deep) == ["x"]
    with pytest.raises(RuleMismatchError, match="line 101: conditions nest deeper than 100"):
        read(f"%if 1\n{deep}%endif\n", {})
