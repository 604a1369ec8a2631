"""Simulated queues against what queueing theory says of them.

Kernels' locks are queues, and so are CPUs that wait for answers. Where all costs but one are
nearly zero, textbooks know the answer; where they are not, Little's law and the conservation of
CPU time hold all the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simpy.events import Event

import pmsim
from pmsim.confidence import batch_means, mean_interval
from pmsim.hardware.locks import Mutex, Spinlock
from pmsim.simulation.run import replications as running
from pmsim.simulation.tables.columns import CPU_TIMES
from pmsim.units import US, S
from pmsim.workloads.registry import Workload, workload
from pmsim.workloads.task import TaskSpec
from tests.machines import scenario

SERVICE = 10 * US
CPUS = 32
"""Customers that can wait at the same time: far more than ever do."""
ALMOST = 0.999
"""Level of the intervals that have to hold the truth: a fixed seed must not be an unlucky one."""


def nothing_costs(jitter: str = "0ns") -> dict[str, Any]:
    """Return costs that are as small as they may be, but for the jitter of deliveries."""
    return {
        "ipi": {
            "queue": "1ps", "send": "0ns", "delivery": {"core": "0ns"}, "line": {"core": "0ns"},
            "entry": "1ps", "exit": "0ns", "jitter": {"dist": "exponential", "scale": jitter},
        },
        "tlb": {
            "invlpg": "0ns", "flush_all": "0ns", "walk": "0ns", "entries": 1, "sync_core": "0ns"
        },
        "sched": {"quantum": "1s", "context_switch": "0ns", "wakeup": "0ns"},
    }  # fmt: skip


def on(cpus: int, *workloads: dict[str, Any], **keys: Any) -> pmsim.Scenario:
    machine = {"topology": {"cores": cpus}, "costs": nothing_costs(keys.pop("jitter", "0ns"))}
    return scenario(*workloads, machine=machine, measure={"timeline": "100ms"}, **keys)


@pytest.fixture
def waits(scoped_kinds: None) -> list[tuple[int, int]]:
    """Register the queue's workloads; return where customers note their number and their wait."""
    noted: list[tuple[int, int]] = []

    @workload("customers")
    class Customers(Workload):
        """Customers come at random, take a lock in turn, and hold it for their service."""

        count: int
        load: float
        service: str = "fixed"
        lock: str = "spinlock"

        def tasks(self, machine: Any) -> list[TaskSpec]:
            # Of one stream: every task sees all arrivals, and takes each that is its turn.
            return [TaskSpec(cpu, self.serve, stream="all") for cpu in range(machine.n_cpus)]

        def serve(self, _kernel: Any, cpu: Any) -> Iterator[Any]:
            gaps = cpu.rng("arrival").exponential(SERVICE / self.load, self.count)
            arrivals = np.cumsum(np.rint(gaps).astype(np.int64)).tolist()
            services = self.services(cpu.rng("service"))
            lock = getattr(cpu.locks, self.lock)("queue")
            for number in range(cpu.id, self.count, CPUS):
                yield from cpu.sleep_until(arrivals[number])
                start = cpu.now
                yield from lock.lock(cpu.task)
                noted.append((number, cpu.now - start))
                yield from cpu.compute(services[number])
                lock.unlock(cpu.task)

        def services(self, rng: np.random.Generator) -> list[int]:
            if self.service == "fixed":
                return [SERVICE] * self.count
            return np.rint(rng.exponential(SERVICE, self.count)).astype(np.int64).tolist()

    @workload("machinists")
    class Machinists(Workload):
        """Each thinks for a random time, then holds the lock for a random time, again and again."""

        think: int

        def tasks(self, machine: Any) -> list[TaskSpec]:
            return [TaskSpec(c, self.work, stream=f"cpu{c}") for c in range(machine.n_cpus)]

        def work(self, _kernel: Any, cpu: Any) -> Iterator[Any]:
            lock, rng = cpu.locks.spinlock("repairman"), cpu.rng("times")
            while True:
                yield from cpu.sleep(round(rng.exponential(self.think)))
                start = cpu.now
                yield from lock.lock(cpu.task)
                noted.append((cpu.id, cpu.now - start))
                yield from cpu.compute(round(rng.exponential(SERVICE)))
                lock.unlock(cpu.task)

    return noted


