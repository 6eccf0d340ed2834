"""Shapes met in real specs of libvirt (0.10.2 to 8.7, upstream's and distributions'), in our words.

Each is a fact about some spec that a reader of specs may stumble over; ``MINI`` takes any of them.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sheepvirt.core.errors import RuleMismatchError
from sheepvirt.spec import by_intent
from sheepvirt.spec.lines import Line, has_tags
from sheepvirt.spec.reader import read
from sheepvirt.spec.rules import asks_for
from tests.here import SETTINGS

INTENT = by_intent.load_intent(SETTINGS.patches / "libvirt" / "enable-sheepdog.toml")
PLUGIN = (Path(__file__).parent / "data" / "spec" / "plugin.spec.in").read_text(encoding="utf-8")
TARGETS: dict[str, dict[str, str]] = {
    **{f"rhel{n}": {"rhel": str(n), "dist": f".el{n}"} for n in (5, 6, 7, 8)},
    **{f"fedora{n}": {"fedora": str(n), "dist": f".fc{n}"} for n in (16, 33)},
}

MINI = """\
<start>
%define server_drivers 1
%define with_storage_mpath    0%{!?_without_storage_mpath:%{server_drivers}}
<gate>
<after>
Name: libvirt
Version: @VERSION@
<main>
BuildRequires: gawk

%description
A text.

%package daemon
Summary: The daemon
<daemon>

%description daemon
A text.

%prep
<prep>
%build
%if ! %{with_storage_sheepdog}
%define _without_storage_sheepdog --without-storage-sheepdog
%endif
%configure %{?_without_storage_mpath} \\
           %{?_without_storage_sheepdog} \\
           --last
<scripts>
%changelog
<log>
"""
GATE = """\
%if 0%{?fedora} >= 17
    %define with_storage_sheepdog 0%{!?_without_storage_sheepdog:%{server_drivers}}
%else
    %define with_storage_sheepdog 0
