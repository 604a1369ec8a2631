"""BPF programs: loading and freeing them, with every change of permission on the way.

Stands for ``bpf_prog_load`` and for what socket filters and seccomp do (kernel/bpf/syscall.c,
net/core/filter.c): ``bpf_prog_alloc``, the JIT, ``bpf_prog_select_runtime``, ``bpf_prog_free``
(kernel/bpf/core.c, Linux 4.16 to 6.18), as far as memory and cross-calls go. The JIT is taken to be
always on (CONFIG_BPF_JIT_ALWAYS_ON), as distributions have it, so that a program without room for
its code is refused. Left out: maps, subprograms, trampolines, and attaching.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pmsim import formatting
from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.calls import call
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.text.bpf_images import Image, program_images
from pmsim.kernel.text.bpf_limit import JitLimit
from pmsim.units import Bytes

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


STRUCT: Final = 72
"""Bytes of ``struct bpf_prog`` before its instructions (64 bits; include/linux/filter.h)."""
INSTRUCTION: Final = 8
"""Bytes of an instruction (``struct bpf_insn``)."""
SHA1_BLOCK: Final = 64
"""Of what the scratch memory of a tag is a multiple (``bpf_prog_tag_scratch_size``)."""


@dataclass(slots=True, eq=False)
class BpfProgram:
    """A program in memory.

    Attributes
    ----------
    size
        Bytes of its code.
    struct
        The area of its ``struct bpf_prog``, instructions included.
    image
        Its code; None where programs are interpreted.
    freed
        It was given back; whoever uses it still is undone.
    """

    size: Bytes
    struct: VmArea
    image: Image | None
    freed: bool = False


class Bpf:
    """The BPF programs of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    programs
        How many are loaded.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        profile = context.profile
        self.programs = 0
        # The struct itself is read-only where it runs the program, and in the oldest kernels.
        self._locks_struct = profile.bpf_images in ("interpreted", "per_program_ro")
        self._flags_struct = self._locks_struct and profile.reset_perms
        self._aux = profile.bpf_insn_aux
        self._costs = context.costs
        self._operations = context.operations
        self._workqueue = context.workqueue
        self._vmalloc = context.part(Vmalloc)
        self._set_memory = context.part(SetMemory)
        self._images = program_images(context)
        self._limit = JitLimit(profile.bpf_jit_limit)
        self._refusals: dict[Task, str] = {}

    @call
    def bpf_prog_load(
        self, task: Task, size: Bytes, *, verified: int = 0, capable: bool = True
    ) -> Generator[Any, Any, BpfProgram | None]:
        """Load a program: check and translate it, and make its code executable.

        Parameters
        ----------
        task
            Who calls.
        size
            Bytes of its code. Its instructions before translation are taken to be as many, unless
            their number is given.
        verified
            Instructions of a program that comes by bpf(2), whose verifier allocates two arrays and
            frees them; 0: a classic filter (of a socket, of seccomp), which is checked without.
        capable
            Whether the caller has ``CAP_BPF`` (before 5.8 ``CAP_SYS_ADMIN``), and is not refused
            for the kernel's ``bpf_jit_limit``.

        Returns
        -------
        BpfProgram or None
            None for an empty program, where addresses or memory run out, and beyond the limit;
            `bpf_refusal` gives the reason.

        Raises
        ------
        ProgramError
            For a negative size.
        """
        if size < 0:
            raise ProgramError(f"bpf_prog_load of {size} bytes", task.now, task.place)
        operation = self._operations.begin(task, "bpf_prog_load", -(-size // self._page_size))
        yield from self._operations.compute(task, self._costs.bpf_load)
        struct = None
        if size:
            untranslated = INSTRUCTION * verified or size
            struct = yield from self._vmalloc.vmalloc(task, STRUCT + untranslated)
        program = None
        self._refusals[task] = f"no room for {size:,} bytes of code"
        if struct is not None:
            if verified:
                yield from self._verify(task, verified)
            program = yield from self._select_runtime(task, size, struct, capable=capable)
            if program is None:
                yield from self._vmalloc.vfree(task, struct)
        self._operations.end(operation)
        return program

    @call
    def bpf_refusal(self, task: Task) -> str:
        """Return at once why the last load of a task that failed did so; empty if none has."""
        return self._refusals.get(task, "")

    @call
    def bpf_prog_free(self, task: Task, program: BpfProgram | None) -> Steps:
        """Free a program: ``bpf_prog_free`` leaves it to a worker of this CPU.

        The grace period that most callers let pass before is theirs, and not waited for here.

        Raises
        ------
        UndefinedBehaviour
            If it was freed before.
        """
        if program is None:
            return
        if program.freed:
            raise UndefinedBehaviour(
                "bpf_prog_free of a program for the second time", task.now, task.place
            )
        program.freed = True
        operation = self._operations.begin(task, "bpf_prog_free")
        self._workqueue.queue_work(task, partial(self._free_deferred, program))
        yield from ()
        self._operations.end(operation)

    def _verify(self, task: Task, instructions: int) -> Steps:
        """Allocate what the verifier needs, and free it: ``bpf_check``.

        Notes on every instruction, and a copy of all of them to take the program's tag of.
        """
        aux = yield from self._vmalloc.vmalloc(task, instructions * self._aux)
        scratch = yield from self._vmalloc.vmalloc(task, _tag_scratch_size(instructions))
        for area in (scratch, aux):
            if area is not None:
                yield from self._vmalloc.vfree(task, area)

    def _select_runtime(
        self, task: Task, size: Bytes, struct: VmArea, *, capable: bool
    ) -> Generator[Any, Any, BpfProgram | None]:
        """Translate a program (``bpf_prog_select_runtime``); None if there is no room for that."""
        image = None
        if self._images is not None:
            charged = self._images.size(size)
            if not self._limit.charge(charged, capable=capable):
                self._refusals[task] = (
                    f"not permitted (EPERM): with {size:,} bytes more the code of all programs"
                    f" would exceed net.core.bpf_jit_limit, {formatting.size(self._limit.limit)}"
                )
                return None
            image = yield from self._images.allocate(task, size)
            if image is None:
                self._limit.uncharge(charged)
                return None
        if self._locks_struct:
            struct.flush_reset_perms = self._flags_struct
            yield from self._set_memory.set_memory_ro(task, struct.address, struct.pages)
        self.programs += 1
        return BpfProgram(size, struct, image)

    def _free_deferred(self, program: BpfProgram, task: Task) -> Steps:
        """Free the code, then the struct: ``bpf_prog_free_deferred`` and ``bpf_jit_free``."""
        struct = program.struct
        operation = self._operations.begin(task, "bpf_prog_free_deferred", struct.pages)
        if program.image is not None:
            assert self._images is not None
            yield from self._images.free(task, program.image)
            self._limit.uncharge(program.image.size)
        if self._locks_struct and not self._flags_struct:
            yield from self._set_memory.set_memory_rw(task, struct.address, struct.pages)
        yield from self._vmalloc.vfree(task, struct)
        self.programs -= 1
        self._operations.end(operation)


def _tag_scratch_size(instructions: int) -> Bytes:
    """Return the bytes from which a program's tag is computed: a copy, a bit and a length."""
    return -(-(instructions * INSTRUCTION + 9) // SHA1_BLOCK) * SHA1_BLOCK
