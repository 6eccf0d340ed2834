"""Keys of a distribution: their fingerprint and expiry. The keys here are our own."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.core.errors import SourceError, SourceHashError
from sheepvirt.images import rpm_keys
from sheepvirt.model.targets import RpmKey
from sheepvirt.rpm import openpgp

DATA = Path(__file__).parent / "data" / "keys"
LASTING = RpmKey(file="K", fingerprint="a0d1c0776973771ad29c3b3b598966c5b1364278")
EXPIRED = RpmKey(file="K", fingerprint="4616a5ba3c3020628b5f17af931b66141443e364")
NOW = 1_800_000_000.0


def content(name: str) -> bytes:
    return (DATA / f"{name}.asc").read_bytes()


def test_what_gpg_says_of_a_key_is_read() -> None:
    lasting, expired = (
        openpgp.public_key(content("lasting")),
        openpgp.public_key(content("expired")),
    )
    assert (lasting.fingerprint, lasting.ends) == (LASTING.fingerprint, None)
    # 2021-01-01, as gpg was told; the subkey of the other one has an end that is not the key's
    assert (expired.fingerprint, expired.ends) == (EXPIRED.fingerprint, 1609459200)


def test_the_pinned_key_is_good() -> None:
    found = rpm_keys.judge(LASTING, content("lasting"), NOW)
    assert found.ok
    assert LASTING.fingerprint in found.detail


def test_another_key_is_refused_with_both_fingerprints() -> None:
    found = rpm_keys.judge(EXPIRED, content("lasting"), NOW)
    assert not found.ok
    assert EXPIRED.fingerprint in found.detail
    assert LASTING.fingerprint in found.detail
    with pytest.raises(SourceHashError):
        rpm_keys.checked(EXPIRED, content("lasting"), NOW)


def test_an_expired_key_says_since_when_and_what_to_do() -> None:
    found = rpm_keys.judge(EXPIRED, content("expired"), NOW)
    assert not found.ok
    assert "expired on 2021-01-01" in found.detail
    assert "renewed" in found.fix
    assert rpm_keys.judge(EXPIRED, content("expired"), 1600000000.0).ok


def test_an_expiry_that_is_declared_is_only_told() -> None:
    declared = RpmKey(file="K", fingerprint=EXPIRED.fingerprint, expired_ok=True)
    found = rpm_keys.judge(declared, content("expired"), NOW)
    assert found.ok
    assert "expired on 2021-01-01, as declared" in found.detail


def test_a_web_page_is_no_key() -> None:
    found = rpm_keys.judge(LASTING, b"<html>please log in</html>", NOW)
    assert not found.ok
    assert "<html>please log in" in found.detail
    assert "login page" in found.fix


def test_a_key_that_the_base_lacks_and_nobody_serves() -> None:
    with pytest.raises(SourceError, match="/etc/pki/rpm-gpg/K"):
        rpm_keys.checked(LASTING, None, NOW)


@pytest.mark.parametrize("name", ["lasting", "expired"])
def test_a_truncated_key_is_no_key(name: str) -> None:
    whole = content(name)
    for size in range(0, len(whole) - 40, 97):
        with pytest.raises(ValueError, match="OpenPGP"):
            openpgp.public_key(whole[:size])


@given(st.binary(max_size=400))
def test_garbage_in_armor_is_refused_or_read(data: bytes) -> None:
    body = base64.b64encode(data).decode()
    text = f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{body}\n-----END PGP PUBLIC KEY BLOCK-----\n"
    try:
        fingerprint = openpgp.public_key(text.encode()).fingerprint
    except ValueError as error:
        said = str(error)
    else:
        assert len(fingerprint) == 40
        return
    assert "OpenPGP" in said
