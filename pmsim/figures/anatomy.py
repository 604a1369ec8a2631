"""The anatomy of one IPI call: a lane per CPU, from csd enqueue to acknowledgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.figures import look, scales
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.parts import MARKS
from pmsim.figures.source import Tables, batches

Which = Literal["median", "p99", "slowest"]
"""The calls of a run that are kept whole."""

PARTS: Final = {
    part: MARKS.get(part, MARKS["delivery"])
    for part in (
        "queue", "send", "local", "visit", "resume", "queued", "flight", "frozen", "irqs_off",
        "idle_exit", "busy_handler", "ride", "entry", "function", "exit",
    )
}  # fmt: skip
"""What a stretch of a lane is: the initiator's, then those of the targets, in the order of time."""

_UNSEEN: Final = "#c3cac9"
"""Of the line from an answer to the time when it is seen."""
_ALIKE: Final = 1.1
"""How many times as long as another a call may take and still look like it."""
_MOST_TARGETS: Final = 64
_SLOWEST_SHOWN: Final = 16
_MOST_NAMES, _FEW_NAMES = 14, 7
_NAMES: Final = {"median": "The median call", "p99": "The p99 call", "slowest": "The slowest call"}
_SPOKEN: Final = {
    "queue": "CPU {initiator} enqueued it",
    "send": "CPU {initiator} sent interrupts",
    "local": "CPU {initiator} ran the function itself",
    "flight": "the interrupt was on its way to CPU {cpu}",
    "irqs_off": "CPU {cpu} had interrupts off",
    "idle_exit": "CPU {cpu} was waking up",
    "busy_handler": "CPU {cpu} was busy with other calls",
    "frozen": "CPU {cpu} did not run (frozen)",
    "ride": "it was coalesced in the queue of CPU {cpu}",
    "entry": "CPU {cpu} was in IRQ entry",
    "function": "CPU {cpu} ran the function",
    "visit": "CPU {initiator} went from csd lock to csd lock",
    "resume": "CPU {initiator} was interrupted",
    "own_frozen": "CPU {initiator} did not run (frozen)",
}
_OF_INITIATOR: Final = ("queue", "send", "local", "visit", "resume", "own_frozen")


@dataclass(frozen=True, slots=True)
class Call:
    """One IPI call, its instants in picoseconds from its start.

    Attributes
    ----------
    which
        Which one of the run.
    cause, kind, initiator, latency
        Why it was made, what the targets did, who made it, and how long it took.
    own
        The initiator's stretches: part, from, to.
    waited
        Whether the initiator waited for the others.
    frozen
        How long of it one of the two that decided did not run, the last target or the initiator.
    targets
        A row per target, ascending: the instants of table ``anatomy``.
    stretches
        The targets' stretches: ``cpu, part, start, end``.
    """

    which: Which
    cause: str
    kind: str
    initiator: int
    latency: int
    own: list[tuple[str, int, int]]
    waited: bool
    frozen: int
    targets: pd.DataFrame
    stretches: pd.DataFrame


