"""Floor 5: pictures of a result, each a function from a result to Matplotlib axes.

Also reachable as ``pmsim.plot``. Every figure is drawn on ``ax=`` where one is given.
"""

from pmsim.figures.cpus import cpus_over_time
from pmsim.figures.flushes import flush_cost
from pmsim.figures.gallery import draw_all
from pmsim.figures.latencies import latency_distribution
from pmsim.figures.operations import operation_cost
from pmsim.figures.timeline import broadcast_timeline

__all__ = [
    "broadcast_timeline",
    "cpus_over_time",
    "draw_all",
    "flush_cost",
    "latency_distribution",
    "operation_cost",
]
