"""The words of results: what each means, and where the tables have it.

Page and documentation show the same list. A column is written ``table.column``, one of its values
``table.column = value``; a metric and a number of the summary go by their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Term:
    """One word.

    Attributes
    ----------
    name, meaning
        The word, and one sentence.
    where
        What stands for it in a result.
    """

    name: str
    meaning: str
    where: str

    @property
    def told(self) -> str:
        """The sentence, with what stands for the word in parentheses."""
        return f"{self.meaning} ({self.where})"


def _kind(name: str, meaning: str) -> Term:
    return Term(name, meaning, f"crosscalls.kind = {name}")


def _cause(name: str, meaning: str) -> Term:
    return Term(name, meaning, f"crosscalls.cause = {name}")


def _reason(name: str, meaning: str) -> Term:
    return Term(name, meaning, f"crosscalls.slowest_reason = {name}")


SHOOTDOWNS: Final = (
    Term(
        "shootdown",
        "All CPUs that may use an outdated translation, or outdated code, are told to drop it, and"
        " the one that changed it goes on when they have.",
        "crosscalls",
    ),
    Term(
        "IPI call",
        "A shootdown that interrupts each target, which runs a function and unlocks its csd lock"
        " (smp_call_function_many).",
        "crosscalls.protocol = ipi",
    ),
    Term(
        "firmware call",
        "A shootdown that the firmware makes on request, as RISC-V's SBI does.",
        "crosscalls.protocol = sbi",
    ),
    Term(
        "TLB broadcast",
        "A shootdown by instructions that the interconnect carries to all CPUs (Arm's TLBI, AMD's"
        " INVLPGB); it interrupts nobody.",
        "crosscalls.protocol = tlbi",
    ),
    Term(
        "coherent TLBs",
        "TLBs that follow the stores to page tables as caches do: changing an entry drops it"
        " everywhere (UNITD, HATRIC); proposed, not built.",
        "crosscalls.protocol = coherent",
    ),
    Term(
        "TLB directory",
        "Hardware that knows which TLBs hold a translation and tells them (DiDi); proposed, not"
        " built.",
        "crosscalls.protocol = directory",
    ),
    Term(
        "remote action",
        "A shootdown by Intel's remote action requests (RAR): the targets' processors act by"
        " themselves, whatever interrupts are off; the patches were not merged.",
        "crosscalls.protocol = rar",
    ),
    Term(
        "deferral",
        "Isolated CPUs in user mode are left out of a shootdown of lazily freed addresses, and drop"
        " everything when they next enter the kernel; the patches were not merged.",
        "crosscalls.protocol = deferred",
    ),
    Term(
        "note",
        "What a CPU writes down of memory that user space has freed, instead of calling others:"
        " these drop it at their next tick or switch (LATR); the patch was not merged.",
        "crosscalls.protocol = latr",
    ),
    Term("initiator", "The task that makes a shootdown, on its CPU.", "crosscalls.cpu"),
    Term("target", "A CPU that a shootdown has to wait for.", "crosscalls.targets"),
    Term(
        "latency",
        "From the start of a shootdown to the initiator's next step.",
        "latency_mean_ps",
    ),
    Term("operation", "A call of a kernel function, with all that it does.", "operations"),
)
"""What is simulated."""

KINDS: Final = (
    _kind("full", "Every translation is dropped, so that TLBs have to be refilled."),
    _kind("range", "Only the translations of some pages are dropped."),
    _kind("sync_core", "No translation is dropped; CPUs serialise to take notice of new code."),
    _kind("empty", "Nothing is to be done but to answer."),
)
"""What the targets of a shootdown do."""

CAUSES: Final = (
    _cause("attributes", "A set_memory call changed the permissions of pages."),
    _cause("split", "A large leaf of the direct map was split into smaller ones."),
    _cause("collapse", "Small pages of the direct map were joined to a large leaf again."),
    _cause("purge", "Lazily freed addresses of vmalloc are given back."),
    _cause("reset_perms", "An area with VM_FLUSH_RESET_PERMS, such as a module's, was freed."),
    _cause("text_poke", "Code was patched."),
    _cause("new_mapping", "Something was mapped where a CPU might hold an older translation."),
    _cause("user", "Mappings of a user process changed."),
    _cause("numa", "NUMA balancing made pages of a process fault."),
    _cause("reclaim", "Pages of a process were taken away because memory is short."),
    _cause("hot_remove", "Memory was removed while the kernel runs."),
    _cause("vmemmap", "The descriptors of huge pages were trimmed, or made whole again."),
    _cause(
        "ring_full", "Memory of a process was freed, with no room to leave others a note (latr)."
    ),
    _cause("kmap", "The slots for short mappings of highmem pages were emptied."),
    _cause("membarrier", "A program asked for a barrier on the CPUs of its other threads."),
    _cause("request", "A workload asked for the flush, or the call, itself."),
    _cause("trace", "A row of a trace workload."),
)
"""What a shootdown is made for."""

PARTS: Final = (
    Term(
        "csd lock",
        "The lock in a call's csd (call_single_data), which the target releases when the function"
        " has run.",
        "anatomy.ack_ps",
    ),
    Term("csd enqueue", "The call is put into the queue of every target.", "crosscalls.queue_ps"),
    Term(
        "IRQ entry", "A CPU's way from its work into the interrupt handler.", "crosscalls.entry_ps"
    ),
    Term("drain", "A handler takes all calls in its queue at once.", "anatomy.taken_ps"),
    Term(
        "coalesced",
        "A call found the queue not empty, so no interrupt was sent for it: it is served by the"
        " handler of an earlier call.",
        "crosscalls.slowest_reason = ride",
    ),
    Term(
        "visit",
        "The initiator waits for the csd locks in order, one cache-line transfer each.",
        "crosscalls.visit_ps",
    ),
    Term(
        "cache-line transfer",
        "The way of a line from the cache of the CPU that wrote it to that of one that reads it.",
        "crosscalls.visit_ps",
    ),
    Term(
        "IPI cluster",
        "The CPUs that one write to the interrupt controller interrupts.",
        "crosscalls.send_ps",
    ),
    _reason("distance", "The slowest target had nothing in the way but the distance."),
    _reason("irqs_off", "The slowest target had interrupts off."),
    _reason("idle_exit", "The slowest target had to wake up from an idle state."),
    _reason("busy_handler", "The slowest target was still in a handler."),
    _reason("frozen", "On its way a virtual CPU did not run: it was not its turn on the host."),
    _reason("busy_server", "The interconnect was still at another TLB broadcast."),
    _reason("local", "No target was waited for: the initiator's own function ended last."),
)
"""What a latency consists of."""

COSTS: Final = (
    Term(
        "stolen",
        "Time that handlers, waking up for them and stalls by TLB broadcasts take from a CPU.",
        "cpus.stolen_ps",
    ),
    Term("spinning", "Waiting for csd locks and other locks, and keeping the CPU.", "cpus.spin_ps"),
    Term("interrupts off", "Time in which no handler can start on a CPU.", "cpus.irqs_off_ps"),
    Term(
        "time slice",
        "The time for which a task keeps a CPU that others are ready to run on.",
        "operations.delay_ps",
    ),
    Term("refill", "Walking page tables for what a full flush dropped.", "cpus.refill_ps"),
    Term(
        "lost",
        "What tasks lost: to handlers, to spinning, to enqueuing and sending, and to refill.",
        "lost_share",
    ),
    Term(
        "idle CPUs woken",
        "Handlers on CPUs without a task, and how long these were awake for them: no task lost"
        " that time.",
        "cpus.woken",
    ),
    Term("stall fraction", "The part of a TLB broadcast for which a CPU that computes stalls.",
         "cpus.stolen_ps"),
    Term("slowdown", "How much longer user work takes than it would alone.", "slowdown"),
    Term("lazy pages", "Pages that vfree has unmapped and no purge has flushed yet.",
         "timeline.lazy_pages"),
    Term(
        "stale",
        "Of a page: a TLB may still hold the translation from before its entry was changed.",
        "pools.stale_ps",
    ),
    Term(
        "violation",
        "A CPU could use an old translation when the kernel relied on that it cannot.",
        "violations.cpu",
    ),
    Term(
        "trusted",
        "Given back by vfree before any CPU has forgotten it: the kernel does not touch it.",
        "safety.trusted_areas",
    ),
    Term("exposure", "Bytes of a pool that were allocated and writable, times how long.",
         "pools.exposed_byte_s"),
)  # fmt: skip
"""What shootdowns cost."""

RUNS: Final = (
    Term(
        "transient",
        "The initial part of a run, in which shootdowns come at another rate than later on.",
        "transient_end_ps",
    ),
    Term("steady", "What follows the transient: a rate that no longer changes.", "after_per_s"),
    Term("replication", "One run of a scenario, with random draws of its own.", "cpus.replication"),
    Term("cell", "One combination of values in a sweep.", "cell"),
)
"""What runs consist of."""

GLOSSARY: Final = {
    "What happens": SHOOTDOWNS,
    "What the targets do": KINDS,
    "What it is for": CAUSES,
    "What a latency consists of": PARTS,
    "What it costs": COSTS,
    "Runs": RUNS,
}
"""All words, by what they are about."""