@drawn_from("a result")
def call_anatomy(result: Tables, *, which: Which = "slowest", ax: Axes | None = None) -> Axes:
    """Draw one IPI call of the first replication: what each CPU did, and waited for, and when.

    Parameters
    ----------
    result
        A result of `pmsim.run`.
    which
        ``"median"``, ``"p99"`` or ``"slowest"``.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    found = the_call(result, which)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def distinct(result: Tables, which: Which) -> Call | None:
    """Take one call, unless the anatomy of a slower one would look the same.

    It would where that call took hardly longer, most of it for the same reason.
    """
    call = the_call(result, which)
    if call is None:
        return None
    names = list(_NAMES)
    for other in names[names.index(which) + 1 :]:
        slower = the_call(result, cast(Which, other))
        if (
            slower is not None
            and slower.latency <= _ALIKE * call.latency
            and _longest(slower) == _longest(call)
        ):
            return None
    return call


def says(call: Call | None) -> bool:
    """Return whether there is a call to look into."""
    return call is not None


def the_call(result: Tables, which: Which) -> Call | None:
    """Take one call of the first replication; none where no CPU was ever called."""
    table = result.anatomy
    rows = table[(table["which"] == which) & (table["replication"] == table["replication"].min())]
    if rows.empty:
        return None
    first = rows.iloc[0]
    times = [name for name in rows.columns if name.endswith("_ps")]
    targets = rows[["cpu", "reason", *times]].reset_index(drop=True)
    targets[times] = targets[times].astype("Float64").astype(float)
    times.remove("frozen_ps")  # a length, no instant
    targets[times] -= float(first["start_ps"])
    return Call(
        which, str(first["cause"]), str(first["kind"]), int(first["initiator"]),
        int(first["end_ps"] - first["start_ps"]), _own(targets.iloc[0]),
        bool(targets["seen_ps"].notna().all()), _frozen(result, first), targets,
        _stretches(targets),
    )  # fmt: skip


def _frozen(result: Tables, call: pd.Series) -> int:
    """Return how long of a call was spent on virtual CPUs that did not run."""
    if result.summary.frozen is None:
        return 0
    keys = {"replication": "replication", "cpu": "initiator", "start_ps": "start_ps"}
    for frame in batches(result, "crosscalls", [*keys, "frozen_ps"]):
        same = np.logical_and.reduce([frame[name] == call[of] for name, of in keys.items()])
        if same.any():
            return int(frame["frozen_ps"][same].iloc[0])
    return 0


def _own(call: pd.Series) -> list[tuple[str, int, int]]:
    """Return the initiator's stretches, in order."""
    at = {
        name: int(call[name]) for name in call.index if name.endswith("_ps") and call.notna()[name]
    }
    looks = at.get("looks_ps", at["own_end_ps"])  # where nobody waited
    visited = at.get("visited_ps", looks)
    after = at["own_start_ps"] >= visited  # the serial order
    local = ("local", at["own_start_ps"], at["own_end_ps"])
    done = at["own_end_ps"] if after else visited
    stretches = [
        ("queue", 0, at["told_ps"]),
        ("send", at["told_ps"], at["all_sent_ps"]),
        *([] if after else [local]),
        ("visit", looks, visited),
        *([local] if after else []),
        ("resume", done, at["end_ps"]),
    ]
    return [stretch for stretch in stretches if stretch[2] > stretch[1]]


def _stretches(targets: pd.DataFrame) -> pd.DataFrame:
    """Cut each target's lane into what happened there.

    Of a wait for the handler that a target spends frozen in part, that part is put first: there it
    is but where a CPU freezes while it wakes up, or has interrupts off.
    """
    rides = targets["reason"] == "ride"
    waiting = targets["reason"].astype(str).where(~rides, "busy_handler")
    waiting = waiting.where(waiting.isin(["irqs_off", "idle_exit"]), "busy_handler")
    t = targets
    awake = t["arrives_ps"] + t["frozen_ps"]
    rode = t["queued_ps"].where(rides) + t["frozen_ps"]
    pieces = [
        ("queued", t["queued_ps"], t["sent_ps"]),
        ("flight", t["sent_ps"], t["arrives_ps"]),
        ("frozen", t["arrives_ps"], awake),
        (waiting, awake, t["handler_ps"]),
        ("entry", t["handler_ps"].where(~rides), t["taken_ps"]),
        ("frozen", t["queued_ps"].where(rides), rode),
        ("ride", rode, t["taken_ps"]),
        ("busy_handler", t["taken_ps"], t["runs_ps"]),
        ("function", t["runs_ps"], t["done_ps"]),
        ("exit", t["done_ps"], t["exit_ps"]),
    ]
    every = pd.concat(
        [
            pd.DataFrame({"cpu": t["cpu"], "part": part, "start": start, "end": end})
            for part, start, end in pieces
        ]
    )
    kept = every[every["end"] > every["start"]]
    return kept.sort_values(["cpu", "start"], kind="stable").reset_index(drop=True)


