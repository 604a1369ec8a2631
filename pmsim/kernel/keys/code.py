"""How code is loaded, patched and traced: modules, BPF programs, kprobes, ftrace, live patches."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pmsim.kernel.keys.values import (
    Named,
)
from pmsim.quantities import PositiveSize, Size

ModuleTable = Literal[
    "none", "6.1-x86_64", "6.12-x86_64", "6.1-arm64", "6.12-arm64", "6.1-arm32", "6.12-riscv64"
]
"""A measured table of modules, by the kernel that they were built for."""


class CodeKeys(Named):
    """What becomes of code."""

    module_loader: Literal[
        "two_areas_rwx",
        "two_areas",
        "seven_areas",
        "seven_areas_rox",
        "seven_areas_rox_once",
        "rox_cache",
    ] = Field(description="Into which areas a module is loaded, and how they are protected.")
    module_table: ModuleTable = Field(
        description="The kernel whose measured modules a workload can name: a module has another"
        " size on each architecture, and in each version (none: segments have to be given)."
    )
    idempotent_loads: bool = Field(
        description="Whether a load of a module that is being loaded waits for that load."
    )
    static_calls: bool = Field(
        description="Whether modules have static-call sites that are patched as they come in."
    )
    text_poke: Literal[
        "per_site",
        "batch",
        "insn_kick",
        "insn",
        "insn_kick_once",
        "fence",
        "fence_once",
        "stop_machine",
    ] = Field(
        description="How sites of code are patched: behind breakpoints, one by one (per_site) or in"
        " batches (batch); by single writes, after each of which or once at the end the others take"
        " an empty call (insn_kick, insn_kick_once), nobody does (insn), or every hart executes"
        " fence.i (fence, fence_once); or while all CPUs are stopped (stop_machine)."
    )
    text_poke_flushes: int = Field(
        ge=0,
        strict=True,
        description="Flushes of a page that all CPUs are told of for each site that is written, to"
        " take away the mapping through which it was.",
    )
    ftrace_module_flushes: int = Field(
        ge=0,
        strict=True,
        description="The same for each function of a module that ftrace makes ready as it loads.",
    )
    text_poke_batch: int = Field(ge=1, strict=True, description="Sites of one batch.")
    icache_sync: bool = Field(
        description="Whether new code is announced to all other CPUs by a call before it is run:"
        " an empty one, or fence.i."
    )
    bpf_images: Literal["interpreted", "per_program_ro", "per_program_ro_x", "pack", "pack_rox"] = (
        Field(
            description="Where the code of BPF programs is and which calls make it executable:"
            " pages of their own (per_program_*) or chunks of a pack; interpreted: there is no JIT."
        )
    )
    bpf_boot_program: bool = Field(
        description="Whether a BPF program is there from boot, so that a pack exists and never"
        " becomes empty."
    )
    bpf_jit_limit: Size = Field(
        description="Bytes of code of BPF programs from which on callers without CAP_BPF are"
        " refused (net.core.bpf_jit_limit); 0B: none."
    )
    bpf_insn_aux: PositiveSize = Field(
        description="What the verifier of bpf(2) allocates for each instruction, and frees again."
    )
    code_range: Literal["modules", "vmalloc"] = Field(
        description="Where images of BPF programs and instruction slots of kprobes lie."
    )
    code_pages: Literal["born", "ro", "ro_x", "rox", "rox_cache"] = Field(
        description="How other pages for code (instruction slots of kprobes, trampolines of ftrace)"
        " become executable: mapped so (born), by the calls named, or taken from a cache of"
        " executable pages (rox_cache)."
    )
    kprobe_arming: Literal["none", "sync", "stop_machine"] = Field(
        description="What arming or disarming a kprobe does to other CPUs: nothing, one call after"
        " which they serialise, or it stops them."
    )
    kprobe_jumps: Literal["none", "patched", "synced"] = Field(
        description="Whether the breakpoint of a kprobe becomes a jump some ticks later, and how"
        " that goes again: as other code is patched, or by two writes, after each of which all CPUs"
        " serialise."
    )
    ftrace: Literal["one_batch", "text_poke", "insn", "stop_machine"] = Field(
        description="How the sites of ftrace are patched: behind breakpoints all at once"
        " (one_batch) or through text_poke, by single writes, or while all CPUs are stopped."
    )
    ftrace_trampolines: bool = Field(description="Whether a tracer gets a trampoline of its own.")
    ftrace_entry_sites: int = Field(
        ge=0,
        strict=True,
        description="Calls in the common entry of ftrace, patched where another function is to be"
        " called from there; 0: left out.",
    )
    ftrace_entry_again: bool = Field(
        description="Whether those calls are patched also where they call the list of all tracers"
        " already, as they do while sites change."
    )
    ftrace_opens_text: bool = Field(
        description="Whether switching tracing makes the kernel's and all modules' code writable."
    )

    livepatch: bool = Field(description="Whether functions can be patched while they run.")
    klp_resched: Literal["none", "static_call", "static_key"] = Field(
        description="Whether tasks that compute in the kernel are made to switch to patched code"
        " too: not (none), by every call of cond_resched, which are patched (static_call), or by a"
        " branch in the scheduler (static_key)."
    )
