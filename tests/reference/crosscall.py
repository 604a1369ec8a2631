"""A cross-call, a process per target and one for its initiator (sections 4 and 9 of the page).

What a call through the firmware has beside that, a trap, stands here as a cost that is nothing
elsewhere; that windows do not hold its interrupts off is in `Cpu`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import simpy

from pmsim.hardware.shootdown.protocols import calls_of
from tests.reference.clock import Phase
from tests.reference.program import CallRecord
from tests.reference.rar import action_for, acts, slot_of

if TYPE_CHECKING:
    from tests.reference.cpu import Cpu
    from tests.reference.machine import ReferenceMachine
    from tests.reference.task import Task, Waits

Process = Generator[simpy.Event, object, None]


@dataclass(frozen=True)
class Function:
    """What a call runs on every CPU: what it costs there, and whether it empties the TLB.

    And whether it spares the kernel's entries then; whether the caller frees page tables behind it;
    whether it drops any translations, and whether these were freed lazily; and how much longer it
    takes on the targets.
    """

    cost: int
    is_full_flush: bool = False
    spares_kernel: bool = False
    frees_tables: bool = False
    drops: bool = True
    remote: int = 0
    purges: bool = False


def flush(machine: ReferenceMachine, pages: object) -> Function:
    """Return the flush of so many pages: a full one above the ceiling (section 5)."""
    tlb = machine.costs.tlb
    if cast(int, pages) > machine.program.ceiling:
        return Function(tlb.flush_all, is_full_flush=True)
    return Function(cast(int, pages) * tlb.invlpg)


def flush_user(machine: ReferenceMachine, pages: object) -> Function:
    """Return the flush of so many pages of user space: the kernel's entries stay."""
    tlb = machine.costs.tlb
    function = flush(machine, pages)
    if function.is_full_flush and tlb.flush_user:
        function = replace(function, cost=tlb.flush_user)
    return replace(function, cost=tlb.flush_fixed + function.cost, spares_kernel=True)


def sync_core(machine: ReferenceMachine) -> Function:
    """Return the serialising instruction."""
    return Function(machine.costs.tlb.sync_core, drops=False)


def may_be_left_out(machine: ReferenceMachine, function: Function, c: int) -> bool:
    """Whether a target may drop it later: it does not run, or it is in user mode now.

    Of the one, it drops it when it next runs, of the other, when it next enters the kernel.
    """
    cpu = machine.cpus[c]
    of_user = function.drops and function.spares_kernel
    if machine.program.host.pv_flush and of_user and cpu.is_frozen():
        return True
    what = machine.program.defers
    deferrable = (what == "purge" and function.purges) or (what == "all" and function.drops)
    return deferrable and cpu.is_in_user_mode()


def cross_call(task: Task, function: Function, targets: list[int]) -> Waits:
    """Call a function on the targets (ascending), as the task sees it."""
    machine, start = task.machine, task.machine.now
    ack = calls_of(machine.program.shootdown).value("ack")
    call = yield from called(task, function, targets, ack)
    when = call.acknowledged()
    record = CallRecord(task.cpu.number, task.number, start, machine.now, when)
    machine.note_call(record, call.gone_at)


def called(
    task: Task, function: Function, targets: list[int], ack: str, *, waits: bool = True
) -> Generator[None, None, Call]:
    """Do the same, and return the call when it is over; or when the task goes on, unless it waits.

    Where the data of earlier calls that nobody waited for may be in use, it is queued in parts.
    """
    machine, start = task.machine, task.machine.now
    draws = machine.draw(len(targets))
    slot = slot_of(task) if acts(machine) and targets else None
    if slot is not None:
        yield from slot.lock(task)
    left_out = [c for c in targets if may_be_left_out(machine, function, c)]
    for c in left_out:
        if machine.cpus[c].is_frozen() and function.spares_kernel and machine.program.host.pv_flush:
            machine.cpus[c].is_to_drop()
    call = Call(task, function, targets, draws, left_out, ack, waits=waits)
    if targets:
        yield from call.queue_up_to_data_in_use()
        takes_time = call.start()
        if takes_time:
            yield  # to the last visit, at the earliest
        if slot is not None:
            slot.unlock(task)
    if call.is_serial or not targets:
        # A step of its own, interrupts off; all that there is of a call with no targets.
        yield from task.local_function(function.cost)
        call.is_over_on(task.cpu, task.function_over_at)
    if not waits:
        machine.unwaited |= {(task.cpu.number, c): call for c in call.targets}
    record = CallRecord(task.cpu.number, task.number, start, machine.now, call.acknowledged())
    machine.made.append((record, call))
    return call


