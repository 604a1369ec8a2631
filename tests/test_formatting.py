from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim import formatting, units
from pmsim.confidence import Estimate

AMOUNTS = st.floats(1e-3, 1e18)
PARTS = st.floats(0, 1)


def known(low: float, mean: float, high: float) -> Estimate:
    return Estimate(mean, low, high, 10, 0.95, "t")


@pytest.mark.parametrize(
    ("ps", "text"),
    [
        (0, "0 s"),
        (1, "1 ps"),
        (0.25, "0.25 ps"),
        (999, "999 ps"),
        (999_499, "999 ns"),
        (999_501, "1 µs"),
        (14_321_000, "14.3 µs"),
        (123_456_789, "123 µs"),
        (2_000_000_000_000, "2 s"),
        (123_456_000_000_000_000, "123,000 s"),
        (-1_234_567, "-1.23 µs"),
    ],
)
def test_a_time_has_three_digits_and_a_space_before_its_unit(ps: float, text: str) -> None:
    assert formatting.time(ps) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (24, "24 B"),
        (1023, "1,023 B"),
        (4096, "4 KiB"),
        (1536, "1.5 KiB"),
        (2_337_840, "2.23 MiB"),
        (1_047_552, "1,023 KiB"),
        (1_048_064, "1 MiB"),
        (1 << 40, "1 TiB"),
        (-4096, "-4 KiB"),
    ],
)
def test_a_size_has_three_digits_and_never_loses_one_of_a_whole_part(
    amount: float, text: str
) -> None:
    assert formatting.size(amount) == text


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (0, "0 %"),
        (0.000_001, "< 0.001 %"),
        (0.000_123_4, "0.0123 %"),
        (0.0951, "9.51 %"),
        (0.306, "30.6 %"),
        (0.9989, "99.9 %"),
        (0.9996, "> 99.9 %"),
        (1 - 1e-15, "100 %"),
        (1, "100 %"),
        (1.0001, "> 100 %"),
        (12.3, "1,230 %"),
        (-0.25, "-25 %"),
        (-0.000_001, "> -0.001 %"),
    ],
)
def test_a_share_reads_none_or_all_only_where_it_is_that(part: float, text: str) -> None:
    assert formatting.share(part) == text


def test_what_is_counted_keeps_all_its_digits_and_what_is_measured_three() -> None:
    assert formatting.count(1_214_321) == "1,214,321"
    assert formatting.quantity(96_730, "1") == "96,730"
    assert formatting.quantity(96_730.4, "1") == "96,700"
    assert formatting.quantity(4, "pages") == "4 pages"
    assert formatting.quantity(1_234.56, "1/s") == "1,230/s"
    assert formatting.quantity(0.3061, formatting.SHARE) == "30.6 %"
    assert formatting.quantity(2.5, "B s") == "2.5 B s"
    assert formatting.quantity(math.inf, "1") == "inf"


