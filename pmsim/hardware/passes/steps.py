"""What Python calls: what a task's step asks for, and the way to the step that comes next.

There are few entry points on purpose. Each holds the whole calendar loop in machine code of its
own. So `act` takes a number that says what is asked for, and does all but telling other CPUs.
"""

from __future__ import annotations

from pmsim.hardware.passes import cache, jit
from pmsim.hardware.passes.accounts import accounts
from pmsim.hardware.passes.calendar import file_at, file_step
from pmsim.hardware.passes.calls import begin_call, last_start
from pmsim.hardware.passes.catching_up import catch_up, retire
from pmsim.hardware.passes.catching_up_all import catch_up_all
from pmsim.hardware.passes.deferral import mode_of, put_off_by_code
from pmsim.hardware.passes.firsts import drops_by_call
from pmsim.hardware.passes.instants import advance
from pmsim.hardware.passes.invalidations import tell_by_hardware
from pmsim.hardware.passes.jit import compiled, entry_point
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.log import log_fence
from pmsim.hardware.passes.occupation import begin_compute, begin_idleness, begin_window, occupy
from pmsim.hardware.passes.refill import empty_tlb, kernel_debt
from pmsim.hardware.passes.rings import write_down
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.runqueue import (
    choose,
    enqueue,
    enter_kernel,
    leave_cpu,
    put_to_sleep,
    quantum_is_over,
    runs,
    sleep_until,
)
from pmsim.hardware.passes.sets import put_in
from pmsim.hardware.passes.turns import goes_on, in_turns, next_run
from pmsim.hardware.passes.unwaited import await_data, queue_some


@compiled
def _wake(S: State, task: int, time: int) -> None:
    """Make a sleeping task runnable at ``time``, as a timer would."""
    sleep_until(S, task, time)
    t = S[TASKS_AT] + task * TASK_ROW
    c = S[t + T_CPU]
    key = 2 * S[t + T_WAKE]
    if key < S[S[TREE_AT] + S[LEAVES] + c]:
        file_at(S, c, key)


@compiled
def _begin(S: State) -> None:
    """Time 0: every CPU with a task takes the first one when it runs, the others are idle."""
    for c in range(S[N_CPUS]):
        r = row_of(c)
        if S[TICK] > 0:
            put_in(S, S[TICKING_AT], c)
        if S[r + READY_HEAD] >= 0 and next_run(S, r, 0) > 0:
            S[r + MODE] = M_READY
            file_step(S, c, 0)
        elif S[r + READY_HEAD] >= 0:
            choose(S, c)
        else:
            begin_idleness(S, c, 0)
            file_step(S, c, INF)


@compiled
def _is_alone(S: State, c: int, length: int) -> int:
    """Return 1 if nothing whatever happens before the kernel on ``c`` has worked for ``length``.

    No handler is due or running on its CPU, nobody waits for that CPU, no refill is owed, and all
    that the calendar and SimPy's heap hold comes later. What the task does meanwhile can then be
    done at once: there is nobody to see that it takes time.
    """
    r = row_of(c)
    retire(S, c, S[NOW])
    if S[r + HEAD] >= 0 or S[r + READY_HEAD] >= 0 or S[LOG_ROWS] >= S[LOG_CAP] or in_turns(S):
        return 0
    if kernel_debt(S, r) > 0 or S[r + IN_USER]:
        return 0
    key = 2 * (S[NOW] + length) + 1
    sleeper = S[r + SLEEP_HEAD]
    if sleeper >= 0 and 2 * S[S[TASKS_AT] + sleeper * TASK_ROW + T_WAKE] <= key:
        return 0
    return 1 if min(S[S[TREE_AT] + 1], S[NEXT_TICK], S[LIMIT]) > key else 0


@compiled
def _prepare(S: State, what: int, on: int, x: int) -> None:
    """Do what takes no step: nobody goes on because of it, not before the present step is over."""
    if what == DO_WAKE:
        _wake(S, on, x)
    elif what == DO_GRANT:  # a lock has been handed to the task that spins there
        S[row_of(on) + MODE] = M_SPINLOCK
        S[row_of(on) + NEED] = x
        file_step(S, on, x)
    elif what == DO_LEAVE:
        retire(S, on, S[NOW])
        leave_cpu(S, on)
    elif what == DO_MAKE_READY:
        enqueue(S, row_of(S[S[TASKS_AT] + on * TASK_ROW + T_CPU]), on)
    elif what == DO_BEGIN:
        _begin(S)
    elif what == DO_EMPTY:  # the task has flushed its own CPU, and only that
        empty_tlb(S, row_of(on), x)
    elif what == DO_PUT_TO_SLEEP:
        put_to_sleep(S, on)
    elif what == DO_PUT_OFF:
        put_off_by_code(S, on, x)
    elif what == DO_CATCH_UP:  # before anybody reads what is kept of a CPU's handlers
        catch_up_all(S)
        if S[DEFERS] >= 0 or S[PV_FLUSH] or S[TICK] > 0:
            comes = S[NEXT_TICK] == 2 * S[NOW]  # a tick that may be taken with a call yet
            for c in range(S[N_CPUS]):
                retire(S, c, S[NOW] - comes)
    elif what == DO_CATCH_UP_ONE:
        catch_up(S, on)


