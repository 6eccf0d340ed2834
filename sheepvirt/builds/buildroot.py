"""What every build root is like: its place, its environment, the macros that rpm gets in it."""

from __future__ import annotations

from sheepvirt.core import locks
from sheepvirt.model.builds import Package, Target

TOP = "/build"  # %_topdir of the build root
_ENVIRONMENT = {
    "CCACHE_DIR": "/ccache",
    "CCACHE_MAXSIZE": "4G",
    # ccache distrusts headers that are as new as all files of a fresh container (they might change
    # under the compiler; here nothing changes them) and would preprocess three of four sources.
    "CCACHE_SLOPPINESS": "include_file_mtime,include_file_ctime",
    # ccache's links: where el has them, where Debian has them.
    "PATH": "/usr/lib64/ccache:/usr/lib/ccache:/usr/local/sbin:/usr/local/bin:"
    "/usr/sbin:/usr/bin:/sbin:/bin",
}
# The same inputs give the same RPMs, byte for byte: no name of a container in them, and no date but
# that of the sources (SOURCE_DATE_EPOCH). rpm 4.8 knows neither date macro and ignores them.
REPRODUCIBLE = {
    "_buildhost": "sheepvirt",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
}


def environment(target: Target) -> dict[str, str]:
    """Return the environment of every command in a build root of ``target``."""
    return {**_ENVIRONMENT, "LC_ALL": target.locale}


def owner(target: Target) -> str:
    """Return the label of the build containers of ``target``: the lock that they live under.

    Whoever holds that lock may remove such containers: their run is dead.
    """
    return str(locks.path_of(f"target-{target.name}"))


def defines(target: Target, package: Package) -> list[str]:
    """Return the arguments that give rpm the macros of a package on ``target``, and its place."""
    macros = {"_topdir": TOP, **REPRODUCIBLE, **target.for_package(package).macros}
    return [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