def test_one_thing_has_no_plural() -> None:
    assert [formatting.counted(n, "call") for n in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_what_is_not_known_is_called_so(nothing: float | None) -> None:
    assert formatting.quantity(nothing, "ps") == "unknown"
    assert formatting.difference(nothing, "ps") == "unknown"


def test_a_difference_has_its_sign_and_one_of_shares_is_in_points() -> None:
    assert formatting.difference(1_500_000, "ps") == "+1.5 µs"
    assert formatting.difference(-1_500_000, "ps") == "-1.5 µs"
    assert formatting.difference(0.0123, formatting.SHARE) == "+1.23 points"
    assert formatting.difference(0, "1") == "0"


@pytest.mark.parametrize(
    ("per_s", "said"),
    [
        (1, "once a second"),
        (0.9999, "once a second"),
        (14.31, "14.3 times a second"),
        (1 / 3600, "once an hour"),
        (0.0319, "115 times an hour"),
        (0, "0 times a second"),
    ],
)
def test_a_rate_in_words_is_english(per_s: float, said: str) -> None:
    assert formatting.times_a_second(per_s) == said


def test_an_interval_says_the_unit_of_both_ends_once() -> None:
    assert formatting.interval(known(14_100_000, 15e6, 16e6), "ps") == "14.1 to 16 µs"
    assert formatting.interval(known(900_000, 15e6, 16e6), "ps") == "900 ns to 16 µs"
    assert formatting.interval(known(0.1, 0.15, 0.2), formatting.SHARE) == "10 to 20 %"
    assert formatting.interval(known(3, 4, 5), "1") == "3 to 5"
    assert formatting.interval(known(3, 4, 5), "1/s") == "3 to 5/s"
    assert formatting.interval(known(3, 4, 5), "B s") == "3 to 5 B s"
    assert formatting.interval(known(1_370_001, 1_370_002, 1_370_003), "1/s") == "1,370,000/s"
    difference = formatting.difference_interval(known(-0.003, 0, 0.005), formatting.SHARE)
    assert difference == "-0.3 to +0.5 points"
    few = Estimate(3.0, None, None, 2, 0.95, "not enough data")
    assert formatting.interval(few, "1") == "not enough data"
    assert formatting.difference_interval(few, "1") == "not enough data"


def test_a_mean_says_what_it_may_be_off_by() -> None:
    assert formatting.with_interval(known(9e6, 10e6, 11e6), "ps") == "10 µs ± 10 %"
    assert formatting.with_interval(known(-1e6, 0, 1e6), "ps") == "0 s ± 1 µs"
    assert formatting.with_interval(Estimate(5, 5, 5, 9, 0.95, "constant"), "1") == "5"
    few = Estimate(5.5, None, None, 2, 0.95, "not enough data")
    assert formatting.with_interval(few, "1") == "5.5 (n=2)"
    assert formatting.with_interval(Estimate(None, None, None, 0, 0.95, "t"), "1") == "unknown"


def test_a_tick_is_as_short_as_it_goes() -> None:
    times = [formatting.tick_time(ps) for ps in (0, 200_000, 1_000_000, 2_500_000_000)]
    assert times == ["0", "200 ns", "1 µs", "2.5 ms"]
    assert [formatting.tick_count(n) for n in (0.5, 96_730, 2e6)] == ["0.5", "96,730", "2 million"]
    assert formatting.tick_share(0.025) == "2.5 %"
    assert [formatting.as_in_files(one) for one in (True, np.bool(False), 3, "True story")] == [
        "true", "false", "3", "True story",
    ]  # fmt: skip
    assert formatting.tick_share(2.5e-7) == "0.000025 %"
    assert formatting.tick_share(5e-8) == "0.000005 %"


def test_the_unit_of_an_axis_fits_its_largest_value() -> None:
    assert formatting.time_unit(999_999) == ("ns", 1_000)
    assert formatting.time_unit(1_000_000) == ("µs", 1_000_000)
    assert formatting.time_unit(0) == ("ps", 1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("5us", "5 µs"), ("4KiB", "4 KiB"), ("2/s", "2/s"), ("ro", "ro"), ("4 pages", "4 pages")],
)
def test_a_quantity_of_a_file_gets_a_space_before_its_unit(text: str, shown: str) -> None:
    assert formatting.written(text) == shown


def test_what_an_output_cannot_show_is_spelled_in_ascii() -> None:
    assert formatting.spelled_out("14.3 µs ± 2 %, 3 × ü") == "14.3 us +- 2 %, 3 x ?"


@given(AMOUNTS)
def test_a_written_time_reads_back_to_within_half_a_step_of_its_third_digit(ps: float) -> None:
    text = formatting.time(ps)
    assert re.fullmatch(r"\d{1,3}(\.\d{1,5})? (ps|ns|µs|ms|s)|[\d,]+ s", text)
    number, unit = text.replace(",", "").split()
    back = float(number) * float(units.TIME.units[unit.replace("µ", "u")])
    assert back == pytest.approx(ps, rel=0.005_001)


@given(AMOUNTS)
def test_a_written_size_reads_back_to_within_half_a_step_of_its_third_digit(amount: float) -> None:
    number, unit = formatting.size(amount).replace(",", "").split()
    back = float(number) * float(units.SIZE.units[unit])
    assert back == pytest.approx(amount, rel=0.005_001)


@given(PARTS, PARTS)
def test_a_greater_share_never_reads_smaller(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert _least(formatting.share(low)) <= _least(formatting.share(high))


@given(PARTS.filter(lambda part: 1e-12 < part < 1 - 1e-9))
def test_no_part_reads_as_nothing_or_as_all(part: float) -> None:
    assert formatting.share(part) not in ("0 %", "100 %")


@given(AMOUNTS, st.sampled_from(["ps", "B", "1/s", "1", "pages"]))
def test_the_sign_alone_tells_a_negative_value_from_its_opposite(value: float, unit: str) -> None:
    assert formatting.quantity(-value, unit) == f"-{formatting.quantity(value, unit)}"


def _least(text: str) -> float:
    """Return the least value that a written share may stand for."""
    number = float(re.sub(r"[<> %,]", "", text))
    return 0.0005 if text[0] == "<" else number + 0.05 if text[0] == ">" else number
