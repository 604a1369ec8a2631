"""No module stands on one that stands on it: imports for types count like all others."""

from __future__ import annotations

import graphlib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]


def test_no_two_modules_stand_on_each_other() -> None:
    graph = grimp.build_graph("pmsim", exclude_type_checking_imports=False, cache_dir=None)
    imports = {one: graph.find_modules_directly_imported_by(one) for one in graph.modules}
    assert len(imports) > 200
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_contracts_see_every_import() -> None:
    assert "exclude_type_checking_imports" not in (ROOT / "pyproject.toml").read_text()
