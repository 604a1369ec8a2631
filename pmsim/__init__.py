"""Say what page-table synchronization will cost, on a machine that one does not have.

Everything that scripts and notebooks need is here::

    import pmsim

    scenario = pmsim.load("policy-load")      # by name, or a path
    result = pmsim.run(scenario)
    result.crosscalls                         # a pandas DataFrame
    pmsim.plot.broadcast_timeline(result)     # Matplotlib axes

Names are looked up when they are first used, so that importing pmsim costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmsim import figures as plot
    from pmsim.scenario.scenario import Scenario, load
    from pmsim.simulation.result import Result
    from pmsim.simulation.result import open_result as open
    from pmsim.simulation.run import run
    from pmsim.workloads.registry import workload

__all__ = ["load", "run", "open", "Scenario", "Result", "workload", "plot"]

_HOMES = {
    "load": ("pmsim.scenario.scenario", "load"),
    "Scenario": ("pmsim.scenario.scenario", "Scenario"),
    "run": ("pmsim.simulation.run", "run"),
    "open": ("pmsim.simulation.result", "open_result"),
    "Result": ("pmsim.simulation.result", "Result"),
    "workload": ("pmsim.workloads.registry", "workload"),
    "plot": ("pmsim.figures", ""),
}
"""Where each name lives: a module, and the name there (none: the module itself)."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pmsim' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    home = import_module(module)
    value = getattr(home, attribute) if attribute else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
