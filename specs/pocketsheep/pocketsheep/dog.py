"""The command line of the stand-in: the subcommands of sheepdog's ``dog`` that libvirt calls.

Raw output (-r) is what libvirt's storage backend reads (its ``storage_backend_sheepdog.c``), exit
codes are those that sheepdog's dog documents.
"""

from __future__ import annotations

import argparse
import getopt
import sys
from collections.abc import Callable

from pocketsheep import WHAT, commands, wire
from pocketsheep.client import Connection, Refused
from pocketsheep.commands import EXISTS, FAILURE, FULL, MISSING, SYSFAIL, USAGE, Failure
from pocketsheep.wire import Result, WireError

_CODES: dict[int, int] = {
    Result.VDI_EXIST: EXISTS,
    Result.NO_SPACE: FULL,
    Result.FULL_VDI: FULL,
    Result.NO_VDI: MISSING,
    Result.NO_TAG: MISSING,
    Result.NO_OBJ: MISSING,
    Result.WAIT_FOR_FORMAT: SYSFAIL,
}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

Command = Callable[[Connection, argparse.Namespace], int]


def size_of(text: str) -> int:
    """Read a size in bytes, or with K, M, G, T (powers of 1024). Raises ArgumentTypeError."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not number.isdecimal() or unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; use bytes, or K, M, G, T")
    return int(number) * _UNITS[unit]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. Options may stand anywhere after the subcommand."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-a", "--address", default="127.0.0.1")
    common.add_argument("-p", "--port", type=int, default=wire.PORT)
    common.add_argument("-r", "--raw", action="store_true", help="output for programs")
    top = argparse.ArgumentParser("dog", description=WHAT)
    top.add_argument("--version", action="version", version=f"dog of {WHAT}")
    groups = top.add_subparsers(dest="group", required=True, metavar="{node,cluster,vdi}")
    found: dict[str, argparse._SubParsersAction[argparse.ArgumentParser]] = {}

    def add(path: str, run: Command, *names: str) -> argparse.ArgumentParser:
        group, verb = path.split()
        if group not in found:
            found[group] = groups.add_parser(group).add_subparsers(dest="verb", required=True)
        one = found[group].add_parser(verb, parents=[common], description=run.__doc__)
        one.set_defaults(run=run)
        for name in names:
            one.add_argument(name, type=size_of if name == "size" else str)
        return one

    add("node info", commands.node_info)
    add("cluster info", commands.cluster_info)
    one = add("cluster format", commands.cluster_format)
    one.add_argument("-c", "--copies", type=int, default=1)
    add("vdi list", commands.vdi_list).add_argument("name", nargs="?")
    add("vdi create", commands.vdi_create, "name", "size")
    add("vdi resize", commands.vdi_resize, "name", "size")
    for verb, run in (
        ("delete", commands.vdi_delete),
        ("object", commands.vdi_object),
        ("read", commands.vdi_read),
        ("snapshot", commands.vdi_snapshot),
    ):
        add(f"vdi {verb}", run, "name").add_argument("-s", "--snapshot", help="tag, or id")
    found["vdi"].choices["object"].add_argument("-i", "--index", type=int)
    add("vdi write", commands.vdi_write, "name")
    for verb in ("read", "write"):
        one = found["vdi"].choices[verb]
        one.add_argument("offset", nargs="?", type=size_of, default=0)
        one.add_argument("length", nargs="?", type=size_of)
    return top


def _options_first(argv: list[str]) -> list[str]:
    """Put options before operands: sheepdog's dog takes them in any order, argparse does not."""
    known = ["address=", "port=", "raw", "snapshot=", "index=", "copies=", "help"]
    try:
        found, operands = getopt.gnu_getopt(argv[2:], "a:p:rs:i:c:h", known)
    except getopt.GetoptError:
        return argv  # argparse says what is wrong with it
    options = [[o] if o in ("-r", "--raw", "-h", "--help") else [o, value] for o, value in found]
    return [*argv[:2], *(word for words in options for word in words), *operands]


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns its exit code; what went wrong is on standard error."""
    try:
        options = parser().parse_args(_options_first(sys.argv[1:] if argv is None else argv))
    except SystemExit as end:
        return USAGE if end.code else 0
    try:
        connection = Connection(options.address, options.port)
    except OSError as error:
        where = f"{options.address} port {options.port}"
        print(f"dog: no server answers at {where}: {error}", file=sys.stderr)
        return SYSFAIL
    with connection:
        try:
            code: int = options.run(connection, options)
            return code
        except Failure as failure:
            message, code = str(failure), failure.code
        except Refused as refused:
            message, code = str(refused), _CODES.get(refused.result, FAILURE)
        except WireError as error:
            message, code = str(error), FAILURE
        except OSError as error:
            message, code = str(error), SYSFAIL
    print(f"dog: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
