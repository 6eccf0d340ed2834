"""The boot order of a SysV host, computed from its init scripts' headers as chkconfig does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap.boot_order import (
    LEVELS,
    boot_order,
    misplaced,
    numbers,
)
from sheepvirt.bootstrap.facts import sysv
from sheepvirt.bootstrap.facts.sysv import Script, links, listed, read

# The numbers and dependencies of the real ones; the words around them are ours.
OPENVSWITCH = """#!/bin/sh
# chkconfig: 2345 09 91
# description: the switch
### BEGIN INIT INFO
# Provides: openvswitch-switch
# Required-Start:
# Default-Start: 2 3 4 5
### END INIT INFO
"""
SHEEP = """#!/bin/bash
# chkconfig: - 21 79
### BEGIN INIT INFO
# Provides:\t\tsheepdog
# Required-Start:\t$network
# Should-Start:\t\t$syslog
# Default-Start:
### END INIT INFO
"""
LIBVIRTD = """### BEGIN INIT INFO
# Provides: libvirtd
# Required-Start: $network messagebus
# Should-Start: $named
# Should-Start: avahi-daemon
# Default-Start: 3 4 5
### END INIT INFO
# chkconfig: 345 97 03
"""
WANTED = ["openvswitch", "sheepdog", "libvirtd"]


def scripts(**headers: str) -> dict[str, Script]:
    found = {name: read(name, text) for name, text in headers.items()}
    assert all(found.values())
    return {name: script for name, script in found.items() if script}


REAL = scripts(openvswitch=OPENVSWITCH, sheepdog=SHEEP, libvirtd=LIBVIRTD)


def test_headers_are_read_as_chkconfig_reads_them() -> None:
    sheep = REAL["sheepdog"]
    assert (sheep.levels, sheep.start, sheep.stop, sheep.lsb) == (frozenset(), 21, 79, True)
    assert sheep.after == ("$network", "$syslog")
    assert REAL["openvswitch"].provides == ("openvswitch", "openvswitch-switch")
    assert REAL["libvirtd"].levels == frozenset("345")
    assert read("x", "# chkconfig: 2345 9 123\n") is None  # a number above 99
    assert read("x", "#!/bin/sh\n# nothing of the kind\n") is None
    assert read("x", "# chkconfig: 35 1 2\n", "# chkconfig: 2345 30 70\n") == Script(
        name="x", levels=LEVELS, start=30, stop=70, provides=("x",)
    )


def test_the_stock_scripts_boot_in_the_wanted_order() -> None:
    assert boot_order(numbers(REAL, dict.fromkeys(REAL, LEVELS))) == WANTED
    assert misplaced(WANTED, REAL, {}) == []
    assert misplaced(WANTED, REAL, {"openvswitch": 9, "sheepdog": 21, "libvirtd": 97}) == []


def test_lsb_moves_a_script_behind_what_it_requires() -> None:
    ours = scripts(
        libvirtd=LIBVIRTD,
        auto="# chkconfig: 2345 50 10\n### BEGIN INIT INFO\n# Required-Start: libvirtd\n",
    )
    assert numbers(ours, dict.fromkeys(ours, LEVELS))["auto"] == 98
    # chkconfig counts a dependency only where it starts in every runlevel of its dependant.
    assert numbers(ours, {"auto": LEVELS, "libvirtd": frozenset("5")})["auto"] == 50


def test_a_script_that_starts_too_early_is_named_with_its_numbers_and_the_fix() -> None:
    early = scripts(openvswitch=OPENVSWITCH, libvirtd="# chkconfig: 345 08 92\n")
    (found,) = misplaced(["openvswitch", "libvirtd"], early, {})
    assert found.what == (
        "libvirtd would start before openvswitch: /etc/init.d/libvirtd (chkconfig line 08 92; "
        "chkconfig makes it S08) and /etc/init.d/openvswitch (chkconfig line 09 91; chkconfig "
        "makes it S09)"
    )
    assert "`# chkconfig: 2345 10 92` to /etc/chkconfig.d/libvirtd" in found.fix
    # And that is a fix.
    repaired = read("libvirtd", "# chkconfig: 345 08 92\n", "# chkconfig: 2345 10 92\n")
    assert repaired
    assert misplaced(["openvswitch", "libvirtd"], {**early, "libvirtd": repaired}, {}) == []


def test_the_fix_keeps_what_the_script_provides() -> None:
    """chkconfig takes the name of an override's script for all that it provides."""
    both = scripts(openvswitch=OPENVSWITCH, sheepdog=SHEEP)
    (found,) = misplaced(["sheepdog", "openvswitch"], both, {})
    assert (
        "write `# chkconfig: 2345 22 91` and `# Provides: openvswitch openvswitch-switch` to "
        "/etc/chkconfig.d/openvswitch there"
    ) in found.fix