def critical(call: Call) -> dict[str, float]:
    """Return who decided when the call ended, ``cpu``, and what its latency was spent on.

    That is the last target whose answer the initiator had to wait for; the parts are those of the
    way there, in order, and then of the initiator. They add up to the latency. Without such a
    target ``cpu`` is -1, and every part is the initiator's; so it is where nobody waited.
    """
    t = call.targets
    before = np.append(t["looks_ps"].iloc[0], t["seen_ps"].to_numpy()[:-1])
    late = np.flatnonzero(t["ack_ps"].to_numpy() > before)
    parts: dict[str, float] = {"cpu": -1}
    own = call.own
    if late.size:
        row = t.iloc[late[-1]]
        parts["cpu"] = int(row["cpu"])
        told = float(row["queued_ps"] if row["reason"] == "ride" else row["told_ps"])
        parts["queue"] = told
        if row["reason"] != "ride":
            parts["send"] = float(row["sent_ps"] - told)
        mine = call.stretches[call.stretches["cpu"] == row["cpu"]]
        for part, start, end in zip(mine["part"], mine["start"], mine["end"], strict=True):
            until = min(end, float(row["ack_ps"]))
            if part not in ("queued", "exit") and until > start:
                parts[part] = parts.get(part, 0.0) + until - start
        parts["visit"] = float(row["visited_ps"] - row["ack_ps"])
        own = [stretch for stretch in own if stretch[1] >= row["visited_ps"]]
    for name, begin, finish in own:
        parts[name] = parts.get(name, 0.0) + finish - begin
    own_frozen = call.frozen - parts.get("frozen", 0.0)
    if own_frozen > 0:
        # The initiator's: where it froze is not known, but longest in its longest part.
        longest = max(_OF_INITIATOR, key=lambda name: parts.get(name, 0.0))
        parts["own_frozen"] = min(own_frozen, parts.get(longest, 0.0))
        parts[longest] = parts.get(longest, 0.0) - parts["own_frozen"]
    return parts


def shown_targets(call: Call) -> npt.NDArray[np.int64]:
    """Return the targets that get a lane: all, or who decided, the slowest, and some others."""
    cpus = call.targets["cpu"].to_numpy(dtype=np.int64)
    if len(cpus) <= _MOST_TARGETS:
        return cpus
    decided = cpus == critical(call)["cpu"]
    order = np.lexsort((-call.targets["ack_ps"].to_numpy(), ~decided))
    others = np.sort(order[_SLOWEST_SHOWN:])
    every = np.linspace(0, len(others) - 1, _MOST_TARGETS - _SLOWEST_SHOWN).round().astype(int)
    return np.sort(cpus[np.append(order[:_SLOWEST_SHOWN], others[every])])


def size(call: Call | None) -> tuple[float, float]:
    """Return the width and height of the figure, in inches: higher with more CPUs."""
    lanes = 0 if call is None else len(shown_targets(call))
    return 9.0, float(np.clip(2.6 + 0.065 * lanes, 3.2, 6.4)) if lanes > 12 else 2.4 + 0.16 * lanes


def draw(call: Call | None, ax: Axes) -> Axes:
    """Draw a call on axes."""
    if call is None:
        return look.nothing(ax, "No CPU was called", "The run has no IPI call to look into.")
    cpus = shown_targets(call)
    top = max(1.0, len(cpus) / (4.5 if current().narrow else 14))
    place = {int(cpu): top + 0.6 + k for k, cpu in enumerate(cpus)}
    bottom = top + 0.6 + len(cpus)
    _draw_targets(call, ax, place)
    _draw_initiator(call, ax, top)
    length = call.latency if call.waited else max(call.latency, call.targets["exit_ps"].max())
    ax.set_xlim(0, length * 1.01)
    ax.set_ylim(bottom, -0.1)
    _name_lanes(call, ax, place, top / 2)
    scales.round_ticks(ax.xaxis, 5 if current().narrow else 9, length)
    scales.time_axis(ax.xaxis, length, "time since the call began")
    used = {part for part, _, _ in call.own} | set(call.stretches["part"])
    seen = Mark(f"seen by CPU {call.initiator}", look.INK, dot=".")
    goes_on = Mark(f"CPU {call.initiator} goes on", look.INK, line="-")
    if not call.waited:
        ax.vlines(call.latency, 0, bottom, color=goes_on.colour, linewidth=1.0)
    own = seen if call.waited else goes_on
    room = look.key(ax, [*(PARTS[part] for part in PARTS if part in used), own])
    look.say(ax, message(call), _detail(call, len(cpus)), room)
    return ax


