"""The JSON Schema of scenario files agrees with the reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pmsim.errors import ScenarioError
from pmsim.scenario.read import read_file
from pmsim.scenario.scenario import Scenario, load
from pmsim.scenario.schema import schema
from pmsim.workloads.registry import workload_kinds

CORPUS = Path(__file__).parents[1] / "scenarios"
VALID = sorted((CORPUS / "valid").glob("*.yaml"))
PLATFORMS = sorted((CORPUS.parents[1] / "pmsim" / "data" / "platforms").glob("*.yaml"))


@cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(schema())


def complaints(data: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator().iter_errors(data)]


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_schema_is_plain_json() -> None:
    assert json.loads(json.dumps(schema())) == schema()


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.name)
def test_what_the_reader_accepts_the_schema_accepts(path: Path) -> None:
    assert complaints(load(path).as_dict()) == []
    assert complaints(json.loads(json.dumps(load(path).resolve().as_dict()))) == []


@pytest.mark.parametrize("path", PLATFORMS, ids=lambda path: path.name)
def test_a_platform_file_is_a_machine_with_sources(path: Path) -> None:
    machine = jsonschema.Draft202012Validator(
        {"$ref": "#/$defs/MachineKeys", "$defs": schema()["$defs"]}
    )
    assert list(machine.iter_errors(read_file(path).value())) == []


def inline(**costs: Any) -> dict[str, Any]:
    return {"topology": {}, "costs": {"ipi": {"queue": "1ns", "entry": "1ns"}, **costs}}


BASE: dict[str, Any] = {
    "pmsim": 1,
    "machine": "opteron-2008",
    "workloads": [{"kind": "pool_churn"}],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"pmsim": 2},
        {"sede": 1},
        {"seed": -1},
        {"duration": 2},
        {"duration": "2KiB"},
        {"workloads": []},
        {"workloads": [{"cpu": 1}]},
        {"workloads": [{"kind": "pool_chrn"}]},
        {"workloads": [{"kind": "pool_churn", "allocation": 3}]},
        {"workloads": [{"kind": "pool_churn", "size": 512}]},
        {"workloads": [{"kind": "policy_load", "size": "24B"}]},
        {"machine": 5},
        {"machine": {"platform": "opteron-2008", "cpu": 3}},
        {"machine": {"topology": {}}},
        {"machine": {"topology": {}, "costs": {"ipi": {"queue": "1ns"}}}},
        {"machine": {"topology": {}, "costs": {"ipi": {"queue": "1ns", "entry": 5}}}},
        {"machine": inline(tlbi={})},
        {"machine": inline(tlbi={"barrier": "1ns", "share": 1.5})},
        {"machine": inline(tlbi={"barrier": "1ns", "range": "yes"})},
        {"machine": inline(tlbi={"barrier": "1ns", "operations": "1ns"})},
        {"machine": inline(sbi={"queue": "1ns"})},
        {"machine": inline(sbi={"queue": "1ns", "entry": "1ns", "fanout": 16})},
        {"kernel": "linux-9"},
        {"kernel": {"ceiling": "3 pages"}},
        {"kernel": {"profile": "linux-6.1-x86_64", "celing": "3 pages"}},
        {"kernel": {"profile": "linux-6.1-x86_64", "vmalloc_start": 4096}},
        {"kernel": {"profile": "linux-6.1-x86_64", "vmalloc_start": "4KiB"}},
        {"kernel": {"profile": "linux-6.1-x86_64", "page_offset": "ffff888000000000"}},
        {"kernel": {"profile": "linux-6.1-x86_64", "page_offset": "0xffff_8880_0000_0000"}},
        {"kernel": {"profile": "linux-6.1-x86_64", "modules_start": "0x10000000"}},
        {"kernel": {"profile": "linux-6.1-x86_64", "modules_start": "0x1ffffffffc0000000"}},
        {"kernel": {"profile": "linux-6.1-x86_64", "lazy_merges": 1}},
        {"kernel": {"profile": "linux-6.1-x86_64", "area_free_stays": "5"}},
        {"measure": {"warmup": "never"}},
        {"sweep": {"seed": []}},
    ],
)
def test_what_one_key_alone_gets_wrong_both_refuse(changes: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError):
        Scenario.from_dict(BASE | changes)
    assert complaints(BASE | changes)
    assert not complaints(BASE)


@pytest.mark.parametrize(
    "address", [0xFFFFC90000000000, "0xffffc90000000000", "0XFFFFC90000000000"]
)
def test_an_address_may_be_quoted(address: int | str) -> None:
    data = BASE | {"kernel": {"profile": "linux-6.1-x86_64", "vmalloc_start": address}}
    assert Scenario.from_dict(data).resolve().as_dict()["kernel"]
    assert complaints(data) == []


def test_limits_are_words_of_json_schema() -> None:
    # Pydantic writes its own ("ge") where a limit stands behind a function.
    assert not {"ge", "gt", "le", "lt"} & set(words_of(schema()))


def words_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for word, value in schema.items():
            if word == "properties":  # whose words are keys of scenarios
                yield from words_of(list(value.values()))
            else:
                yield word
                yield from words_of(value)
    elif isinstance(schema, list):
        for one in schema:
            yield from words_of(one)


def test_a_default_is_written_with_its_unit() -> None:
    definitions = schema()["$defs"]
    assert definitions["SchedKeys"]["properties"]["quantum"]["default"] == "3ms"
    assert definitions["IpiKeys"]["properties"]["jitter"]["default"] == "0ps"
    assert definitions["workload_pool_churn"]["properties"]["size"]["default"] == "512B"


def test_every_kind_of_workload_and_every_key_is_described() -> None:
    found = schema()
    assert set(found["properties"]["workloads"]["items"]["properties"]["kind"]["enum"]) == set(
        workload_kinds()
    )
    undescribed = [
        f"{name}.{key}"
        for name, definition in found["$defs"].items()
        for key, value in definition.get("properties", {}).items()
        if "description" not in value
    ]
    assert undescribed == []
