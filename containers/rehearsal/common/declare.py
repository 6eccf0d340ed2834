"""Declare to rpm what Debian installed in this image, by RPMs that carry no files.

Runs inside the image, on Debian's own python3 (3.9, standard library only):

    declare.py NAMES OUT

NAMES: lines of ``el-name  debian-package…  [as VERSION]``; ``#`` starts a comment. OUT gets one RPM
per el name, at the Debian package's upstream version (or VERSION, where NAMES gives a reason for
it), and ``rehearsal-debian``, which provides every program by its path and every library by the
sonames and symbol versions that rpm's own elfdeps reads in it. Fails, naming them, where a Debian
package of NAMES is not installed. Each RPM refuses to install where its Debian package is absent.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ELFDEPS = "/usr/lib/rpm/elfdeps"
LIBRARIES = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64"]
PROGRAMS = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"]
HEAD = """\
Name: rehearsal-debian
Version: 1
Release: 1.rehearsal
Summary: Declares what Debian installed, by path and by soname (carries no files)
License: Public Domain
BuildArch: noarch
AutoReqProv: no
{provides}
%description
A rehearsal host or build root is Debian. This RPM carries no files: it tells rpm which programs
and libraries Debian's packages have put there.
%files
"""
NAMED = """\
%package -n {name}
Version: {version}
Summary: Declares Debian's {debian} as {name} (carries no files)
AutoReqProv: no
Requires: rehearsal-debian
%description -n {name}
This RPM carries no files. On this rehearsal host or build root {name} is what Debian's
{debian} gives ({exact}).
%pre -n {name} -p /bin/sh
for package in {debian}; do
  case $(dpkg-query -W -f '${{db:Status-Status}}' "$package" 2>/dev/null) in
    installed) ;;
    *) echo "{name}: Debian package $package is not installed" >&2; exit 1 ;;
  esac
done
%files -n {name}
"""


def read_names(path):
    """Yield (el name, Debian packages, version or "") of each line."""
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        version = ""
        if len(words) > 2 and words[-2] == "as":
            version = words[-1]
            words = words[:-2]
        if len(words) < 2:
            sys.exit(f"{path}: {line!r} names no Debian package")
        yield words[0], words[1:], version


def debian_version(package):
    """Return the installed version of a Debian package, or "" where it is not installed."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package],
        capture_output=True,
        text=True,
    )
    status, _, version = done.stdout.partition(" ")
    return version if status == "installed" else ""


def rpm_version(debian):
    """Return Debian's upstream version in the characters that an RPM version may have."""
    upstream = debian.partition(":")[2] or debian
    upstream = upstream.rpartition("-")[0] or upstream
    return re.sub(r"[^A-Za-z0-9._+~]", ".", upstream)


def is_elf(path):
    """Tell a shared object from the linker scripts that some -dev packages call .so."""
    with path.open("rb") as handle:
        return handle.read(4) == b"\x7fELF"


def sonames():
    """Return what rpm's elfdeps says that Debian's libraries provide."""
    libraries = [
        str(path)
        for folder in LIBRARIES
        for path in sorted(pathlib.Path(folder).glob("*.so*"))
        if path.is_file() and is_elf(path)
    ]
    done = subprocess.run(
        [ELFDEPS, "--provides"],
        input="".join(f"{path}\n" for path in libraries),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return sorted({line for line in done.stdout.splitlines() if line} | {"rtld(GNU_HASH)"})


def programs():
    """Return the paths of Debian's programs, in both places where /usr is merged."""
    names = {p.name for folder in PROGRAMS for p in pathlib.Path(folder).iterdir()}
    plain = sorted(n for n in names if re.fullmatch(r"[A-Za-z0-9._+-]+", n))
    return [f"{f}/{n}" for f in PROGRAMS for n in plain if pathlib.Path(f, n).exists()]


def main(names, out):
    """Write the RPMs of ``names`` to ``out``."""
    rows = list(read_names(names))
    absent = sorted({p for _, debian, _ in rows for p in debian if not debian_version(p)})
    if absent:
        sys.exit("not installed in this image: " + ", ".join(absent))
    own = {name for name, _, _ in rows}
    wide = [f"Provides: {p}" for p in [*programs(), *sonames()] if p not in own]
    text = HEAD.format(provides="\n".join(wide))
    for name, debian, version in rows:
        exact = ", ".join(f"{p} {debian_version(p)}" for p in debian)
        if name.startswith("/"):
            sys.exit(f"{name}: programs are declared by path already")
        text += NAMED.format(
            name=name,
            version=version or rpm_version(debian_version(debian[0])),
            debian=" ".join(debian),
            exact=exact,
        )
    with tempfile.TemporaryDirectory() as scratch:
        spec = pathlib.Path(scratch, "rehearsal-debian.spec")
        spec.write_text(text, encoding="utf-8")
        argv = ["rpmbuild", "-bb", "--quiet", "-D", f"_topdir {scratch}", "-D", f"_rpmdir {out}"]
        subprocess.run([*argv, "-D", "_rpmfilename %%{NAME}.rpm", str(spec)], check=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
