"""Pure: what an OpenPGP signature packet says of itself (RFC 4880, 4.2 and 5.2; RFC 9580)."""

from __future__ import annotations

from dataclasses import dataclass

HASHES = {
    1: "md5", 2: "sha1", 3: "ripemd160", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224",
    12: "sha3-256", 14: "sha3-512",
}  # fmt: skip
SIGNERS = {1: "RSA", 2: "RSA", 3: "RSA", 17: "DSA", 19: "ECDSA", 22: "EdDSA", 27: "Ed25519",
           28: "Ed448"}  # fmt: skip
SIGNATURE = 2


@dataclass(frozen=True)
class Signature:
    """Version and algorithms of a signature, by name; a number where it has none here."""

    version: str
    signer: str
    digest: str


def signature(packet: bytes) -> Signature:
    """Read the start of a signature packet. Raises ValueError: it is none."""
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
        f"v{version}",
        SIGNERS.get(signer, f"algorithm {signer}"),
        HASHES.get(digest, f"algorithm {digest}"),
    )


def _tag(packet: bytes) -> tuple[int, int]:
    """Return the packet's type, and where its body starts."""
    first = packet[0]
    if not first & 0x80:
        raise ValueError("no OpenPGP packet")
    if not first & 0x40:  # old format: how many bytes the length has; 3: no length
        return first >> 2 & 0xF, 1 + (1, 2, 4, 0)[first & 3]
    length = packet[1]
    return first & 0x3F, 2 if length < 192 or 224 <= length < 255 else 3 if length < 224 else 6
