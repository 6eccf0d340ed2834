"""The bare command proves its result by a real rpm, or says that it could not."""

from __future__ import annotations

import shutil
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sheepvirt.builds import spec_proof
from sheepvirt.cli import spec
from sheepvirt.config import catalog
from sheepvirt.core.errors import EngineUnavailableError
from sheepvirt.core.processes import Result
from sheepvirt.spec import by_intent
from sheepvirt.spec.lines import build_section, by_section
from tests.here import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DATA = Path(__file__).parent / "data" / "spec"
DAEMON = DATA / "daemon.spec"
INTENT = by_intent.load_intent(SETTINGS.patches / "libvirt" / "enable-sheepdog.toml")
ALL_WELL = """\
Name: libvirt
BuildRequires: sheepdog
Requires: sheepdog
%prep
%setup
# The build section starts here.
./configure --with-storage-sheepdog
%install
"""
# A stand-in for rpmspec: it notes its arguments and the spec, and answers as the test says.
RPMSPEC = """\
#!/bin/sh
for last; do :; done
case "$1" in
--version) echo "RPM version 4.18.9"; exit ;;
--eval) echo "$2" >> {here}/evals; echo "fedora dist "; exit ;;
esac
echo "$@" >> {here}/arguments
cp "$last" {here}/given.spec
cat {here}/answer
cat {here}/errors >&2
exit {code}
"""


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        def within(self, _seconds: int) -> object:
            raise EngineUnavailableError("no container engine answers on this machine", hint="x")

    monkeypatch.setattr(spec, "_engine", Absent)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without rpmspec."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.fixture
def rpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose rpmspec answers what is in ``answer``."""
    (tmp_path / "answer").write_text(ALL_WELL, encoding="utf-8")
    (tmp_path / "errors").write_text("", encoding="utf-8")
    install(tmp_path, 0)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def install(folder: Path, code: int) -> None:
    path = folder / "bin" / "rpmspec"
    path.parent.mkdir(exist_ok=True)
    path.write_text(RPMSPEC.format(here=folder, code=code), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    code = spec.main(["--target", "el6", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err.splitlines()


@pytest.mark.usefixtures("rpm")
def test_what_rpm_confirms_is_proven(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, told = run(capsys, "--require-proof", str(DAEMON))
    assert (code, told[-1]) == (0, "proven by rpm 4.18.9")
    assert "--with-storage-sheepdog" in out
    assert "# The build section" not in out


def test_rpm_reads_under_the_targets_macros_and_no_others(
    rpm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, str(DATA / "plugin.spec.in"))
    words = (rpm / "arguments").read_text(encoding="utf-8")
    for part in ("--define rhel 6", "--define centos 6", "--define el6 1", "--undefine=fedora"):
        assert part in words
    assert "--undefine=dist" not in words  # the target has its own
    given = (rpm / "given.spec").read_text(encoding="utf-8")
    assert "%build\n# The build section starts here.\n" in given
    assert "Version: 1\n" in given  # rpm refuses @VERSION@


@pytest.mark.usefixtures("alone")
def test_without_rpm_it_says_so_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, told = run(capsys, str(DAEMON))
    assert code == 0
    assert "--with-storage-sheepdog" in out
    assert told[-1].startswith("not proven: no rpmspec here, and no container engine answers")


@pytest.mark.usefixtures("alone")
def test_without_rpm_a_proof_that_is_asked_for_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, told = run(capsys, "--require-proof", str(DAEMON))
    assert (code, out) == (3, "")
    assert told[0].startswith("error: daemon.spec: not proven: no rpmspec here")
    assert told[1].startswith("  what to do: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("--with-", "--without-", "configure is told -Dstorage_sheepdog=enabled or --with-storage"),
        ("\nRequires: sheepdog", "", "Requires: sheepdog: not in the expanded spec"),
    ],
)
def test_what_rpm_refutes_is_an_error(
    rpm: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    (rpm / "answer").write_text(ALL_WELL.replace(old, new), encoding="utf-8")
    code, out, told = run(capsys, str(DAEMON))
    assert (code, out) == (1, "")
    assert "daemon.spec: rpm 4.18.9 refutes the result: " in told[0]
    assert said in told[0]


def test_what_rpm_cannot_read_is_not_proven(rpm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "warning: x\nerror: line 1: Unknown tag\nerror: query failed\n"
    (rpm / "errors").write_text(words, encoding="utf-8")
    install(rpm, 1)
    path = rpm / "marked.spec"
    path.write_bytes(b"\xef\xbb\xbf" + DAEMON.read_bytes())
    code, out, told = run(capsys, str(path))
    assert code == 0
    assert out.startswith("\ufeff")
    assert told[-1].startswith("not proven: rpm 4.18.9 cannot read it: error: line 1: Unknown tag,")
    assert "warning: marked.spec starts with a byte order mark" in told[-2]
    assert run(capsys, "--require-proof", str(path))[0] == 3


def test_an_rpmspec_that_hangs_is_not_waited_for(
    rpm: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (rpm / "bin" / "rpmspec").write_text("#!/bin/sh\nexec sleep 9\n", encoding="utf-8")
    monkeypatch.setattr(spec_proof, "SECONDS", 0.1)
    assert "not proven: rpmspec did not end within" in run(capsys, str(DAEMON))[2][-1]


class Builder:
    """A stand-in for an engine that has the target's builder image, and for a container of it."""

    answer = ALL_WELL
    code = 0
    image = "sha256:1"

    def __init__(self) -> None:
        self.given = b""

    def within(self, _seconds: int) -> Builder:
        return self

    def image_id(self, tag: str) -> str | None:
        assert tag.startswith("sheepvirt/el6-builder:")
        return self.image or None

    @contextmanager
    def container(self, image: str, *, network: str) -> Iterator[Builder]:
        assert network == "none"
        yield self

    def put(self, source: Path, folder: str) -> None:
        self.given = source.read_bytes()

    def run(self, argv: Sequence[str], **rest: object) -> Result:
        if argv[:2] == ["rpm", "--version"]:
            return Result(code=0, stdout="RPM version 4.8.1\n", stderr="")
        if argv[0] == "rpmspec":
            assert b"--with-storage-sheepdog" in self.given
            assert "rhel 6" in argv
            return Result(
                code=self.code,
                stdout=self.answer,
                stderr="error: line 3: bad\n" if self.code else "",
            )
        return Result(code=0, stdout="", stderr="")


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> type[Builder]:
    class Own(Builder):
        pass

    monkeypatch.setattr(spec, "_engine", Own)
    return Own


