"""Expand a spec with the build root's rpm. Proofs check the expanded text.

``rpmspec -P`` (rpm 4.10 and later) prints it. Older rpms (el6 has 4.8) are queried in parts. The
source RPM's header has the BuildRequires. ``rpm -q --specfile`` has the requirements of each
package. ``rpmbuild`` prints the scripts of %prep, %build and %install if their shell is cat. As
that installs nothing, it then names each listed file as missing, up to the end of the first package
that has a list. Seen with rpm 4.8.1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sheepvirt.core.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.core.processes import Result
    from sheepvirt.engine.container import Container

HEADER = "Name: %{NAME}\\nVersion: %{VERSION}\\nRelease: %{RELEASE}\\n"
RELATION = "%{REQUIRENAME} %{REQUIREFLAGS:depflags} %{REQUIREVERSION}\\n"
# rpm runs its scripts with this "shell" (rpm's macros file: ___build_cmd), which prints them.
AS_TEXT = ("--define", "_buildshell /bin/cat", "--define", "___build_args %{nil}")
LISTED = re.compile(r"(?m)^error: File not found(?: by glob)?: (/.*)$")


def expand(
    container: Container, spec: str, defines: Sequence[str], env: Mapping[str, str], *, scratch: str
) -> str:
    """Expand the spec at path ``spec`` with ``container``'s rpm and ``defines``.

    Its sources must be in the build root. ``scratch`` is a folder there that does not exist yet.
    Raises SpecError: rpm cannot read the spec.
    """
    if not container.run(["sh", "-c", "command -v rpmspec"], env=env).code:
        return _asked(container, ["rpmspec", "-P", *defines, spec], env, spec)
    return _by_pieces(container, spec, defines, env, scratch)


def values(
    container: Container, words: Sequence[str], defines: Sequence[str], env: Mapping[str, str]
) -> dict[str, str]:
    """Return the expansion of each of ``words``."""
    if not words:
        return {}
    asked = [option for word in words for option in ("--eval", word)]
    done = container.run(["rpm", *defines, *asked], env=env, check=True)
    return dict(zip(words, done.stdout.split("\n"), strict=False))


def _by_pieces(
    container: Container, spec: str, defines: Sequence[str], env: Mapping[str, str], scratch: str
) -> str:
    def ask(*argv: str) -> str:
        return _asked(container, argv, env, spec)

    ask("rpmbuild", "-bs", "--nodeps", *defines, "--define", f"_srcrpmdir {scratch}", spec)
    found = container.run(["sh", "-c", 'ls "$1"/*.src.rpm', "sh", scratch], env=env, check=True)
    source = ask(
        "rpm", "-qp", "--qf", HEADER + f"[BuildRequires: {RELATION}]", found.stdout.strip()
    )
    query = f"%%package -n %{{NAME}}\\n[Requires: {RELATION}]"
    packages = ask("rpm", "-q", *defines, "--specfile", spec, "--qf", query)
    words = ("--nodeps", *AS_TEXT, *defines, spec)
    empty = f"{scratch}/EMPTY"  # %buildroot; it stays empty
    prep = ask("rpmbuild", "-bp", *words)
    build = ask("rpmbuild", "-bc", "--short-circuit", *words)
    # This fails by design: the files are missing.
    last = container.run(
        ["rpmbuild", "-bi", "--short-circuit", "--buildroot", empty, *words], env=env
    )
    listed = (path.removeprefix(empty) for path in LISTED.findall(last.stderr))
    scripts = {"prep": prep, "build": build, "install": last.stdout, "files": "\n".join(listed)}
    texts = "".join(f"%{section}\n{text}\n" for section, text in scripts.items())
    return source + _as_sections(packages, _name(source)) + texts


def _asked(container: Container, argv: Sequence[str], env: Mapping[str, str], spec: str) -> str:
    done: Result = container.run(argv, env=env)
    if done.code:
        raise SpecError(
            f"rpm cannot read {spec.rpartition('/')[2]} (`{argv[0]} {argv[1]}`):\n{done.stderr}",
            hint="look into its spec.diff: did the patch cause it?",
        )
    return done.stdout


def _name(header: str) -> str:
    return header.partition("\n")[0].removeprefix("Name: ")


def _as_sections(queried: str, main: str) -> str:
    """Name packages as a spec does: ``%package -n libvirt-daemon`` becomes ``%package daemon``.

    The main package's requirements belong to the preamble, so they come first.
    """
    parts = queried.split("%package -n ")[1:]
    preamble = [p for p in parts if p.partition("\n")[0] == main]
    others = [p for p in parts if p.partition("\n")[0] != main]
    own = "".join(p.partition("\n")[2] for p in preamble)
    short = f"{main}-"
    return own + "".join(
        f"%package {p.removeprefix(short)}" if p.startswith(short) else f"%package -n {p}"
        for p in others
    )
