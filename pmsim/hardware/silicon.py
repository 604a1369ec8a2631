"""All of a machine but its tasks: what these share, and what they act on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pmsim.hardware.call_data import CallData
from pmsim.hardware.contention import Contended, Contention
from pmsim.hardware.costs import CrosscallOrder, Jitter, MachineCosts
from pmsim.hardware.detail import MOST_KEPT, Detail, DetailSink
from pmsim.hardware.fabric import ACCOUNT_COLUMNS, Fabric
from pmsim.hardware.host import Host, phases_of
from pmsim.hardware.interruptions import Interruptions, InterruptionSink
from pmsim.hardware.jitter import draw
from pmsim.hardware.late import Late
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import prepare
from pmsim.hardware.shootdown.holders import COHERENT, DIRECTORY, Holders
from pmsim.hardware.shootdown.latr import Rings
from pmsim.hardware.shootdown.own import instance_of, missing_group
from pmsim.hardware.shootdown.protocol import Deferral, Shootdown
from pmsim.hardware.shootdown.protocols import calls_of, number_of
from pmsim.hardware.shootdown.tlbi import REPEAT_SYNC, Broadcasts
from pmsim.hardware.specimens import WholeCalls, specimens
from pmsim.hardware.topology import Topology
from pmsim.hardware.turns import Turns
from pmsim.steps import Steps

NO_DROPS: npt.NDArray[np.int64] = np.zeros((0, layout.DROP_ROW), dtype=np.int64)


class Slot(Protocol):
    """What an initiator of remote actions has to take, if several CPUs share it.

    One without an owner is taken as it is.
    """

    owner: Any

    def lock(self, task: Any) -> Steps:
        """Take one that has an owner, spinning until it is handed over."""

    def unlock(self, task: Any) -> None:
        """Hand it to whoever waits."""


class Silicon:
    """CPUs, their distances and costs, and the fabric between them.

    Parameters
    ----------
    topology, costs, order, jitter_rng, shootdown, host, isolated, phase_rng
        See `Machine`.
    room
        Tasks that there may be at once.

    Attributes
    ----------
    topology, costs, shootdown
        As given.
    slots
        What initiators of remote actions have to take; none where each CPU has one to itself.
    turns, holding_frozen
        When its CPUs run, if they do not always; and how long each was frozen while its tasks held
        locks that others waited for.
    broadcasts
        What its TLB broadcasts take; None where it cannot.
    holders
        What its hardware does that knows who holds a translation, by the protocol's name.
    isolated
        As given.
    by_code, initiators, who_holds
        The code of its protocol, if that is not pmsim's own; what it acts by, CPU by CPU; and the
        kernel's answer to who holds what a task is about to have dropped (None: all may).
    call_data
        The data of calls that nobody waits for; None where there are none.
    late
        Shootdowns that are gone later than they end.
    rings
        What CPUs have written down for others to drop at their ticks; None where they do not.
    on_crosscalls
        Called with chunks of finished cross-calls, shape ``(rows, len(CROSSCALL_COLUMNS))``.
    on_drops
        Called with what CPUs that were left out of calls have dropped, as `Fabric.take_drops` says.
    detail
        Keeps all that happens in a part of the run, where `keep_detail` was asked to before it.
    interruptions
        Notes what interrupts some CPUs, where `watch_interruptions` was asked to before the run.
    contention
        What is noted of locks that tasks wait for.
    jitter
        What is added to each delivery of a cross-call, if anything.
    leaves_out, in_turn
        Whether calls may leave CPUs out, which do later what they are told; and the CPUs where a
        task has to look what it does on its way from user mode.
    shared
        Whether a CPU has several tasks, or is one of those, CPU by CPU.
    active, until_done
        How many tasks a run until done waits for; and whether this run is one.
    keep_acks, acks
        Whether acknowledgements are kept, to be set before the run; and those of every call, in
        order of the calls' ends.
    """

    def __init__(
        self,
        topology: Topology,
        costs: MachineCosts,
        order: CrosscallOrder,
        jitter_rng: np.random.Generator | None,
        room: int,
        shootdown: Shootdown,
        host: Host | None,
        isolated: Collection[int],
        phase_rng: np.random.Generator | None,
    ) -> None:
        self.shootdown = shootdown
        calls = calls_of(shootdown)
        for protocol in (shootdown.protocol, calls.protocol):
            if protocol.costs_on(costs) is None or (
                protocol.interrupts and protocol.call_costs_on(costs) is None
            ):
                raise ValueError(f"the machine has no costs for {protocol.name}")
        known = {COHERENT: costs.coherent, DIRECTORY: costs.directory}
        goes_on = shootdown.protocol.goes_on
        prepare(apart=goes_on or (host is not None and host.freezes))
        self.topology = topology
        self.costs = costs
        self.isolated = frozenset(isolated)
        self.initiators: dict[int, Any] = {}
        self.who_holds: Callable[[Any], Collection[int] | None] | None = None
        self.by_code = instance_of(shootdown, costs) if shootdown.protocol.own else None
        self.n_cpus = topology.n_cpus
        phases = phases_of(host, self.n_cpus, phase_rng)
        drops_at = shootdown.protocol.drops_at
        code_drops_at: Deferral = drops_at if shootdown.protocol.own is not None else ""
        ticks = costs.latr if drops_at == "tick" else None
        lacking = missing_group(shootdown.protocol, costs)
        if lacking:
            raise ValueError(f"the machine has no costs for {lacking}")
        self.fabric = Fabric(
            topology, costs, order, calls, room, host, isolated, phases, ticks, code_drops_at,
            goes_on,
        )  # fmt: skip
        self.rings = (
            None if ticks is None else Rings(ticks.ring, self.fabric.words[layout.RING_ROW])
        )
        self.broadcasts = None
        if costs.tlbi is not None:
            repeat = shootdown.value(REPEAT_SYNC.name)
            self.broadcasts = Broadcasts(costs.tlbi, self.n_cpus - 1, repeat)
        self.holders = {
            one.name: Holders(group, number_of(one), self.fabric.distances)
            for one, group in known.items()
            if group is not None
        }
        self.turns = Turns(self.fabric) if host is not None and host.freezes else None
        self.call_data = CallData(self.fabric, self.turns) if goes_on else None
        self.holding_frozen = np.zeros(self.n_cpus, dtype=np.int64)
        self.slots: list[Slot] = []
        self.on_crosscalls: Callable[[npt.NDArray[np.int64]], None] | None = None
        self.on_drops: Callable[[npt.NDArray[np.int64]], None] | None = None
        self.detail: Detail | None = None
        self.interruptions: Interruptions | None = None
        self.late = Late()
        self.leaves_out = bool(drops_at)
        self.leaves_out |= host is not None and host.freezes and host.pv_flush
        self.in_turn = frozenset(isolated) if drops_at == "kernel_entry" else frozenset[int]()
        self.contention = Contention()
        self.shared = [False] * self.n_cpus
        self.active = 0
        self.until_done = False
        self.keep_acks = False
        self.acks: list[dict[int, int]] = []
        self.jitter: Jitter | None = getattr(calls.protocol.call_costs_on(costs), "jitter", None)
        self._jitter_rng = jitter_rng
        if self.jitter is not None and jitter_rng is None:
            raise ValueError("a machine with jitter needs a random generator")

    def note_holder(self, lock: Contended, cpu: int, since: int) -> None:
        """Note that somebody has waited since an instant for what a task of a CPU lets go of.

        Where its CPUs do not always run.
        """
        assert self.turns is not None
        given = (np.array([value]) for value in (cpu, since, self.now))
        frozen = int(self.turns.frozen(*given)[0])
        self.holding_frozen[cpu] += frozen
        self.contention.uses[lock.name].frozen_ps += frozen

    @property
    def now(self) -> int:
        """The present instant in picoseconds."""
        return self.fabric.words[layout.NOW]

    def accounts(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return every CPU's account of its time, checked to add up.

        Returns
        -------
        dict
            Arrays of shape ``(n_cpus,)`` by the names of `ACCOUNT_COLUMNS`.

        Raises
        ------
        AccountingError
            If a CPU's time has a gap or an overlap.
        """
        rows = self.account_rows()[: self.n_cpus]
        return dict(zip(ACCOUNT_COLUMNS, rows.T.copy(), strict=True))

    def account_rows(self) -> npt.NDArray[np.int64]:
        """Return the same as one array; its last row are the sums over all CPUs."""
        return self.fabric.accounts()

    def kept_calls(self) -> dict[str, WholeCalls]:
        """Return a few calls whole: the median one so far, the p99 and the slowest."""
        return specimens(self.fabric, None if self.call_data is None else self.call_data.kept)

    def keep_detail(
        self, start: int, end: int | None, sink: DetailSink, most: int = MOST_KEPT
    ) -> Detail:
        """Keep all that happens in a part of the run, and hand it to ``sink``; see `Detail`."""
        self.detail = Detail(self.fabric, start, end, sink, most)
        if self.call_data is not None:
            self.call_data.kept.detail = self.detail
        return self.detail

    def watch_interruptions(self, cpus: Sequence[int], sink: InterruptionSink) -> None:
        """Note every interruption of some CPUs, and hand them to ``sink``."""
        self.interruptions = Interruptions(self.fabric, cpus, sink)
        if self.call_data is not None:
            self.call_data.interruptions = self.interruptions

    def draw_jitter(self, n: int) -> npt.NDArray[np.int64]:
        """Draw the jitter of one call: ``n`` delays in picoseconds, targets ascending."""
        assert self.jitter is not None
        assert self._jitter_rng is not None
        return draw(self.jitter, self._jitter_rng, n)

    def note_acks(self, cpu: int) -> None:
        """Keep the acknowledgements of the call that a CPU has just finished."""
        self.acks.append(self.fabric.acknowledgements(cpu))

    def flush_log_if_full(self) -> None:
        """Empty the log where calls that take no time may fill it within one step."""
        words = self.fabric.words
        if words[layout.LOG_ROWS] >= words[layout.LOG_CAP]:
            self.flush_log()

    def flush_log(self, end: int | None = None) -> None:
        """Give what has been logged to those who keep it.

        What ends before it is gone waits until that is known: a run that is cut at ``end`` does not
        come to what is gone then or later.
        """
        if self.call_data is not None:
            self.call_data.settle(self.now if end is None else end - 1)
        log = self.fabric.take_log()
        drops = self.fabric.take_drops() if self.leaves_out else NO_DROPS
        if self.on_drops is not None and len(drops):
            self.on_drops(drops)
        if self.on_crosscalls is not None:
            self.late.add(log, drops)
            for rows in self.late.settled(self.now, end):
                self.on_crosscalls(rows[:, : len(layout.LOG_COLUMNS)])
        if self.detail is not None:
            self.detail.hand_over()
        if self.interruptions is not None:
            self.interruptions.hand_over()