@entry_point("int64(int64[::1], int64, int64, int64)")
def act(S: State, what: int, on: int, x: int) -> int:
    """Do what the task that has the CPU asks for, or what is asked for it.

    Parameters
    ----------
    S
        The machine.
    what
        One of the `layout.DO_ADVANCE` family, which says what ``on`` and ``x`` are.
    on
        The CPU; of `DO_WAKE`, `DO_MAKE_READY` and `DO_ASK_RUNS`, the task.
    x
        A length or an instant in picoseconds; of `DO_EMPTY`, what is emptied (`layout.FULL`); of
        `DO_SPIN` the mode, `M_SPINLOCK` or `M_ADAPTIVE`; of `DO_PUT_OFF` the shootdown's number.

    Returns
    -------
    int
        The task that steps next; of what takes no step, `NOTHING`. `DO_BOUNDARY` adds `RETRY` where
        the task has lost its turn. `DO_FORESEE` and `DO_ASK_RUNS` return 1 or 0, `DO_ASK_MODE` what
        a CPU does (`layout.IN_USER_MODE`), `DO_ASK_LAST_START` an instant.
    """
    retry = 0
    if DO_COMPUTE <= what <= DO_KERNEL:
        retire(S, on, S[NOW])
        if begin_compute(S, on, x, what) == 0:
            return S[row_of(on) + CURRENT]
    elif what == DO_IRQS_OFF:
        if x == 0:
            return S[row_of(on) + CURRENT]
        retire(S, on, S[NOW])
        begin_window(S, on, M_WINDOW, x)
    elif what == DO_SLEEP:
        retire(S, on, S[NOW])
        sleep_until(S, S[row_of(on) + CURRENT], S[NOW] + x)
        leave_cpu(S, on)
    elif what == DO_BLOCK:  # the task ends, or sleeps until it is woken
        retire(S, on, S[NOW])
        leave_cpu(S, on)
    elif what == DO_ENTER_KERNEL:
        retire(S, on, S[NOW])
        if enter_kernel(S, on):
            return S[row_of(on) + CURRENT]
    elif what == DO_SPIN:  # until `DO_GRANT`
        retire(S, on, S[NOW])
        occupy(S, on, x, HORIZON)
        file_step(S, on, INF)
    elif what == DO_BOUNDARY:
        if quantum_is_over(S, on) == 0:
            return S[row_of(on) + CURRENT]
        retry = RETRY
    elif what == DO_FORESEE:
        return _is_alone(S, on, x)
    elif what == DO_ASK_RUNS:
        return runs(S, on)
    elif what == DO_ASK_MODE:
        return mode_of(S, on)
    elif what == DO_ASK_LAST_START:
        return last_start(S, on)
    elif what != DO_ADVANCE:
        _prepare(S, what, on, x)
        return NOTHING
    return retry + advance(S)


@compiled
def _over_at_once(S: State, i: int) -> int:
    """The task of ``i`` goes on in the same step; return what `call` returns then."""
    return S[row_of(i) + CURRENT] if S[LOG_ROWS] < S[LOG_CAP] else OVER


@entry_point(
    "int64(int64[::1], uint8[:, ::1], int64[::1], int64[::1],"
    " int64, int64, int64, int64, int64, int64, int64, int64)"
)
def call(
    S: State,
    D: Codes,
    targets: State,
    more: State,
    i: int,
    n: int,
    cost: int,
    flags: int,
    kind: int,
    cause: int,
    operation: int,
    pages: int,
) -> int:
    """The current task of ``i`` tells ``n`` others; return the task that steps next, or `OVER`.

    Where they are to be left a note, and its CPU's ring is full, they are called with the cause
    that `layout.IF_FULL` says; or `NO_ROOM` is returned, and nothing is done.

    They run a function that costs so much: ``targets`` is empty for every other CPU (unless they
    are left a note), ``more`` the jitter, empty where the platform has none, or the ring of the
    CPU; ``flags`` say what the function does (`layout.EMPTIES`), and above that how much longer on
    the targets.

    Or the hardware tells them, by the protocol whose number is minus ``flags``: ``cost`` is the
    service, or how long the initiator is at it, and ``more`` is what else `tlbi.Broadcasts` knows,
    or how long the answers take after that; ``n`` is how many operations go out, or the holders.

    Where there are calls that nobody waits for, `layout.PART` says which part of a call it is.
    """
    if flags >= 0 and flags & IS_LAZY:
        if write_down(S, more, targets, i):
            n = 0
            cost += S[SAVE]
        elif S[IF_FULL] < 0:
            return NO_ROOM
        else:
            cause = S[IF_FULL]
            flags &= ~IS_LAZY
        more = more[:0]
    o = row_of(i)
    S[o + C_KIND] = kind
    S[o + C_CAUSE] = cause
    S[o + C_OPERATION] = operation
    S[o + C_PAGES] = pages
    if flags < 0:
        if tell_by_hardware(S, D, i, -flags, n, cost, more):
            log_fence(S, i)
            return _over_at_once(S, i)
        return advance(S)
    if goes_on(S) and S[PART] == QUEUES_ONLY:
        queue_some(S, targets, i, cost, flags)
    elif goes_on(S) and S[PART] == AWAITS_DATA:
        if await_data(S, D, i, targets[0]):
            return S[row_of(i) + CURRENT]
    elif begin_call(S, D, targets, more, i, n, cost, flags):
        return _over_at_once(S, i)
    return advance(S)


def prepare(*, apart: bool = False) -> None:
    """Compile the entry points that a machine needs, or load their code from disk.

    Parameters
    ----------
    apart
        Whether its CPUs do not always run, or calls need not be waited for.
    """
    if not cache.is_complete():
        cache.forget_others()
    for entry in (act, call, accounts, drops_by_call):
        jit.compile_entry(entry, backwards=apart)
    if apart and not jit.is_disabled():
        cache.note_apart()
