"""Pure: negative controls of what was installed: files and RPMs that are not there, or not ours."""

from __future__ import annotations

import re

from sheepvirt.model.builds import BuildRecord, Feature
from sheepvirt.model.hosts import Host
from sheepvirt.verify.model import Command, Control, ControlContext, each, switch, volumes

BACKEND = re.compile(r"/libvirt_storage_backend_\w+\.so$")
ASIDE = ".sheepvirt-prove"  # what a file is called while it is "removed"
VIRSH = "/usr/bin/virsh"
# $1 is a file, $2 what it is called meanwhile; then a command for when it is back.
BACK = '[ ! -e "$1$2" ] || { mv -f "$1$2" "$1" && shift 2 && "$@"; }'
# A virsh that was built without a feature, whose word is $3.
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
# A distribution's RPM in place of ours: another build, as rpm sees it. No file is touched.
FOREIGN = """
set -e
top=$(mktemp -d)
cat > "$top/foreign.spec" <<END
Name: $1
Version: $2
Release: 0.distribution
Summary: An RPM that is not ours
License: none
%description
It takes the place of ours, in rpm's database alone.
%files
END
rpmbuild -bb --quiet --define "_topdir $top" "$top/foreign.spec"
rpm -U --justdb --nodeps --force "$top"/RPMS/*/*.rpm
rm -r "$top"
"""


def of(context: ControlContext) -> tuple[Control, ...]:
    """Return the controls of what was installed on a host, in order."""
    found: list[Control] = []
    for package, feature in context.features:
        if BACKEND.search(feature.rpm_file):  # libvirt 1.0.3 has all of them in its storage driver
            found.append(_backend(context.host, package, feature))
        found.append(_virsh(package, feature))
    return (*found, *_rpms(context))


def _backend(host: Host, package: str, feature: Feature) -> Control:
    """Take away the file of a storage backend; `virsh -V` goes on listing it."""
    path = feature.rpm_file
    (restart,) = switch(host, "restart", "libvirtd")
    return Control(
        f"{package}: {path.rpartition('/')[2]} removed",
        (Command(("mv", path, f"{path}{ASIDE}")), restart),
        each([f"{package}-{feature.name}"], "libvirt: daemon has loaded the storage backend")
        | each([package], "packages: files are as packaged")
        | each([host.pool], "sheepdog: pool is active")
        | each(volumes(host), "sheepdog: volume is in the pool"),
        undo=(Command(("sh", "-c", BACK, "sh", path, ASIDE, *restart.argv)),),
    )


def _virsh(package: str, feature: Feature) -> Control:
    """Put a client in virsh's place that does not know the feature; the daemon does."""
    return Control(
        f"{package}: virsh without {feature.host_line}",
        (Command(("sh", "-c", BLIND, "sh", VIRSH, ASIDE, feature.host_line)),),
        each([f"{package}-{feature.name}"], "libvirt: virsh lists the feature")
        | each([package], "packages: files are as packaged"),
        undo=(Command(("sh", "-c", BACK, "sh", VIRSH, ASIDE, "true")),),
    )


def _rpms(context: ControlContext) -> tuple[Control, ...]:
    """Take an RPM of ours and a dependency out of rpm's database, put another build there."""
    found: list[Control] = []
    # Of many RPMs, of which most are installed as well: others are left to look at.
    most = max((r for r in context.records if r.install), key=lambda r: len(r.rpms), default=None)
    if most:
        # The last one asked for is libvirt's own meta-package in all versions: no RPM requires it.
        found += _rpm(most, most.install[-1])
    if context.removable:
        found.append(
            Control(
                f"dependency {context.removable} is not installed",
                (Command(("rpm", "-e", context.removable)),),
                each([context.removable], "packages: dependency is installed"),
            )
        )
    return tuple(found)


def _rpm(record: BuildRecord, name: str) -> tuple[Control, Control]:
    nevra = next(r.nevra for r in record.rpms if r.name == name)
    version = nevra.removeprefix(f"{name}-").rpartition("-")[0].rpartition(":")[2]
    return (
        Control(
            f"{name} is not installed",
            (Command(("rpm", "-e", "--justdb", "--nodeps", name)),),
            each([record.package], "packages: what was asked for is installed"),
        ),
        Control(
            f"{name} is another build",
            (Command(("sh", "-c", FOREIGN, "sh", name, version)),),
            each([record.package], "packages: what is installed is exactly ours"),
        ),
    )
