"""Names of images in a registry, and the meaning of the engine's messages about a pull. Pure.

The messages are the Docker Engine's (from 20.10 unless marked otherwise). They come only as text,
independent of the API's status code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sheepvirt.model.targets import Image

HUB = "docker.io"


@dataclass(frozen=True)
class Refusal:
    """Why an image could not be pulled, and what to do about it."""

    why: str
    fix: str


def reference(image: Image, mirror: str) -> str:
    """Return the name to pull: ``image`` itself, or the same path on ``mirror``.

    On a mirror, Docker Hub's short names are expanded: ``centos:6`` is ``library/centos:6``.
    """
    if not mirror:
        return image.name
    host, path = _split(image.name)
    if host == HUB and "/" not in path:
        path = f"library/{path}"
    return f"{mirror}/{path}"


def repository_and_tag(name: str) -> tuple[str, str]:
    """Return repository and tag of ``name``; a digest takes precedence over the tag."""
    rest, at, digest = name.partition("@")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # the colon belongs to a port
        repository, tag = rest, "latest"
    return repository, digest if at else tag


def takes_schema_1(version: str) -> bool:
    """Tell whether a Docker Engine of ``version`` pulls manifests of schema 1 by default.

    From 26.0 on it does not (https://docs.docker.com/go/deprecated-image-specs/).
    """
    major = re.match(r"[0-9]+", version)
    return major is None or int(major[0]) < 26


def _split(name: str) -> tuple[str, str]:
    host, slash, path = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return host, path
    return HUB, name


# The first match decides. The origin of each message is in tests/unit/test_registry.py.
RULES: tuple[tuple[str, Refusal], ...] = (
    (
        r"manifest\.v1\+|schema ?(version)? ?1\b|schema1|unsupported manifest media type",
        Refusal(
            "its manifest is of schema 1, which this engine refuses",
            "pull it with an older engine (Docker before 26), `docker export` a container of it, "
            "and name that archive as `rootfs` in your sheepvirt.toml (docs/el6.md)",
        ),
    ),
    (
        r"verification failed for digest|failed (size|commit) validation|unexpected commit digest"
        r"|unexpected EOF|short read|gzip: invalid|unknown blob|content does not match digest",
        Refusal(
            "it arrived truncated or altered: its content does not match its digest",
            "try again; if it fails again, use another registry: this one's copy is damaged",
        ),
    ),
    (
        r"server gave HTTP response to HTTPS client",
        Refusal(
            "the registry uses plain http, and the engine https",
            'give the registry TLS, or name it in "insecure-registries" of /etc/docker/daemon.json '
            "and restart the engine (a digest protects the content, whatever the transport)",
        ),
    ),
    (
        r"x509:|certificate|tls: ",
        Refusal(
            "TLS: the engine does not trust the registry's certificate",
            "copy the CA's certificate to /etc/docker/certs.d/HOST[:PORT]/ca.crt, and check "
            "whether a proxy answers instead of the registry",
        ),
    ),
    (
        r"no space left on device",
        Refusal("the engine's disk is full", "free some space (see `docker system df`)"),
    ),
    (
        r"toomanyrequests|rate limit",
        Refusal("the registry's rate limit is reached", "`docker login`, wait, or use a mirror"),
    ),
    (
        r"invalid character '<'|text/html",
        Refusal(
            "a web page answers there, not a registry",
            "check the address, and whether a login page of your network answers instead",
        ),
    ),
    (
        r"unauthorized|authentication required|access denied|denied:|no basic auth|forbidden",
        Refusal("the registry requires a login, or has no such image", "run `docker login HOST`"),
    ),
    (
        r"manifest unknown|name unknown|not found",
        Refusal(
            "the registry has no such image", "check its path on that mirror"
        ),
    ),
    (
        r"no such host|connection refused|no route to host|network is unreachable|i/o timeout"
        r"|server misbehaving|handshake timeout|deadline exceeded|connection reset|\bEOF\b"
        r"|Client\.Timeout|Read timed out",
        Refusal(
            "the registry is unreachable",
            "name a `registry_mirror` or a `rootfs` in your sheepvirt.toml (docs/el6.md)",
        ),
    ),
)  # fmt: skip  # a table
OTHER = Refusal("the engine refused it", "fix what the engine reports")


def refusal(words: str) -> Refusal:
    """Return the meaning of the engine's message ``words`` about a pull."""
    for pattern, meaning in RULES:
        if re.search(pattern, words, re.IGNORECASE):
            return meaning
    return OTHER
