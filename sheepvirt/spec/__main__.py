"""The command that patches a spec by intent, and tells what it did.

    python -m sheepvirt.spec --target NAME FILE    the patched spec, on standard output

``-`` for FILE is standard input. Standard error tells what was done.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sheepvirt import config, output, paths
from sheepvirt.errors import SheepvirtError, SpecError
from sheepvirt.spec.by_intent import load_intent, patch


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the patched spec; return 0, 1 where a rule does not fit, 2 for a wrong name or file."""
    parser = argparse.ArgumentParser(
        prog="python -m sheepvirt.spec",
        description="Print a libvirt spec with sheepdog on; standard error tells what was done.",
        epilog="exit status: 0 done or already enabled, 1 a rule does not fit, 2 wrong name, file",
    )
    parser.add_argument("--target", required=True, help="a folder of containers/")
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="libvirt.spec or libvirt.spec.in; - is standard input",
    )
    given = parser.parse_args(arguments)
    name = "standard input" if given.file == Path("-") else given.file.name
    at = name
    try:
        target = config.load_target(given.target)
        intent = load_intent(paths.PATCHES / "libvirt" / "enable-sheepdog.toml")
        at = name if given.file == Path("-") else str(given.file)
        text = _read_bytes(given.file).decode("utf-8", "surrogateescape")
        macros = {"_target_cpu": target.arch, **target.macros}
        patched = patch(text, intent, macros, name=name)
        output.write(patched.text.encode("utf-8", "surrogateescape"))
    except SheepvirtError as error:
        output.complain(f"error: {error}")
        return 1 if isinstance(error, SpecError) else error.exit_code
    except OSError as error:
        output.complain(f"error: {at}: {error.strerror}")
        return 2
    for action in patched.actions:
        output.complain(action)
    if patched.already:
        output.complain(f"{name}: already enabled")
    return 0


def _read_bytes(file: Path) -> bytes:
    """Return all of a file, as bytes: changelogs of old specs are not all UTF-8."""
    if file != Path("-"):
        return file.read_bytes()
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdin.buffer.read()


if __name__ == "__main__":
    sys.exit(output.status(main))
