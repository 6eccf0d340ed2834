"""Negative controls of the gates: what stops a run counts, and nothing else."""

from pathlib import Path

import factories
import pytest

from sheepvirt.core.errors import CompileError, ContractError, EngineError
from sheepvirt.model.enums import Gate
from sheepvirt.verify.controls import gate_controls
from sheepvirt.verify.controls.gate_controls import UNFOUND, UNMET, Case, GateControl
from sheepvirt.verify.model import Outcome
from tests.here import run_in

PACKAGE = factories.package(
    build_packages=("sheepdog",), rpmbuild_args=("--nocheck",), installed_subpackages=("libvirt",)
)
EVIDENCE = (
    factories.evidence(gate=Gate.SPEC, claim="configure is told -Dx", observed="-Dx"),
    factories.evidence(gate=Gate.SPEC, claim="%files x has y", observed="y"),
    factories.evidence(gate=Gate.BUILD, claim="its CLI was in the build root", observed="/x"),
)
RECORD = factories.record(installed_subpackages=("libvirt",), evidence=EVIDENCE)


class Broken:
    """A job whose compilation leaves a log and fails."""

    def __init__(self, log: str) -> None:
        self.log = log

    def __call__(self, _case: Case, scratch: Path) -> None:
        (scratch / "build.log").write_text(self.log)
        raise CompileError("libvirt did not build", hint="")


def case() -> Case:
    return Case(
        package=PACKAGE,
        record=RECORD,
        files=(),
        build_root_rpms=(),
        published=Path("/nowhere"),
        job=None,  # type: ignore[arg-type]
    )


def outcome(control: GateControl, tmp_path: Path) -> Outcome:
    return gate_controls._outcome(run_in(), control, case(), tmp_path)


@pytest.mark.parametrize(
    ("log", "seen"),
    [
        ("error: Failed build dependencies:\n\tsheepdog is needed by libvirt-7.0.0\n", UNMET),
        ("../src/meson.build:1:2: ERROR: Program 'collie dog' not found\n", UNFOUND),
        (
            "../src/meson.build:1:2: ERROR: Program(s) ['collie', 'dog'] not found or",
            UNFOUND,
        ),
        ("../x.c:1:2: error: y\n", "build: ../x.c:1:2: error: y"),
    ],
)
def test_what_rpm_and_configure_say_has_a_name(tmp_path: Path, log: str, seen: str) -> None:
    control = GateControl(name="c", expected=lambda _case: frozenset({UNFOUND}), run=Broken(log))
    found = outcome(control, tmp_path)
    assert found.seen == {seen}
    assert found.ok == (seen == UNFOUND)


def test_claims_that_were_missed_are_compared_with_those_of_the_published_build(
    tmp_path: Path,
) -> None:
    def miss(_case: Case, _scratch: Path) -> None:
        raise ContractError("m", claims=("spec: configure is told -Dx",))

    expected = gate_controls._of_gate(Gate.SPEC, "configure is told")
    assert outcome(GateControl(name="c", expected=expected, run=miss), tmp_path).ok
    wider = gate_controls._of_gate(Gate.SPEC, "configure is told", "%files")
    assert not outcome(GateControl(name="c", expected=wider, run=miss), tmp_path).ok


def test_nothing_that_stops_it_and_nothing_expected_are_no_pass(tmp_path: Path) -> None:
    def through(_case: Case, _scratch: Path) -> None:
        return

    assert not outcome(
        GateControl(name="c", expected=lambda _c: frozenset({"x"}), run=through), tmp_path
    ).ok
    none = gate_controls._of_gate(Gate.RPM, "an RPM has")  # no such claim was published
    assert not outcome(GateControl(name="c", expected=none, run=through), tmp_path).ok


def test_an_engine_that_fails_is_no_gate(tmp_path: Path) -> None:
    def fail(_case: Case, _scratch: Path) -> None:
        raise EngineError("no engine")

    with pytest.raises(EngineError):
        outcome(GateControl(name="c", expected=lambda _case: frozenset({"x"}), run=fail), tmp_path)


def test_a_build_ends_before_the_compilation() -> None:
    args = gate_controls._short(PACKAGE).rpmbuild_args
    assert args[:3] == ("--nocheck", "--define", "meson_build exit 97")
    assert args[3:] == ("--define", "_smp_mflags --no-compilation")  # autoconf's make
