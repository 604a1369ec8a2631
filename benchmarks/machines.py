"""The machines that are timed, in Python and as a scenario describes them."""

from __future__ import annotations

from typing import Any

from pmsim.hardware.costs import IpiCosts, MachineCosts, SchedCosts, TlbCosts
from pmsim.hardware.topology import Topology
from pmsim.units import MS, NS, US, format_time

COSTS = MachineCosts(
    IpiCosts(
        queue=20 * NS,
        send=80 * NS,
        fanout=16,
        delivery=(400 * NS, 400 * NS, 600 * NS, 700 * NS, 1200 * NS),
        line=(10 * NS, 10 * NS, 40 * NS, 50 * NS, 110 * NS),
        entry=250 * NS,
        exit=150 * NS,
    ),
    TlbCosts(invlpg=100 * NS, flush_all=400 * NS, walk=15 * NS, entries=1536, sync_core=100 * NS),
    SchedCosts(quantum=3 * MS, context_switch=1 * US, wakeup=2 * US),
)
"""The example machine of the scenario format; what is timed does not depend on the values."""

CEILING = 33
"""Pages above which a flush is full, as on x86."""

SMALL = Topology(packages=2, cores=16, threads=2)
MIDDLE = Topology(packages=2, dies=2, cores=32, threads=2)
SERVER = Topology(packages=8, cores=28, threads=2)
LARGE = Topology(packages=4, dies=4, cores=32, threads=2)
HUGE = Topology(packages=8, dies=8, cores=32, threads=2)


def described(topology: Topology) -> dict[str, Any]:
    """Return a machine of these costs as a scenario describes it."""
    ipi, tlb, sched = COSTS.ipi, COSTS.tlb, COSTS.sched
    classes = ("thread", "core", "die", "package")
    return {
        "topology": {
            name: getattr(topology, name) for name in ("packages", "dies", "cores", "threads")
        },
        "costs": {
            "ipi": {
                **_times(ipi, "queue", "send", "entry", "exit"),
                "fanout": ipi.fanout,
                "delivery": dict(zip(classes, map(format_time, ipi.delivery[1:]), strict=True)),
                "line": dict(zip(classes, map(format_time, ipi.line[1:]), strict=True)),
            },
            "tlb": {
                **_times(tlb, "invlpg", "flush_all", "walk", "sync_core"),
                "entries": tlb.entries,
            },
            "sched": _times(sched, "quantum", "context_switch", "wakeup"),
        },
    }


def _times(costs: object, *names: str) -> dict[str, str]:
    return {name: format_time(getattr(costs, name)) for name in names}
