from __future__ import annotations

import subprocess
import sys

import pytest

import pmsim

NAMES = {
    "load",
    "run",
    "sweep",
    "compare",
    "open",
    "Scenario",
    "Result",
    "Sweep",
    "workload",
    "plot",
}


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(pmsim.__all__) == NAMES
    assert set(dir(pmsim)) == NAMES


def test_every_public_name_is_there() -> None:
    for name in pmsim.__all__:
        assert getattr(pmsim, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sweeep'"):
        _ = pmsim.sweeep  # type: ignore[attr-defined]


def test_importing_pmsim_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import pmsim\n"
        "print(sorted(m for m in set(sys.modules) - before if '.' not in m and m[0] != '_'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "numba", "pandas", "pyarrow", "matplotlib", "pydantic", "simpy"}
    assert "pmsim" in done.stdout
    assert not heavy & set(done.stdout.replace("'", "").strip("[]\n").split(", "))
