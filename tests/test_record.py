from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Annotated

import pytest

from pmsim.record import Record


@dataclass(frozen=True, slots=True, eq=False)
class Inner(Record):
    ps: Annotated[int | None, "How long."]


@dataclass(frozen=True, slots=True, eq=False)
class Outer(Record):
    one: Annotated[Inner | None, "One."]
    many: Annotated[tuple[Inner, ...], "Many."]
    named: Annotated[Mapping[str, Inner], "By name."]
    later: Annotated[Mapping[str, int], "Added by a later version."] = field(default_factory=dict)


DATA = {"one": {"ps": 3}, "many": [{"ps": 1}, {"ps": None}], "named": {"a": {"ps": 5}}, "later": {}}


def test_a_record_comes_back_from_the_json_that_it_became() -> None:
    found = Outer.from_dict(json.loads(json.dumps(DATA)))
    assert found.as_dict() == DATA
    assert found.many[0].ps == found["many"][0]["ps"] == 1
    assert found.named["a"].ps == 5


def test_a_record_reads_as_a_mapping_of_its_fields() -> None:
    inner = Inner(7)
    assert dict(inner) == {"ps": 7} == inner
    assert "ps" in inner
    assert "as_dict" not in inner
    with pytest.raises(KeyError, match="as_dict"):
        _ = inner["as_dict"]


def test_what_an_older_version_did_not_write_has_its_default() -> None:
    del (data := dict(DATA))["later"]
    assert Outer.from_dict(data | {"of a newer version": 1}).later == {}


def test_missing_keys_are_named_all_at_once() -> None:
    with pytest.raises(KeyError, match="many, named"):
        Outer.from_dict({"one": None})


def test_a_value_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one cannot be \[1\]"):
        Outer.from_dict(DATA | {"one": [1]})


def test_the_meanings_of_records_inside_are_told_with_their_paths() -> None:
    assert list(Outer.meanings()) == [
        ("one", "One."), ("one.ps", "How long."), ("many", "Many."), ("many[].ps", "How long."),
        ("named", "By name."), ("named{}.ps", "How long."), ("later", "Added by a later version."),
    ]  # fmt: skip


def test_a_record_is_frozen_and_can_be_sent_to_another_process() -> None:
    inner = Inner(7)
    with pytest.raises(FrozenInstanceError):
        inner.ps = 8  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(inner)) == inner