@pytest.mark.usefixtures("alone", "builder")
def test_the_targets_builder_is_asked_where_there_is_no_rpmspec(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, told = run(capsys, "--require-proof", str(DAEMON))
    assert (code, told[-1]) == (0, "proven by rpm 4.8.1 of el6's builder")


@pytest.mark.usefixtures("alone")
def test_why_the_builder_says_nothing_is_told(
    builder: type[Builder], capsys: pytest.CaptureFixture[str]
) -> None:
    builder.code = 1
    why = "no rpmspec here, and rpm of el6's builder cannot read it: error: line 3: bad"
    assert run(capsys, str(DAEMON))[2][-1] == f"not proven: {why}"
    builder.image = ""
    why = "no rpmspec here, and the engine has no image of el6's builder"
    assert run(capsys, str(DAEMON))[2][-1] == f"not proven: {why}"


def test_a_builder_overrules_this_machines_rpm(
    rpm: Path, builder: type[Builder], capsys: pytest.CaptureFixture[str]
) -> None:
    """This machine's rpm may lack macros that the target has."""
    (rpm / "answer").write_text("Name: libvirt\n", encoding="utf-8")
    assert run(capsys, str(DAEMON))[2][-1] == "proven by rpm 4.8.1 of el6's builder"
    builder.answer = "Name: libvirt\n"
    code, _, told = run(capsys, str(DAEMON))
    assert code == 1
    assert "rpm 4.18.9 refutes the result" in told[0]


@pytest.mark.parametrize("header", ["%build\n", "%build -a\n"])
@pytest.mark.parametrize("printed", [True, False])
def test_a_build_section_without_its_header_is_found_again(header: str, printed: bool) -> None:
    text = spec_proof.marked(f"Name: x\n%prep\na\n{header}b\n%builder\n%install\nc\n")
    assert text.count(spec_proof.MARK) == 1
    expanded = text if printed else text.replace(header, "\n")
    sections = by_section(spec_proof.with_build(expanded))
    name = header.strip()[1:] if printed else "build"
    assert sections["prep"][1].strip() == "a"
    assert [line.strip() for line in sections[name][1:]][1:] == ["b", "%builder"]


def test_an_expansion_without_any_build_header_is_judged_from_prep_on() -> None:
    sections = by_section("%prep\na\n\n./configure --x\n%install\n")
    assert build_section(sections)[-1] == "./configure --x\n"


needs_rpm = pytest.mark.skipif(not shutil.which("rpmspec"), reason="no rpmspec here")


@needs_rpm
@pytest.mark.parametrize("target", catalog.target_names(SETTINGS))
@pytest.mark.parametrize("name", ["daemon.spec", "plugin.spec.in", "monolithic.spec"])
def test_a_real_rpm_confirms_the_miniatures(
    name: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spec.main(["--target", target, "--require-proof", str(DATA / name)]) == 0
    assert "\nproven by rpm " in capsys.readouterr().err


@needs_rpm
@pytest.mark.parametrize("value", ["0", "1"])
def test_a_real_rpm_sees_what_lua_does_in_a_name_that_nobody_can_read(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"%{{lua: rpm.define('with_storage_' .. 'sheepdog {value}')}}\n\nSummary: A mini"
    text = DAEMON.read_text(encoding="utf-8").replace("\nSummary: A mini", code, 1)
    path = tmp_path / "lua.spec"
    path.write_text(text, encoding="utf-8")
    found = spec.main(["--target", "el6", str(path)])
    told = capsys.readouterr().err
    assert (found, "refutes the result" in told) == ((0, False) if value == "1" else (1, True))
