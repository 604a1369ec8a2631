from __future__ import annotations

import pytest

from pmsim.figures.words import (
    about_count,
    about_rate,
    about_share,
    about_time,
    counted,
    tick_time,
    time_unit,
)


@pytest.mark.parametrize(
    ("ps", "text"),
    [
        (0, "0 ps"),
        (1, "1 ps"),
        (14_321_000, "14.3 µs"),
        (2_000_000_000_000, "2 s"),
        (999, "999 ps"),
    ],
)
def test_a_time_is_rounded_to_three_digits_with_a_blank_before_its_unit(ps, text):
    assert about_time(ps) == text


def test_a_tick_is_as_short_as_it_goes():
    assert [tick_time(ps) for ps in (200_000, 1_000_000, 2_500_000_000)] == [
        "200 ns",
        "1 µs",
        "2.5 ms",
    ]


def test_the_unit_of_an_axis_fits_its_largest_value():
    assert time_unit(999_999) == ("ns", 1_000)
    assert time_unit(1_000_000) == ("µs", 1_000_000)
    assert time_unit(0) == ("ps", 1)


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1"), (96_730, "96,730"), (1_214_000, "1.21 million")]
)
def test_a_count_has_separators_and_millions_in_words(count, text):
    assert about_count(count) == text


def test_one_thing_has_no_plural():
    assert counted(1, "call") == "1 call"
    assert counted(0, "call") == "0 calls"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.000_001, "under 0.001 %"),
        (0.000_12, "0.012 %"),
        (0.093, "9.3 %"),
        (0.25, "25 %"),
        (0.9999, "99.9 %"),
        (1, "100 %"),
    ],
)
def test_a_share_never_rounds_to_none_or_to_all(share, text):
    assert about_share(share) == text


def test_a_rate_has_three_digits():
    assert [about_rate(rate) for rate in (0.123_4, 49.23, 51_234)] == ["0.123", "49.2", "51,200"]
