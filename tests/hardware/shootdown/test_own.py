"""A protocol that is not pmsim's own is a class, read once, and a record like all others."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest

from pmsim.constants import declarations
from pmsim.errors import ProgramError
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown import own, protocols
from pmsim.hardware.shootdown.own import Time, TimeByDistance, instance_of, protocol, record_of
from pmsim.hardware.shootdown.protocol import Holds, Protocol, Shootdown, with_options
from pmsim.hardware.shootdown.protocols import PROTOCOLS, SHIPPED, number_of
from pmsim.hardware.tlb import empty_call, flush
from pmsim.hardware.topology import Topology
from tests.hardware import machines


@pytest.fixture(autouse=True)
def _scoped() -> Iterator[None]:
    with PROTOCOLS.scoped():
        yield


class Good:
    """Calls everybody. Nothing else."""

    promises = "closed"
    work: Annotated[Time, "What it does first."] = "20ns"
    trip: TimeByDistance = "1us"
    needed: Time
    twice: bool = False
    most: int = 3
    way: Literal["one", "other"] = "other"

    def shootdown(self, initiator: Any, flush: Any) -> Any:
        yield from initiator.cross_call(flush.targets, flush.function)


def test_a_class_says_what_its_record_says() -> None:
    record = record_of("good", Good)
    assert (record.text, record.at_return) == ("Calls everybody. Nothing else.", Holds.CLOSED)
    declared: type = record.costs
    costs = {one.key: (one.note.text, one.default) for one in declarations(declared)}  # type: ignore[union-attr]
    assert costs["work"] == ("What it does first.", 20_000)
    assert costs["trip"] == ("trip of good.", (1_000_000,) * 5)
    assert [one.key for one in declarations(declared) if one.required] == ["needed"]
    assert {one.name: one.default for one in record.options} == {
        "twice": "false",
        "most": "3",
        "way": "other",
    }


def test_its_keys_are_what_was_chosen_and_what_the_machine_gives() -> None:
    record = record_of("good", Good)
    costs = machines.costs(own=(record.costs(needed=5, work=7),))  # type: ignore[call-arg]
    chosen = with_options(record, {"twice": "true", "way": "one"})
    made = instance_of(chosen, costs)
    assert (made.work, made.needed, made.twice, made.most, made.way) == (7, 5, True, 3, "one")


def test_a_machine_without_a_cost_that_has_no_default_does_not_have_it() -> None:
    record = record_of("good", Good)
    assert record.costs_on(machines.costs()) is None

    class Free:
        promises = "gone"
        work: Time = "2ns"
        shootdown = Good.shootdown

    assert record_of("free", Free).costs_on(machines.costs()).work == 2000  # type: ignore[union-attr]


class GoesOn:
    """Calls everybody and goes on, in a function within its method."""

    promises = "requested"

    def shootdown(self, initiator: Any, flush: Any) -> Any:
        def tell(cpus: Any) -> Any:
            yield from initiator.cross_call(cpus, flush.function, wait=False)

        yield from tell(flush.targets)


def test_whether_all_calls_are_waited_for_is_seen_or_said() -> None:
    assert not record_of("good", Good).goes_on
    assert record_of("goes-on", GoesOn).goes_on
    assert record_of("says", type("Says", (Good,), {"waits": False})).goes_on
    assert not record_of("denies", type("Denies", (GoesOn,), {"waits": True})).goes_on


def test_a_registered_one_stands_behind_pmsims_own() -> None:
    protocol("good")(Good)
    assert list(PROTOCOLS) == [*(one.name for one in SHIPPED), "good"]
    assert PROTOCOLS.names()[number_of(PROTOCOLS["good"])] == "good"


def test_the_same_class_again_replaces_itself() -> None:
    protocol("good")(Good)
    protocol("good")(Good)
    assert PROTOCOLS["good"].own is Good


def test_another_class_cannot_have_its_name() -> None:
    class Other(Good):
        pass

    protocol("good")(Good)
    with pytest.raises(ValueError, match=r"the protocol 'good' is already .*Good: choose"):
        protocol("good")(Other)


def test_one_that_goes_to_another_process_is_registered_there() -> None:
    protocol("good")(Good)
    costs = PROTOCOLS["good"].costs(needed=3)  # type: ignore[call-arg]
    sent = pickle.dumps((Shootdown(PROTOCOLS["good"]), costs))
    PROTOCOLS._known.pop("good")  # as in a process that has not seen it
    shootdown, costs = pickle.loads(sent)
    assert PROTOCOLS["good"] is shootdown.protocol
    assert isinstance(costs, shootdown.protocol.costs)
    assert instance_of(shootdown, machines.costs(own=(costs,))).needed == 3


class NoMethod:
    promises = "gone"


class OtherParameters:
    promises = "gone"

    def shootdown(self, initiator: Any) -> Any:
        yield initiator


class NoPromise:
    shootdown = Good.shootdown


class WrongPromise(NoPromise):
    promises = "much"


class Forgets:
    promises = "gone"

    def shootdown(self, initiator: Any, flush: Any) -> Any:
        initiator.cross_call(flush.targets, flush.function)


class DoesNothing:
    promises = "gone"

    def shootdown(self, initiator: Any, flush: Any) -> Any:
        return initiator


class WantsArguments(Good):
    def __init__(self, much: int) -> None:
        self.much = much


class DropsWhenever(Good):
    drops_at = "whenever"


class WaitsPerhaps(Good):
    waits = "perhaps"


class NoTime(NoPromise):
    promises = "gone"
    work: Time = "20"


class NoDefault(NoPromise):
    promises = "gone"
    most: int


class NoKey(NoPromise):
    promises = "gone"
    words: str = "some"


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (NoMethod, r"does not define shootdown\(self, initiator, flush\)"),
        (OtherParameters, r"other parameters than \(self, initiator, flush\)"),
        (NoPromise, "does not say what it promises: promises = 'gone' if"),
        (WrongPromise, "promises 'much': promises = 'gone' if"),
        (Forgets, r"test_own.py:\d+: initiator.cross_call\(.*\) does nothing without `yield from`"),
        (DoesNothing, "tells nobody anything: it needs a `yield from`"),
        (WantsArguments, "cannot be made without arguments"),
        (DropsWhenever, "drops_at of DropsWhenever is none of 'kernel_entry', 'tick', 'runs'"),
        (WaitsPerhaps, "waits of WaitsPerhaps is neither True nor False"),
        (NoTime, "work of NoTime: '20' is no time .*for example '20ns'"),
        (NoDefault, "most of NoDefault has no default"),
        (NoKey, "words of NoKey is neither a pmsim.Time"),
        (3, "a protocol is a class with a method shootdown, not 3"),
    ],
)
def test_a_class_that_cannot_be_one_is_refused_with_its_place(cls: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said) as refused:
        protocol("mine")(cls)
    assert cls == 3 or "test_own.py:" in str(refused.value)


@pytest.mark.parametrize("name", ["tlbi", "ipi", "sched", "memory", "native", "kernel"])
def test_a_name_that_stands_for_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"the name '{name}' is taken by pmsim itself"):
        protocol(name)(Good)


@pytest.mark.parametrize("name", ["", "2nd", "my protocol", "x" * 33])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a protocol"):
        protocol(name)(Good)


def test_a_protocol_is_registered_by_a_name() -> None:
    with pytest.raises(TypeError, match=r'@pmsim\.protocol\("my-protocol"\)'):
        protocol(Good)  # type: ignore[arg-type]


class Entry:
    """Stands for what a package names."""

    name, value = "mine", "my_package:Mine"

    def __init__(self, loads: Any) -> None:
        self.load = loads


def test_what_packages_name_is_looked_for_when_somebody_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = Entry(lambda: protocol("mine")(Good))
    asked: list[str] = []
    monkeypatch.setattr(protocols, "entry_points", lambda group: asked.append(group) or [entry])
    known = protocols.Protocols()
    monkeypatch.setattr(own, "PROTOCOLS", known)
    assert known["tlbi"].name == "tlbi"
    assert asked == []
    assert known["mine"].own is Good
    assert "yours" not in known
    assert asked == ["pmsim.protocols"]


def test_a_package_that_cannot_be_loaded_takes_no_protocol_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = Entry(lambda: 1 // 0)
    monkeypatch.setattr(protocols, "entry_points", lambda group: [entry])
    known = protocols.Protocols()
    with pytest.warns(UserWarning, match="'mine' of my_package:Mine cannot be loaded: integer"):
        assert list(known) == [one.name for one in SHIPPED]


# --- what its code does wrong ---------------------------------------------------------------------


def run(method: Any, drops_at: str = "", isolated: tuple[int, ...] = ()) -> None:
    """Make one flush by a protocol of this method, on two CPUs."""
    made = type("Mine", (), {"promises": "gone", "drops_at": drops_at, "shootdown": method})
    record: Protocol = record_of("mine", made)
    machine = Machine(
        Topology(cores=2), machines.costs(), shootdown=Shootdown(record), isolated=isolated
    )
    machine.spawn(0, lambda task: task.cross_call(flush(machine.costs.tlb, 1, 33)))
    machine.run()


def sleeps(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.sleep(5)


def divides(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.spin(1 // 0)


def yields(self: Any, initiator: Any, flush: Any) -> Any:
    yield 5


def calls_a_cpu_that_is_not_there(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call([7], flush.function)


def calls_a_cpu_twice(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call([1, 1], flush.function)


def another_function(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, empty_call())


def another_acknowledgement(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, ack="never")


def says_when_nobody_waits(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, ack="entry", wait=False)


def waits_perhaps(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, wait=None)


def goes_on_unseen(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, **{"w" + "ait": False})


def no_time(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.irqs_off(-1)


def defers_undeclared(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.defer(1, flush.function, until="tick")


def defers_to_an_ordinary_cpu(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.defer(1, flush.function, until="kernel_entry")


@pytest.mark.parametrize(
    ("method", "drops_at", "said"),
    [
        (sleeps, "", "an initiator has no 'sleep': it can cross_call, broadcast, defer, spin"),
        (divides, "", "the protocol mine raised ZeroDivisionError"),
        (yields, "", "the protocol yields 5 by itself"),
        (calls_a_cpu_that_is_not_there, "", r"a CPU that is not there \(numbers from 0 to 1\)"),
        (calls_a_cpu_twice, "", "names a CPU twice"),
        (another_function, "", r"another function than the flush's \(flush.function\)"),
        (another_acknowledgement, "", r"acknowledges at 'never' \(ack='completion' or"),
        (says_when_nobody_waits, "", r"ack='entry' of a call that nobody waits for \(no ack with"),
        (waits_perhaps, "", r"takes None for wait \(wait=True or wait=False\)"),
        (goes_on_unseen, "", r"in code that its class does not hold .*says so: waits = False\)"),
        (no_time, "", r"takes -1 as a time \(picoseconds"),
        (defers_undeclared, "", r"defers until 'tick' \(the class says when: drops_at = 'tick'\)"),
        (defers_to_an_ordinary_cpu, "kernel_entry", "defers to CPU 1, which is not isolated"),
    ],
)
def test_what_its_code_does_wrong_is_said_with_its_line(
    method: Any, drops_at: str, said: str
) -> None:
    with pytest.raises(ProgramError, match=said) as failed:
        run(method, drops_at)
    line = method.__code__.co_firstlineno + 1
    assert f"test_own.py:{line}: " in str(failed.value)


def test_a_machine_that_cannot_broadcast_is_named() -> None:
    def method(self: Any, initiator: Any, flush: Any) -> Any:
        yield from initiator.broadcast()

    made = type("Mine", (), {"promises": "gone", "shootdown": method})
    costs = machines.costs(tlbi=None)
    machine = Machine(Topology(cores=2), costs, shootdown=Shootdown(record_of("mine", made)))
    machine.spawn(0, lambda task: task.cross_call(flush(costs.tlb, 1, 33)))
    with pytest.raises(ProgramError, match="broadcasts, which this machine cannot"):
        machine.run()


def test_a_machine_has_to_give_what_it_costs_to_leave_cpus_out() -> None:
    class Entry(Good):
        drops_at = "kernel_entry"
        needed: Time = 0

    with pytest.raises(ValueError, match="the machine has no costs for deferred"):
        Machine(
            Topology(cores=2),
            machines.costs(deferred=None),
            shootdown=Shootdown(record_of("entry", Entry)),
        )