def queue(waits: list[tuple[int, int]], **keys: Any) -> np.ndarray:
    """Run customers through the queue; return their waits in the order of arrival."""
    waits.clear()
    options = {
        name: keys.pop(name) for name in ("count", "load", "service", "lock") if name in keys
    }
    pmsim.run(on(CPUS, {"kind": "customers", **options}, **keys))
    assert len(waits) == options["count"]
    return np.array([wait for _, wait in sorted(waits)], dtype=float)


@pytest.mark.parametrize(
    ("service", "variation"), [("fixed", 0.0), ("exponential", 1.0)], ids=["M/D/1", "M/M/1"]
)
@pytest.mark.parametrize("lock", ["spinlock", "mutex"])
def test_the_wait_for_a_busy_lock_is_pollaczek_s_and_khinchine_s(
    waits: list[tuple[int, int]], service: str, variation: float, lock: str
) -> None:
    load = 0.6
    found = batch_means(
        queue(waits, count=12_000, load=load, service=service, lock=lock, seed=3)[500:], ALMOST
    )
    # W = load (1 + c²) S / (2 (1 - load)), c² the squared coefficient of variation of the service.
    wait = load * (1 + variation) * SERVICE / (2 * (1 - load))
    assert found.low <= wait <= found.high
    assert found.relative < 0.35


def test_closed_initiators_are_machines_and_the_lock_their_repairman(
    waits: list[tuple[int, int]],
) -> None:
    machines, think, duration = 8, 50 * US, 400_000 * US
    pmsim.run(on(machines, {"kind": "machinists", "think": think}, duration="400ms"))
    # M/M/1//K: of K machines n are down with a weight of K! / (K - n)! (S / Z)^n.
    ratio = SERVICE / think
    idle = 1 / sum(math.perm(machines, n) * ratio**n for n in range(machines + 1))
    per_ps = (1 - idle) / SERVICE
    assert len(waits) == pytest.approx(per_ps * duration, rel=0.02)
    # By Little's law, K = X (Z + W + S).
    wait = machines / per_ps - think - SERVICE
    found = batch_means([w for _, w in waits[1000:]], ALMOST)
    assert found.low <= wait <= found.high
    assert found.relative < 0.1


