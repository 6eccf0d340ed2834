"""Amounts of bytes with a unit: what people write is read exactly, as libvirt reads its units."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.core import sizes

AMOUNTS = st.integers(min_value=0, max_value=2**70)


@given(amount=AMOUNTS)
def test_what_is_printed_reads_back_the_same(amount: int) -> None:
    assert sizes.parse(sizes.text(amount)) == amount


@given(number=st.integers(min_value=1, max_value=10**30), unit=st.sampled_from([*sizes.UNITS]))
def test_what_is_read_prints_as_the_same_amount(number: int, unit: str) -> None:
    amount = sizes.parse(f"{number} {unit}")
    assert amount == number * sizes.UNITS[unit]
    assert sizes.parse(sizes.text(amount)) == amount
    assert len(sizes.text(amount).split()[0]) <= len(str(number))


@given(amount=AMOUNTS, unit=st.sampled_from([*sizes.UNITS]))
def test_case_and_the_space_do_not_matter(amount: int, unit: str) -> None:
    written = {f"{amount}{unit}", f"{amount} {unit.lower()}", f"{amount} {unit.upper()}"}
    assert len({sizes.parse(one) for one in written}) == 1


@given(text=st.text())
def test_any_text_is_a_size_or_says_why_not(text: str) -> None:
    try:
        sizes.parse(text)
    except sizes.NotASizeError as error:
        hint = error.hint
    else:
        hint = "none is needed"
    assert hint


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("512 MiB", 512 * 2**20),
        ("20 GB", 20 * 10**9),
        ("1.5 TB", 15 * 10**11),
        ("4 TiB", 2**42),
        ("1 kB", 1000),
        ("0.5KiB", 512),
    ],
)
def test_units_are_libvirts(written: str, amount: int) -> None:
    assert sizes.parse(written) == amount


@pytest.mark.parametrize(
    ("written", "says", "hint"),
    [
        ("512", "no number with a unit", '"20 GB"'),
        ("-1 GB", "no number with a unit", '"20 GB"'),
        ("1,5 GB", "no number with a unit", '"20 GB"'),
        ("20 G", "may be one of two", '"20 GiB" (1024) or "20 GB" (1000)'),
        ("20 Gb/s", "no number with a unit", '"20 GB"'),
        ("20 gigs", "no unit 'gigs'", "GiB"),
        ("0.3 KiB", "no whole number of bytes", "smaller unit"),
        ("1.00000000000000000000000000000000001 EB", "no whole number of bytes", "smaller unit"),
    ],
)
def test_what_is_no_size_gets_a_hint(written: str, says: str, hint: str) -> None:
    with pytest.raises(sizes.NotASizeError, match=says) as caught:
        sizes.parse(written)
    assert hint in caught.value.hint


def test_a_bare_letter_is_binary_in_libvirts_xml() -> None:
    assert (sizes.unit("G"), sizes.unit("GB"), sizes.unit("GiB")) == (2**30, 10**9, 2**30)
    with pytest.raises(KeyError):
        sizes.unit("Gb/s")


@given(text=st.from_regex(sizes.PATTERN, fullmatch=True))
def test_the_pattern_for_editors_is_what_is_read(text: str) -> None:
    whole = "that is no whole number of bytes"
    try:
        reason = whole if sizes.parse(text) >= 0 else "less than nothing"
    except sizes.NotASizeError as error:
        reason = str(error)
    assert reason == whole


@given(amount=AMOUNTS, unit=st.sampled_from([*sizes.UNITS]))
def test_what_is_read_matches_the_pattern(amount: int, unit: str) -> None:
    assert re.fullmatch(sizes.PATTERN, f"{amount} {unit}")
