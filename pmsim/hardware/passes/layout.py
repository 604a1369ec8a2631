"""Where everything stands in the state of a machine: one flat array of ``int64``, by arithmetic.

The array ``S`` holds a header, four planes with a row per CPU, a row per task, a tournament tree
over the CPUs' next instants, an entry per (initiator, target), and buffers of finished cross-calls.
One array and a few integers are what a compiled function is passed fastest; views of rows, or one
array for each noun, were three to four times slower.

Every name below is an index or a code, and stands here alone: the compiled rooms import all of
them, the Python side says ``layout.NAME``. Nothing here needs Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

State = npt.NDArray[Any]
Codes = npt.NDArray[np.uint8]

# Every sum fits because its parts are bounded where they are given: a run and a task's wait by
# `units.LONGEST_RUN`, an act of the hardware by `constants.LONGEST_ACT`, a function by
# `tlb.LONGEST_FLUSH`. What may pile up beyond a run is cut off at the horizon.
INF = 1 << 62
HORIZON = (1 << 60) - 1  # what is later never happens, and may stand for any later time
NONE = -1
PPM = 1_000_000

# --- header ---------------------------------------------------------------------------------------
NOW, LIMIT, N_CPUS, SERIAL = 0, 1, 2, 3
# what a cross-call costs, each word named like its constant, and who makes it
QUEUE, SEND, FANOUT, ENTRY, EXIT, TRAP, HELD_OFF, PROTOCOL = range(4, 12)
PAYLOAD = TRAP  # what it is called where the others act without an interrupt
DELIVERY_AT, LINE_AT = 12, 13  # tables by distance code
QUANTUM, CONTEXT_SWITCH = 14, 15
N_IDLE, IDLE_AT = 16, 17  # idle states: pairs (residency, exit)
SERVER_FREE, SHARE, ROUND_TRIP_AT = 18, 19, 20  # of invalidations: when, ppm, by distance code
TASKS_AT, TREE_AT, LEAVES, ENTRIES_AT = 21, 22, 23, 24
DIRTY_AT, DIRTY_COUNT = 25, 26  # initiators whose maximum has to be looked for again
LOG_AT, LOG_ROWS, LOG_CAP = 27, 28, 29
BUCKETS_AT, SUB_BITS = 30, 31  # finished calls by latency: pairs (how many, which specimen)
SPECIMENS_AT, SPECIMEN_ROW, SPECIMENS, SLOWEST = 32, 33, 34, 35
DETAIL_FROM, DETAIL_TO, DETAIL_LEFT, DETAIL_CUT = 36, 37, 38, 39  # calls that are all kept whole
DETAIL_HEADS_AT, DETAIL_ENTRIES_AT, DETAIL_CAP = 40, 41, 42
DETAIL_CALLS, DETAIL_ENTRIES = 43, 44  # of them in the buffer
ACK = 45  # 1: a cross-call is acknowledged at the start of its function (`shootdown.ipi.ACK`)
ACTION = 63  # what a target takes for any function, `NONE` where it runs the function itself
SHORTHAND = 60  # 1: one write tells all other CPUs (`shootdown.ipi.by_shorthand`)
KICK = 62  # what the host of a guest takes for each target that is sent to
# quiet events (`quiet`): how many, what calls among them stole of a target, the last one, whether
# some CPU has not caught up with them; and what tells whether a call is one
QUIET_CALLS, QUIET_STOLEN, QUIET_FROM, QUIET_AT, QUIET_COST, BEHIND = range(46, 52)
IN_FLIGHT, IDLE_CPUS, LATEST_FLOOR, LATEST_END = range(52, 56)
KERNEL_REFILL = 56  # what a CPU owes for the kernel's entries after a flush of everything
# of invalidations: what each other one in flight adds, how long a loss lasts, how many are waiting
# or being served, and when the last service ended
CONTENTION, RECOVERY, ASKED, LAST_SERVED = 57, 58, 59, 61
# what sends spinners for mutexes to sleep when the round is over, in a list: 2 * task for one that
# has stopped running while others spin for a mutex of its own, 2 * task + 1 for one that spins
# while another task has become runnable on its CPU
UNSETTLED_AT, UNSETTLED = 64, 65
WAITED = 66  # how long the initiator of the next call has waited for a slot
TURNS = 67  # requests to the server so far
# deferral (`shootdown.deferred`): what may be deferred (`BY_CODE`: nothing by itself), its costs,
# how many calls to all others and to some have left somebody out; and a buffer of what was put off
# and of when it was dropped
DEFERS, CHECK, ENTRY_FLUSH, DEFERRALS, SOME_DEFERRALS, DROPS_AT, DROPS = range(68, 75)
# of a guest: how long a CPU runs in its turn, and from one turn to the next (0: it always runs);
# and whether flushes of user space leave out those that do not run
SLICE, PERIOD, PV_FLUSH = range(75, 78)
# frees that others take note of at their ticks (`shootdown.latr`): when the next tick is, as a key
# of the calendar, and their period; costs; for each CPU the set of those whom its present one is
# for, how many there have been in all, how many up to an instant, which that is, and whether ticks
# go on where nothing else will ever happen
NEXT_TICK, TICK, SAVE, SCAN, SWEEP, LAZY_AT, SAVES, SAVES_BEFORE, SAVED_AT, TICKS_GO_ON = range(
    78, 88
)
# quiet events that somebody has not caught up with: of which kind all are, how many there had been
# before, their records, the least time from one to the next in which a debt may be paid, and the
# longest service; what all services would have taken of a CPU that computes; of deferrals the last
# one's number and the first of its instant
QUIET_KIND, QUIET_BEGAN, RECORDS_AT, LEAST_GAP, MOST_SERVICE, QUIET_LOSSES = range(88, 94)
QUIET_NUMBER, QUIET_AT_FIRST = 94, 95
USERS, USER_CHANGES = 96, 97  # isolated CPUs in a stay in user mode, and how often that changed
RING_ROW = 98  # words of an entry of a ring (`rings`): the note's number, then a set of CPUs
# sets of CPUs (`sets`): those in a stay in user mode, those that a call leaves out just now, and
# those on which something has been put off
USERS_AT, LEFT_OUT_AT, OWING_AT = 99, 100, 101
# of calls that nobody waits for (`unwaited`): whether there may be any; of the next call whether it
# is one, which part of it is made (0: all, or the last), how many targets have it queued already
GOES_ON, UNWAITED, PART, READY = range(102, 106)
# quiet ticks (`quiet_ticks`): among quiet events the numbers, from 1 on, of the last call and of
# the last tick; what had been stolen by that call, its own share included; when the tick was, and
# how many notes there had been before; and when a tick met the call (`NONE`: none has)
QUIET_CALLED, QUIET_TICKED, CALLED_STOLEN, QUIET_TICK, QUIET_LOOKED, QUIET_MET = range(106, 112)
# a set of CPUs (`sets`): those to which ticks come; and how many others there are
TICKING_AT, UNTICKED = 112, 120
# what tells whether a tick is one: whether no handler has been planned one by one since the last
# quiet call, how many notes wait for CPUs to which ticks come, and how many CPUs are in a switch
# that drops some
UNDISTURBED, NOTES_WAITING, SWITCHES_SEE = 113, 114, 115
# a set of CPUs (`sets`): those that have a call in flight, on a machine that ticks; how often each
# shared a handler (`shared.tally`), and whether any did; what a tick has to know of one CPU's
# calls, and whose (plus 1)
CALLING_AT, TALLY_AT, REACH_AT, REACH_OF, TALLIED = 116, 117, 118, 119, 121
# for each CPU, one behind the other: how many quiet events it has caught up with, and how many
# notes there had been in all when it last looked
SEEN_AT, LOOKS_AT = 122, 123
# a set of CPUs (`sets`): those that are idle. What they make of the last quiet call: the largest of
# a - prefix and where, and the last acknowledgement; and when the last handler of the call starts
IDLING_AT, IDLE_MAX, IDLE_SLOWEST, IDLE_ACK, QUIET_STARTS = range(124, 129)
# the cause of a call that is made where a ring has no room for the next note; `NONE`: none is
IF_FULL = 129
HEADER = 144  # a row begins where a pair of lines of the cache does

# --- a CPU's row: 16 words in each of four planes; a pass over all CPUs streams one of them ---
CPU_WORDS = 16
LINE_WORDS = 8  # of a line of the cache
PLANE = 4096 * CPU_WORDS + 72  # `topology.MAX_CPUS` rows; only what is touched takes memory
PLANES = 7

# plane 0: open entries (a list sorted by (q, initiator)) and the plan on top of what is history;
# twice how often the TLB has been emptied, plus 1 if the kernel's entries are to be refilled; and
# twice what the compute owes after each time, plus 1 if it is for the kernel's entries
HEAD, TAIL, LAST_TAKE, PLAN_END, PLAN_STOLEN, PLAN_HANDLERS, FLOOR, IDLE_SINCE = range(8)
BASE_END, BASE_STOLEN, BASE_HANDLERS, PLAN_FULL, PIN, OWED, MODE, FLUSHES = range(8, 16)
# plane 1: the present occupation (since when, stolen time then, CPU time needed, refill debt within
# it), the run queue, and how far the occupation had come when an invalidation made it stand still;
# of a compute, which kind it is (`DO_COMPUTE`); why a window holds handlers off; and how many times
# the current task has switched preemption off, spinlocks that it holds or asks for included
SINCE, SINCE_STOLEN, NEED, DEBT, DEBT_AT, USED, LAST_TASK, PREEMPT_COUNT = range(PLANE, PLANE + 8)
CURRENT, READY_HEAD, READY_TAIL, SLEEP_HEAD, REACHED, COMPUTES, FLOOR_REASON = range(
    PLANE + 8, PLANE + 15
)
LOCK_SPIN = PLANE + 15  # an account: the part of `SPIN` that waited for locks
# plane 2: the call or the invalidation that this CPU has in flight
C_START, C_LOCAL_END, C_TARGETS, C_LINE, C_MAX, C_SLOWEST, C_FIRST, C_DIRTY = range(
    2 * PLANE, 2 * PLANE + 8
)
C_LOCAL, C_PHASE, C_KIND, C_CAUSE, C_OPERATION, C_PAGES, C_VISITED, C_INVALIDATIONS = range(
    2 * PLANE + 8, 2 * PLANE + 16
)
# an invalidation's own: when its service ends and how long it takes, whether it empties the TLBs;
# how long one answer of all others is awaited, the service of what is asked for then (or that it
# has been), and that of what was asked for before
I_SERVED, I_SERVICE, I_EMPTIES = C_LOCAL_END, C_LOCAL, C_FIRST
I_TRIP, I_REPEAT, I_BEFORE = C_LINE, C_VISITED, C_MAX
REPEATED = -2
# plane 3: accounts; how many lower CPUs quiet calls leave out; what had been stolen, and how many
# handlers shared, by those that this CPU has caught up with, if there are calls among them; and
# what its own are like
BUSY, SPIN, IRQS_OFF, IDLE, REFILL = range(3 * PLANE, 3 * PLANE + 5)
LEFT_OUT_BELOW, SEEN_STOLEN, SEEN_SHARED = range(3 * PLANE + 5, 3 * PLANE + 8)
Q_KNOWN, Q_SENT, Q_LAST, Q_LINE, Q_MAX, Q_SLOWEST = range(3 * PLANE + 8, 3 * PLANE + 14)
# of idleness that is over: what was stolen from it, and by how many handlers; while it lasts, the
# handlers before it are taken off
AWAKE, WOKEN = 3 * PLANE + 14, 3 * PLANE + 15
# plane 4: of the call in flight when the last target acknowledged (`INF`: to be looked for again),
# and how long the function runs on after that; of an invalidation, when it is gone; by which
# protocol either is made; of a call how long it waited for a slot before it began, of a request to
# the server its number
C_LAST_ACK, C_RUNS_ON, C_PROTOCOL, C_WAITED, I_TURN = range(4 * PLANE, 4 * PLANE + 5)
# how many targets the call left out, and its number among the calls that did (-2 and down where not
# all others were called); whether the CPU is isolated on a machine that defers, in a stay in user
# mode, about to take one up again, or in the entry of one that goes to the tail
C_LEFT_OUT, C_DEFERRAL, ISOLATED, IN_USER, TAKES_UP, TO_TAIL = range(4 * PLANE + 5, 4 * PLANE + 11)
# how many CPUs the call in flight leaves a note for instead of calling them; when the CPU
# went idle since its last task, plus 1
C_LAZY, WAS_IDLE = 4 * PLANE + 12, 4 * PLANE + 13
# of the CPU's quiet calls, when the last target begins to be free for the function
Q_LATE = 4 * PLANE + 15
# plane 5: what has been put off on the CPU: when the latest was; of the calls to all others the
# first and the last (`NONE`: none), when that was, and the first of that instant
OWES_AT, OWES_FIRST, OWES_LAST, OWES_ALL_AT, OWES_AT_FIRST = range(5 * PLANE + 1, 5 * PLANE + 6)
# when its first turn begins; what it drops when it next runs: from when to when (`NONE`: nothing),
# whether that is outside of handlers (then its end stands as that of a handler, `DROP_LAST`, behind
# the last one's, `DROP_AFTER`), by how much it delays the take of the handler that `PIN` holds, and
# by how much the sending of its call
PHASE, DROP_FROM, DROP_END, DROP_ALONE, DROP_LAST, DROP_AFTER, PIN_PUSHED, C_PUSHED = range(
    5 * PLANE + 6, 5 * PLANE + 14
)
I_FARTHEST = (
    5 * PLANE + 14
)  # plus 1, the longest round trip of this CPU's invalidations; 0: unknown
# plane 6, of frees: how many notes wait for the CPU, how many of these are of the latest instant,
# and which that is; how many notes there had been in all when the switch under way began (`NONE`:
# it has nothing to drop), and when the CPU had gone idle before that (0: it had not)
NOTES, NEW_NOTES, NOTED_AT, SWITCH_SEES, IDLE_FROM = range(6 * PLANE, 6 * PLANE + 5)
Q_FIRST = 6 * PLANE + 7  # of the CPU's quiet calls, the first target
SENT = 6 * PLANE + 8  # an account: the CPU's calls
KERNEL_DEBT = 6 * PLANE + 9  # what is left of a debt for the kernel's entries that was paid in part
# of the CPU's ring (`rings`): the notes written in all, the number of the latest one that is left,
# and whom the entry that comes next waits for
WRITTEN, LATEST_NOTE, AWAITED = range(6 * PLANE + 10, 6 * PLANE + 13)
# of the call in flight, how many targets had it queued before its last part; whether nobody waits
C_READY, C_UNWAITED = 6 * PLANE + 13, 6 * PLANE + 14


NONE_AT_FIRST = (
    HEAD, TAIL, PIN, IDLE_SINCE, CURRENT, LAST_TASK, READY_HEAD, READY_TAIL, SLEEP_HEAD, OWES_LAST,
    DROP_END, SWITCH_SEES,
)  # fmt: skip

# --- quiet events: of which kind ------------------------------------------------------------------
# calls that drop nothing behind which a debt is owed; services, and (plus 1) those that empty; and
# calls of one CPU that do (from here on, by 8 for each CPU, and what they empty). With the bit, all
# who are in a stay in user mode are left out
QUIET_PLAIN, QUIET_SERVED, QUIET_DROPPING = 0, 4, 8
LEAVES_OUT = 2
# of the calls of one CPU, a plane each, for each CPU: how long after their beginning its interrupt
# arrives; the latest that does on it or a lower CPU, and the largest of a - prefix there and where;
# the same of it and the higher ones; where the stretch ends on which it arrives ever later
R_ARRIVES, R_LATE, R_LARGEST, R_WHERE, R_LATE_ON, R_LARGEST_ON, R_WHERE_ON, R_RUN_END = range(8)
REACH_ROW = 8
TICKS = 1 << 32  # what a tick counts for among quiet events: above all other ones
# a record of one that is no tick: when it was, what had been stolen before; a service's own
# numbers; of a call, how many events there had been with it, and when a tick met it (`NONE`: none)
RECORD_TIME, RECORD_STOLEN, RECORD_SERVICE, RECORD_AFTER = range(4)
RECORD_NUMBER, RECORD_MET = RECORD_SERVICE, RECORD_AFTER
RECORD_ROW = 4
RECORDS = 4096  # with so many all catch up

# --- a task's row ---------------------------------------------------------------------------------
T_CPU, T_NUMBER, T_NEXT, T_WAKE, T_DEBT, T_WORK, T_COMPUTING, T_EPOCH, T_REFILL = range(9)
T_SPUN = 9  # mutexes of its own that others spin for
T_USER = 10  # 1: it went to the tail between two steps, in user mode
TASK_ROW = 11
# `T_COMPUTING` is the kind of the compute that was cut short, 0 where none was

# --- an entry: one call at one target -------------------------------------------------------------
E_QUEUED, E_ARRIVES, E_COST, E_ACK, E_START, E_META, E_PREFIX, E_NEXT = range(8)
E_SEES = E_PREFIX  # of a tick: how many notes there had been (`NONE`: it has nothing to drop)
ENTRY_ROW = 8
# `E_COST` is eight times the function's cost, plus 2 where it is acknowledged at its start, plus
# what it empties (below). `E_META` holds, from bit 32 on, why the handler started when it did; from
# bit 16, which group was sent to; below, the next target plus 1. Bit 35: it came from user mode;
# bit 31: nobody waits for it. Then `E_PREFIX` is `NONE`, but while a later call waits for the data

# --- what a called function does, in bits ---------------------------------------------------------
EMPTIES, FREES_TABLES = 1, 2  # it empties the TLB; and behind it page tables are freed
IS_LAZY = 8  # the others are not called, but left a note
IS_PURGE, IS_FLUSH = 32, 64  # it is about lazily freed addresses; it drops translations
OF_KERNEL = 16  # it is about pages of the kernel, of which an action drops everything
EMPTIES_KERNEL = 4  # what it empties the TLB of are the kernel's entries, too
REMOTE = 128  # above these bits: how much longer it takes on the targets
FULL = EMPTIES | EMPTIES_KERNEL
DROPPING_KINDS = 2  # kinds of functions below this drop translations (`tlb.CallKind`)
FROM_USER = 32  # of the handlers of a plan: they come from user mode, and drop everything first
SWEEPS = 64  # of the same: a tick is among them that has something to drop
UNKNOWN = 8  # of the handlers of a plan: whether they empty the TLB is to be looked at

# --- parts of a call that comes to data in use (`PART`), and what `C_PHASE` is in them -----------
QUEUES_ONLY, AWAITS_DATA = 2, 3

# --- what a CPU is doing --------------------------------------------------------------------------
M_IDLE, M_WAKE, M_READY, M_SWITCH, M_COMPUTE, M_WINDOW, M_CALL, M_SPINLOCK, M_STEP = range(9)
M_FENCE = 9  # an invalidation: its service until `C_PHASE` is 1, then the way back
M_ENTRY = 11  # the kernel is entered from user mode: everything is dropped, interrupts off
M_ADAPTIVE = 10  # spins for a mutex that it does not own yet, and may have to sleep for

# --- why a handler started when it did (`fabric.SlowestReason` gives these numbers their names) ---
R_LOCAL, R_DISTANCE, R_IRQS_OFF, R_IDLE_EXIT, R_BUSY_HANDLER, R_RIDE, R_SERVER, R_WAKING = range(8)
R_FROZEN = R_WAKING  # of a row, where waking is `R_IDLE_EXIT`: on its way somebody was frozen

# --- who told the others (`shootdown.protocols` gives these numbers their names) -------------
BY_TLBI, BY_LATR = 1, 7

# --- the log of finished calls: the columns' names, and where each stands -------------------------
LOG_COLUMNS = (
    "cpu", "task", "start_ps", "end_ps", "kind", "cause", "operation", "targets", "pages",
    "slowest_cpu", "slowest_reason", "queue_ps", "send_ps", "delivery_ps", "irqs_off_ps",
    "idle_exit_ps", "busy_handler_ps", "ride_ps", "entry_ps", "function_ps", "local_ps",
    "visit_ps", "frozen_ps", "resume_ps", "protocol", "invalidations", "gone_ps", "left_out",
)  # fmt: skip
(
    L_CPU, L_TASK, L_START, L_END, L_KIND, L_CAUSE, L_OPERATION, L_TARGETS, L_PAGES,
    L_SLOWEST_CPU, L_SLOWEST_REASON, L_QUEUE, L_SEND, L_DELIVERY, L_IRQS_OFF,
    L_IDLE_EXIT, L_BUSY_HANDLER, L_RIDE, L_ENTRY, L_FUNCTION, L_LOCAL,
    L_VISIT, L_FROZEN, L_RESUME, L_PROTOCOL, L_INVALIDATIONS, L_GONE, L_LEFT_OUT,
) = range(len(LOG_COLUMNS))  # fmt: skip
L_DEFERRAL = len(LOG_COLUMNS)  # the number of a call that left somebody out, else `NONE`
LOG_ROW = len(LOG_COLUMNS) + 1
# A row is written where `LOG_AT` says, and goes from there into the columns, one behind the other,
# as everybody wants them. The last rows of a column stay free: 8,192 words apart, the same place of
# all columns would fall into the same few lines of a cache.
LOG_CAPACITY = 8192
LOG_COLUMN = LOG_CAPACITY + 72

# --- what was put off and dropped: a row of the buffer --------------------------------------------
# of a CPU that has dropped everything: the first and last call to all others that it owed, and when
# that was; with -1 less the CPU, of a single call that is put off there: its number, and when. What
# was put off is dropped by what is later in order: times where entries drop everything, the number
# of notes where ticks sweep these (then the first is when the CPU had gone idle before its look)
D_CPU, D_FIRST, D_LAST, D_AT, D_ORDER = range(5)
DROP_ROW = 5
DROPS_BUFFERED = 131_072  # beside what may come in one go

SET_SHIFT = 5
SET_BITS = 1 << SET_SHIFT  # CPUs that a word of a set tells of

# --- a call that is kept whole: finished, with what happened at each target -----------------------
# its row of the log and what the row does not tell; then the entries, `E_NEXT` being the CPU and
# `E_PREFIX` when the initiator went on from there
K_LOCAL_END, K_VISITED, K_LOCAL, K_AFTER, K_WAITED, K_READY = range(LOG_ROW, LOG_ROW + 6)
SPECIMEN_HEAD = 40


def buckets(sub_bits: int) -> int:
    """Return how many buckets latencies fall into; see `specimens.bucket`."""
    return (INF.bit_length() - sub_bits + 1) << sub_bits


# --- accounts: the columns' names, and where each stands ------------------------------------------
ACCOUNT_COLUMNS = (
    "busy_ps", "spin_ps", "irqs_off_ps", "stolen_ps", "idle_ps", "frozen_ps", "refill_ps",
    "handlers",
    "crosscalls_sent", "lock_spin_ps", "awake_ps", "woken",
)  # fmt: skip
(
    A_BUSY, A_SPIN, A_IRQS_OFF, A_STOLEN, A_IDLE, A_FROZEN, A_REFILL, A_HANDLERS, A_SENT,
    A_LOCK_SPIN, A_AWAKE, A_WOKEN,
) = range(len(ACCOUNT_COLUMNS))  # fmt: skip
ACCOUNT_ROW = len(ACCOUNT_COLUMNS)
TIMES = 6  # the first columns add up to the duration

# --- what `steps.act` is asked to do --------------------------------------------------------------
# these end with the calendar loop: on a CPU, what its task asks for
DO_ADVANCE, DO_BOUNDARY, DO_IRQS_OFF, DO_SLEEP, DO_BLOCK, DO_SPIN = range(6)
# so do the kinds of compute: of a program, in user mode, the kernel's own work
DO_COMPUTE, DO_USER, DO_KERNEL = range(6, 9)
# these do not: on a task, or a CPU
DO_WAKE, DO_GRANT, DO_LEAVE, DO_MAKE_READY, DO_BEGIN, DO_CATCH_UP, DO_EMPTY = range(9, 16)
DO_CATCH_UP_ONE = 22  # the same of one CPU
DO_FORESEE = 16  # asks whether a CPU's task could compute for so long, and nothing else happens
DO_PUT_TO_SLEEP = 17  # on a CPU whose task spins for a mutex
DO_ENTER_KERNEL = 19  # ends with the calendar loop, too: on a CPU whose task leaves user mode
DO_ASK_RUNS = 18  # on a task: asks whether it has its CPU
# of protocols that are not pmsim's own, on a CPU: it drops later what a shootdown of this number is
# about; and what does it do (the places of `shootdown.initiator.MODES`)
DO_PUT_OFF, DO_ASK_MODE = 20, 21
DO_ASK_LAST_START = 23  # on a CPU whose call is over: asks when its last target's handler began
IN_USER_MODE, IN_KERNEL, IS_IDLE, IN_HANDLER, IS_FROZEN = range(5)
BY_CODE = 2  # of `DEFERS` and `PV_FLUSH`: a protocol's code says who is left out

# --- what the functions that end a step return ----------------------------------------------------
NOTHING = -1  # nothing before the limit
LOG_FULL = -2  # the log must be emptied before anything else happens
GO_ON = -3  # nothing yet: the calendar loop ends after `MOST_LOOKS`, so that signals are heard
FINISHED = -4  # of a task: the last one that counts has ended
SETTLE = -5  # a round is over in which spinners for mutexes have to go to sleep
OVER = -6  # a call is over at once, and the log must be emptied before anything else happens
NO_ROOM = -7  # of a note: the ring is full, and nothing has been done
MOST_LOOKS = 2000  # about a millisecond, on 4,096 CPUs less than 100
FAR = 1 << 40  # beyond every index: a bound that spares the hot loop its wrap-around checks
RETRY = 1 << 40  # added where the quantum was over and the task has gone to the tail
