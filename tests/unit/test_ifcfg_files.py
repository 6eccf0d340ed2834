"""The reader of ifcfg files, against the shells that source them."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sheepvirt.bootstrap import ifcfg_files
from sheepvirt.bootstrap.ifcfg_files import IfcfgFile, Unreadable

SHELLS = [path for path in map(shutil.which, ("dash", "bash")) if path]
NAMES = ("DEVICE", "IPADDR0", "A", "_b", "ONBOOT")
# Prints each variable that is set, with an end that no value has.
SHOW = "".join(f'[ -z "${{{n}+x}}" ] || printf "%s=%s\\001" {n} "${n}"; ' for n in NAMES)


def sourced(shell: str, text: str) -> dict[str, str] | None:
    """Return what a shell has after it sourced the text; None: it complained."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").write_text(text, encoding="utf-8", newline="")
        argv = [shell, "-c", f". ./file; {SHOW}"]
        done = subprocess.run(
            argv, cwd=folder, capture_output=True, env={"LC_ALL": "C", "PATH": "/nowhere"}
        )
    if done.returncode or done.stderr:
        return None
    rows = done.stdout.decode().split("\1")[:-1]
    return {name: value for name, _, value in (row.partition("=") for row in rows)}


# Characters of which each means something to some shell somewhere.
LETTERS = st.text("ab0 \t#'\"\\$;=:.-é!*?[]{}~%^,/+@\n", max_size=6)
PLAIN = st.text("ab0:.-/%^,+@=!#*?[]{}é", max_size=6)
continued = st.sampled_from(["", "", "", "\\\n"])


@st.composite
def values(draw: st.DrawFn, *, exported: bool = False) -> str:
    parts = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["plain", "single", "double", "escaped", "variable", "dollar"]))
        letters = draw(LETTERS)
        if kind == "plain":
            parts.append(draw(st.text("ab0:.-/%^,+@=!#", max_size=6) if exported else PLAIN))
        elif kind == "single":
            parts.append("'" + letters.replace("'", "") + "'")
        elif kind == "double":
            inner = "".join(f"\\{c}" if c in '\\"$`' else c for c in letters)
            inner += draw(st.sampled_from(["", "\\n", "\\'", "$", "$ ", "\\\n", "$%"]))
            parts.append(f'"{inner}"')
        elif kind == "escaped":
            parts.append("".join(f"\\{c}" for c in letters if c not in "\n"))
        elif kind == "variable":
            name = draw(st.sampled_from(NAMES))
            form = draw(
                st.sampled_from(['"$N"', '"${N}"'] if exported else ["$N.", "${N}", '"$N"'])
            )
            parts.append(form.replace("N", name))
        elif not exported:
            parts.append("$" + draw(st.sampled_from(["%", ".", "/", ":"])))
        parts.append(draw(continued))
    return "".join(parts)


@st.composite
def assignments(draw: st.DrawFn, *, exported: bool = False) -> str:
    name = draw(st.sampled_from(NAMES))
    return f"{name}={draw(values(exported=exported))}"


@st.composite
def lines(draw: st.DrawFn) -> str:
    space = st.sampled_from([" ", "  ", "\t", " \\\n "])
    indent = draw(st.sampled_from(["", " ", "\t"]))
    kind = draw(st.sampled_from(["one", "several", "export", "semicolons", "comment", "empty"]))
    if kind == "comment":
        text = draw(st.text("ab '\"$`\\;(&é", max_size=8))
        return f"{indent}#{text}\n"
    if kind == "empty":
        return f"{indent}\n"
    exported = kind == "export"
    found = draw(st.lists(assignments(exported=exported), min_size=1, max_size=3))
    if kind == "one":
        found = found[:1]
    between = draw(st.sampled_from([";", " ; ", "; "])) if kind == "semicolons" else draw(space)
    start = f"export{draw(space)}" if exported else ""
    end = draw(st.sampled_from(["", " ", " # a comment 'with \"quotes", ";", " ;  "]))
    return f"{indent}{start}{between.join(found)}{end}\n"


FEW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(FEW, max_examples=250)
ALL_SET = "".join(f"{name}=\n" for name in NAMES)


@pytest.mark.parametrize("shell", SHELLS)
@MANY
@given(found=st.lists(lines(), max_size=6))
def test_a_file_of_the_language_is_read_as_a_shell_reads_it(shell: str, found: list[str]) -> None:
    text = ALL_SET + "".join(found)
    read = ifcfg_files.read(text)
    assert read.unreadable is None, text
    assert dict(read.values) == sourced(shell, text)


