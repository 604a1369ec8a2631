"""Tasks of a machine whose shootdowns are made by code that is not pmsim's own.

Whatever drops translations goes the way of the protocol's class (`shootdown.own`), primitive by
primitive; all that else calls other CPUs is a cross-call as ever. A shootdown is one row of the
log, whatever it is made of: the rows of its primitives are taken off the log again and put
together (`told`).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from types import GeneratorType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pmsim.errors import PmsimError, ProgramError
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act, call
from pmsim.hardware.shootdown.initiator import MODES, Ack, Flush, Initiator, Mode
from pmsim.hardware.shootdown.own import PACKAGE, own_line
from pmsim.hardware.shootdown.protocols import number_of
from pmsim.hardware.shootdown.tlbi import Invalidation, invalidate_all, invalidate_pages
from pmsim.hardware.task import EVERYONE, NO_JITTER, Checked, Task
from pmsim.hardware.tlb import CallKind
from pmsim.hardware.told import Told, What
from pmsim.hardware.topology import ByDistance
from pmsim.steps import Steps

if TYPE_CHECKING:
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.tlb import FlushFunction

Ints = npt.NDArray[np.int64]

AT_ONCE = np.zeros(1, dtype=np.int64)
"""For answers that take no time after what the initiator does itself."""


class OwnTask(Task):
    """A task whose shootdowns are made by a class that is not pmsim's own.

    Attributes
    ----------
    told
        What has become of its last shootdown.
    """

    __slots__ = ("told",)

    def __init__(self, machine: Silicon, *args: Any) -> None:
        super().__init__(machine, *args)
        self.told = Told()

    def cross_call(
        self,
        function: FlushFunction,
        *,
        cause: int = 0,
        operation: int = -1,
        pages: int = -1,
        targets: Sequence[int] | Checked | None = None,
    ) -> Steps:
        """Have others drop translations as the protocol's code does it; or call them, as ever."""
        what = (int(function.kind), int(cause), operation, pages)
        if function.kind >= layout.DROPPING_KINDS:
            if self.machine.call_data is not None:
                yield from self._call_as_ever(function, what, self._asked(targets))
                return
            yield from super().cross_call(
                function, cause=cause, operation=operation, pages=pages, targets=targets
            )
            return
        yield from self._shoot(function, what, targets, frees_pages=False)

    def free_lazily(
        self,
        function: FlushFunction,
        *,
        cause: int = 0,
        if_full: int = 0,
        operation: int = -1,
        pages: int = -1,
        targets: Sequence[int],
    ) -> Generator[Any, Any, bool]:
        """Have others drop pages of a process that are freed; return whether some do it later."""
        what = (int(function.kind), int(cause), operation, pages)
        yield from self._shoot(function, what, targets, frees_pages=True)
        return self.machine.rings is not None and bool(self.told.deferred)

    def _shoot(
        self,
        function: FlushFunction,
        what: What,
        targets: Sequence[int] | Checked | None,
        *,
        frees_pages: bool,
    ) -> Steps:
        yield from self.preempt_disable()
        machine, start, pages = self.machine, self.now, what[-1]
        flush = Flush(
            function,
            tuple(self._asked(targets)),
            None if pages < 0 else pages,
            function.purges,
            function.frees_tables,
            frees_pages,
            function.of_kernel,
        )
        self.told = Told()
        initiator = machine.initiators.get(self.cpu)
        if initiator is None:
            initiator = machine.initiators[self.cpu] = TaskInitiator(self)
        self._words[self.row + layout.SENT] += 1
        yield from initiator.make(self, flush, what)
        self._log(start, what)
        if machine.keep_acks:
            machine.acks.append(self.told.acks)
        machine.flush_log_if_full()
        self.preempt_enable()

    def _call_as_ever(self, function: FlushFunction, what: What, targets: Sequence[int]) -> Steps:
        """Make a call that is not the protocol's, whose data may be in use."""
        yield from self.boundary()
        machine, began = self.machine, self.now
        yield from self.make_call(targets, function, what, self._words[layout.PROTOCOL])
        if machine.keep_acks:
            machine.note_acks(self.cpu)
        if machine.interruptions is not None:
            machine.interruptions.note((self.cpu, self.number, *what[:3]), began)
        machine.flush_log_if_full()

    def _asked(self, targets: Sequence[int] | Checked | None) -> list[int]:
        """Return the CPUs that are asked for, its own left out."""
        if targets is not None:
            return [int(cpu) for cpu in self._checked(targets)]
        return [cpu for cpu in range(self.machine.n_cpus) if cpu != self.cpu]

    def make_call(
        self,
        targets: Sequence[int],
        function: FlushFunction,
        what: What,
        protocol: int,
        *,
        at_entry: bool = False,
        waits: bool = True,
    ) -> Steps:
        """Call CPUs, after waiting for data that is in use; its row is the last of the log.

        Parameters
        ----------
        targets, function, what
            Whom, what they run, and what the row says of it.
        protocol
            The number of its protocol.
        at_entry, waits
            Whether it is acknowledged at the start, and whether anybody waits for it.
        """
        machine, words, n = self.machine, self._words, len(targets)
        jitter = machine.draw_jitter(n) if machine.jitter is not None else NO_JITTER
        began, ready, waited = self.now, 0, 0
        held = machine.call_data.held(self.cpu, targets) if machine.call_data is not None else []
        for cpu in held:
            assert machine.call_data is not None
            place = targets.index(cpu)
            parts = [(layout.QUEUES_ONLY, targets[ready:place])] if place > ready else []
            for part, cpus in (*parts, (layout.AWAITS_DATA, [cpu])):
                words[layout.PART], words[layout.UNWAITED] = part, not waits
                words[layout.ACK] = at_entry
                numbers = (self.cpu, len(cpus), *function.arguments, *what[1:])
                chosen = np.array(cpus, dtype=np.int64)
                following = call(self._state, self._distances, chosen, NO_JITTER, *numbers)
                words[layout.PART] = words[layout.UNWAITED] = words[layout.ACK] = 0
                if following != self.index:
                    yield following
            ready = place
            machine.call_data.collect(self.cpu, cpu)
        if held:
            waited = self.now - began - ready * words[layout.QUEUE]
        chosen = np.array(targets or [self.cpu], dtype=np.int64)
        if n == machine.n_cpus - 1 > 0 and waits and not held:
            chosen = EVERYONE
        ordinary = words[layout.PROTOCOL]
        words[layout.PROTOCOL], words[layout.ACK] = protocol, at_entry
        words[layout.UNWAITED], words[layout.READY] = not waits, ready
        words[layout.WAITED] = waited
        numbers = (self.cpu, n, *function.arguments, *what[1:])
        following = call(self._state, self._distances, chosen, jitter, *numbers)
        words[layout.PROTOCOL], words[layout.ACK] = ordinary, 0
        words[layout.UNWAITED] = words[layout.READY] = 0
        if following != self.index and following != layout.OVER:
            yield following

    def _log(self, start: int, what: What) -> None:
        """Write the row of a shootdown that is over."""
        told, fabric = self.told, self.machine.fabric
        row = told.row(self.cpu, start, self.now, what)
        row[layout.L_TASK] = self.number
        row[layout.L_PROTOCOL] = number_of(self.machine.shootdown.protocol)
        row[layout.L_DEFERRAL] = self._awaited_by_its_row(told)
        fabric.log[:, self._words[layout.LOG_ROWS]] = row
        self._words[layout.LOG_ROWS] += 1

    def _awaited_by_its_row(self, told: Told) -> int:
        """Have the row of a shootdown wait for functions that have not ended; return its number."""
        late, number = self.machine.late, told.number
        going = [one for one in told.unwaited if one.gone_ps is None]
        if not going:
            return number
        if number == layout.NONE:
            initiator: TaskInitiator = self.machine.initiators[self.cpu]
            number = initiator.new_number()
        late.awaits(number, len(going))
        for one in going:
            one.then(lambda ended: late.has_ended(number, ended.gone_ps or 0))
        return number


