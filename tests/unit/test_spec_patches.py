"""Patches of this tree come into an upstream spec: named, applied in order, nothing else."""

from __future__ import annotations

import pytest

from sheepvirt.core.errors import SpecError
from sheepvirt.spec import own_patches
from sheepvirt.spec.model import Patched

SPEC = """\
Name: tiny
Source: tiny-1.tar.gz
%if 0%{?fedora}
Patch1: fedora.patch
%endif
Requires: a
%description
Source: is only told of here.
%prep
%setup -q
%build
make
%files
"""
TWO = ["0001-a.patch", "0002-b.patch"]


def apply(text: str = SPEC, patches: list[str] | None = None) -> Patched:
    return own_patches.apply(text, TWO if patches is None else patches, {}, name="tiny.spec")


def test_each_patch_has_its_tag_and_its_command_in_order() -> None:
    done = apply()
    tags = "Patch9001: 0001-a.patch\nPatch9002: 0002-b.patch\n"
    run = "patch -p1 --fuzz=0 < %{PATCH9001}\npatch -p1 --fuzz=0 < %{PATCH9002}\n"
    wanted = SPEC.replace("tiny-1.tar.gz\n", f"tiny-1.tar.gz\n{tags}")
    assert done.text == wanted.replace("%setup -q\n", f"%setup -q\n{run}")
    assert done.actions == ("patch 0001-a.patch", "patch 0002-b.patch")
    assert "+Patch9002: 0002-b.patch" in done.diff


def test_ours_come_after_upstreams_own() -> None:
    done = apply(SPEC.replace("%setup -q\n", "%setup -q\n%patch1 -p1\n"))
    assert "%patch1 -p1\npatch -p1" in done.text


def test_what_takes_all_patches_by_itself_gets_tags_alone() -> None:
    done = apply(SPEC.replace("%setup -q", "%autosetup -p1"))
    assert "Patch9001: " in done.text
    assert "--fuzz" not in done.text


@pytest.mark.parametrize("patches", [[], ["fedora.patch"]])
def test_nothing_changes_where_nothing_is_missing(patches: list[str]) -> None:
    assert apply(patches=patches) == Patched(text=SPEC, diff="", actions=(), already=True)
    again = apply().text
    assert apply(again).already


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SPEC.replace("%setup -q\n", ""), "has no %setup in its %prep"),
        (SPEC.replace("%setup", "%if 0\n%setup").replace("%build", "%endif\n%build"), "no %setup"),
        (SPEC.replace("Source: tiny-1.tar.gz\n", ""), "has no Source in its preamble"),
        ("", "has no Source"),
    ],
)
def test_a_spec_without_a_place_for_them_is_refused(text: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        apply(text)
