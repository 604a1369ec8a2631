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
    "reproduce",
    "calibrate",
    "sensitivity",
    "run_with_uncertainty",
    "open",
    "Scenario",
    "Result",
    "Sweep",
    "Reproduction",
    "Calibration",
    "Sensitivity",
    "workload",
    "KernelHandle",
    "Cpu",
    "protocol",
    "Initiator",
    "Flush",
    "Time",
    "TimeByDistance",
    "plot",
    "PmsimError",
    "ScenarioError",
    "ReadError",
    "UnitError",
    "CpuListError",
    "OutputError",
    "ResultError",
    "CalibrationError",
    "SchedulerError",
    "SimulationError",
    "ProgramError",
    "UndefinedBehaviour",
    "DeadlockError",
    "AccountingError",
}


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(pmsim.__all__) == NAMES
    assert set(dir(pmsim)) == NAMES


def test_every_public_name_is_there() -> None:
    for name in pmsim.__all__:
        assert getattr(pmsim, name) is not None


def test_every_error_that_pmsim_raises_is_public() -> None:
    kinds, waiting = set(), [pmsim.PmsimError]
    while waiting:
        kind = waiting.pop()
        kinds.add(kind)
        waiting += kind.__subclasses__()
    assert kinds == {getattr(pmsim, kind.__name__) for kind in kinds}


def test_an_error_caught_by_its_public_name_is_the_one_raised() -> None:
    with pytest.raises(pmsim.ScenarioError) as raised:
        pmsim.load("no-such-scenario")
    assert raised.value.faults[0].code == "no-such-file"


def test_python_m_pmsim_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pmsim", "list", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Usage: pmsim list" in done.stdout


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
