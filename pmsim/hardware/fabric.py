"""The cross-call fabric's state: one flat array for the passes, laid out from a machine's facts.

Every index lives in `passes.layout`, every rule in the other passes; here the array is made, and
what comes out of it gets its names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pmsim.constants import Constant, Group, Kind, declarations
from pmsim.errors import AccountingError
from pmsim.hardware.costs import CrosscallOrder, MachineCosts
from pmsim.hardware.host import Host
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.accounts import accounts
from pmsim.hardware.passes.steps import act
from pmsim.hardware.proposals import LatrCosts
from pmsim.hardware.shootdown.deferred import DEFERRED
from pmsim.hardware.shootdown.ipi import by_shorthand
from pmsim.hardware.shootdown.protocol import Deferral, Shootdown
from pmsim.hardware.shootdown.protocols import number_of
from pmsim.hardware.shootdown.rar import RAR
from pmsim.hardware.tlb import refill_debt
from pmsim.hardware.topology import Topology, at_code

State = npt.NDArray[np.int64]

CROSSCALL_COLUMNS: Final = layout.LOG_COLUMNS
"""Columns of a chunk of finished cross-calls; ``queue_ps`` to ``resume_ps`` are the latency."""

ACCOUNT_COLUMNS: Final = layout.ACCOUNT_COLUMNS
"""Columns of `accounts`; the first `layout.TIMES` add up to the duration; refills are busy."""

LOG_CAPACITY = layout.LOG_CAPACITY
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
    ``BUSY_SERVER``: it had to wait for the server first. ``FROZEN``: of a guest, a virtual CPU on
    the way that the parts of the latency follow did not run.
    """

    LOCAL = layout.R_LOCAL
    DISTANCE = layout.R_DISTANCE
    IRQS_OFF = layout.R_IRQS_OFF
    IDLE_EXIT = layout.R_IDLE_EXIT
    BUSY_HANDLER = layout.R_BUSY_HANDLER
    RIDE = layout.R_RIDE
    BUSY_SERVER = layout.R_SERVER
    FROZEN = layout.R_FROZEN


