"""Flushes of user space: how many there are, which enter a call, and whom they interrupt.

Two things that a row depends on are not in the table: what was in the mask when the test began, and
whether the mapping shared its page tables with anything. A row is exact if it is what the simulated
kernel does from one of these states (E, T), all its columns together. Noise is named:

* W: sleeping threads woke so many times in between;
* A: they were awake when a flush went out, and were interrupted;
* D: a spinning thread was off its CPU, displaced by a kernel thread, when a flush went out;
* N: a spinning thread was on its way in then, and was interrupted for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

import pytest

from pmsim.hardware.machine import Machine
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.user_mm import UserMm
from pmsim.units import MS
from tests.ground_truth.noise import Tally, UnexplainedError
from tests.ground_truth.observed import LINUX_6_1, X86, Counted, Row, rows
from tests.ground_truth.simulated import Calls
from tests.kernel.booted import small_machine

SWITCH = "tlb_flush[flush_on_task_switch_(0)]"
REMOTE = "tlb_flush[remote_shootdown_(1)]"
LOCAL = "tlb_flush[local_mm_shootdown_(3)]"
SEND = "tlb_flush[remote_ipi_send_(4)]"
"""The tracepoint tlb:tlb_flush, by its reason."""

CALLS_OF_A_CHANGE = {"mprotect": 2, "munmap": 1, "dontneed": 1, "mask": 1}
"""Calls in each iteration of the measured program; mask unmaps."""


class Trial(NamedTuple):
    """Parameters of a row: the mapping is changed ``n`` times by a thread on CPU 0."""

    kernel: Counted
    cpus: int
    op: str
    threads: int
    wait: str
    pages: int
    n: int


class State(NamedTuple):
    """What a row does not tell.

    Attributes
    ----------
    earlier
        A CPU on which the process ran before, and no other since, is in its mask.
    frees_tables
        Nothing else is mapped near the pages, so that page tables go with them.
    wakes
        Between so many of the changes the sleeping threads woke.
    more
        So many times more the first of them woke, the last time when all was done.
    """

    earlier: bool
    frees_tables: bool
    wakes: int
    more: int = 0


class Seen(NamedTuple):
    """Flushes, calls entered, interrupts; flushes run by a CPU of the process, or at a switch."""

    flushes: int
    entered: int
    interrupts: int
    remote: int
    on_switch: int


@cache
def predict(trial: Trial, state: State) -> Seen:
    machine = small_machine(trial.cpus)
    kernel = Kernel(machine, load_profile(trial.kernel.profile))
    entered: list[int] = []
    machine.on_crosscalls = lambda calls: entered.extend([1] * len(calls))
    mm = kernel.user.create()
    for cpu in range(1, trial.threads):
        more = state.more if cpu == 1 else 0
        _start(machine, kernel, cpu, _thread(mm, trial, state.wakes, more))
    if state.earlier:
        _start(machine, kernel, trial.cpus - 1, lambda handle: handle.use_mm(mm))
    before: list[int] = []
    _start(machine, kernel, 0, _changes(mm, trial, state, before))
    machine.run()
    interrupts = int(machine.accounts()["handlers"].sum())
    return Seen(
        flushes=mm.tlb_gen,
        entered=len(entered),
        interrupts=interrupts,
        remote=interrupts - mm.lazy_interrupts,
        on_switch=mm.switch_flushes - before[0] + mm.lazy_interrupts,
    )


def _start(machine: Machine, kernel: Kernel, cpu: int, program: object) -> None:
    machine.spawn(cpu, lambda task: program(KernelHandle(kernel, task)))  # type: ignore[operator]


def _thread(mm: UserMm, trial: Trial, wakes: int, more: int) -> object:
    def awake(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        if trial.op == "mask":
            # Another process runs there while it sleeps.
            yield from kernel.use_mm(kernel.kernel.user.create())

    def program(kernel: KernelHandle) -> Calls:
        yield from awake(kernel)
        if trial.wait == "spin":
            yield from kernel.task.compute((trial.n + 2) * MS)
        begin = MS + MS // 2
        last = begin + (trial.n - 1) * MS
        for at in [begin + n * MS for n in range(wakes)] + [
            last - n * MS for n in reversed(range(more))
        ]:
            yield from kernel.task.sleep(max(at - kernel.task.now, 0))
            yield from awake(kernel)

    return program


def _changes(mm: UserMm, trial: Trial, state: State, before: list[int]) -> object:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(MS)
        before.append(mm.switch_flushes)
        for _ in range(trial.n):
            for _ in range(CALLS_OF_A_CHANGE[trial.op]):
                if trial.op in ("munmap", "mask"):
                    yield from kernel.munmap(trial.pages, frees_tables=state.frees_tables)
                elif trial.op == "mprotect":
                    yield from kernel.mprotect(trial.pages)
                else:
                    yield from kernel.madvise_dontneed(trial.pages)
            yield from kernel.task.sleep(MS)

    return program


def parameters(row: Row) -> Trial:
    numbers = [row.number(column) for column in ("smp", "u_threads", "u_pages", "u_n")]
    cpus, threads, pages, n = numbers
    return Trial(row.kernel, cpus, row["u_uop"], threads, row["u_mode"], pages, n)


def states(trial: Trial, seen: Seen) -> Iterator[State]:
    """Return every state that a row may have begun in, those without noise first."""
    sleepers = trial.threads - 1 if trial.wait != "spin" else 0
    most_wakes = min(trial.n, seen.on_switch) if sleepers else 0
    for more in range(max(sleepers, 2) if sleepers else 1):
        for wakes in range(most_wakes + 1):
            for frees_tables in (False, True) if trial.op == "munmap" else (False,):
                for earlier in (False, True) if trial.threads < trial.cpus else (False,):
                    yield State(earlier, frees_tables, wakes, more)


def explain(row: Row) -> str:
    """Return the codes of the state and the noise that a row shows."""
    trial = parameters(row)
    seen = Seen(
        row.number("n_flush_tlb_mm_range"),
        row.number("n_flush_tlb_multi"),
        row.number("tlb_delta_end"),
        row.number(REMOTE),
        row.number(SWITCH),
    )
    for column, value in (
        ("n_user_tlb_cross", seen.entered),
        (SEND, seen.entered),
        (LOCAL, seen.flushes),
        ("n_cross_calls", 0),
        ("n_misc_cross", 0),
    ):
        if row.number(column) != value:
            raise UnexplainedError(f"{column} is {row.number(column)}, not {value}")
    if sum(row.numbers("ipis_per_cpu")) < seen.interrupts:
        raise UnexplainedError("fewer interrupts arrived than flushes were run for")
    if trial.op == "mask":
        return _awake_now_and_then(trial, seen)
    for noise in ("", "D", "N"):
        for state in states(trial, seen):
            if _reaches(predict(trial, state), seen, trial, noise, state.frees_tables):
                return _codes(state) + noise
    for state in states(trial, seen):
        if _awake(predict(trial, state), seen, trial):
            return _codes(state) + "A"
    raise UnexplainedError(f"{seen} follows from no state")


def _awake_now_and_then(trial: Trial, seen: Seen) -> str:
    """Explain a row whose other thread wakes often and briefly, beside another process."""
    done = seen.interrupts - seen.remote
    for earlier in (False, True):
        state = State(earlier, frees_tables=False, wakes=seen.on_switch - done)
        predicted = predict(trial, state)
        found = predicted._replace(
            entered=max(predicted.entered, seen.interrupts),
            interrupts=predicted.interrupts + seen.interrupts,
            remote=predicted.remote + seen.remote,
            on_switch=predicted.on_switch + done,
        )
        if found == seen and seen.interrupts <= seen.on_switch:
            return _codes(state) + ("A" if seen.interrupts else "")
    raise UnexplainedError(f"{seen} follows from no state")


def _awake(predicted: Seen, seen: Seen, trial: Trial) -> bool:
    """Return whether sleeping threads were awake when so many flushes went out."""
    cases = seen.remote - predicted.remote
    return (
        0 < cases <= trial.threads - 1
        and trial.wait == "sleep"
        and seen
        == predicted._replace(
            interrupts=predicted.interrupts + cases, remote=predicted.remote + cases
        )
    )


def _reaches(predicted: Seen, seen: Seen, trial: Trial, noise: str, frees_tables: bool) -> bool:
    """Return whether a prediction becomes what was seen, by at least one case of a noise."""
    cases = seen.on_switch - predicted.on_switch
    if noise and not (cases > 0 and trial.wait == "spin" and trial.threads > 1):
        return False
    if noise == "D" and frees_tables:
        # A CPU that has only borrowed the address space is interrupted where tables are freed: it
        # leaves it, which counts as a switch, and comes back by another.
        return cases % 2 == 0 and seen == predicted._replace(
            remote=predicted.remote - cases // 2, on_switch=predicted.on_switch + cases
        )
    missed = {"": 0, "D": cases, "N": 0}[noise]
    found_done = {"": 0, "D": cases, "N": cases}[noise]
    return seen == predicted._replace(
        interrupts=predicted.interrupts - missed,
        remote=predicted.remote - found_done,
        on_switch=predicted.on_switch + (cases if noise else 0),
    )


def _codes(state: State) -> str:
    woke = state.wakes + state.more
    marks = {"E": state.earlier, "T": state.frees_tables, "W": woke}
    return "".join(mark for mark, present in marks.items() if present)


@pytest.fixture(scope="module", params=X86, ids=str)
def judged(request: pytest.FixtureRequest) -> tuple[list[tuple[Trial, str | None]], Tally]:
    tally, table = Tally(f"{request.param}: user_tlb"), rows("user_tlb", request.param)
    found = [(parameters(row), tally.add(str(row), partial(explain, row))) for row in table]
    return found, tally


def test_every_row_follows_from_a_state_or_from_noise_with_a_name(
    judged: tuple[list[tuple[Trial, str | None]], Tally], capsys: pytest.CaptureFixture[str]
) -> None:
    _, tally = judged
    with capsys.disabled():
        print(f"\n{tally}")
    assert tally.unexplained == []


def test_every_set_of_parameters_has_a_repetition_without_noise(
    judged: tuple[list[tuple[Trial, str | None]], Tally],
) -> None:
    repetitions: dict[Trial, list[str]] = defaultdict(list)
    for trial, codes in judged[0]:
        repetitions[trial].append("U" if codes is None else codes)
    noisy = {
        trial
        for trial, codes in repetitions.items()
        if all(set(one) & set("WADNU") for one in codes)
    }
    # Changing 256 pages takes so long that sleeping threads always woke meanwhile, and napping
    # ones always do.
    assert {(trial.op, trial.wait, trial.pages) for trial in noisy} - {("mask", "nap200", 1)} == {
        ("munmap", "sleep", 256),
        ("dontneed", "sleep", 256),
    }


def test_a_spinning_thread_more_is_an_interrupt_more_for_each_flush() -> None:
    for op, flushes in (("mprotect", 20), ("munmap", 10), ("dontneed", 10)):
        trial = Trial(LINUX_6_1, 4, op, 4, "spin", 33, 10)
        quiet = State(earlier=False, frees_tables=False, wakes=0)
        assert predict(trial, quiet) == Seen(flushes, flushes, 3 * flushes, 3 * flushes, 0)


def test_a_row_with_an_interrupt_less_is_unexplained() -> None:
    row = next(row for row in rows("user_tlb") if row["tlb_delta_end"] == "20")
    row.cells["tlb_delta_end"] = "19"
    with pytest.raises(UnexplainedError, match="follows from no state"):
        explain(row)
