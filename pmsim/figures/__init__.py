"""Floor 6: pictures of results and sweeps, each a function from them to Matplotlib axes.

Also reachable as ``pmsim.plot``. Every figure is drawn on ``ax=`` where one is given; `style`
says how large they and their letters are.
"""

from pmsim.figures.agreement import predicted_against_measured
from pmsim.figures.anatomy import call_anatomy
from pmsim.figures.cpus import cpus_over_time
from pmsim.figures.curve import curves
from pmsim.figures.designs import pareto
from pmsim.figures.effects import tornado
from pmsim.figures.flushes import flush_cost
from pmsim.figures.gallery import draw_all
from pmsim.figures.heat import heat_map
from pmsim.figures.interruptions import interruption_lengths
from pmsim.figures.latencies import latency_distribution
from pmsim.figures.misses import error_distribution
from pmsim.figures.operations import operation_cost
from pmsim.figures.overcommitted import guests
from pmsim.figures.phases import phase_diagram
from pmsim.figures.reproduced import experiment_curve
from pmsim.figures.side_by_side import protocols
from pmsim.figures.sides import misses_by_series
from pmsim.figures.space import address_space
from pmsim.figures.styling import style
from pmsim.figures.swings import constants
from pmsim.figures.timeline import broadcast_timeline
from pmsim.figures.wakeups import waking

__all__ = [
    "address_space",
    "predicted_against_measured",
    "broadcast_timeline",
    "call_anatomy",
    "constants",
    "cpus_over_time",
    "curves",
    "draw_all",
    "flush_cost",
    "guests",
    "heat_map",
    "interruption_lengths",
    "latency_distribution",
    "error_distribution",
    "misses_by_series",
    "operation_cost",
    "pareto",
    "phase_diagram",
    "protocols",
    "style",
    "experiment_curve",
    "tornado",
    "waking",
]


def __dir__() -> list[str]:
    return sorted(__all__)
