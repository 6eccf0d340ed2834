"""Keys that sign a distribution's RPMs: fetched, known by fingerprint, looked at for expiry."""

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
    """Return where a system of the target's kind keeps ``key``."""
    return f"{FOLDER}/{key.file}"


def checked(key: RpmKey, content: bytes | None) -> bytes:
    """Return the file of ``key``: its ``content``, if the base image has it, else fetched.

    Raises SourceError (absent, unreachable, expired) and SourceHashError (another fingerprint).
    """
    if content is None:
        if not key.urls:
            raise SourceError(
                f"the base image has no {path_of(key)}",
                hint="is it a whole system? or give the key `urls` in target.toml",
            )
        content = fetch(key)
    found = judge(key, content)
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
        f"no place has the key {key.file}:\n    {lines}",
        hint="mend the network, or name a mirror in your sheepvirt.toml (docs/el6.md)",
    )


def judge(key: RpmKey, content: bytes, now: float | None = None) -> Finding:
    """Tell whether ``content`` is ``key`` and still valid at ``now`` (Unix time; None: now)."""
    now = time.time() if now is None else now
    what = f"key {key.file}"
    try:
        found = openpgp.public_key(content)
    except ValueError as error:
        start = content[:40].decode(errors="replace").strip()
        return Finding(
            what, False, f"{error}: it starts with {start!r}",
            "does a login page or a proxy answer in the server's place?",
        )  # fmt: skip
    if found.fingerprint != key.fingerprint:
        return Finding(
            what, False, f"its fingerprint is {found.fingerprint}, not {key.fingerprint}",
            "do not go on: this is another key; compare with what the distribution publishes",
        )  # fmt: skip
    if found.ends is None or found.ends > now:
        return Finding(what, True, f"fingerprint {found.fingerprint}")
    day = time.strftime("%Y-%m-%d", time.gmtime(found.ends))
    if key.expired_ok:
        return Finding(
            what, True, f"fingerprint {found.fingerprint}; expired on {day}, as declared"
        )
    return Finding(
        what, False, f"expired on {day}",
        "take the renewed key (its fingerprint stays the same); if the archive was signed before "
        "and nobody renews it, say expired_ok = true beside it in target.toml",
    )  # fmt: skip
