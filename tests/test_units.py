"""Quantities with units: exact, and refused with a reason where they cannot be exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim import units
from pmsim.errors import PmsimError, UnitError

TIMES = st.integers(0, units.MAX_TIME)
SIZES = st.integers(0, units.MAX_SIZE)


@pytest.mark.parametrize(
    ("text", "ps"),
    [
        ("1ps", 1),
        ("250ns", 250_000),
        ("0.5ns", 500),
        (".5 ns", 500),
        ("1.001us", 1_001_000),
        ("3 ms", 3_000_000_000),
        ("2s", 2_000_000_000_000),
        ("2min", 120_000_000_000_000),
        ("1e3ns", 1_000_000),
        ("1e-3us", 1_000),
        ("+7ps", 7),
        ("  7ps ", 7),
        ("0s", 0),
        ("5\N{MICRO SIGN}s", 5_000_000),
        ("5\N{GREEK SMALL LETTER MU}s", 5_000_000),
        ("9223372036854775807ps", 2**63 - 1),
    ],
)
def test_a_time_is_its_number_of_picoseconds(text: str, ps: int) -> None:
    assert units.parse_time(text) == ps
    assert type(units.parse_time(text)) is int


def test_a_time_is_read_without_a_float_in_between() -> None:
    # As floats, 0.1 * 3 is 0.30000000000000004, and 9007199254740993 is 9007199254740992.
    assert units.parse_time("0.3ns") == 300
    assert units.parse_time("9007199254740993ps") == 9_007_199_254_740_993
    assert units.parse_time("1000000.000000000001s") == 10**18 + 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24B", 24),
        ("4KiB", 4096),
        ("4kB", 4000),
        ("1.5KiB", 1536),
        ("2MiB", 2 << 20),
        ("2MB", 2_000_000),
        ("1GiB", 1 << 30),
        ("1GB", 10**9),
        ("1TiB", 1 << 40),
        ("1TB", 10**12),
        ("18446744073709551616B", 2**64),
    ],
)
def test_a_size_is_binary_with_an_i_and_decimal_without(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(("text", "pages"), [("1 page", 1), ("4 pages", 4), ("0 pages", 0)])
def test_pages_are_counted(text: str, pages: int) -> None:
    assert units.parse_pages(text) == pages


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("2/s", Fraction(2)),
        ("2 / s", Fraction(2)),
        ("3/ms", Fraction(3000)),
        ("1/min", Fraction(1, 60)),
        ("0.5/us", Fraction(500_000)),
        ("1GHz", Fraction(10**9)),
        ("2.6 kHz", Fraction(2600)),
        ("1/ps", Fraction(10**12)),
    ],
)
def test_a_rate_is_exact_per_second(text: str, per_second: Fraction) -> None:
    assert units.parse_rate(text) == per_second


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad-quantity"),
        ("ns", "bad-quantity"),
        ("soon", "bad-quantity"),
        ("nan", "bad-quantity"),
        ("inf s", "bad-quantity"),
        ("1..2s", "bad-quantity"),
        ("1.2.3s", "bad-quantity"),
        ("5.ns", "bad-quantity"),
        ("0x10ns", "wrong-unit"),
        ("1_000ns", "wrong-unit"),
        ("1,000ns", "wrong-unit"),
        ("\N{ARABIC-INDIC DIGIT THREE}ns", "bad-quantity"),
        ("9" * 65 + "ps", "bad-quantity"),
        ("250", "missing-unit"),
        ("0", "missing-unit"),
        ("4KiB", "wrong-unit"),
        ("4 pages", "wrong-unit"),
        ("2/s", "wrong-unit"),
        ("10 NS", "wrong-unit"),
        ("10 ns ns", "wrong-unit"),
        ("1s 500ms", "wrong-unit"),
        ("1e100s", "wrong-unit"),
        ("-1ns", "negative-quantity"),
        ("9223372036854775808ps", "absurd-quantity"),
        ("1e99s", "absurd-quantity"),
        ("0.0001ps", "too-fine"),
        ("0.0005ns", "too-fine"),
        ("1e-99s", "too-fine"),
    ],
)
def test_what_is_no_time_is_refused_with_its_kind_of_fault(text: str, code: str) -> None:
    with pytest.raises(UnitError) as caught:
        units.parse_time(text)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("4096", "missing-unit"),
        ("4KB", "wrong-unit"),
        ("4ns", "wrong-unit"),
        ("0.5B", "too-fine"),
        ("-1B", "negative-quantity"),
        ("18446744073709551617B", "absurd-quantity"),
    ],
)
def test_what_is_no_size_is_refused_with_its_kind_of_fault(text: str, code: str) -> None:
    with pytest.raises(UnitError) as caught:
        units.parse_size(text)
    assert caught.value.code == code


def test_half_a_page_and_absurdly_many_are_refused() -> None:
    for text, code in (("0.5 pages", "too-fine"), ("4503599627370497 pages", "absurd-quantity")):
        with pytest.raises(UnitError) as caught:
            units.parse_pages(text)
        assert caught.value.code == code


def test_a_missing_unit_names_the_units_that_fit_and_an_example() -> None:
    with pytest.raises(UnitError, match=r"ps, ns, us, ms, s, min; for example 250ns"):
        units.parse_time("250")
    with pytest.raises(UnitError, match=r"B, KiB, MiB, GiB, TiB, kB, MB, GB, TB"):
        units.parse_size("4096")


def test_a_unit_of_another_quantity_is_called_by_its_name() -> None:
    with pytest.raises(UnitError, match="'4KiB' is a size, where a time is needed"):
        units.parse_time("4KiB")
    with pytest.raises(UnitError, match="'4 pages' is a number of pages, where a size is needed"):
        units.parse_size("4 pages")


def test_a_misspelt_unit_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnitError, match="did you mean ms"):
        units.parse_time("10mss")
    with pytest.raises(UnitError, match="did you mean s"):
        units.parse_time("10S")
    with pytest.raises(UnitError, match=r"did you mean KiB \(1,024 bytes\) or kB \(1,000\)"):
        units.parse_size("4KB")


def test_a_unit_error_is_a_value_error_and_a_pmsim_error() -> None:
    assert issubclass(UnitError, ValueError)
    assert issubclass(UnitError, PmsimError)


def test_an_int_passes_as_it_stands() -> None:
    assert units.as_time(250) == 250
    assert units.as_size(4096) == 4096
    assert units.as_pages(4) == 4
    assert units.as_rate(2) == Fraction(2)
    assert units.as_rate(Fraction(1, 3)) == Fraction(1, 3)


def test_text_passes_with_its_unit() -> None:
    assert units.as_time("250ns") == 250_000
    assert units.as_size("4KiB") == 4096
    assert units.as_pages("4 pages") == 4
    assert units.as_rate("2/s") == 2


def test_an_integer_of_numpy_becomes_an_int() -> None:
    assert type(units.as_time(np.int64(250))) is int  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, 1.0, None, [1]])
def test_what_is_neither_int_nor_text_is_refused(value: object) -> None:
    for convert in (units.as_time, units.as_size, units.as_pages, units.as_rate):
        with pytest.raises(UnitError):
            convert(value)  # type: ignore[operator]


def test_a_negative_or_absurd_int_is_refused() -> None:
    for value in (-1, 2**63):
        with pytest.raises(UnitError):
            units.as_time(value)


@pytest.mark.parametrize(
    ("ps", "text"),
    [
        (0, "0ps"),
        (1, "1ps"),
        (999, "999ps"),
        (1_000, "1ns"),
        (250_500, "250.5ns"),
        (1_234_567, "1.234567us"),
        (3_000_000_000, "3ms"),
        (2_000_000_000_000, "2s"),
        (7_200_000_000_000_000, "7200s"),
        (-1_500, "-1.5ns"),
    ],
)
def test_a_time_is_written_in_the_largest_unit_below_it(ps: int, text: str) -> None:
    assert units.format_time(ps) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (24, "24B"),
        (4096, "4KiB"),
        (1536, "1.5KiB"),
        (2_337_840, "2337840B"),
        (1 << 30, "1GiB"),
        (1_047_552, "1023KiB"),
        (-4096, "-4KiB"),
    ],
)
def test_a_size_is_written_in_binary_units(size: int, text: str) -> None:
    assert units.format_size(size) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (Fraction(2), "2/s"),
        (Fraction(1, 60), "1/min"),
        (Fraction(10**9), "1000000000/s"),
        (Fraction(1, 7), "0.142857142857143/s"),
    ],
)
def test_a_rate_is_written_per_second_or_minute(rate: Fraction, text: str) -> None:
    assert units.format_rate(rate) == text


def test_pages_are_written_in_the_singular_and_plural() -> None:
    assert [units.format_pages(n) for n in (0, 1, 2)] == ["0 pages", "1 page", "2 pages"]


@given(TIMES)
def test_every_time_reads_back_as_it_was_written(ps: int) -> None:
    assert units.parse_time(units.format_time(ps)) == ps


@given(SIZES)
def test_every_size_reads_back_as_it_was_written(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == size


@given(st.integers(0, units.MAX_PAGES))
def test_every_number_of_pages_reads_back_as_it_was_written(pages: int) -> None:
    assert units.parse_pages(units.format_pages(pages)) == pages


@given(
    st.decimals(0, 10**6, places=6).map(str),
    st.sampled_from(["/s", "/ms", "/us", "/min", "Hz", "kHz", "MHz"]),
)
def test_every_rate_reads_back_as_it_was_written(number: str, unit: str) -> None:
    rate = units.parse_rate(number + unit)
    assert units.parse_rate(units.format_rate(rate)) == rate


@given(st.text(max_size=30))
def test_any_text_is_a_quantity_or_a_unit_error(text: str) -> None:
    for kind in units.QUANTITIES:
        try:
            value = units.parse(text, kind)
        except UnitError:
            continue
        assert 0 <= value <= kind.largest