@pytest.mark.parametrize("targets", [1, 4, 16, 64])
def test_the_slowest_of_n_exponential_targets_takes_the_harmonic_number_of_means(
    tmp_path: Path, targets: int
) -> None:
    program = tmp_path / "program.csv"
    program.write_text("cpu,op,arg\n" + "0,flush_kernel,1\n" * 3000)
    run = pmsim.run(on(targets + 1, {"kind": "trace", "file": str(program)}, jitter="1us"))
    latency = (run.crosscalls["end_ps"] - run.crosscalls["start_ps"]).to_numpy()
    found = mean_interval(latency, ALMOST)
    harmonic = sum(1 / k for k in range(1, targets + 1))
    # Handing out takes a picosecond per target, and nothing else any time.
    assert found.low - 2 * targets <= harmonic * US <= found.high
    assert found.relative < 0.07


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Look at every run at even intervals; return where the numbers of waiting tasks are noted."""
    noted: list[int] = []
    observe = running.observe

    def watch(machine: Any) -> Iterator[Event]:
        while True:
            yield machine.clock.timeout(1_370_003)  # 1.37 us, and in step with nothing
            noted.append(
                sum(
                    isinstance(task.waiting_for, Mutex | Spinlock)
                    for task in machine.tasks.values()
                )
            )

    def observed(machine: Any, *arguments: Any) -> Iterator[Event]:
        machine.clock.process(watch(machine))
        return observe(machine, *arguments)

    monkeypatch.setattr(running, "observe", observed)
    return noted


@pytest.mark.parametrize("lock", ["spinlock", "mutex"])
def test_little_s_law_holds_for_the_queue_of_a_lock(
    waits: list[tuple[int, int]], sampled: list[int], lock: str
) -> None:
    duration = 80_000 * US
    pmsim.run(on(CPUS, {"kind": "customers", "count": 20_000, "load": 0.7, "lock": lock},
                 duration="80ms"))  # fmt: skip
    arrived = sum(wait for _, wait in waits) / duration  # arrivals per time x mean wait
    assert np.mean(sampled) == pytest.approx(arrived, rel=0.02)
    assert arrived > 0.5


CHURN = {"kind": "pool_churn", "pools": 1000, "allocations": 8, "pool": {"refill": "4KiB"}}


def test_little_s_law_holds_for_the_locks_of_the_kernel(sampled: list[int]) -> None:
    several = [{**CHURN, "name": f"churn {cpu}", "cpu": cpu} for cpu in range(6)]
    # One that is given a lock waits on until it runs, and is in no queue any more. So nothing may
    # come between: no line to fetch, no wake-up, no handler. What is waited for is the answer to
    # shootdowns, whose interrupts take their time.
    costs = nothing_costs()
    costs["ipi"]["delivery"] = {"core": "500ns"}
    machine = {"topology": {"cores": 6}, "costs": costs}
    run = pmsim.run(
        scenario(*several, machine=machine, duration="20ms", measure={"timeline": "1ms"})
    )
    duration = run.manifest["durations_ps"][0]
    roots = run.operations[run.operations["parent"].isna()]
    waiting = roots["lock_wait_ps"].sum() / duration
    assert waiting > 0.2
    assert np.mean(sampled) == pytest.approx(waiting, rel=0.03)


def test_little_s_law_holds_for_initiators_that_wait_for_answers() -> None:
    # The initiator is alone, so nothing interrupts it: its CPU's account of spinning and starting
    # calls is the number of waiting initiators, integrated over time.
    run = pmsim.run(scenario({**CHURN, "name": "churn", "pools": 50}, {"kind": "user_work"}))
    calls, account = run.crosscalls, run.cpus.set_index("cpu").loc[0]
    duration = run.manifest["durations_ps"][0]
    per_second = len(calls) * S / duration
    mean = (calls["end_ps"] - calls["start_ps"]).mean()
    number = (account["spin_ps"] + account["irqs_off_ps"]) / duration
    assert number == pytest.approx(per_second * mean / S, rel=1e-12)
    assert len(calls) > 100


def test_little_s_law_holds_for_handlers() -> None:
    # Each call interrupts each of three busy CPUs once, for entry, a full flush and exit.
    run = pmsim.run(scenario({**CHURN, "name": "churn", "pools": 50}, {"kind": "user_work"}))
    full, ranged = ((run.crosscalls["kind"] == kind).sum() for kind in ("full", "range"))
    spans = run.crosscalls.loc[run.crosscalls["kind"] == "range", "pages"].sum()
    entry_exit, flush_all, invlpg = 300_000, 300_000, 50_000
    expected = 3 * ((full + ranged) * entry_exit + full * flush_all + spans * invlpg)
    assert run.cpus["stolen_ps"].sum() == expected
    assert run.cpus["handlers"].sum() == 3 * len(run.crosscalls)


@pytest.mark.slow
def test_of_200_intervals_at_95_per_cent_of_a_known_queue_at_least_180_hold_the_truth(
    waits: list[tuple[int, int]],
) -> None:
    load, first, last = 0.5, 100, 400
    truth = load * SERVICE / (2 * (1 - load))
    held = 0
    for seed in range(200):
        waits.clear()
        pmsim.run(
            on(CPUS, {"kind": "customers", "count": last, "load": load}, seed=seed, replications=8)
        )
        rows = np.array([wait for _, wait in waits], dtype=float).reshape(8, last)
        numbers = np.array([number for number, _ in waits]).reshape(8, last)
        means = [row[np.argsort(n)][first:].mean() for row, n in zip(rows, numbers, strict=True)]
        found = mean_interval(means)
        held += found.low <= truth <= found.high
    assert held >= 180


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["idle-cpus", "late-answers", "module-burst", "policy-load", "pool-churn"]
)
def test_no_cpu_time_is_lost_or_made_in_the_scenarios_that_are_shipped(name: str) -> None:
    run = pmsim.run(name)
    parts = [part.name for part in CPU_TIMES]
    assert set(run.cpus[parts].sum(axis=1)) == {run.manifest["durations_ps"][0]}
    lengths = (run.timeline["end_ps"] - run.timeline["start_ps"]) * run.summary["cpus"]
    assert (run.timeline[parts].sum(axis=1) == lengths).all()
    assert (run.cpus["refill_ps"] <= run.cpus["busy_ps"]).all()
