"""The first real error of a build log, as a person would pick it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.builds.buildlog import first_error

COMPILE = """\
[61/1141] cc -c ../src/util/a.c
[62/1141] FAILED: src/util/b.c.o
cc -Werror -c ../src/util/b.c -o src/util/b.c.o
../src/util/b.c:10:5: \x1b[01;31m\x1b[Kerror: \x1b[m\x1b[Kunknown type name 'foo'
   10 |     foo bar;
      |     ^~~
ninja: build stopped: subcommand failed.
error: Bad exit status from /var/tmp/rpm-tmp.x (%build)
"""


def test_a_compilers_error_comes_before_what_follows_from_it() -> None:
    found = first_error(COMPILE).splitlines()
    assert found[0] == "../src/util/b.c:10:5: error: unknown type name 'foo'"
    assert "foo bar;" in found[1]
    assert "ninja" not in " ".join(found)


@pytest.mark.parametrize(
    ("log", "first"),
    [
        (
            "error: Failed build dependencies:\n\tsheepdog is needed by libvirt-7.0.0\n",
            "sheepdog is needed",
        ),
        ("x\nmeson.build:1950:4: ERROR: Program 'dog' not found\ny\n", "Program 'dog' not found"),
        ("checking\nconfigure: error: You must install yajl\n", "You must install yajl"),
        ("/usr/bin/ld: a.o: undefined reference to `foo'\nmake: *** [a] Error 1", "foo"),
        ("error: line 12: Unknown tag: Foo: bar\n", "Unknown tag"),
        ("make[2]: *** [Makefile:10: all] Error 2\n", "Makefile:10"),
        (
            "Hunk #1 FAILED at 39.\n1 out of 1 hunk FAILED -- saving rejects to file b.c.rej\n"
            "error: Bad exit status from /var/tmp/rpm-tmp.x (%prep)\n",
            "saving rejects to file b.c.rej",
        ),
        ("a.c:3:1: note: x\ncp: error writing 'a': No space left on device\n", "No space left"),
    ],
)
def test_each_tool_has_its_own_words(log: str, first: str) -> None:
    assert first in first_error(log)


def test_a_log_without_an_error_gives_its_end() -> None:
    assert first_error("1\n2\n3\n4\n5\n6\n").splitlines() == ["2", "3", "4", "5", "6"]


@given(st.text())
def test_any_text_gives_an_answer(log: str) -> None:
    first_error(log)
