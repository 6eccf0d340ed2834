"""Frozen dataclasses of a target's base and of findings about it. Imports nothing local."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """The oldest tools of a target that must read the RPMs and the repo, as dotted versions."""

    rpm: str
    yum: str
    glibc: str


@dataclass(frozen=True)
class Image:
    """An image of a registry, as the engine names it. A digest pins its content."""

    name: str
    no_vsyscall: bool = False  # it also runs on a kernel with vsyscall=none

    @property
    def pinned(self) -> bool:
        """Whether the name has a digest, so that the engine verifies what it pulls."""
        return "@sha256:" in self.name


@dataclass(frozen=True)
class Rootfs:
    """A tar archive of a root file system: an absolute path or a URL. Unpinned without a sha256."""

    place: str
    sha256: str = ""

    @property
    def remote(self) -> bool:
        """Whether it must be downloaded."""
        return "://" in self.place


@dataclass(frozen=True, kw_only=True)
class YumRepo:
    """A repo of the distribution. URLs in order of preference; they may have ``$basearch``."""

    name: str
    urls: tuple[str, ...]
    key: str  # file name of the key that signs its RPMs
    mirrors: tuple[str, ...] = ()  # the user's own, tried first

    @property
    def places(self) -> tuple[str, ...]:
        """Its URLs, in order of preference."""
        return (*self.mirrors, *self.urls)


@dataclass(frozen=True, kw_only=True)
class RpmKey:
    """A key that signs the distribution's RPMs, by its fingerprint (hex, lower case)."""

    file: str  # its name in /etc/pki/rpm-gpg
    fingerprint: str
    urls: tuple[str, ...] = ()  # empty: the base image has it
    expired_ok: bool = False  # it signed before it expired; rpm 4.8 does not check that
    mirrors: tuple[str, ...] = ()  # the user's own, tried first

    @property
    def places(self) -> tuple[str, ...]:
        """Its URLs, in order of preference; empty if only the base image has it."""
        return (*self.mirrors, *self.urls)


def at_least(kernel: str, first: str) -> bool:
    """Tell whether ``kernel`` is ``first`` or later; both as `uname -r` prints them."""
    one, other = (
        [int(n) for n in re.findall(r"\d+", k.partition(".el")[0])] for k in (kernel, first)
    )
    return one >= other


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check before a build starts."""

    what: str
    ok: bool
    detail: str
    fix: str = ""

    @property
    def sentence(self) -> str:
        """The result in one line."""
        return f"{self.what}: {' '.join(self.detail.split())}"