def test_a_dependency_that_starts_in_fewer_runlevels_is_no_dependency() -> None:
    found = scripts(
        avahi="# chkconfig: 345 98 02\n",
        libvirtd="# chkconfig: 345 20 80\n### BEGIN INIT INFO\n# Should-Start: avahi\n",
        auto="# chkconfig: 2345 50 50\n",
    )
    wanted = ["libvirtd", "auto"]
    assert misplaced(wanted, found, {}, {"avahi": frozenset("345")}) == []
    (wrong,) = misplaced(wanted, found, {}, {"avahi": LEVELS})
    assert "chkconfig makes it S99" in wrong.what


def test_links_that_are_older_than_the_headers_are_told_apart() -> None:
    (found,) = misplaced(WANTED, REAL, {"openvswitch": 9, "sheepdog": 98, "libvirtd": 97})
    assert "its link S98" in found.what
    assert "chkconfig --del sheepdog; chkconfig --add sheepdog" in found.fix


def test_equal_numbers_are_started_by_name() -> None:
    same = scripts(a="# chkconfig: 2345 50 50\n", b="# chkconfig: 2345 50 50\n")
    assert misplaced(["a", "b"], same, {}) == []
    assert [m.later for m in misplaced(["b", "a"], same, {})] == ["a"]


def test_nothing_comes_behind_99() -> None:
    last = scripts(b="# chkconfig: 2345 99 1\n", a="# chkconfig: 2345 99 1\n")
    (found,) = misplaced(["b", "a"], last, {})
    assert "`# chkconfig: 2345 98 01` to /etc/chkconfig.d/b" in found.fix


def test_links_tell_the_runlevels_that_a_script_starts_in() -> None:
    paths = ["/etc/rc3.d/S09x", "/etc/rc5.d/S09x", "/etc/rc0.d/K91x", "/etc/rc3.d/README"]
    assert sysv.starts(paths) == {"x": frozenset("35")}


def test_what_chkconfig_lists_and_rc_finds() -> None:
    line = "sheepdog       \t0:off\t1:off\t2:on\t3:on\t4:on\t5:on\t6:off\n"
    assert listed(line) == LEVELS
    assert listed("service x supports chkconfig, but is not referenced in any runlevel") == set()
    assert links(["S09openvswitch", "K79sheepdog", "README", "S97libvirtd"]) == {
        "openvswitch": 9,
        "libvirtd": 97,
    }


NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
SCRIPTS = st.dictionaries(
    NAMES,
    st.builds(
        Script,
        name=st.just(""),
        levels=st.just(LEVELS),
        start=st.integers(-1, 99),
        stop=st.integers(0, 99),
        lsb=st.booleans(),
        after=st.lists(NAMES, max_size=2).map(tuple),
    ),
    min_size=1,
)


@given(SCRIPTS)
def test_numbers_end_and_obey_what_is_required(found: dict[str, Script]) -> None:
    """Whatever they say, cycles too: it ends; nobody is before what he needs, but at 99."""
    on = dict.fromkeys(found, LEVELS)
    result = numbers(found, on)
    for name, script in found.items():
        assert result[name] >= script.start
        for needed in script.after if script.lsb else ():
            if needed in found and needed != name:
                assert result[name] > result[needed] or result[name] == 99


@given(SCRIPTS, st.permutations(["a", "b", "c", "d", "e"]))
def test_no_complaint_means_the_wanted_order(found: dict[str, Script], wanted: list[str]) -> None:
    on = dict.fromkeys(found, LEVELS)
    order = [n for n in boot_order(numbers(found, on)) if n in wanted]
    wrong = misplaced(wanted, found, {})
    assert (wrong == []) == (order == [n for n in wanted if n in found])
    for complaint in wrong:
        assert complaint.later in complaint.what
        assert complaint.earlier in complaint.what
        assert complaint.fix


@given(st.text(), st.text())
def test_no_header_breaks_the_reader(header: str, override: str) -> None:
    script = read("x", header, override)
    assert script is None or script.start == sysv.UNSET or 0 <= script.start <= 99


@pytest.mark.parametrize(
    "line",
    [
        "# chkconfig: 2345 20\n",
        "#chkconfig 2345 20 80\n",
        "# chkconfig:",
        f"# chkconfig: 2345 {'9' * 5000} 1\n",
    ],
)
def test_a_broken_line_is_none(line: str) -> None:
    assert read("x", line) is None


def test_a_runlevel_of_thousands_of_digits_is_none() -> None:
    script = read("x", f"### BEGIN INIT INFO\n# Default-Start: 3 {'1' * 5000} 5\n")
    assert script
    assert script.levels == frozenset("35")
