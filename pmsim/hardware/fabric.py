"""The cross-call fabric's state: one flat array for `_passes`, laid out from a machine's facts.

Every index and every rule lives in `pmsim.hardware._passes`; here the array is made, and what comes
out of it gets its names.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from pmsim.errors import AccountingError
from pmsim.hardware import _passes as p
from pmsim.hardware.costs import CrosscallOrder, MachineCosts
from pmsim.hardware.shootdown.calls import CallTable
from pmsim.hardware.topology import Topology

State = npt.NDArray[np.int64]

CROSSCALL_COLUMNS = (
    "cpu",
    "task",
    "start_ps",
    "end_ps",
    "kind",
    "cause",
    "operation",
    "targets",
    "pages",
    "slowest_cpu",
    "slowest_reason",
    "queue_ps",
    "send_ps",
    "delivery_ps",
    "irqs_off_ps",
    "idle_exit_ps",
    "busy_handler_ps",
    "ride_ps",
    "entry_ps",
    "function_ps",
    "local_ps",
    "visit_ps",
    "resume_ps",
    "protocol",
    "invalidations",
)
"""Columns of a chunk of finished cross-calls; ``queue_ps`` to ``resume_ps`` are the latency."""

LATENCY_COLUMNS = CROSSCALL_COLUMNS[
    CROSSCALL_COLUMNS.index("queue_ps") : CROSSCALL_COLUMNS.index("resume_ps") + 1
]
"""The parts of a latency, which add up to it."""

ACCOUNT_COLUMNS = (
    "busy_ps",
    "spin_ps",
    "irqs_off_ps",
    "stolen_ps",
    "idle_ps",
    "refill_ps",
    "handlers",
    "crosscalls_sent",
)
"""Columns of `accounts`; the first `TIMES` add up to the duration, ``refill_ps`` is in busy."""

TIMES = 5
"""How many columns of `ACCOUNT_COLUMNS` are all that a CPU's time went to."""

LOG_CAPACITY = 8192
"""Finished cross-calls held before they go to the recorder (a buffer; no result depends on it)."""
DETAIL_CAPACITY = 16_384
"""The same for the targets of calls that are kept whole, beside those of one more call."""

FINE_CPUS = 256
"""Machines up to this size keep specimens for finer differences of latency."""


class SlowestReason(IntEnum):
    """What the acknowledgement that ended the initiator's waiting was itself waiting for.

    ``LOCAL``: nothing, every acknowledgement was in when the initiator began to look. ``DISTANCE``:
    the handler began as the interrupt arrived. ``RIDE``: it was queued behind another call's
    interrupt and taken with it. Of an invalidation, ``DISTANCE``: the way there and back;
    ``BUSY_SERVER``: it had to wait for the server first.
    """

    LOCAL = p.R_LOCAL
    DISTANCE = p.R_DISTANCE
    IRQS_OFF = p.R_IRQS_OFF
    IDLE_EXIT = p.R_IDLE_EXIT
    BUSY_HANDLER = p.R_BUSY_HANDLER
    RIDE = p.R_RIDE
    BUSY_SERVER = p.R_SERVER


def _by_code(table: tuple[int, ...], max_code: int) -> list[int]:
    """Spread a table by distance over distance codes: code ``3 + h`` is ``h`` hops."""
    return list(table[:4]) + [table[4] * hops for hops in range(1, max_code - 2)]


