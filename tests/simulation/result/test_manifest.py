from __future__ import annotations

import json
from pathlib import Path

import pytest

from pmsim.errors import ScenarioError
from pmsim.simulation.result import manifest
from pmsim.simulation.result.manifest import provenance, scenario_hash, write_json


def test_the_hash_of_a_scenario_does_not_depend_on_the_order_of_keys() -> None:
    assert scenario_hash({"a": 1, "b": {"c": 2, "d": 3}}) == scenario_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )


def test_the_hash_of_a_scenario_depends_on_every_value() -> None:
    base = {"a": 1, "b": {"c": 2}}
    others = [{"a": 2, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, {"a": 1}, {**base, "e": None}]
    assert len({scenario_hash(one) for one in (base, *others)}) == 5


def test_the_hash_is_the_sha_256_of_the_scenario_as_compact_json() -> None:
    # printf '{"name":"\xc3\xbc","seed":1}' | sha256sum
    digest = "4f88575ebbabc78481e81fd288f96e7e584a6f8a40c9d359fee65e450dd22e36"
    assert scenario_hash({"seed": 1, "name": "ü"}) == digest


def test_a_package_that_is_not_installed_has_an_unknown_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manifest, "PACKAGES", ("numpy", "no-such-package"))
    versions = provenance({}, 0, 1, ())["versions"]
    assert versions["no-such-package"] == "unknown"
    assert versions["numpy"] != "unknown"


def test_an_input_that_has_gone_since_the_scenario_was_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"gone\.csv: cannot read"):
        provenance({}, 0, 1, (str(tmp_path / "gone.csv"),))


def test_json_is_written_for_people_and_reads_back(tmp_path: Path) -> None:
    content = {"name": "größer", "values": [1, 2], "none": None}
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert "größer" in text
    assert text.endswith("}\n")


def test_a_number_that_json_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
