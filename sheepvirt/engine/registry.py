"""Pure: names of images in a registry, and what an engine's words about a pull mean.

The words are the Docker Engine's own (read off 20.10 where not marked otherwise); they come as text
only, whatever the API's status code is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sheepvirt.model.targets import Image

HUB = "docker.io"


@dataclass(frozen=True)
class Refusal:
    """Why an image could not be had, and what to do about it."""

    why: str
    fix: str


def reference(image: Image, mirror: str) -> str:
    """Return what the engine is asked for: ``image`` itself, or the same path on ``mirror``.

    Docker Hub's short names are spelled out there: ``centos:6`` is ``library/centos:6``.
    """
    if not mirror:
        return image.name
    host, path = _split(image.name)
    if host == HUB and "/" not in path:
        path = f"library/{path}"
    return f"{mirror}/{path}"


def repository_and_tag(name: str) -> tuple[str, str]:
    """Return repository and tag, or digest (which decides where both are there), of ``name``."""
    rest, at, digest = name.partition("@")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # that colon was a port's
        repository, tag = rest, "latest"
    return repository, digest if at else tag


def takes_schema_1(version: str) -> bool:
    """Tell whether a Docker Engine of ``version`` pulls manifests of schema 1 by itself.

    From 26.0 on it does not (https://docs.docker.com/go/deprecated-image-specs/).
    """
    major = re.match(r"[0-9]+", version)
    return major is None or int(major[0]) < 26


def _split(name: str) -> tuple[str, str]:
    host, slash, path = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return host, path
    return HUB, name


# The first that matches decides. Where each word comes from: tests/unit/test_registry.py.
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
            "it arrived truncated or altered: its content is not what its digest says",
            "try again; if it stays so, that registry's copy is damaged: mend it or use another",
        ),
    ),
    (
        r"server gave HTTP response to HTTPS client",
        Refusal(
            "the registry speaks plain http, and the engine asks by https",
            'give the registry TLS, or name it in "insecure-registries" of /etc/docker/daemon.json '
            "and restart the engine (a digest protects the content, whatever the transport)",
        ),
    ),
    (
        r"x509:|certificate|tls: ",
        Refusal(
            "TLS: the engine does not trust the registry's certificate",
            "put the CA's certificate into /etc/docker/certs.d/HOST[:PORT]/ca.crt; does a proxy "
            "answer in the registry's place?",
        ),
    ),
    (
        r"no space left on device",
        Refusal("the engine's disk is full", "make room (`docker system df` shows what takes it)"),
    ),
    (
        r"toomanyrequests|rate limit",
        Refusal("the registry's rate limit is reached", "`docker login`, wait, or use a mirror"),
    ),
    (
        r"invalid character '<'|text/html",
        Refusal(
            "what answers there is a web page and no registry",
            "is the address right, and does a login page of your network answer in its place?",
        ),
    ),
    (
        r"unauthorized|authentication required|access denied|denied:|no basic auth|forbidden",
        Refusal("the registry wants to know who asks, or has no such image", "`docker login HOST`"),
    ),
    (
        r"manifest unknown|name unknown|not found",
        Refusal(
            "the registry has no such image", "is it gone, or under another path on that mirror?"
        ),
    ),
    (
        r"no such host|connection refused|no route to host|network is unreachable|i/o timeout"
        r"|server misbehaving|handshake timeout|deadline exceeded|connection reset|\bEOF\b"
        r"|Client\.Timeout|Read timed out",
        Refusal(
            "the registry is out of reach",
            "name a `registry_mirror` or a `rootfs` in your sheepvirt.toml (docs/el6.md)",
        ),
    ),
)  # fmt: skip
OTHER = Refusal("the engine refused it", "mend what the engine says")


def refusal(words: str) -> Refusal:
    """Return what the engine's ``words`` about a pull mean."""
    for pattern, meaning in RULES:
        if re.search(pattern, words, re.IGNORECASE):
            return meaning
    return OTHER