@pytest.mark.parametrize("shell", SHELLS)
@MANY
@given(text=st.text("AB=ab0 '\"\\$#;\n&|~`(){}[]*<>!é\t", max_size=24))
@example("A=1\\\n#b\n")
@example("A=1 \\\n#b\n")
@example("\\\n#b\nA=1")
@example("A\\\n=1\n")
@example("exp\\\nort A=1\n")
@example("A=$\\\nB\n")
@example('A="$\\\n"\n')
@example("A='a\\\nb'\n")
@example('A="\\\\\\\n"')
@example("A=1;;\n")
@example(";A=1\n")
@example("A=1 B\n")
@example("A=1 export B=2\n")
@example("export\n")
@example("A=b\\")
@example('A="b\\')
@example("A=$'b'")
@example('A=$"b"')
@example("A=b=~")
@example("A=1 A=2$A")
def test_any_text_is_read_as_a_shell_reads_it_or_not_at_all(shell: str, text: str) -> None:
    """What is not of the language is refused; it is never read as something else."""
    read = ifcfg_files.read(text)
    if read.unreadable is None:
        seen = sourced(shell, text)
        assert seen is not None, text
        assert {n: v for n, v in read.values.items() if n in NAMES} == seen


@pytest.mark.parametrize("shell", SHELLS)
@FEW
@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12))
def test_a_value_is_written_so_that_it_is_read_back(shell: str, value: str) -> None:
    line = ifcfg_files.assignment("A", value)
    read = ifcfg_files.read(line)
    if ifcfg_files.CONTROL.search(value):
        assert read.unreadable
    else:
        assert read == IfcfgFile(values={"A": value})
        if "\n" not in value:
            assert sourced(shell, line) == {"A": value}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("A=1\nB=$(hostname)\n", 2, "is a substitution"),
        ("B=`hostname`\n", 1, "outside quotes"),
        ('B="`hostname`"\n', 1, "a command substitution"),
        ("B=$HOSTNAME\n", 1, "$HOSTNAME is not set in this file"),
        ("B=${A:-1}\n", 1, "is a substitution"),
        ("B=$1\n", 1, "is a substitution"),
        (". /etc/sysconfig/network\n", 1, "is a command"),
        ("\n\nif true; then A=1; fi\n", 3, "`if true; then A=1; fi` is a command"),
        ("A=1 hostname\n", 1, "is a command"),
        ("A+=1\n", 1, "is a command"),
        ("A=(1 2)\n", 1, "`(` outside quotes"),
        ("A=~/b\n", 1, "`~` outside quotes"),
        ("A='b\nB=c\n", 1, "a ' without its end"),
        ("A=b\r\nB=c\r\n", 1, "a carriage return"),
        ("A=\x1b[2J\n", 1, "the character '\\x1b'"),
        ("UID=0\n", 1, "is a variable of the shell"),
        ("export -n A\n", 1, "is a command"),
        ("export A=*\n", 1, "`*` outside quotes after export"),
    ],
)
def test_what_only_running_it_would_tell_is_unreadable(text: str, line: int, what: str) -> None:
    found = ifcfg_files.read(text).unreadable
    assert isinstance(found, Unreadable)
    assert found.line == line
    assert what in found.what


def test_what_comes_before_it_is_known() -> None:
    assert ifcfg_files.read("A=1\nB=$(x)\nC=2\n").values == {"A": "1"}


def test_a_real_file() -> None:
    text = """\
# Intel Corporation 82574L Gigabit Network Connection
DEVICE="eth0"   # the first one
  BOOTPROTO='static'; ONBOOT=yes
export IPADDR0=192.0.2.7 PREFIX0=24
GATEWAY0=192.0.2.1
IPV6ADDR=2001:db8::7/64
ETHTOOL_OPTS="speed 1000 duplex full \\
autoneg off"
NAME="System ${DEVICE}"
"""
    assert ifcfg_files.read(text).values == {
        "DEVICE": "eth0",
        "BOOTPROTO": "static",
        "ONBOOT": "yes",
        "IPADDR0": "192.0.2.7",
        "PREFIX0": "24",
        "GATEWAY0": "192.0.2.1",
        "IPV6ADDR": "2001:db8::7/64",
        "ETHTOOL_OPTS": "speed 1000 duplex full autoneg off",
        "NAME": "System eth0",
    }
