"""The base of a target (images, rootfs, repos, keys), and the user's own settings of it.

The user's file (``Settings.user_config``) has a table for each target, with the same keys as
``target.toml``. So nobody has to edit the checkout on a closed network::

    [el6]
    rootfs = "/srv/images/centos6.tar.xz"
    rootfs_sha256 = "…"
    [el6.mirrors] # start of a URL = its replacement, tried first
    "https://vault.centos.org/" = "http://mirror.lan/centos-vault/"
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core.errors import ConfigError
from sheepvirt.core.tables import Table, pick, read_toml
from sheepvirt.model.targets import Image, Rootfs, RpmKey, YumRepo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sheepvirt.model.builds import Target

HEX64 = re.compile(r"[0-9a-f]{64}")
FINGERPRINT = re.compile(r"[0-9a-f]{40}")
# A registry with an optional path. No scheme: the engine chooses it.
REGISTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]*(:[0-9]+)?(/[a-z0-9._\-]+)*")


def images(table: Table) -> tuple[Image, ...]:
    """Read ``[[images]]``."""
    found = []
    for row in table.array("images"):
        found.append(Image(row.get("name", str), row.get("no_vsyscall", bool, False)))
        row.done()
        if not re.fullmatch(r"[a-z0-9][A-Za-z0-9./:@_\-]*", found[-1].name):
            row.refuse("name", f"is {found[-1].name!r}", hint="give a name for `docker pull`")
    return tuple(found)


def rootfs(table: Table, folder: Path) -> Rootfs | None:
    """Read ``rootfs`` and ``rootfs_sha256``; a relative path starts at ``folder``."""
    place, sha256 = table.get("rootfs", str, ""), table.get("rootfs_sha256", str, "")
    if sha256 and not HEX64.fullmatch(sha256):
        table.refuse("rootfs_sha256", f"is {sha256!r}", hint="give 64 hex digits, or remove it")
    if sha256 and not place:
        table.refuse("rootfs_sha256", "pins nothing", hint="add rootfs = …, the archive's location")
    if not place or "://" in place:
        return Rootfs(place, sha256) if place else None
    return Rootfs(str(folder / Path(place).expanduser()), sha256)


def registry_mirror(table: Table) -> str:
    """Read ``registry_mirror``: a registry that has the images under their original paths."""
    mirror = table.get("registry_mirror", str, "")
    if mirror and not REGISTRY.fullmatch(mirror):
        table.refuse(
            "registry_mirror",
            f"is {mirror!r}",
            hint="give host, port and path without a scheme: registry.lan:5000/mirror",
        )
    return mirror.rstrip("/")


def keys(table: Table) -> tuple[RpmKey, ...]:
    """Read ``[[keys]]``."""
    found = []
    for row in table.array("keys"):
        key = RpmKey(
            file=row.get("file", str),
            fingerprint=row.get("fingerprint", str).replace(" ", "").lower(),
            urls=row.strings("urls"),
            expired_ok=row.get("expired_ok", bool, False),
        )
        row.done()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._\-]*", key.file):
            row.refuse("file", f"is {key.file!r}", hint="give the name of a file without a folder")
        if not FINGERPRINT.fullmatch(key.fingerprint):
            row.refuse(
                "fingerprint", "does not have 40 hex digits", hint="`gpg --show-keys` prints it"
            )
        found.append(key)
    return tuple(found)


def repos(table: Table, known: Mapping[str, RpmKey]) -> tuple[YumRepo, ...]:
    """Read ``[[repos]]``; each names one of the ``known`` keys."""
    found = []
    for row in table.array("repos"):
        repo = YumRepo(
            name=row.get("name", str), urls=row.strings("urls", ...), key=row.get("key", str)
        )
        row.done()
        pick("key", repo.key, known)
        if not re.fullmatch(r"[a-z][a-z0-9\-]*", repo.name):
            row.refuse("name", f"is {repo.name!r}", hint="use lower-case letters, digits and -")
        if not repo.urls or not all(re.fullmatch(r"(https?|file)://\S+/", u) for u in repo.urls):
            row.refuse(
                "urls",
                "must be a list of addresses that end in /",
                hint="use http:, https: or file: URLs",
            )
        found.append(repo)
    return tuple(found)


def with_user_settings(target: Target, path: Path, targets: Sequence[str]) -> Target:
    """Return ``target`` with the settings of the user's file ``path``, if there is one.

    ``targets`` has the names of all targets; the file may have a table for each. Raises
    ConfigError.
    """
    if not path.exists():
        return target
    file = read_toml(path)
    tables = {name: file.table(name) for name in targets}
    file.done()
    table = tables[target.name]
    own = rootfs(table, path.parent)
    mirror = registry_mirror(table)
    mirrors = table.macros("mirrors")
    table.done()
    urls = [*(u for r in target.repos for u in r.urls), *(u for k in target.keys for u in k.urls)]
    for start in mirrors:
        if not any(url.startswith(start) for url in urls):
            raise ConfigError(
                f"{path}: [{target.name}.mirrors]: no URL of {target.name} starts with {start!r}",
                hint=f"see [[repos]] and [[keys]] in {target.folder / 'target.toml'}",
            )
    return replace(
        target,
        rootfs=own or target.rootfs,
        registry_mirror=mirror or target.registry_mirror,
        repos=tuple(replace(r, mirrors=mirrored(r.urls, mirrors)) for r in target.repos),
        keys=tuple(replace(k, mirrors=mirrored(k.urls, mirrors)) for k in target.keys),
    )


def mirrored(urls: tuple[str, ...], mirrors: Mapping[str, str]) -> tuple[str, ...]:
    """Return the replacements that ``mirrors`` has for ``urls``."""
    return tuple(
        new + url.removeprefix(old)
        for old, new in mirrors.items()
        for url in urls
        if url.startswith(old)
    )
