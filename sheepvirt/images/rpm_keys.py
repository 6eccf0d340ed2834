"""Keys that sign a distribution's RPMs: fetch them, check their fingerprint and expiry."""

from __future__ import annotations

import time

from sheepvirt.core import web
from sheepvirt.core.errors import SourceError, SourceHashError, WebError
from sheepvirt.model.targets import Finding, RpmKey
from sheepvirt.rpm import openpgp

FOLDER = "/etc/pki/rpm-gpg"
LIMIT = 1 << 20  # bytes; a key has a few thousand
SECONDS = 5.0


def path_of(key: RpmKey) -> str:
    """Return the path of ``key`` on a system of the target."""
    return f"{FOLDER}/{key.file}"


def checked(key: RpmKey, content: bytes | None, now: float) -> bytes:
    """Return the file of ``key``: ``content`` from the base image, or else fetched.

    It must be valid at ``now`` (seconds since 1970).

    Raises SourceError (absent, unreachable, expired) and SourceHashError (another fingerprint).
    """
    if content is None:
        if not key.urls:
            raise SourceError(
                f"the base image has no {path_of(key)}",
                hint="use a complete system, or give the key `urls` in target.toml",
            )
        content = fetch(key)
    found = judge(key, content, now)
    if not found.ok:
        raise SourceHashError(found.sentence, hint=found.fix)
    return content


def fetch(key: RpmKey) -> bytes:
    """Return the file of ``key`` from the first of its URLs that answers. Raises SourceError."""
    refused = []
    for url in key.places:
        try:
            return web.read(url, LIMIT, seconds=SECONDS)
        except WebError as error:
            refused.append(f"{url}: {error.message}")
    lines = "\n    ".join(refused)
    raise SourceError(
        f"no location has the key {key.file}:\n    {lines}",
        hint="repair the network, or name a mirror in your sheepvirt.toml (docs/el6.md)",
    )


def judge(key: RpmKey, content: bytes, now: float) -> Finding:
    """Judge whether ``content`` is ``key`` and valid at ``now`` (seconds since 1970). Pure."""
    what = f"key {key.file}"
    try:
        found = openpgp.public_key(content)
    except ValueError as error:
        start = content[:40].decode(errors="replace").strip()
        return Finding(
            what=what,
            ok=False,
            detail=f"{error}: it starts with {start!r}",
            fix="check whether a login page or a proxy answers instead of the server",
        )
    if found.fingerprint != key.fingerprint:
        return Finding(
            what=what,
            ok=False,
            detail=f"its fingerprint is {found.fingerprint}, not {key.fingerprint}",
            fix="do not use this key; compare it with the one that the distribution publishes",
        )
    if found.ends is None or found.ends > now:
        return Finding(what=what, ok=True, detail=f"fingerprint {found.fingerprint}")
    day = time.strftime("%Y-%m-%d", time.gmtime(found.ends))
    if key.expired_ok:
        return Finding(
            what=what,
            ok=True,
            detail=f"fingerprint {found.fingerprint}; expired on {day}, as declared",
        )
    return Finding(
        what=what,
        ok=False,
        detail=f"expired on {day}",
        fix="use the renewed key (it has the same fingerprint), or set expired_ok = true for it in "
        "target.toml if the archive was signed before and the key will not be renewed",
    )
