"""Protocols that are not pmsim's own, for random programs: between them they do all that one can.

The one that the documentation builds is among them, as it stands there in the end.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal

from pmsim.hardware.shootdown.own import Time, TimeByDistance, record_of
from pmsim.hardware.shootdown.protocol import Protocol
from tests.docs.play import blocks

PAGE: Final = Path(__file__).parents[2] / "docs" / "own-protocol.md"


class Entry:
    """Leaves isolated CPUs in user mode out, and calls the others in two halves."""

    promises = "requested"
    drops_at = "kernel_entry"
    note: Time = 0
    ack: Literal["completion", "entry"] = "completion"
    once: bool = True

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        called = []
        for number in flush.targets:
            cpu = initiator.cpus[number]
            if cpu.isolated and (cpu.mode == "user" or (cpu.mode == "idle" and not self.once)):
                yield from initiator.irqs_off(self.note)
                yield from initiator.defer(cpu, flush.function, until="kernel_entry")
            else:
                called.append(number)
        half = len(called) if self.once else len(called) // 2
        yield from initiator.cross_call(called[:half], flush.function, ack=self.ack)
        if called[half:]:
            yield from initiator.spin(self.note)
            yield from initiator.cross_call(called[half:], flush.function)


class Tick:
    """Leaves even CPUs a note, if there is room, and calls the others."""

    promises = "requested"
    drops_at = "tick"
    work: Time = 0

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        even = [number for number in flush.targets if number % 2 == 0]
        noted = flush.frees_pages and (
            yield from initiator.defer(even, flush.function, until="tick")
        )
        yield from initiator.irqs_off(self.work)
        called = [n for n in flush.targets if not (noted and n in even)]
        yield from initiator.cross_call(called, flush.function)


class Runs:
    """Leaves frozen CPUs out, waits for those that idle by the hardware, and calls the others."""

    promises = "requested"
    drops_at = "runs"
    lookup: Time = 0
    trip: TimeByDistance = 0

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        called, asked = [], []
        for number in flush.targets:
            cpu = initiator.cpus[number]
            if cpu.mode == "frozen":
                yield from initiator.defer(cpu, flush.function, until="runs")
            elif cpu.mode == "idle":
                asked.append(cpu)
            else:
                called.append(cpu)
        if asked:
            far = max(initiator.between(self.trip, cpu) for cpu in asked)
            yield from initiator.spin(self.lookup + far, drops=[*asked, initiator.cpu])
        yield from initiator.cross_call(called, flush.function)


class Begun:
    """Goes on when all have begun, and waits for hardware that drops it besides."""

    promises = "closed"
    wait: Time = 0

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        yield from initiator.cross_call(flush.targets, flush.function, ack="entry")
        yield from initiator.spin(self.wait, drops=flush.targets)


class GoesOn:
    """Calls CPUs and goes on, so that the next one comes to data in use."""

    promises = "requested"
    work: Time = 0
    trip: TimeByDistance = 0
    then: Literal["nothing", "again", "some", "waits", "turns", "hardware"] = "nothing"

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        targets = flush.targets
        if self.then == "turns":  # every other shootdown is waited for
            wait = initiator.now // 50 % 2 == 0
            yield from initiator.cross_call(targets, flush.function, wait=wait)
            return
        first = targets[::2] if self.then == "some" else targets
        yield from initiator.cross_call(first, flush.function, wait=False)
        yield from initiator.irqs_off(self.work)
        if self.then in ("again", "some"):
            yield from initiator.cross_call(targets[::-1], flush.function, wait=False)
        elif self.then == "waits":
            yield from initiator.cross_call(targets[1:], flush.function)
        elif self.then == "hardware" and targets:
            yield from initiator.spin(initiator.between(self.trip, targets[0]), drops=targets)
            yield from initiator.broadcast()


class EntersOrGoesOn:
    """Leaves isolated CPUs in user mode out; of the others waits for some, or for nobody."""

    promises = "requested"
    drops_at = "kernel_entry"
    work: Time = 0

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        left_out = [n for n in flush.targets if initiator.cpus[n].mode == "user"]
        called = [n for n in flush.targets if n not in left_out]
        yield from initiator.defer(left_out, flush.function, until="kernel_entry")
        yield from initiator.cross_call(called, flush.function, wait=False)
        yield from initiator.irqs_off(self.work)
        waited = [n for n in called if initiator.cpus[n].mode == "handler"]
        yield from initiator.cross_call(waited, flush.function, ack="entry")


class RunsOrGoesOn:
    """Leaves frozen CPUs out, and calls the others without waiting; tables it waits for."""

    promises = "requested"
    drops_at = "runs"

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        frozen = [n for n in flush.targets if initiator.cpus[n].mode == "frozen"]
        called = [n for n in flush.targets if n not in frozen]
        yield from initiator.defer(frozen, flush.function, until="runs")
        yield from initiator.cross_call(called, flush.function, wait=flush.frees_tables)


class TicksOrGoesOn:
    """Leaves even CPUs a note, if there is room, and calls the others without waiting."""

    promises = "requested"
    drops_at = "tick"

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        odd = [number for number in flush.targets if number % 2]
        yield from initiator.cross_call(odd, flush.function, wait=False)
        even = [number for number in flush.targets if number not in odd]
        noted = yield from initiator.defer(even, flush.function, until="tick")
        yield from initiator.cross_call(() if noted else even, flush.function, wait=False)


class Always:
    """Leaves isolated CPUs out whatever they do, perhaps twice, and works on."""

    promises = "requested"
    drops_at = "kernel_entry"
    work: Time = 0

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        for _ in range(2):
            left_out = [n for n in flush.targets if initiator.cpus[n].isolated]
            yield from initiator.defer(left_out, flush.function, until="kernel_entry")
            yield from initiator.irqs_off(self.work)


class Broadcast:
    """Broadcasts on everything, calls those that handle interrupts, and waits for all others."""

    promises = "gone"
    trip: TimeByDistance = 0

    def shootdown(self, initiator, flush):  # type: ignore[no-untyped-def]
        if flush.pages is not None and flush.pages > 2:
            yield from initiator.broadcast()
            return
        modes = {number: initiator.cpus[number].mode for number in flush.targets}
        called = [number for number, mode in modes.items() if mode == "handler"]
        others = [number for number in modes if number not in called]
        if others:
            yield from initiator.spin(initiator.between(self.trip, others[-1]), drops=others)
        yield from initiator.cross_call(called, flush.function, ack="entry")


def documented() -> dict[str, type]:
    """Return the classes that the page on own protocols shows, by their steps; none is registered.

    The last one, which is mended, goes by its name.
    """
    found: dict[str, type] = {}
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        if block.file == "early.py":
            registered = SimpleNamespace(protocol=lambda _name: lambda cls: cls, Time=Time)
            namespace: dict[str, Any] = {"__name__": "early", "pmsim": registered}
            text = block.text.replace("import pmsim", "")
            exec(compile(text, str(PAGE), "exec", dont_inherit=True), namespace)
            found[f"step {len(found) + 1}"] = namespace["Early"]
    _, mended = found.popitem()
    return {**found, "early": mended}


OWN: Final[dict[str, Protocol]] = {
    name: record_of(name, one)
    for name, one in {
        "entry": Entry,
        "tick": Tick,
        "runs": Runs,
        "broadcast": Broadcast,
        "begun": Begun,
        "always": Always,
        "goes_on": GoesOn,
        "enters_or_goes_on": EntersOrGoesOn,
        "runs_or_goes_on": RunsOrGoesOn,
        "ticks_or_goes_on": TicksOrGoesOn,
        "early": documented()["early"],
    }.items()
}