def _declared(group: Group | None, kinds: tuple[Kind, ...]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of a group's constants of some kinds, as the header calls them."""
    if group is None:
        return
    declared: type = type(group)
    for one in declarations(declared):
        if isinstance(one.note, Constant) and one.note.kind in kinds:
            yield one.key.upper(), getattr(group, one.field)


def _numbers(group: Group | None) -> dict[int, int]:
    """Return the words of the header that are named like a group's constants."""
    found = _declared(group, (Kind.TIME, Kind.COUNT, Kind.SHARE))
    return {getattr(layout, name): value for name, value in found if hasattr(layout, name)}


def _tables(group: Group | None, max_code: int) -> dict[int, list[int]]:
    """Return a group's tables by distance, by the word that says where each stands."""
    found = _declared(group, (Kind.TIME_BY_DISTANCE,))
    return {
        getattr(layout, f"{name}_AT"): [at_code(table, code) for code in range(max_code + 1)]
        for name, table in found
    }


class Fabric:
    """The state array of one machine.

    Parameters
    ----------
    topology, costs, order
        The machine.
    calls
        How its cross-calls are made.
    max_tasks
        Room for tasks that are alive at the same time.
    host
        What it is a guest of, if it is.
    isolated
        The CPUs that calls may leave out.
    phases
        When the first turn of each CPU begins, where they take turns.
    ticks
        What it costs where CPUs drop at their ticks what was freed, if they do.
    by_code
        When CPUs drop what the code of a protocol has left to them.
    goes_on
        Whether there may be calls that nobody waits for.

    Attributes
    ----------
    state
        The array ``S`` of the passes, by `passes.layout`. Entries are allocated for every
        (initiator, target) pair, but the operating system provides memory only for those that are
        touched.
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
        calls: Shootdown,
        max_tasks: int,
        host: Host | None = None,
        isolated: Collection[int] = (),
        phases: npt.ArrayLike = 0,
        ticks: LatrCosts | None = None,
        by_code: Deferral = "",
        goes_on: bool = False,
    ) -> None:
        n = topology.n_cpus
        self.n_cpus = n
        self.max_tasks = max_tasks
        self.distances = np.ascontiguousarray(topology.codes())
        self.state = self._allocate(
            topology,
            costs,
            calls,
            max_tasks,
            notes=ticks is not None,
            backwards=goes_on or (host is not None and host.freezes),
        )
        self.words = self.state.data
        called = calls.protocol.call_costs_on(costs)
        header = {
            layout.LIMIT: layout.INF,
            layout.N_CPUS: n,
            layout.RING_ROW: 1 + -(-n // layout.SET_BITS),
            layout.SERIAL: int(order == "serial" and calls.protocol is not RAR),
            layout.PROTOCOL: number_of(calls.protocol),
            layout.HELD_OFF: int(calls.protocol.held_off),
            layout.FANOUT: 1,
            layout.ENTRY: 1,
            layout.ACTION: layout.NONE,
            layout.DEFERS: layout.NONE,
            **{getattr(layout, name.upper()): value for name, value in calls.numbers.items()},
            layout.SHORTHAND: by_shorthand(calls, called),
            layout.GOES_ON: int(goes_on),
            layout.LOG_CAP: LOG_CAPACITY,
            layout.SPECIMENS: 1,
            layout.SLOWEST: layout.NONE,
            layout.LAST_SERVED: -layout.INF,
            layout.NEXT_TICK: layout.INF if ticks is None else 2 * ticks.tick,
            layout.QUIET_MET: layout.NONE,
            layout.IF_FULL: layout.NONE,
            layout.DETAIL_FROM: layout.INF,
            layout.DETAIL_CUT: layout.NONE,
            layout.KERNEL_REFILL: refill_debt(costs.tlb, costs.tlb.kernel_entries),
        }
        left_out = costs.deferred if by_code or (host is not None and host.pv_flush) else None
        groups = (
            called,
            calls.protocol.costs_on(costs),
            costs.tlbi,
            costs.sched,
            left_out,
            ticks,
        )
        for group in groups:
            header |= _numbers(group)
        header[layout.SEND] += getattr(called, "ecall", 0)  # no write without it
        if host is not None and host.freezes:
            header[layout.SLICE], header[layout.PERIOD] = host.slice, host.period
            header[layout.PV_FLUSH] = layout.BY_CODE if by_code == "runs" else int(host.pv_flush)
        if by_code == "kernel_entry":
            header[layout.DEFERS] = layout.BY_CODE
        if host is not None:
            header[layout.SEND] += host.exit
            header[layout.KICK] = host.kick
            header[layout.ENTRY] += host.inject
        for index, value in header.items():
            self.state[index] = value
        self._clear_rows()
        rows = layout.HEADER + layout.CPU_WORDS * np.arange(n)
        self.state[rows + layout.PHASE] = phases
        if calls.protocol is DEFERRED or by_code == "kernel_entry" or ticks is not None:
            for cpu in isolated:
                self.state[layout.HEADER + cpu * layout.CPU_WORDS + layout.ISOLATED] = 1

    def _allocate(
        self,
        topology: Topology,
        costs: MachineCosts,
        calls: Shootdown,
        max_tasks: int,
        *,
        notes: bool,
        backwards: bool,
    ) -> State:
        """Lay the regions out one behind the other and fill the tables."""
        n = topology.n_cpus
        leaves = 1 << max(0, (n - 1).bit_length())
        code = topology.max_code()
        idle = [value for state in costs.idle for value in (state.residency, state.exit)]
        tables = {layout.IDLE_AT: idle}
        for group in (calls.protocol.call_costs_on(costs), costs.tlbi):
            tables |= _tables(group, code)
        in_a_set = -(-n // layout.SET_BITS)
        sizes = {
            layout.TASKS_AT: max_tasks * layout.TASK_ROW,
            layout.TREE_AT: 2 * leaves,
            layout.DIRTY_AT: n,
            **dict.fromkeys(
                (layout.USERS_AT, layout.LEFT_OUT_AT, layout.OWING_AT, layout.IDLING_AT), in_a_set
            ),
            layout.UNSETTLED_AT: 2 * n + 2,
            layout.LAZY_AT: n * in_a_set if notes else 0,
            **dict.fromkeys((layout.CALLING_AT, layout.TICKING_AT), in_a_set if notes else 0),
            layout.TALLY_AT: n + 1 if notes else 0,
            layout.REACH_AT: layout.REACH_ROW * n if notes else 0,
            layout.SEEN_AT: n,
            layout.LOOKS_AT: n if notes else 0,
            layout.LOG_AT: (1 + layout.LOG_COLUMN) * layout.LOG_ROW,
            layout.DROPS_AT: (layout.DROPS_BUFFERED + layout.MOST_LOOKS + 6 * n) * layout.DROP_ROW,
            layout.RECORDS_AT: layout.RECORDS * layout.RECORD_ROW,
        }
        sub_bits = 5 if n <= FINE_CPUS else 3
        buckets = layout.buckets(sub_bits)
        specimen = layout.SPECIMEN_HEAD + n * layout.ENTRY_ROW
        sizes |= {index: len(values) for index, values in tables.items()}
        sizes |= {layout.BUCKETS_AT: 2 * buckets, layout.SPECIMENS_AT: (1 + buckets) * specimen}
        detail = DETAIL_CAPACITY + n
        sizes |= {
            layout.DETAIL_HEADS_AT: detail * layout.SPECIMEN_HEAD,
            layout.DETAIL_ENTRIES_AT: detail * layout.ENTRY_ROW,
        }
        at = layout.HEADER + layout.PLANES * layout.PLANE
        places = {}
        for index, size in sizes.items():
            places[index] = at
            at += size
        places[layout.ENTRIES_AT] = -(-at // layout.ENTRY_ROW) * layout.ENTRY_ROW
        words = places[layout.ENTRIES_AT] + n * (n + notes) * layout.ENTRY_ROW
        room: State = np.zeros(words + layout.LINE_WORDS, dtype=np.int64)
        first = -room.ctypes.data // room.itemsize % layout.LINE_WORDS
        state = room[first : first + words]
        if backwards:  # another type to Numba: `jit.only_backwards`
            state = state[::-1]
        for index, at in places.items():
            state[index] = at
        for index, values in tables.items():
            state[places[index] : places[index] + len(values)] = values
        state[places[layout.TREE_AT] : places[layout.TREE_AT] + 2 * leaves] = layout.INF
        state[layout.LEAVES] = leaves
        state[layout.N_IDLE] = len(costs.idle)
        state[layout.SUB_BITS] = sub_bits
        state[layout.SPECIMEN_ROW] = specimen
        state[layout.DETAIL_CAP] = detail
        return state

    def _clear_rows(self) -> None:
        rows = layout.HEADER + layout.CPU_WORDS * np.arange(self.n_cpus)
        for field in layout.NONE_AT_FIRST:
            self.state[rows + field] = layout.NONE

    @property
    def now(self) -> int:
        """The present instant in picoseconds."""
        return self.words[layout.NOW]

    def last_handler_end(self) -> int:
        """Return when the last handler that is known of ends."""
        act(self.state, layout.DO_CATCH_UP, 0, 0)
        rows = layout.HEADER + layout.CPU_WORDS * np.arange(self.n_cpus)
        ends = self.state[rows + layout.PLAN_END]
        dropped = ends == self.state[rows + layout.DROP_LAST]  # that is no handler
        ends = np.where(dropped, self.state[rows + layout.DROP_AFTER], ends)
        return max(self.now, int(ends.max()))

    def add_task(self, index: int, cpu: int, number: int, refill: int) -> None:
        """Write the row of a new task; ``refill`` is its whole debt after a full flush."""
        act(self.state, layout.DO_CATCH_UP_ONE, cpu, 0)  # how often its TLB has been emptied
        at = int(self.state[layout.TASKS_AT]) + index * layout.TASK_ROW
        self.state[at : at + layout.TASK_ROW] = 0
        self.state[at + layout.T_CPU] = cpu
        self.state[at + layout.T_NUMBER] = number
        self.state[at + layout.T_NEXT] = layout.NONE
        self.state[at + layout.T_REFILL] = refill
        row = layout.HEADER + cpu * layout.CPU_WORDS
        self.state[at + layout.T_EPOCH] = self.state[row + layout.FLUSHES] | 1

    def take_unsettled(self) -> tuple[list[int], list[int]]:
        """Return what sends spinners for mutexes to sleep, and forget it.

        Returns
        -------
        list, list
            Tasks that have stopped running while others spin for a mutex of theirs; tasks that spin
            while another one has become runnable on their CPU.
        """
        at, count = self.words[layout.UNSETTLED_AT], self.words[layout.UNSETTLED]
        self.words[layout.UNSETTLED] = 0
        notes = self.state[at : at + count].tolist()
        return [n >> 1 for n in notes if not n & 1], [n >> 1 for n in notes if n & 1]

    @property
    def log(self) -> State:
        """The columns of the log, those that are free included; shape ``(LOG_ROW, LOG_COLUMN)``."""
        at = self.words[layout.LOG_AT] + layout.LOG_ROW
        words = self.state[at : at + layout.LOG_ROW * layout.LOG_COLUMN]
        return words.reshape(layout.LOG_ROW, layout.LOG_COLUMN)

    def take_log(self) -> npt.NDArray[np.int64]:
        """Return the finished cross-calls logged since the last time, and forget them.

        Returns
        -------
        ndarray
            Shape ``(rows, LOG_ROW)``; each column lies in one piece.
        """
        rows = self.words[layout.LOG_ROWS]
        self.words[layout.LOG_ROWS] = 0
        self.words[layout.LOG_CAP] = LOG_CAPACITY
        return self.log[:, :rows].copy().T

    def take_drops(self) -> npt.NDArray[np.int64]:
        """Return what was put off, and dropped, since the last time; shape ``(rows, DROP_ROW)``."""
        act(self.state, layout.DO_CATCH_UP, 0, 0)
        rows, at = self.words[layout.DROPS], self.words[layout.DROPS_AT]
        self.words[layout.DROPS] = 0
        drops = self.state[at : at + rows * layout.DROP_ROW].reshape(rows, layout.DROP_ROW)
        return drops.copy()

    def acknowledgements(self, initiator: int) -> dict[int, int]:
        """Return when each target of the initiator's last call acknowledged, in ps."""
        act(self.state, layout.DO_CATCH_UP, 0, 0)
        words, row = self.words, layout.HEADER + initiator * layout.CPU_WORDS
        base = words[layout.ENTRIES_AT] + initiator * self.n_cpus * layout.ENTRY_ROW
        found = {}
        target = words[row + layout.C_FIRST]
        while target >= 0:
            at = base + target * layout.ENTRY_ROW
            found[target] = words[at + layout.E_ACK]
            target = (words[at + layout.E_META] & 0xFFFF) - 1
        return found

    def owes(self, cpu: int) -> bool:
        """Return whether anything has been put off on a CPU, as far as is known."""
        word = self.words[self.words[layout.OWING_AT] + (cpu >> layout.SET_SHIFT)]
        return bool(word >> cpu % layout.SET_BITS & 1)

    def own_function_end(self, cpu: int, told: int) -> int:
        """Return when a CPU has run the function of its last call itself, which told so many."""
        words, row = self.words, layout.HEADER + cpu * layout.CPU_WORDS
        if not words[layout.SERIAL] or told == 0:
            return words[row + layout.C_LOCAL_END]
        if words[row + layout.C_PHASE] == 1:
            return words[row + layout.FLOOR]
        return self.now

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
        state, r = self.state, layout.HEADER + cpu * layout.CPU_WORDS
        t = int(state[layout.TASKS_AT]) + index * layout.TASK_ROW
        if state[r + layout.CURRENT] == index and state[r + layout.MODE] == layout.M_COMPUTE:
            own = self.now - state[r + layout.SINCE] - (stolen - state[r + layout.SINCE_STOLEN])
            debt = max(0, state[r + layout.DEBT] - (own - state[r + layout.DEBT_AT]))
            return int(state[r + layout.NEED] - own - debt)
        return int(state[t + layout.T_WORK]) if state[t + layout.T_COMPUTING] else None

    def accounts(self) -> npt.NDArray[np.int64]:
        """Return every CPU's account up to now, and in the last row the sums over all CPUs.

        Returns
        -------
        ndarray
            Shape ``(n_cpus + 1, len(ACCOUNT_COLUMNS))``.

        Raises
        ------
        AccountingError
            If a CPU's time has a gap or an overlap, or a part of it is negative.
        """
        out = np.empty((self.n_cpus + 1, len(ACCOUNT_COLUMNS)), dtype=np.int64)
        wrong = accounts(self.state, out)
        if wrong != layout.NONE:
            times = zip(ACCOUNT_COLUMNS, out[wrong, : layout.TIMES].tolist(), strict=False)
            parts = ", ".join(f"{name} {ps}" for name, ps in times)
            raise AccountingError(f"CPU {wrong}'s time does not add up: {parts}", self.now)
        return out
