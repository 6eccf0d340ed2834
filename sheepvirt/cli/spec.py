"""The command that patches a spec by intent.

    python -m sheepvirt.spec --target NAME FILE    the patched spec, on standard output

``-`` for FILE is standard input. The changes, and which rpm has proven the result, are reported on
standard error.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.builds import spec_proof
from sheepvirt.config import inventory
from sheepvirt.core import output, settings
from sheepvirt.core.errors import NotProvenError, SheepvirtError, SpecError
from sheepvirt.spec.by_intent import load_intent, patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sheepvirt.engine.engine import Engine
    from sheepvirt.spec.model import Patched

NOT_PROVEN = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the patched spec; return the exit status that the help describes."""
    given = _arguments(arguments)
    name = "standard input" if given.file == Path("-") else given.file.name
    at = name
    chosen = settings.from_environment(os.environ)
    try:
        target = inventory.load_target(chosen, given.target)
        intent = load_intent(chosen.patches / "libvirt" / "enable-sheepdog.toml")
        at = name if given.file == Path("-") else str(given.file)
        text = _read_bytes(given.file).decode("utf-8", "surrogateescape")
        macros = {"_target_cpu": target.arch, **target.macros}
        patched = patch(text, intent, macros, name=name)
        judged = spec_proof.prove(chosen, _engine, patched.text, intent, target)
        _judge(judged, patched, name, required=given.require_proof)
        output.write(patched.text.encode("utf-8", "surrogateescape"))
    except SheepvirtError as error:
        output.complain(f"error: {error}")
        if isinstance(error, NotProvenError):
            return NOT_PROVEN
        return 1 if isinstance(error, SpecError) else error.exit_code
    except OSError as error:
        output.complain(f"error: {at}: {error.strerror}")
        return 2
    for action in patched.actions:
        output.complain(action)
    for warning in patched.warnings if not judged.by else ():
        output.complain(f"warning: {warning}")
    output.complain(judged.sentence)
    if patched.already:
        output.complain(f"{name}: already enabled")
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sheepvirt.spec",
        description="Print a libvirt spec with sheepdog on; report the changes on standard error.",
        epilog="exit status: 0 done or already enabled, 1 a rule does not fit or rpm refutes the "
        f"result, 2 wrong name or file, {NOT_PROVEN} no rpm here could prove it (--require-proof)",
    )
    parser.add_argument("--target", required=True, help="a folder of containers/")
    parser.add_argument(
        "--require-proof",
        action="store_true",
        help="fail, and print no spec, if no rpm here can prove the result",
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="libvirt.spec or libvirt.spec.in; - is standard input",
    )
    return parser.parse_args(arguments)


def _engine() -> Engine:
    """Return the container engine. Its client loads slowly, and most specs need none."""
    from sheepvirt.engine.engine import Engine

    return Engine()


def _judge(judged: spec_proof.Proof, patched: Patched, name: str, *, required: bool) -> None:
    """Raise SpecError (rpm refutes the patched spec) or NotProvenError."""
    if judged.refuted:
        said = "; ".join(f"{one.claim}: {one.observed}" for one in judged.refuted)
        raise SpecError(
            f"{name}: {judged.by} refutes the result: {said}",
            hint=f"report this spec; the changes were: {'; '.join(patched.actions)}",
        )
    if required and not judged.by:
        raise NotProvenError(
            f"{name}: {judged.sentence}", hint="install rpmspec (Debian: `apt-get install rpm`)"
        )


def _read_bytes(file: Path) -> bytes:
    """Read a file as bytes: changelogs of old specs may not be UTF-8."""
    if file != Path("-"):
        return file.read_bytes()
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdin.buffer.read()