class Call:
    """A call on at least one target, from its start to its last visit."""

    def __init__(
        self,
        task: Task,
        function: Function,
        asked: list[int],
        draws: list[int],
        left_out: list[int],
        ack: str,
        *,
        waits: bool = True,
    ) -> None:
        self.task = task
        self.waits = waits
        self.machine = task.machine
        self.function = function
        self.at_entry = ack == "entry" or not waits
        self.at_targets = action_for(self.machine, function) if acts(self.machine) else function
        self.costs = self.machine.program.call_costs
        self.asked = asked
        self.left_out = left_out
        self.targets = [c for c in asked if c not in left_out]
        self.began = self.machine.now
        self.jitter = dict(zip(asked, draws, strict=True))
        self.acks = {c: self.machine.clock.event() for c in self.targets}
        self.queued_at: dict[int, int] = {}
        self.over_at: dict[int, int] = {}
        self.ready = 0  # so many of the targets have it queued before the last part
        self.sent: dict[int, int] = {}  # when the initiator's clock shows that it sends to each
        self.is_sending = self.machine.clock.event()

    @property
    def is_serial(self) -> bool:
        """Whether the initiator runs the function after the others, in a step of its own."""
        return self.machine.program.order == "serial" and not acts(self.machine)

    def is_over_on(self, cpu: Cpu, instant: int) -> None:
        """One CPU, the initiator's or a target's, has run the function."""
        here = cpu.number == self.initiator
        cpu.empty_tlb(self.function if here else self.at_targets)
        self.over_at[cpu.number] = instant

    def acknowledged(self) -> dict[int, int]:
        """Return when each target acknowledged it, once all have.

        Of a call that nobody waits for, those that have run the function by now.
        """
        done = self.acks if self.waits else self.over_at.keys() - {self.initiator}
        return {c: cast(int, self.acks[c].value) for c in done}

    def gone_at(self) -> int | None:
        """Return when the last CPU had run it; None where one has not, or nothing was dropped."""
        everybody = {self.initiator, *self.targets}
        if self.over_at.keys() != everybody or not self.function.drops:
            return None
        later = [self.machine.cpus[c].entered_after(self.began) for c in self.left_out]
        if None in later:
            return None
        return max([*self.over_at.values(), *(at for at in later if at is not None)])

    @property
    def acknowledged_at_start(self) -> bool:
        """Whether a target acknowledges before it runs the function, not after it."""
        return self.at_entry and not (self.waits and self.function.frees_tables)

    @property
    def initiator(self) -> int:
        """The CPU that calls."""
        return self.task.cpu.number

    def queue_up_to_data_in_use(self) -> Waits:
        """Queue it, and wait for data in use, until what is left can be queued without a break."""
        for c in self.targets:
            if (self.initiator, c) not in self.machine.unwaited:
                continue
            before = self.targets[self.ready : self.targets.index(c)]
            if before:
                shows = self.task.cpu.turns.clock(self.machine.now)
                for number in before:
                    shows += self.costs.queue
                    self.machine.clock.process(self._target(self.machine.cpus[number], shows))
                self.ready += len(before)
                self._task_is("SENDING", self._own_clock_shows(shows))
                yield
            earlier = self.machine.unwaited.pop((self.initiator, c))
            line = self.between(self.costs.line, c)
            if line > 0 or not earlier.acks[c].triggered:
                self._task_is("AWAIT", self._visits(earlier, c, line))
                yield

    def _task_is(self, doing: str, until: Process) -> None:
        from tests.reference.task import Doing

        self.task.doing = Doing[doing]
        self.machine.clock.process(until)

    def _own_clock_shows(self, shows: int) -> Process:
        yield from self.task.cpu.until(shows)
        self.task.step_is_due()

    def _visits(self, earlier: Call, c: int, line: int) -> Process:
        yield earlier.acks[c]
        yield self.machine.clock.at(self.task.cpu.turns.run(self.machine.now, line))
        self.task.step_is_due()

    def start(self) -> bool:
        """Fix every time that is fixed at the start, and set the processes off.

        Return False if that is all, in no time: every target was left out.
        """
        costs = self.costs
        began = t = self.task.cpu.turns.clock(self.machine.now)
        if self.targets:
            t += getattr(costs, "trap", getattr(costs, "payload", 0))
        # 1. Queue.
        queued: dict[int, int] = {}
        for c in self.asked[self.ready :]:
            if c in self.left_out:
                assert self.machine.costs.deferred is not None
                t += self.machine.costs.deferred.check
            else:
                t += costs.queue
                queued[c] = t
        # 2. Send.
        t1 = t
        send = self.machine.program.send
        fanout = self.machine.program.reached_by_a_write(len(self.targets))
        sent, written_to = t1, -1
        for c in self.targets:
            if c // fanout != written_to:
                sent += send
                written_to = c // fanout
            sent += self.machine.program.host.kick
            self.sent[c] = sent
            if c in queued:
                self.machine.clock.process(self._target(self.machine.cpus[c], queued[c]))
        self.is_sending.succeed()
        # 3. Local.
        own = 0 if self.is_serial else self.function.cost
        if not self.targets and sent + own == began:
            if not self.is_serial:
                self.is_over_on(self.task.cpu, self.machine.now)
            return False
        self.sends_until(sent)
        return True

    def sends_until(self, all_sent: int) -> None:
        """Set off what happens on the initiator, who has sent all when its clock shows that."""
        from tests.reference.task import Doing

        self.task.doing = Doing.SENDING
        self.machine.clock.process(self._initiator(all_sent))

    def between(self, table: tuple[int, ...], c: int) -> int:
        """Return a cost by distance between the initiator and a target."""
        return self.machine.program.topology.cost(table, self.initiator, c)

    def _target(self, cpu: Cpu, queued: int) -> Process:
        """Queue the call on one CPU, and interrupt that CPU if its queue was empty.

        The initiator's clock shows when it is queued, and sent.
        """
        clock, initiator = self.machine.clock, self.task.cpu
        yield from initiator.until(queued, Phase.QUEUE)
        self.queued_at[cpu.number] = clock.now
        cpu.queue.append(self)
        yield clock.at(clock.now, Phase.QUEUED)  # whoever queues at this instant has done so
        if cpu.calls_in_queue_order()[0] is self:
            yield self.is_sending
            yield from initiator.until(self.sent[cpu.number])
            travels = self.between(self.costs.delivery, cpu.number) + self.jitter[cpu.number]
            yield clock.at(clock.now + travels, Phase.ARRIVE)
            cpu.pending = True

    def _initiator(self, all_sent: int) -> Process:
        """Run the local function, then visit the targets in ascending order."""
        from tests.reference.task import Doing

        clock, cpu = self.machine.clock, self.task.cpu
        if not self.is_serial:
            yield from cpu.until(all_sent + self.function.cost)
            self.is_over_on(cpu, clock.now)
        else:
            yield from cpu.until(all_sent)
        # 5. Wait.
        self.task.doing = Doing.AWAIT
        for c in self.targets if self.waits else []:
            yield self.acks[c]
            yield clock.at(cpu.turns.run(clock.now, self.between(self.costs.line, c)))
        self.task.step_is_due()
