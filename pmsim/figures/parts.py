"""The parts of a shootdown's latency as figures draw them, each the same wherever it is drawn."""

from __future__ import annotations

from typing import Final

from pmsim.figures import look
from pmsim.figures.look import Mark

MARKS: Final = {
    "server": Mark("interconnect busy", look.ORANGE, "----"),
    "service": Mark("invalidating", look.BROWN, "xxxx"),
    "round_trip": Mark("round trip", look.GREY, "xxxx"),
    "queue": Mark("csd enqueue", look.BLUE),
    "send": Mark("send", look.CYAN, "||||"),
    "local": Mark("own flush", "#d8c4bd", "xxxx"),
    "queued": Mark("in the queue", "#d8e8f8"),
    "delivery": Mark("in flight", look.GREY, "||||"),
    "irqs_off": Mark("interrupts off", look.RED),
    "idle_exit": Mark("idle exit", look.VERMILION, "////"),
    "busy_handler": Mark("busy handler", look.ORANGE),
    "frozen": Mark("frozen", "#8fc9c0", "++++"),
    "ride": Mark("coalesced", look.SAND, "////"),
    "entry": Mark("IRQ entry", look.PURPLE, "////"),
    "function": Mark("function", look.BROWN, "||||"),
    "exit": Mark("IRQ exit", "#cdb3e0", "----"),
    "visit": Mark("csd lock visits", look.SLATE, "\\\\\\\\"),
    "resume": Mark("resume", "#c9cbd1", "\\\\\\\\"),
}
"""Their names, colours and hatching: any two differ in lightness, or in hatching."""
