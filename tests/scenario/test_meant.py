"""A file of another kind is told as what it is, wherever one is wanted."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.reproduction.experiment import load_experiment

ROOT = Path(__file__).parents[2]
DATA = Path(str(resources.files("pmsim"))) / "data"
FILES = {
    "scenario": ROOT / "scenarios" / "protocols.yaml",
    "experiment": DATA / "experiments" / "li_2017.yaml",
    "machine": DATA / "platforms" / "epyc-milan.yaml",
}
READERS: dict[str, Callable[[Path], Any]] = {
    "scenario": pmsim.load,
    "experiment": load_experiment,
    "machine": lambda path: pmsim.load("policy-load").with_({"machine": str(path)}),
}


@pytest.mark.parametrize("wanted", READERS)
@pytest.mark.parametrize("given", FILES)
def test_a_file_of_another_kind_is_one_fault_that_says_what_it_is(wanted: str, given: str) -> None:
    if wanted == given:
        READERS[wanted](FILES[given])
        return
    with pytest.raises(ScenarioError) as caught:
        READERS[wanted](FILES[given])
    (fault,) = caught.value.faults
    assert fault.code == f"no-{wanted}"
    article = "an" if given == "experiment" else "a"
    assert f"this is {article} {given}, not" in fault.message
    assert FILES[given].name in fault.hint
    assert fault.line > 1