def _name_lanes(call: Call, ax: Axes, place: dict[int, float], top: float) -> None:
    """Name the initiator and as many targets as there is room for; bold: who took longest."""
    decided, blamed = int(critical(call)["cpu"]), _blamed(call) if call.waited else -1
    step = -(-len(place) // (_FEW_NAMES if current().narrow else _MOST_NAMES))
    lanes = {cpu: lane for lane, cpu in enumerate(place)}
    taken = [-1, *([lanes[decided]] if decided in place else [])]  # the initiator's is above all
    named = [cpu for cpu in list(place)[::step]
             if all(abs(lanes[cpu] - other) >= step for other in taken)]  # fmt: skip
    named += [decided] if decided in place else []
    ax.set_yticks(
        [top, *(place[cpu] + 0.5 for cpu in named)],
        [f"CPU {call.initiator} calls", *(f"CPU {cpu}" for cpu in named)],
    )
    for cpu, label in zip([call.initiator, *named], ax.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if cpu == blamed else "normal")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _draw_targets(call: Call, ax: Axes, place: dict[int, float]) -> None:
    stretches = call.stretches[call.stretches["cpu"].isin(list(place))]
    for part, rows in stretches.groupby("part", sort=False):
        ends = zip(rows["cpu"], rows["start"], rows["end"], strict=True)
        look.bars(
            ax, [(start, end, place[cpu] + 0.5, 0.78) for cpu, start, end in ends], PARTS[str(part)]
        )
    if call.waited:
        _draw_answers(call, ax, place)


def _draw_answers(call: Call, ax: Axes, place: dict[int, float]) -> None:
    """Draw when the initiator saw each answer, and the line from the answer to there."""
    t = call.targets[call.targets["cpu"].isin(list(place))]
    lanes = t["cpu"].map(place) + 0.5
    ax.hlines(lanes, t["ack_ps"], t["seen_ps"], color=_UNSEEN, linewidth=0.4)
    decided = t["cpu"] == critical(call)["cpu"]
    for size, chosen in ((0.3, ~decided), (0.75, decided)):
        ax.plot(
            t["seen_ps"][chosen], lanes[chosen], ".", color=look.INK,
            markersize=size * current().text, clip_on=False,
        )  # fmt: skip


def _draw_initiator(call: Call, ax: Axes, height: float) -> None:
    for part, start, end in call.own:
        look.bars(ax, [(start, end, height / 2, height * 0.9)], PARTS[part])


def _blamed(call: Call) -> int:
    """Return the CPU that most of the latency was spent on: the one that the message names."""
    return call.initiator if _longest(call) in _OF_INITIATOR else int(critical(call)["cpu"])


def message(call: Call) -> str:
    """Return the sentence on top: how long the call took, and what most of that was."""
    if not call.waited:
        done = formatting.time(float(call.targets["done_ps"].max()))
        return (
            f"{_NAMES[call.which]} kept CPU {call.initiator} for {formatting.time(call.latency)};"
            f" all had run it after {done}"
        )
    parts = critical(call)
    cpu = int(parts["cpu"])
    longest = _longest(call)
    what = _SPOKEN[longest].format(cpu=cpu, initiator=call.initiator)
    part = formatting.time(parts[longest])
    return f"{_NAMES[call.which]} took {formatting.time(call.latency)}; for {part} of it {what}"


def _longest(call: Call) -> str:
    """Return the part that most of the latency was spent on."""
    parts = critical(call)
    del parts["cpu"]
    return max(parts, key=lambda part: parts[part])


def _detail(call: Call, lanes: int) -> str:
    called = len(call.targets)
    chosen = ""
    if lanes < called:
        chosen = (
            f" {lanes} of {called:,} called CPUs: those that decided or answered last, and a"
            " sample of the others."
        )
    told = f"Cause: {call.cause}; kind: {call.kind}.{chosen}"
    if not call.waited:
        return f"{told} Nobody waited for it: the line is when CPU {call.initiator} went on."
    return (
        f"{told} Thin line: answered, not seen. Dot: when CPU {call.initiator} saw the answer, one"
        " CPU after the other; the large one is the last that it had to wait for. Bold: who took"
        " longest."
    )