class Fabric:
    """The state array of one machine.

    Parameters
    ----------
    topology, costs, order
        The machine.
    calls
        What its cross-calls cost.
    max_tasks
        Room for tasks that are alive at the same time.

    Attributes
    ----------
    state
        The array ``S`` of `_passes`. Entries are allocated for every (initiator, target) pair, but
        the operating system provides memory only for those that are touched.
    words
        The same array, for reading and writing single words: three times as fast as by NumPy.
    distances
        Distance codes, shape ``(n_cpus, n_cpus)``.
    """

    def __init__(
        self,
        topology: Topology,
        costs: MachineCosts,
        order: CrosscallOrder,
        calls: CallTable,
        max_tasks: int,
    ) -> None:
        n = topology.n_cpus
        self.n_cpus = n
        self.max_tasks = max_tasks
        self.distances = np.ascontiguousarray(topology.codes())
        self.state = self._allocate(topology, costs, calls, max_tasks)
        self.words = self.state.data
        header = {
            p.LIMIT: p.INF,
            p.N_CPUS: n,
            p.SERIAL: int(order == "serial"),
            p.PROTOCOL: calls.protocol,
            p.TRAP: calls.trap,
            p.QUEUE: calls.queue,
            p.SEND: calls.send,
            p.FANOUT: calls.fanout,
            p.ENTRY: calls.entry,
            p.EXIT: calls.exit,
            p.HELD_OFF: int(calls.held_off),
            p.SHARE: costs.tlbi.victim_share_ppm if costs.tlbi is not None else 0,
            p.QUANTUM: costs.sched.quantum,
            p.SWITCH_COST: costs.sched.context_switch,
            p.LOG_CAP: LOG_CAPACITY,
            p.SPECIMENS: 1,
            p.SLOWEST: p.NONE,
            p.DETAIL_FROM: p.INF,
            p.DETAIL_CUT: p.NONE,
        }
        for index, value in header.items():
            self.state[index] = value
        self._clear_rows()

    def _allocate(
        self, topology: Topology, costs: MachineCosts, calls: CallTable, max_tasks: int
    ) -> State:
        """Lay the regions out one behind the other and fill the tables."""
        n = topology.n_cpus
        leaves = 1 << max(0, (n - 1).bit_length())
        code = topology.max_code()
        idle = [value for state in costs.idle for value in (state.residency, state.exit)]
        tables = {
            p.IDLE_AT: idle,
            p.DELIVERY_AT: _by_code(calls.delivery, code),
            p.LINE_AT: _by_code(calls.line, code),
        }
        if costs.tlbi is not None:
            tables[p.ROUND_TRIP_AT] = _by_code(costs.tlbi.round_trip, code)
        sizes = {
            p.TASKS_AT: max_tasks * p.TASK_ROW,
            p.TREE_AT: 2 * leaves,
            p.DIRTY_AT: n,
            p.LOG_AT: (LOG_CAPACITY + 1) * p.LOG_COLUMNS,
        }
        sub_bits = 5 if n <= FINE_CPUS else 3
        buckets = p.buckets(sub_bits)
        specimen = p.SPECIMEN_HEAD + n * p.ENTRY_ROW
        sizes |= {index: len(values) for index, values in tables.items()}
        sizes |= {p.BUCKETS_AT: 2 * buckets, p.SPECIMENS_AT: (1 + buckets) * specimen}
        detail = DETAIL_CAPACITY + n
        sizes |= {
            p.DETAIL_HEADS_AT: detail * p.SPECIMEN_HEAD,
            p.DETAIL_ENTRIES_AT: detail * p.ENTRY_ROW,
        }
        at = p.HEADER + p.PLANES * p.PLANE
        places = {}
        for index, size in sizes.items():
            places[index] = at
            at += size
        places[p.ENTRIES_AT] = -(-at // p.ENTRY_ROW) * p.ENTRY_ROW
        state: State = np.zeros(places[p.ENTRIES_AT] + n * n * p.ENTRY_ROW, dtype=np.int64)
        for index, at in places.items():
            state[index] = at
        for index, values in tables.items():
            state[places[index] : places[index] + len(values)] = values
        state[places[p.TREE_AT] : places[p.TREE_AT] + 2 * leaves] = p.INF
        state[p.LEAVES] = leaves
        state[p.N_IDLE] = len(costs.idle)
        state[p.SUB_BITS] = sub_bits
        state[p.SPECIMEN_ROW] = specimen
        state[p.DETAIL_CAP] = detail
        return state

    def _clear_rows(self) -> None:
        rows = p.HEADER + p.CPU_WORDS * np.arange(self.n_cpus)
        for field in (p.HEAD, p.TAIL, p.PIN, p.IDLE_SINCE, p.CURRENT, p.LAST_TASK):
            self.state[rows + field] = p.NONE
        for field in (p.READY_HEAD, p.READY_TAIL, p.SLEEP_HEAD):
            self.state[rows + field] = p.NONE

    @property
    def now(self) -> int:
        """The present instant in picoseconds."""
        return self.words[p.NOW]

    def add_task(self, index: int, cpu: int, number: int, refill: int) -> None:
        """Write the row of a new task; ``refill`` is its whole debt after a full flush."""
        at = int(self.state[p.TASKS_AT]) + index * p.TASK_ROW
        self.state[at : at + p.TASK_ROW] = 0
        self.state[at + p.T_CPU] = cpu
        self.state[at + p.T_NUMBER] = number
        self.state[at + p.T_NEXT] = p.NONE
        self.state[at + p.T_REFILL] = refill
        self.state[at + p.T_EPOCH] = self.state[p.HEADER + cpu * p.CPU_WORDS + p.FLUSHES]

    def take_log(self) -> npt.NDArray[np.int64]:
        """Return the finished cross-calls logged since the last time, and forget them."""
        rows = int(self.state[p.LOG_ROWS])
        at = int(self.state[p.LOG_AT])
        self.state[p.LOG_ROWS] = 0
        self.state[p.LOG_CAP] = LOG_CAPACITY
        log = self.state[at : at + rows * p.LOG_COLUMNS].reshape(rows, p.LOG_COLUMNS)
        return log.copy()

    def acknowledgements(self, initiator: int, targets: list[int]) -> dict[int, int]:
        """Return when each target of the initiator's last call acknowledged, in ps."""
        base = int(self.state[p.ENTRIES_AT])
        rows = ((c, base + (initiator * self.n_cpus + c) * p.ENTRY_ROW) for c in targets)
        return {c: int(self.state[at + p.E_ACK]) for c, at in rows}

    def work_left(self, index: int, cpu: int, stolen: int) -> int | None:
        """Return what a task has still to compute of its present `compute`, refill debt left out.

        Parameters
        ----------
        index, cpu
            The task and its CPU.
        stolen
            Time stolen from that CPU up to now, as `accounts` tells it.

        Returns
        -------
        int or None
            Picoseconds; None where it is in no `compute`, or has not come to begin it.
        """
        state, r = self.state, p.HEADER + cpu * p.CPU_WORDS
        t = int(state[p.TASKS_AT]) + index * p.TASK_ROW
        if state[r + p.CURRENT] == index and state[r + p.MODE] == p.M_COMPUTE:
            own = self.now - state[r + p.SINCE] - (stolen - state[r + p.SINCE_STOLEN])
            debt = max(0, state[r + p.DEBT] - (own - state[r + p.DEBT_AT]))
            return int(state[r + p.NEED] - own - debt)
        return int(state[t + p.T_WORK]) if state[t + p.T_COMPUTING] else None

    def accounts(self) -> npt.NDArray[np.int64]:
        """Return every CPU's account up to now, and in the last row the sums over all CPUs.

        Returns
        -------
        ndarray
            Shape ``(n_cpus + 1, len(ACCOUNT_COLUMNS))``.

        Raises
        ------
        AccountingError
            If a CPU's time has a gap or an overlap.
        """
        out = np.empty((self.n_cpus + 1, len(ACCOUNT_COLUMNS)), dtype=np.int64)
        wrong = p.accounts(self.state, out)
        if wrong != p.NONE:
            times = zip(ACCOUNT_COLUMNS, out[wrong, :TIMES].tolist(), strict=False)
            parts = ", ".join(f"{name} {ps}" for name, ps in times)
            raise AccountingError(f"CPU {wrong}'s time does not add up: {parts}", self.now)
        return out
