"""Quantities as keys of pydantic models."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ValidationError

from pmsim import units
from pmsim.quantities import (
    FROM_FILE,
    PageCount,
    PositivePages,
    PositiveSize,
    PositiveTime,
    QuantityKey,
    RunLength,
    Size,
    Time,
    TimeOrAuto,
)
from pmsim.units import US


class Keys(BaseModel):
    time: Time = 10 * US
    positive: PositiveTime = 1
    size: Size = 0
    room: PositiveSize = 1
    pages: PageCount = 0
    some: PositivePages = 1
    rate: Annotated[Fraction, QuantityKey(units.RATE, positive=True)] = Fraction(1)
    warmup: TimeOrAuto = "auto"


def fault(**values: Any) -> dict[str, str]:
    """Return what is said about the only value that is refused."""
    with pytest.raises(ValidationError) as caught:
        Keys.model_validate(values, context=FROM_FILE)
    (found,) = caught.value.errors()
    return dict(found["ctx"])


def test_a_value_beyond_the_ends_of_its_key_is_told_them() -> None:
    class Ends(BaseModel):
        run: RunLength = 1
        nap: Annotated[int, QuantityKey(units.TIME, smallest=units.NS)] = units.NS
        pages: Annotated[int, QuantityKey(units.PAGES, bare=True, largest=8)] = 1

    assert Ends(run=units.LONGEST_RUN, nap=1000, pages=8).pages == 8
    for key, value, end in (
        ("run", units.LONGEST_RUN + 1, "the largest is 864000s"),
        ("nap", 999, "the smallest is 1ns"),
        ("pages", 9, "the largest is 8 pages"),
    ):
        with pytest.raises(ValidationError) as caught:
            Ends.model_validate({key: value})
        (found,) = caught.value.errors()
        assert (found["ctx"]["code"], found["ctx"]["hint"]) == ("out-of-range", end)
    schema = Ends.model_json_schema()["properties"]
    assert schema["run"]["x-largest"] == "864000s"
    assert schema["nap"]["x-smallest"] == "1ns"
    assert schema["pages"]["anyOf"][1]["maximum"] == 8


def test_text_becomes_a_number_in_the_base_unit() -> None:
    keys = Keys.model_validate(
        {"time": "250ns", "size": "4KiB", "pages": "4 pages", "rate": "2/s", "warmup": "1ms"},
        context=FROM_FILE,
    )
    assert (keys.time, keys.size, keys.pages, keys.rate) == (250_000, 4096, 4, Fraction(2))
    assert keys.warmup == 10**9


def test_a_bare_number_passes_in_python_and_is_a_fault_in_a_file() -> None:
    assert Keys(time=250).time == 250
    assert fault(time=250)["code"] == "missing-unit"
    assert fault(time=2.5)["code"] == "missing-unit"


def test_a_whole_number_passes_in_a_file_where_the_key_says_what_is_counted() -> None:
    for value in (3, "3 pages"):
        assert Keys.model_validate({"some": value}, context=FROM_FILE).some == 3
    assert fault(some=2.5)["code"] == "missing-unit"
    assert fault(some=0)["code"] == "not-positive"
    text, number = Keys.model_json_schema()["properties"]["some"]["anyOf"]
    assert (text["type"], number["type"]) == ("string", "integer")


def test_a_fault_says_which_units_fit() -> None:
    assert "ps, ns, us, ms, s, min" in fault(time=250)["hint"]
    assert fault(time="4KiB")["code"] == "wrong-unit"


def test_true_is_no_quantity() -> None:
    assert fault(time=True)["code"] == "bad-quantity"


@pytest.mark.parametrize(("key", "value"), [("positive", "0ns"), ("room", "0B"), ("rate", "0/s")])
def test_zero_is_refused_where_it_makes_no_sense(key: str, value: str) -> None:
    assert fault(**{key: value})["code"] == "not-positive"


def test_zero_passes_where_it_makes_sense() -> None:
    assert Keys(time=0, size=0, pages=0).time == 0


def test_a_word_may_stand_for_a_time_where_it_is_declared() -> None:
    assert Keys.model_validate({"warmup": "auto"}, context=FROM_FILE).warmup == "auto"
    assert fault(warmup="never")["hint"].endswith("or auto")
    assert fault(time="auto")["code"] == "bad-quantity"


def test_what_is_written_as_json_reads_back() -> None:
    keys = Keys(time=1_234_567, size=2_337_840, pages=1, rate=Fraction(1, 60))
    written = keys.model_dump(mode="json")
    assert written["time"] == "1.234567us"
    assert written["pages"] == "1 page"
    assert written["warmup"] == "auto"
    assert Keys.model_validate(written, context=FROM_FILE) == keys


def test_the_json_schema_knows_the_units_and_words() -> None:
    import re

    described = Keys.model_json_schema()["properties"]
    for text in ("250ns", "0.5 us", "1e3 ps", " 2s"):
        assert re.search(described["time"]["pattern"], text)
    for text in ("250", "4KiB", "-1ns", "ns", "auto"):
        assert not re.search(described["time"]["pattern"], text)
    assert re.search(described["warmup"]["pattern"], "auto")
