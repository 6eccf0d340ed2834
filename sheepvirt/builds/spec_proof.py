"""Prove a patched spec without a build: a real rpm expands it with the target's macros.

The local ``rpmspec`` is used first, then the target's builder image if the engine has it: that one
has the target's macro files. rpm runs the shell commands in a spec's macros.
"""

from __future__ import annotations

import functools
import platform
import re
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core import processes
from sheepvirt.core.errors import EngineError, SheepvirtError
from sheepvirt.spec import by_intent
from sheepvirt.spec.draft import split_lines
from sheepvirt.spec.lines import shown
from sheepvirt.spec.switch import DISTRIBUTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.core.processes import Result
    from sheepvirt.core.settings import Settings
    from sheepvirt.engine.engine import Engine
    from sheepvirt.model.builds import Evidence, Target
    from sheepvirt.spec.model import Intent

SECONDS = 60
BYTES = "surrogateescape"
# A text that a makefile fills in; rpm refuses a version with it.
PLACEHOLDER = re.compile(r"@[A-Z][A-Z0-9_]*@")
# rpm 4.18 and later do not print the header of the section after %prep.
MARK = "# The build section starts here.\n"
FOLDER = "/tmp/sheepvirt-proof"  # in a builder's container, which is removed
NAME = "proof.spec"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The result of a proof of a patched spec."""

    by: str  # which rpm; empty if none was available or could read the spec
    why_not: str  # the reasons for that
    evidence: tuple[Evidence, ...] = ()

    @property
    def refuted(self) -> tuple[Evidence, ...]:
        """The claims that do not hold."""
        return tuple(one for one in self.evidence if not one.ok)

    @property
    def sentence(self) -> str:
        """The result in one line."""
        return f"proven by {self.by}" if self.by else f"not proven: {self.why_not}"


Ask = Callable[[bytes, "Target"], tuple[str, str]]  # the spec to which rpm, and its expansion


class _Silent(Exception):
    """This rpm cannot answer; the message is the reason."""


def prove(
    settings: Settings, engine: Callable[[], Engine], text: str, intent: Intent, target: Target
) -> Proof:
    """Expand ``text`` with a real rpm for ``target`` and check it against the intent.

    ``engine`` returns the container engine; it is called only if this machine's rpm cannot answer.

    If one rpm refutes it, the next one is used too: this machine's rpm may lack macros that the
    target has.
    """
    copy = marked(PLACEHOLDER.sub("1", text)).encode(errors=BYTES)
    refuted: Proof | None = None
    reasons = []
    asks: tuple[Ask, ...] = (_local, functools.partial(_in_builder, settings, engine))
    for ask in asks:
        try:
            by, expanded = ask(copy, target)
        except _Silent as reason:
            reasons.append(str(reason))
            continue
        found = by_intent.prove(intent, with_build(expanded), package=intent.name, feature="")
        proof = Proof(by=by, why_not="", evidence=found)
        if not proof.refuted:
            return proof
        refuted = refuted or proof
    return refuted or Proof(by="", why_not=", and ".join(reasons))


def marked(text: str) -> str:
    """Return the spec with a comment after each ``%build``, to find it again."""
    lines = split_lines(text)
    return "".join(line + MARK if re.match(r"%build\s", line) else line for line in lines)


def with_build(expanded: str) -> str:
    """Return rpm's expansion of a ``marked`` spec; add ``%build`` if rpm left it out."""
    before, mark, after = expanded.partition(MARK)
    if not mark:
        return expanded
    lines = before.rstrip("\n").rpartition("\n")
    header = "" if lines[2].startswith("%build") else "%build\n"
    return f"{before}{header}{mark}{after}"


def _local(copy: bytes, target: Target) -> tuple[str, str]:
    """Use this machine's rpm, without the user's macros."""
    rpmspec = shutil.which("rpmspec")
    if rpmspec is None:
        raise _Silent("no rpmspec here")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        path.write_bytes(copy)

        def run(*argv: str) -> Result:
            env = {"LC_ALL": "C", "HOME": folder}
            done = processes.run([rpmspec, *argv], env=env, cwd=folder, seconds=SECONDS)
            if done.code == -signal.SIGKILL:
                raise _Silent(f"rpmspec did not end within {SECONDS} s")
            return done

        try:
            by = _version(run("--version").stdout)
            asked = "".join(f"%{{?{name}:{name} }}" for name in sorted(DISTRIBUTION))
            there = run("--eval", asked).stdout.split()
            other = [f"--undefine={name}" for name in there if name not in target.macros]
            arch = [f"--target={target.arch}"] if platform.machine() != target.arch else []
            done = run("-P", *arch, *other, *_defines(target), str(path))
        except OSError as error:
            raise _Silent(f"rpmspec does not run: {error.strerror}") from None
    if done.code:
        raise _Silent(f"{by} cannot read it: {_error(done.stderr)}")
    return by, done.stdout


def _in_builder(
    settings: Settings, ready_engine: Callable[[], Engine], copy: bytes, target: Target
) -> tuple[str, str]:
    """Use the rpm of the target's builder image, if the engine has that image."""
    # Imported here: they load slowly, and a local rpmspec does not need them.
    from sheepvirt.builds import expansion
    from sheepvirt.images import recipes

    whose = f"{target.name}'s builder"
    try:
        engine = ready_engine().within(SECONDS)
        tag = recipes.tag_of(settings, target, "builder")
        if engine.image_id(tag) is None:
            raise _Silent(f"the engine has no image of {whose}")
        with (
            engine.container(tag, network="none") as container,
            tempfile.TemporaryDirectory() as here,
        ):
            path = Path(here) / NAME
            path.write_bytes(copy)
            container.run(["mkdir", "-p", FOLDER], check=True)
            container.put(path, FOLDER)
            env = {"LC_ALL": target.locale}
            by = _version(container.run(["rpm", "--version"], env=env).stdout)
            words, scratch = _defines(target), f"{FOLDER}/expansion"
            text = expansion.expand(container, f"{FOLDER}/{NAME}", words, env, scratch=scratch)
    except EngineError as error:
        raise _Silent(error.message) from None
    except SheepvirtError as error:
        raise _Silent(f"rpm of {whose} cannot read it: {_error(error.message)}") from None
    return f"{by} of {whose}", text


def _defines(target: Target) -> list[str]:
    return [w for name, value in target.macros.items() for w in ("--define", f"{name} {value}")]


def _version(printed: str) -> str:
    """Return "rpm 4.18.0" of "RPM version 4.18.0"."""
    found = re.search(r"\d+(?:\.\d+)+", printed)
    return f"rpm {found[0]}" if found else "rpm"


def _error(printed: str) -> str:
    """Return the first error that rpm printed, else its last line."""
    lines: Sequence[str] = [line for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error")]
    return shown((errors or lines or ["it says nothing"])[0 if errors else -1])