%endif"""
KIN = "%if %{with_storage_mpath}\nBuildRequires: device-mapper-devel\n%endif"
ASKS = "%if %{with_storage_sheepdog}\nRequires: sheepdog\n%endif"
PLAIN = {"gate": GATE, "main": KIN, "daemon": ASKS}

SHAPES = {
    "as it was": {},
    "a distribution turns it off once more": {"after": "%define with_storage_sheepdog 0"},
    "off from the start, tags in columns": {
        "gate": "%define with_storage_sheepdog 0",
        "main": "Summary:        A miniature\nBuildRequires:  ninja >= 1",
    },
    "conditions in comments around a definition": {
        "start": "#%if 0\n#    %define server_drivers     0\n#%else\n    %define other 1\n#%endif"
    },
    "another distribution's macro in the gate": {
        "gate": GATE.replace(">= 17", ">= 17 || 0%{?mcp} >= 8"),
        "after": "%define mcp_release .3\n%{?cross_build:%define with_python 0}",
    },
    "a sub-package asks for what the build needs": {
        "daemon": f"BuildRequires: libblkid-devel >= 2.17\n{ASKS}"
    },
    "kin of two features": {
        "main": KIN.replace("}\n", "} || %{server_drivers}\n", 1),
    },
    "kin with a tab, and one in its own words": {
        "main": "\t%if %{with_storage_mpath}\nBuildRequires: a\n\t%endif\n# all\nBuildRequires: b"
    },
    "two dependencies under one condition": {
        "daemon": ASKS.replace("Requires", "# words\nRequires: btrfs-progs\nRequires")
    },
    "the distribution is guessed from %dist by a shell": {
        "start": "%if !0%{?rhel} && !0%{?fedora}\n%{expand:%(echo \"%{?dist}\" | \\\n"
        "  sed -ne 's/^\\.el\\([0-9]\\+\\).*/%%define rhel \\1/p')}\n%endif"
    },
    "the version is read by a shell": {
        "start": "%{!?version: %define version %(cat version)}",
        "after": "%if %(echo %{version} | grep -o \\\\. | wc -l) == 3\n%define url stable\n%endif",
    },
    "an undefined macro in a condition that rpm does not read": {
        "main": "%if 0%{?nothing}\n    %if 0%{nothing} >= 24\nRequires: x\n    %endif\n%endif\n"
        f"{KIN}"
    },
    "brackets, and no space": {
        "after": "%if (0%{?fedora} && 0%{?fedora} >=6) || (0%{?rhel} && 0%{?rhel} >=5)\n"
        "%define supported 1\n%endif"
    },
    "a thousand patches": {
        "main": "\n".join(f"Patch{n}: fix-{n}.patch" for n in range(1000)) + f"\n{KIN}",
        "prep": "\n".join(f"%patch{n} -p1" for n in range(1000)),
        "log": "- 100% of it: {x} %{unknown} %(no) rhbz#1\n" * 1000,
    },
    "Lua over several lines": {
        "prep": "%{lua:\n    for i, p in ipairs(patches) do\n        print(p..\"\\n\");\n    end;\n"
        "    print(\"COUNT=\"..1)\n}\ngit commit -m '%{name} base' \\\n  -q"
    },
    "a quoted line break and other braces of the shell": {
        "scripts": "%post daemon\nnl='\n'\nroutes=\"${nl}$(ip route | cut -d' ' -f1)${nl}\"\n"
        "case ${routes} in *\"${nl}1.${sub}\"*) : $(($RANDOM % 256)) ;; esac\n%if 1\nx=1\n%endif"
    },
    "macros with parameters": {
        "after": "%define keep() \\\n    for sc in %{?*} ; do \\\n        test -f \"${sc}\" ; \\\n"
        "    done \\\n    %{nil}",
        "scripts": "%define restart() if test %needs %1 \\\nthen \\\n  restart %1 || : \\\n"
        "fi \\\n%finish %1\n%post daemon\n%restart libvirtd\n%keep libvirtd",
    },
    "%bcond and a comment after it": {"start": "%bcond_with tests  # Disabled"},
    "the word in a changelog": {"log": "- allow %%if snapshots of sheepdog\nRequires: sheepdog"},
}  # fmt: skip  # a table


def build(*names: str) -> str:
    """Return ``MINI`` with some shapes at once; of two for the same slot both, but one gate."""
    text = MINI
    for slot in ("start", "gate", "after", "main", "daemon", "prep", "scripts", "log"):
        said = [SHAPES[name][slot] for name in names if slot in SHAPES[name]]
        if slot in ("gate", "daemon"):
            said = said[:1]
        text = text.replace(f"<{slot}>", "\n".join(said) or PLAIN.get(slot, "# nothing"))
    return text


def check(text: str, macros: dict[str, str]) -> None:
    done = by_intent.patch(text, INTENT, macros)
    assert by_intent.patch(done.text, INTENT, macros).already
    now = read(done.text, macros)
    assert now.is_true("with_storage_sheepdog")
    for rule, section in zip(INTENT.dependencies, ("", "package daemon"), strict=True):
        asking = [ln for ln in now.lines if ln.live and has_tags(ln.section)]
        asking = [line for line in asking if asks_for(line.text, rule)]
        assert [line.section for line in asking] == [section], rule
    changes = list(difflib.ndiff(text.split("\n"), done.text.split("\n")))
    gone = [line[2:] for line in changes if line.startswith("- ")]
    new = {line[2:].strip() for line in changes if line.startswith("+ ")}
    assert len(gone) <= 1
    assert all("%define with_storage_sheepdog 0" in line for line in gone)
    assert new <= {
        *("%if %{with_storage_sheepdog}", "%endif", "BuildRequires: sheepdog"),
        "%{!?_without_storage_sheepdog:--with-storage-sheepdog} \\",
        "Requires: sheepdog",
        "%define with_storage_sheepdog 0%{!?_without_storage_sheepdog:1}",
        "%define with_storage_sheepdog 0%{!?_without_storage_sheepdog:%{server_drivers}}",
    }


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_of_real_specs(name: str, target: str) -> None:
    check(build(name), TARGETS[target])


SMALL = sorted(set(SHAPES) - {"a thousand patches"})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SMALL), unique=True, max_size=8), st.sampled_from(sorted(TARGETS)))
def test_any_of_them_together(names: list[str], target: str) -> None:
    check(build(*names), TARGETS[target])


def lines_of(text: str, section: str) -> list[Line]:
    return [line for line in read(text, TARGETS["rhel6"]).lines if line.section == section]


NAME = "daemon-driver-storage-sheepdog"
FILES = f"%if %{{with_storage_sheepdog}}\n%files {NAME}\n"
PACKAGE = f"%if %{{with_storage_sheepdog}}\n%package {NAME}\n"
BACKEND = "%{_libdir}/%{name}/storage-backend/libvirt_storage_backend_sheepdog.so\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (BACKEND, "", f"found: %package {NAME}"),
        (BACKEND, BACKEND.replace("sheepdog", "rbd"), f"no %files {NAME} has libvirt_storage_b"),
        (
            FILES,
            FILES.replace("_sheepdog}", "_rbd} && 0"),
            "%if %{with_storage_rbd} && 0, which do",
        ),
        (f"%files {NAME}\n", "%files other\n", f"no %files {NAME} has"),
        (
            PACKAGE,
            PACKAGE.replace("%if", "%if 0 &&"),
            "%if 0 && %{with_storage_sheepdog}, which do",
        ),
        (PACKAGE, PACKAGE.replace("%{", "%(uname) && %{"), "which cannot be evaluated here"),
    ],
)
def test_a_sub_package_that_is_not_whole_is_refused(old: str, new: str, said: str) -> None:
    assert old in PLUGIN
    assert lines_of(PLUGIN, f"files {NAME}")
    with pytest.raises(RuleMismatchError) as caught:
        by_intent.patch(PLUGIN.replace(old, new), INTENT, TARGETS["rhel8"])
    assert "line " in caught.value.message
    assert said in caught.value.message
