"""Negative controls of installed RPMs: missing files, missing RPMs, RPMs of another build. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sheepvirt.verify.model import Command, Control, ControlContext, each, switch, volumes

if TYPE_CHECKING:
    from sheepvirt.model.builds import BuildRecord, Feature
    from sheepvirt.model.hosts import Host

BACKEND = re.compile(r"/libvirt_storage_backend_\w+\.so$")
ASIDE = ".sheepvirt-prove"  # the suffix of a file while it is "removed"
VIRSH = "/usr/bin/virsh"
# $1 is a file, $2 its suffix meanwhile; the rest is a command to run after it is restored.
BACK = '[ ! -e "$1$2" ] || { mv -f "$1$2" "$1" && shift 2 && "$@"; }'
# A virsh without a feature; $3 is the feature's word.
BLIND = r"""
set -e
mv "$1" "$1$2"
cat > "$1.new" <<END
#!/bin/sh
[ "\$1" != -V ] || exec sh -c '$1$2 -V | sed "s/ $3\b//"'
exec $1$2 "\$@"
END
chmod 755 "$1.new"
mv "$1.new" "$1"
"""
# Another build of an RPM, as a distribution would ship it, in rpm's database. No file is touched.
FOREIGN = """
set -e
top=$(mktemp -d)
cat > "$top/foreign.spec" <<END
Name: $1
Version: $2
Release: 0.distribution
Summary: An RPM that sheepvirt did not build
License: none
%description
It replaces the published RPM, only in rpm's database.
%files
END
rpmbuild -bb --quiet --define "_topdir $top" "$top/foreign.spec"
rpm -U --justdb --nodeps --force "$top"/RPMS/*/*.rpm
rm -r "$top"
"""


def of(context: ControlContext) -> tuple[Control, ...]:
    """Return the controls of installed RPMs, in order."""
    found: list[Control] = []
    for package, feature in context.features:
        if BACKEND.search(feature.rpm_file):  # in libvirt 1.0.3 the storage driver has all backends
            found.append(_backend(context.host, package, feature))
        found.append(_virsh(package, feature))
    return (*found, *_rpms(context))


def _backend(host: Host, package: str, feature: Feature) -> Control:
    """Remove the file of a storage backend; `virsh -V` still lists it."""
    path = feature.rpm_file
    (restart,) = switch(host, "restart", "libvirtd")
    return Control(
        name=f"{package}: {path.rpartition('/')[2]} removed",
        breaks=(Command(("mv", path, f"{path}{ASIDE}")), restart),
        fails=each([f"{package}-{feature.name}"], "libvirt: daemon has loaded the storage backend")
        | each([package], "packages: files are as packaged")
        | each([host.pool], "sheepdog: pool is active")
        | each(volumes(host), "sheepdog: volume is in the pool"),
        undo=(Command(("sh", "-c", BACK, "sh", path, ASIDE, *restart.argv)),),
    )


def _virsh(package: str, feature: Feature) -> Control:
    """Replace virsh by one that does not know the feature; the daemon still does."""
    return Control(
        name=f"{package}: virsh without {feature.host_line}",
        breaks=(Command(("sh", "-c", BLIND, "sh", VIRSH, ASIDE, feature.host_line)),),
        fails=each([f"{package}-{feature.name}"], "libvirt: virsh lists the feature")
        | each([package], "packages: files are as packaged"),
        undo=(Command(("sh", "-c", BACK, "sh", VIRSH, ASIDE, "true")),),
    )


def _rpms(context: ControlContext) -> tuple[Control, ...]:
    """Remove a published RPM from rpm's database, replace one there, and remove a dependency."""
    found: list[Control] = []
    # From the package with the most RPMs, so that others of it are still installed.
    most = max(
        (r for r in context.records if r.installed_subpackages),
        key=lambda r: len(r.rpms),
        default=None,
    )
    if most:
        # The last one is libvirt's meta-package in all versions: no RPM requires it.
        found += _rpm(most, most.installed_subpackages[-1])
    if context.removable:
        found.append(
            Control(
                name=f"dependency {context.removable} is not installed",
                breaks=(Command(("rpm", "-e", context.removable)),),
                fails=each([context.removable], "packages: dependency is installed"),
            )
        )
    return tuple(found)


def _rpm(record: BuildRecord, name: str) -> tuple[Control, Control]:
    nevra = next(r.nevra for r in record.rpms if r.name == name)
    version = nevra.removeprefix(f"{name}-").rpartition("-")[0].rpartition(":")[2]
    return (
        Control(
            name=f"{name} is not installed",
            breaks=(Command(("rpm", "-e", "--justdb", "--nodeps", name)),),
            fails=each([record.package], "packages: what was asked for is installed"),
        ),
        Control(
            name=f"{name} is another build",
            breaks=(Command(("sh", "-c", FOREIGN, "sh", name, version)),),
            fails=each([record.package], "packages: what is installed is exactly ours"),
        ),
    )
