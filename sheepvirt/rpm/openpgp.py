"""Parse OpenPGP signatures and public keys (RFC 4880; RFC 9580). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HASHES = {
    1: "md5", 2: "sha1", 3: "ripemd160", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224",
    12: "sha3-256", 14: "sha3-512",
}  # fmt: skip  # a table
SIGNERS = {1: "RSA", 2: "RSA", 3: "RSA", 17: "DSA", 19: "ECDSA", 22: "EdDSA", 27: "Ed25519",
           28: "Ed448"}  # fmt: skip  # a table
SIGNATURE, PUBLIC_KEY, PUBLIC_SUBKEY = 2, 6, 14
CERTIFICATIONS = {0x10, 0x11, 0x12, 0x13}  # of a user id
MADE, LASTS, ISSUER = 2, 9, 16  # subpackets of a signature


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Version and algorithms of a signature, by name, or by number if the name is unknown."""

    version: str
    signer: str
    digest: str
    bits: int = 0  # of the algorithm's first number; 0 if it cannot be found


def signature(packet: bytes) -> Signature:
    """Parse the start of a signature packet. Raises ValueError: it is not one."""
    try:
        tag, start = _tag(packet)
        if tag != SIGNATURE:
            raise ValueError(f"an OpenPGP packet of type {tag}, not a signature")
        version = packet[start]
        # v3: length, type, time, key id; v4 and later: type; then both algorithms.
        at = start + (15 if version in {2, 3} else 2)
        signer, digest = packet[at], packet[at + 1]
    except IndexError as error:
        raise ValueError("no OpenPGP packet: it ends too early") from error
    return Signature(
        version=f"v{version}",
        signer=SIGNERS.get(signer, f"algorithm {signer}"),
        digest=HASHES.get(digest, f"algorithm {digest}"),
        bits=_first_number(packet, at + 2, version),
    )


def _first_number(packet: bytes, at: int, version: int) -> int:
    """Return the bits of the number after a signature's subpackets and the start of its digest."""
    for _ in range(2 if version == 4 else 0):  # hashed and unhashed subpackets
        at += 2 + int.from_bytes(packet[at : at + 2], "big")
    return int.from_bytes(packet[at + 2 : at + 4], "big") if version in {3, 4} else 0


def _tag(packet: bytes) -> tuple[int, int]:
    """Return the packet's type, and the offset of its body."""
    first = packet[0]
    if not first & 0x80:
        raise ValueError("no OpenPGP packet")
    if not first & 0x40:  # old format: how many bytes the length has; 3: no length
        return first >> 2 & 0xF, 1 + (1, 2, 4, 0)[first & 3]
    length = packet[1]
    return first & 0x3F, 2 if length < 192 or 224 <= length < 255 else 3 if length < 224 else 6


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """A public key: fingerprint (hex), creation and expiry (Unix time; None: never).

    The expiry is from its newest self-signature, which is not verified. The fingerprint covers only
    the key, so a renewed key keeps it.
    """

    fingerprint: str
    made: int
    ends: int | None


def public_key(text: bytes) -> PublicKey:
    """Parse the first key of an ASCII-armored file (RFC 4880, 6.2). Raises ValueError."""
    rows = list(_packets(_dearmored(text)))
    if not rows or rows[0][0] != PUBLIC_KEY or rows[0][1][:1] != b"\x04":
        raise ValueError("no OpenPGP public key of version 4")
    body = rows[0][1]
    hashed = b"\x99" + len(body).to_bytes(2, "big") + body
    fingerprint = hashlib.sha1(hashed, usedforsecurity=False).hexdigest()
    made = int.from_bytes(body[1:5], "big")
    newest, lasts = -1, 0
    for tag, packet in rows[1:]:
        if tag in {PUBLIC_KEY, PUBLIC_SUBKEY}:
            break  # the rest is about another key
        if tag != SIGNATURE or packet[:1] != b"\x04" or packet[1] not in CERTIFICATIONS:
            continue
        told = _subpackets(packet)
        signed = int.from_bytes(told.get(MADE, b""), "big")
        if told.get(ISSUER, b"").hex() == fingerprint[-16:] and signed > newest:
            newest, lasts = signed, int.from_bytes(told.get(LASTS, b""), "big")
    return PublicKey(fingerprint=fingerprint, made=made, ends=made + lasts if lasts else None)


def _dearmored(text: bytes) -> bytes:
    lines = text.decode("ascii", errors="replace").splitlines()
    try:
        start = lines.index("-----BEGIN PGP PUBLIC KEY BLOCK-----")
        end = lines.index("-----END PGP PUBLIC KEY BLOCK-----", start)
        body = lines[lines.index("", start) + 1 : end]
        return base64.b64decode("".join(x for x in body if not x.startswith("=")), validate=True)
    except (ValueError, binascii.Error) as error:
        raise ValueError("no ASCII-armored OpenPGP public key") from error


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each packet. Raises ValueError: one is broken or has no length."""
    at = 0
    while at < len(data):
        try:
            tag, start = _tag(data[at:])
            length = data[at + 1 : at + start]
            if not data[at] & 0x40 or len(length) == 1:
                size = int.from_bytes(length, "big")
            elif len(length) == 2:
                size = (length[0] - 192 << 8) + length[1] + 192
            else:
                size = int.from_bytes(length[1:], "big")
        except IndexError as error:
            raise ValueError("an OpenPGP packet ends too early") from error
        body = data[at + start : at + start + size]
        endless = start == 1 or (data[at] & 0x40 and 224 <= length[0] < 255)
        if len(body) < size or endless:
            raise ValueError("an OpenPGP packet ends too early, or has no length")
        yield tag, body
        at += start + size


def _subpackets(signature: bytes) -> dict[int, bytes]:
    """Return the subpackets of a version 4 signature by type, the hashed ones first (5.2.3.1)."""
    found: dict[int, bytes] = {}
    at = 4
    for _ in ("hashed", "unhashed"):
        end = at + 2 + int.from_bytes(signature[at : at + 2], "big")
        at += 2
        while at < min(end, len(signature)):
            first = signature[at]
            if first < 192:
                size, at = first, at + 1
            elif first < 255:
                size, at = (
                    (first - 192 << 8) + int.from_bytes(signature[at + 1 : at + 2]) + 192,
                    at + 2,
                )
            else:
                size, at = int.from_bytes(signature[at + 1 : at + 5], "big"), at + 5
            content = signature[at : at + size]
            if content:
                found.setdefault(content[0] & 0x7F, content[1:])
            at += max(size, 1)
        at = end
    return found
