"""Say what page-table synchronization will cost, on a machine that one does not have.

Everything that scripts and notebooks need is here::

    import pmsim

    scenario = pmsim.load("policy-load")      # by name, or a path
    result = pmsim.run(scenario)
    result.crosscalls                         # a pandas DataFrame
    sweep = pmsim.sweep(scenario, {"machine.cpus": [8, 64]}, replications=10)
    pmsim.plot.broadcast_timeline(result)     # Matplotlib axes
    pmsim.reproduce("piggin-2008-eager")      # a published experiment, predicted against measured
    pmsim.calibrate().save(Path("host.yaml"))  # this machine, measured

What goes wrong is a `PmsimError`, or one of its kinds: `ScenarioError` for a file with faults,
`SimulationError` for a run that failed.

Names are looked up when they are first used, so that importing pmsim costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, which takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any

    from pmsim import figures as plot
    from pmsim.calibration.calibrate import calibrate
    from pmsim.calibration.calibration import Calibration
    from pmsim.errors import (
        AccountingError,
        CalibrationError,
        CpuListError,
        DeadlockError,
        OutputError,
        PmsimError,
        ProgramError,
        ReadError,
        ResultError,
        ScenarioError,
        SchedulerError,
        SimulationError,
        UndefinedBehaviour,
        UnitError,
    )
    from pmsim.experiments.comparison import compare
    from pmsim.experiments.constants.found import Sensitivity
    from pmsim.experiments.constants.sensitivity import sensitivity
    from pmsim.experiments.constants.uncertainty import run_with_uncertainty
    from pmsim.experiments.opening import open_path as open
    from pmsim.experiments.results import Sweep
    from pmsim.experiments.sweep import sweep
    from pmsim.hardware.shootdown.initiator import Flush, Initiator
    from pmsim.hardware.shootdown.own import Time, TimeByDistance, protocol
    from pmsim.kernel.handle import KernelHandle
    from pmsim.reproduction.reproduce import reproduce
    from pmsim.reproduction.reproduction import Reproduction
    from pmsim.scenario.scenario import Scenario, load
    from pmsim.simulation.result.result import Result
    from pmsim.simulation.run.replications import run
    from pmsim.workloads.cpu import Cpu
    from pmsim.workloads.registry import workload

__all__ = [
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
]

_HOMES = {
    "load": ("pmsim.scenario.scenario", "load"),
    "Scenario": ("pmsim.scenario.scenario", "Scenario"),
    "run": ("pmsim.simulation.run.replications", "run"),
    "sweep": ("pmsim.experiments.sweep", "sweep"),
    "compare": ("pmsim.experiments.comparison", "compare"),
    "reproduce": ("pmsim.reproduction.reproduce", "reproduce"),
    "calibrate": ("pmsim.calibration.calibrate", "calibrate"),
    "Calibration": ("pmsim.calibration.calibration", "Calibration"),
    "sensitivity": ("pmsim.experiments.constants.sensitivity", "sensitivity"),
    "run_with_uncertainty": ("pmsim.experiments.constants.uncertainty", "run_with_uncertainty"),
    "open": ("pmsim.experiments.opening", "open_path"),
    "Sensitivity": ("pmsim.experiments.constants.found", "Sensitivity"),
    "Result": ("pmsim.simulation.result.result", "Result"),
    "Sweep": ("pmsim.experiments.results", "Sweep"),
    "Reproduction": ("pmsim.reproduction.reproduction", "Reproduction"),
    "KernelHandle": ("pmsim.kernel.handle", "KernelHandle"),
    "Cpu": ("pmsim.workloads.cpu", "Cpu"),
    "workload": ("pmsim.workloads.registry", "workload"),
    "protocol": ("pmsim.hardware.shootdown.own", "protocol"),
    "Initiator": ("pmsim.hardware.shootdown.initiator", "Initiator"),
    "Flush": ("pmsim.hardware.shootdown.initiator", "Flush"),
    "Time": ("pmsim.hardware.shootdown.own", "Time"),
    "TimeByDistance": ("pmsim.hardware.shootdown.own", "TimeByDistance"),
    "plot": ("pmsim.figures", ""),
    "PmsimError": ("pmsim.errors", "PmsimError"),
    "ScenarioError": ("pmsim.errors", "ScenarioError"),
    "ReadError": ("pmsim.errors", "ReadError"),
    "UnitError": ("pmsim.errors", "UnitError"),
    "CpuListError": ("pmsim.errors", "CpuListError"),
    "OutputError": ("pmsim.errors", "OutputError"),
    "ResultError": ("pmsim.errors", "ResultError"),
    "CalibrationError": ("pmsim.errors", "CalibrationError"),
    "SchedulerError": ("pmsim.errors", "SchedulerError"),
    "SimulationError": ("pmsim.errors", "SimulationError"),
    "ProgramError": ("pmsim.errors", "ProgramError"),
    "UndefinedBehaviour": ("pmsim.errors", "UndefinedBehaviour"),
    "DeadlockError": ("pmsim.errors", "DeadlockError"),
    "AccountingError": ("pmsim.errors", "AccountingError"),
}
"""Where each name lives: a module, and the name there (none: the module itself)."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("pmsim")
    if name not in _HOMES:
        raise AttributeError(f"module 'pmsim' has no attribute '{name}'")
    from importlib import import_module

    module, attribute = _HOMES[name]
    home = import_module(module)
    value = getattr(home, attribute) if attribute else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