class TaskInitiator(Initiator):
    """What a protocol's code can do on one CPU of the machine that scenarios run on."""

    def __init__(self, task: OwnTask) -> None:
        machine = task.machine
        drops_at = machine.shootdown.protocol.drops_at
        goes_on = machine.call_data is not None
        super().__init__(task.cpu, machine.n_cpus, machine.isolated, drops_at, goes_on)
        self._machine = machine
        self._fabric = machine.fabric
        self._state = machine.fabric.state
        self._words = machine.fabric.words
        self._task = task
        self._what = (0, 0, 0, 0)

    @property
    def now(self) -> int:
        """The present instant in picoseconds."""
        return self._words[layout.NOW]

    def between(self, table: ByDistance, cpu: Any) -> int:
        """Return a cost by distance between the initiator and a CPU."""
        return self._machine.topology.cost(table, self.cpu.number, cpu.__index__())

    def holders(self, flush: Flush) -> tuple[int, ...]:
        """Return those of a flush's targets whose TLBs may hold it."""
        if self._machine.who_holds is None:
            return flush.targets
        known = self._machine.who_holds(self._task)
        return tuple(cpu for cpu in flush.targets if known is None or cpu in known)

    def mode_of(self, number: int) -> Mode:
        """Return what a CPU does now."""
        return MODES[act(self._state, layout.DO_ASK_MODE, number, 0)]

    def make(self, task: OwnTask, flush: Flush, what: What) -> Steps:
        """Make a shootdown by the protocol's code, whose faults are said with their lines."""
        self._task, self._flush, self._what = task, flush, what
        name, code = self._machine.shootdown.protocol.name, self._machine.by_code
        assert code is not None
        try:
            steps = code.shootdown(self, flush)
            yield from _checked(steps, self)
        except PmsimError as error:
            line = own_line(error)
            if not line or not isinstance(error, ProgramError) or error.message.startswith(line):
                raise
            raise ProgramError(f"{line}: {error.message}", self.now, task.place) from error
        except Exception as error:
            said = f"the protocol {name} raised {type(error).__name__}: {error}"
            place = own_line(error)
            raise ProgramError(
                f"{place}: {said}" if place else said, self.now, task.place
            ) from error
        self._flush = None

    def _cross_call(self, targets: Sequence[int], ack: Ack) -> Steps:
        task, machine, n, began = self._task, self._machine, len(targets), self.now
        yield from self._call(targets, at_entry=ack == "entry", waits=True)
        self._note_acks(self._take_row(), n)
        if machine.interruptions is not None:
            machine.interruptions.note((task.cpu, task.number, *self._what[:3]), began)

    def _call_and_go_on(self, targets: Sequence[int]) -> Steps:
        task, machine, began = self._task, self._machine, self.now
        yield from self._call(targets, at_entry=False, waits=False)
        told, data = self._take_row(), machine.call_data
        assert data is not None
        told.has_dropped({task.cpu: self._fabric.own_function_end(task.cpu, len(targets))})
        made = data.begin(task.cpu, targets)
        told.unwaited += made
        for one in made:
            one.then(told.has_run)
            if machine.interruptions is not None and machine.interruptions.watches(one.cpu):
                told_of = (task.cpu, task.number, *self._what[:3])
                one.note = told_of, began, number_of(machine.shootdown.protocol)
        data.keep(told.rows[-1], made)  # which may look at once who has run it

    def _call(self, targets: Sequence[int], *, at_entry: bool, waits: bool) -> Steps:
        assert self._flush is not None
        yield from self._task.make_call(
            targets, self._flush.function, self._what,
            number_of(self._machine.shootdown.protocol), at_entry=at_entry, waits=waits,
        )  # fmt: skip
        self._words[self._task.row + layout.SENT] -= 1

    def _note_acks(self, told: Told, n: int) -> None:
        """Note when the CPUs of a call that is just over have run its function."""
        acks = self._fabric.acknowledgements(self.cpu.number) if n else {}
        told.acks |= acks
        cpus, at = list(acks), np.array(list(acks.values()), dtype=np.int64)
        more = self._words[self._task.row + layout.C_RUNS_ON]
        gone = at + more
        if more and self._machine.turns is not None:
            gone = self._machine.turns.run_from(np.array(cpus), at, np.full(len(at), more))
        told.has_dropped(dict(zip(cpus, gone.tolist(), strict=True)))
        told.has_dropped({self.cpu.number: self._fabric.own_function_end(self.cpu.number, n)})
        base = (
            self._words[layout.ENTRIES_AT]
            + self.cpu.number * self._fabric.n_cpus * layout.ENTRY_ROW
        )
        for cpu in cpus:
            start = self._words[base + cpu * layout.ENTRY_ROW + layout.E_START]
            told.closed_ps = max(told.closed_ps, start)

    def _broadcast(self) -> Steps:
        machine = self._machine
        if machine.broadcasts is None:
            raise self._wrong("broadcasts, which this machine cannot", "give it costs: tlbi")
        what = machine.broadcasts.work(self._invalidation())
        yield from self._by_hardware(layout.BY_TLBI, *what)
        self._note_hardware(range(machine.n_cpus))

    def _invalidation(self) -> Invalidation:
        """Return the operations that drop what the flush is about."""
        assert self._flush is not None
        assert self._machine.costs.tlbi is not None
        function = self._flush.function
        if function.kind is CallKind.FULL:
            return invalidate_all() if self._flush.of_kernel else Invalidation(CallKind.FULL, 1)
        return invalidate_pages(self._machine.costs.tlbi, self._flush.pages or 0)

    def _spin(self, time: int, drops: Sequence[int]) -> Steps:
        number = number_of(self._machine.shootdown.protocol)
        yield from self._by_hardware(number, len(drops), time, AT_ONCE)
        self._note_hardware(drops)

    def _by_hardware(self, protocol: int, n: int, cost: int, more: Ints) -> Steps:
        """Have the hardware do what `passes.steps.call` says of a protocol of this number."""
        following = self._begin(EVERYONE, more, n, cost, -protocol, *self._what)
        if following != self._task.index and following != layout.OVER:
            yield following

    def _begin(self, chosen: Ints, more: Ints, n: int, *numbers: int) -> int:
        """Begin a primitive, as `passes.steps.call` says; return the task that steps next.

        A shootdown is counted once, whatever it is made of.
        """
        task, words = self._task, self._words
        sent = words[task.row + layout.SENT]
        following = call(self._state, self._fabric.distances, chosen, more, task.cpu, n, *numbers)
        words[task.row + layout.SENT] = sent
        return following

    def _note_hardware(self, cpus: Sequence[int]) -> None:
        """Note that the hardware has dropped it on some CPUs."""
        told = self._take_row()
        at = self._words[self._task.row + layout.C_LAST_ACK]
        told.has_dropped(dict.fromkeys(cpus, at))
        if cpus:
            told.closed_ps = max(told.closed_ps, at)

    def _irqs_off(self, time: int) -> Steps:
        return self._task.irqs_off(time)

    def _defer(self, cpus: Sequence[int]) -> Generator[Any, Any, bool]:
        told = self._task.told
        if self._drops_at == "tick":
            return (yield from self._leave_notes(cpus))
        for cpu in cpus:
            if told.number == layout.NONE:
                told.number = self.new_number()
            if cpu not in told.deferred:
                told.deferred.append(cpu)
                act(self._state, layout.DO_PUT_OFF, cpu, told.number)
        return True

    def new_number(self) -> int:
        """Return a number of its own for what a shootdown puts off."""
        number = -2 - self._words[layout.SOME_DEFERRALS]
        self._words[layout.SOME_DEFERRALS] += 1
        return number

    def _leave_notes(self, cpus: Sequence[int]) -> Generator[Any, Any, bool]:
        """Write into the CPU's ring what others drop at their ticks."""
        task, rings = self._task, self._machine.rings
        assert rings is not None
        assert self._flush is not None
        told = task.told
        if told.number != layout.NONE:
            raise self._wrong("defers twice in a shootdown until a tick", "all CPUs at once")
        if not cpus:
            return True
        flushes: FlushFunction = self._flush.function
        noted = replace(flushes, cost=0, remote=0, empties_tlb=False, purges=False)
        cost, flags, kind = noted.arguments
        targets, ring = np.array(cpus, dtype=np.int64), rings[task.cpu]
        following = self._begin(
            targets, ring, len(cpus), cost, flags | layout.IS_LAZY, kind, *self._what[1:]
        )
        if following == layout.NO_ROOM:
            return False
        if following != task.index and following != layout.OVER:
            yield following
        self._take_row()
        told.number = told.rows[-1][layout.L_DEFERRAL]
        told.note = self._words[layout.SAVES] - 1
        told.deferred += cpus
        return True

    def _take_row(self) -> Told:
        """Take the row of a primitive that is just over off the log, where it is the last one."""
        told, last = self._task.told, self._words[layout.LOG_ROWS] - 1
        told.rows.append(self._machine.fabric.log[:, last].tolist())
        self._words[layout.LOG_ROWS] = last
        return told


def _checked(steps: Any, initiator: Initiator) -> Steps:
    """Pass on what a protocol waits for, as long as pmsim's own code is what waits."""
    for wanted in steps:
        waiting: Any = steps
        while isinstance(waiting, GeneratorType):
            if waiting.gi_code.co_filename.startswith(PACKAGE):
                break
            waiting = waiting.gi_yieldfrom
        if waiting is None:
            place = f"{steps.gi_code.co_filename}:{steps.gi_frame.f_lineno}"
            raise ProgramError(
                f"{place}: the protocol yields {wanted!r} by itself: it waits by `yield from`, for"
                " calls of the initiator", initiator.now,
            )  # fmt: skip
        yield wanted
