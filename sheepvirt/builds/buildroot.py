"""Settings of every build root: its folder, its environment, its rpm macros."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheepvirt.core import locks

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings
    from sheepvirt.model.builds import Package, Target

TOP = "/build"  # %_topdir of the build root
_ENVIRONMENT = {
    "CCACHE_DIR": "/ccache",
    "CCACHE_MAXSIZE": "4G",
    # ccache distrusts headers as new as the files of a fresh container: they might change during
    # the compilation. Here nothing changes them. Without this it preprocesses 3 of 4 sources.
    "CCACHE_SLOPPINESS": "include_file_mtime,include_file_ctime",
    # The folders of ccache's links: on el, on Debian.
    "PATH": "/usr/lib64/ccache:/usr/lib/ccache:/usr/local/sbin:/usr/local/bin:"
    "/usr/sbin:/usr/bin:/sbin:/bin",
}
# The same inputs give the same RPMs, byte for byte: no container's name, and only the sources' date
# (SOURCE_DATE_EPOCH). rpm 4.8 does not know the two date macros and ignores them.
REPRODUCIBLE = {
    "_buildhost": "sheepvirt",
    "use_source_date_epoch_as_buildtime": "1",
    "clamp_mtime_to_source_date_epoch": "1",
}


def environment(target: Target) -> dict[str, str]:
    """Return the environment of every command in a build root of ``target``."""
    return {**_ENVIRONMENT, "LC_ALL": target.locale}


def owner(settings: Settings, target: Target) -> str:
    """Return the label of the build containers of ``target``: the path of its lock.

    The holder of that lock may remove such containers: their run is dead.
    """
    return str(locks.path_of(settings, f"target-{target.name}"))


def defines(target: Target, package: Package) -> list[str]:
    """Return rpm's arguments for the macros of a package on ``target``, and for %_topdir."""
    macros = {"_topdir": TOP, **REPRODUCIBLE, **target.for_package(package).macros}
    return [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
