"""rpm's own expansion of a spec: by rpmspec, or by pieces where rpm is too old to have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from sheepvirt.builds import expansion
from sheepvirt.core.errors import SpecError
from sheepvirt.core.processes import Result
from sheepvirt.spec.lines import by_section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.engine.container import Container

DEFINES = ["--define", "rhel 6"]
SOURCE = "Name: a\nVersion: 1\nRelease: 2.el6\nBuildRequires: sheepdog  \n"
PACKAGES = (
    "%package -n a-daemon\nRequires: sheepdog >= 0.7\n"
    "%package -n a\nRequires: a-daemon = 1-2.el6\n"
    "%package -n other\nRequires: a = 1-2.el6\n"
)


class Recorder:
    """A build root that answers what is planned, and nothing else."""

    def __init__(self, answers: Mapping[tuple[str, str], Result]) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []

    def run(self, argv: Sequence[str], **_options: Any) -> Result:
        self.asked.append(list(argv))
        key = (argv[0], argv[2] if argv[0] == "sh" else argv[1])
        assert key in self.answers, f"unplanned: {argv}"
        return self.answers[key]


def ok(text: str) -> Result:
    return Result(code=0, stdout=text, stderr="")


OLD = {
    ("sh", "command -v rpmspec"): Result(code=1, stdout="", stderr=""),
    ("rpmbuild", "-bs"): ok("Wrote: /build/X/a-1-2.el6.src.rpm\n"),
    ("sh", 'ls "$1"/*.src.rpm'): ok("/build/X/a-1-2.el6.src.rpm\n"),
    ("rpm", "-qp"): ok(SOURCE),
    ("rpm", "-q"): ok(PACKAGES),
    ("rpmbuild", "-bp"): ok("%setup was here\n"),
    ("rpmbuild", "-bc"): ok("./configure --with-storage-sheepdog\n"),
    # As rpm 4.8.1 ends; a later one says "by glob" of patterns.
    ("rpmbuild", "-bi"): Result(
        code=1,
        stdout="make install DESTDIR=/build/X/EMPTY\n",
        stderr="error: File not found: /build/X/EMPTY/usr/bin/a\n"
        "error: File not found by glob: /build/X/EMPTY/usr/share/a-*\n"
        "\n\nRPM build errors:\n    File not found: /build/X/EMPTY/usr/bin/a\n",
    ),
}


def expand(root: Recorder) -> str:
    container = cast("Container", root)
    return expansion.expand(container, "/build/SPECS/a.spec", DEFINES, {}, scratch="/build/X")


def test_a_rpm_that_has_rpmspec_is_asked_once() -> None:
    root = Recorder(
        {
            ("sh", "command -v rpmspec"): ok("/usr/bin/rpmspec\n"),
            ("rpmspec", "-P"): ok("Name: a\n"),
        }
    )
    assert expand(root) == "Name: a\n"
    assert root.asked[-1] == ["rpmspec", "-P", *DEFINES, "/build/SPECS/a.spec"]


def test_an_older_rpm_gives_the_same_sections_by_pieces() -> None:
    sections = by_section(expand(Recorder(OLD)))
    assert "BuildRequires: sheepdog  \n" in sections[""]
    assert "Requires: a-daemon = 1-2.el6\n" in sections[""], "the main package's own"
    assert "Requires: sheepdog >= 0.7\n" in sections["package daemon"]
    assert "Requires: a = 1-2.el6\n" in sections["package -n other"]
    assert "./configure --with-storage-sheepdog\n" in sections["build"]
    assert "%setup was here\n" in sections["prep"]
    assert "make install DESTDIR=/build/X/EMPTY\n" in sections["install"]
    assert "".join(sections["files"]).split() == ["%files", "/usr/bin/a", "/usr/share/a-*"]


def test_each_question_gets_the_macros_of_the_target() -> None:
    root = Recorder(OLD)
    expand(root)
    about_the_spec = [a for a in root.asked if "/build/SPECS/a.spec" in a]
    assert len(about_the_spec) == 5
    for argv in about_the_spec:
        assert "rhel 6" in argv


@pytest.mark.parametrize("broken", [("rpmbuild", "-bs"), ("rpm", "-q"), ("rpmbuild", "-bc")])
def test_a_spec_that_rpm_cannot_read_is_named(broken: tuple[str, str]) -> None:
    root = Recorder(
        {**OLD, broken: Result(code=1, stdout="", stderr="error: line 3: Unknown tag: Nmae")}
    )
    with pytest.raises(SpecError, match=r"a\.spec.*\n.*line 3: Unknown tag"):
        expand(root)
