"""Where the code of BPF programs lies: pages of its own, or a place among others.

Stands for ``bpf_jit_binary_alloc`` and ``bpf_jit_binary_lock_ro`` (kernel/bpf/core.c and
include/linux/filter.h, Linux 4.16 and 5.15), and for ``bpf_prog_pack_alloc`` (kernel/bpf/core.c,
6.1 to 6.18). Left out: what a program leaves free at random before its code.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from pmsim.kernel.freespace import FreeSpace
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.text.code_pages import OwnCodePages
from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.text.text_poke import TextPoke
from pmsim.units import MIB, Bytes, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.profile import KernelProfile
    from pmsim.kernel.text.code_pages import CodeArea
    from pmsim.steps import Steps

HEADER: Final = 8
"""Bytes before the code (``struct bpf_binary_header``)."""
HOLE: Final = 128
"""Bytes that an image of its own has to spare at least (``bpf_jit_binary_alloc``)."""
PACK_HOLE: Final = 16
"""Bytes that an image in a pack has to spare at least (``bpf_jit_binary_pack_alloc``)."""
CHUNK: Final = 64
"""Bytes in which a pack is divided (``BPF_PROG_CHUNK_SIZE``)."""
PACK_PER_NODE: Final = 2 * MIB
"""Bytes of a pack for each NUMA node (``BPF_PROG_PACK_SIZE``)."""


WAYS: Final = {
    "per_program_ro": "ro",
    "per_program_ro_x": "ro_x",
    "pack": "ro_x",
    "pack_rox": "rox",
}
"""How the pages of images become executable (`pmsim.kernel.text.code_pages.CALLS`)."""


BOOT_CHUNKS: Final = 4
"""Chunks of the program that is there from boot (estimate: some 20 instructions)."""


@dataclass(slots=True, eq=False)
class Pack:
    """Pages that programs share.

    Attributes
    ----------
    address
        Where they begin.
    chunks
        Which chunks of them are free.
    area
        Their area; None for the pack that was made at boot and never goes.
    """

    address: int
    chunks: FreeSpace
    area: CodeArea | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """The code of one program.

    Attributes
    ----------
    address, size
        Where it begins, and its bytes, header included.
    area
        Its own pages; None if it lies in a pack.
    pack
        The pack, if it lies in one.
    """

    address: int
    size: Bytes
    area: CodeArea | None = None
    pack: Pack | None = None

    def pages(self, page_size: Bytes) -> Pages:
        """Return how many pages of a size it touches."""
        return -(-(self.address % page_size + self.size) // page_size)


MaybeImage = Generator[Any, Any, Image | None]
"""Takes simulated time; returns an image, or None if there is no room."""


class Images(Protocol):
    """Where the code of programs is put."""

    def size(self, code: Bytes) -> Bytes:
        """Return the bytes of an image with so much code."""

    def allocate(self, task: Task, code: Bytes) -> MaybeImage:
        """Return an image with the code in it, ready to run."""

    def free(self, task: Task, image: Image) -> Steps:
        """Give an image back."""


class OwnImages:
    """Each program has whole pages of its own.

    Parameters
    ----------
    context
        What they stand on.
    pages
        Where they come from and how they are protected.
    """

    def __init__(self, context: KernelContext, pages: OwnCodePages) -> None:
        self._page_size = context.profile.page_size
        self._pages = pages
        self._code_sync = context.part(CodeSync)

    def size(self, code: Bytes) -> Bytes:
        """Return the bytes of an image: whole pages."""
        return _round_up(code + HEADER + HOLE, self._page_size)

    def allocate(self, task: Task, code: Bytes) -> MaybeImage:
        """Allocate pages, write the code, then protect them."""
        size = self.size(code)
        fill = self._code_sync.flush_icache_range
        area = yield from self._pages.allocate(task, size // self._page_size, fill)
        return None if area is None else Image(area.address, size, area)

    def free(self, task: Task, image: Image) -> Steps:
        """Free the pages."""
        assert image.area is not None
        return self._pages.free(task, image.area)


class PackedImages:
    """Programs share packs of huge pages' size, which are protected once for all of them.

    A program is copied into pages that are executable already, as code is patched. Packs are mapped
    by small pages nevertheless: none of the kernels read for this asks for huge ones.

    Where a program is there from boot, a pack is too, and never becomes empty. Its addresses are
    not taken out of the range that the others come from.

    Parameters
    ----------
    context
        What they stand on; each package of the machine is a NUMA node.
    pages
        Where packs come from and how they are protected.

    Attributes
    ----------
    packs
        In the order in which they are searched: oldest first.
    pack_mutex
        Held while a place is searched for, and while a pack is made or freed, over all shootdowns.
    """

    def __init__(self, context: KernelContext, pages: OwnCodePages) -> None:
        self._page_size = context.profile.page_size
        self.packs: list[Pack] = []
        self.pack_mutex = KernelMutex(context.machine, "pack_mutex")
        self.pack_size = PACK_PER_NODE * context.machine.topology.packages
        if context.profile.bpf_boot_program:
            self.packs.append(self._pack_at_boot(context.profile))
        self._pages = pages
        self._operations = context.operations
        self._text_poke = context.part(TextPoke)
        self._code_sync = context.part(CodeSync)

    def size(self, code: Bytes) -> Bytes:
        """Return the bytes of an image: whole chunks."""
        return _round_up(code + HEADER + PACK_HOLE, CHUNK)

    def allocate(self, task: Task, code: Bytes) -> MaybeImage:
        """Find a place in a pack and copy the code there."""
        size = self.size(code)
        yield from self._operations.lock(task, self.pack_mutex)
        image = yield from self._place(task, size)
        self.pack_mutex.unlock(task)
        if image is not None:
            yield from self._text_poke.copy(task, image.pages(self._page_size))
            yield from self._code_sync.flush_icache_range(task)
        return image

    def free(self, task: Task, image: Image) -> Steps:
        """Overwrite the code and free its chunks, and the pack once it is empty."""
        yield from self._operations.lock(task, self.pack_mutex)
        pack = image.pack
        if pack is None:
            assert image.area is not None
            yield from self._pages.free(task, image.area)
        else:
            yield from self._text_poke.copy(task, image.pages(self._page_size))
            pack.chunks.give((image.address - pack.address) // CHUNK, image.size // CHUNK)
            if pack.chunks.free * CHUNK == self.pack_size:
                # Where a program of boot is in it, it never is.
                assert pack.area is not None
                self.packs.remove(pack)
                yield from self._pages.free(task, pack.area)
        self.pack_mutex.unlock(task)

    def _place(self, task: Task, size: Bytes) -> MaybeImage:
        """Return the first place that is large enough, in a new pack if there is none."""
        if size > self.pack_size:
            area = yield from self._pages.allocate(task, -(-size // self._page_size))
            return None if area is None else Image(area.address, size, area)
        for pack in self.packs:
            chunk = pack.chunks.take(size // CHUNK)
            if chunk is not None:
                return Image(pack.address + chunk * CHUNK, size, pack=pack)
        area = yield from self._pages.allocate(task, self.pack_size // self._page_size)
        if area is None:
            return None
        pack = Pack(area.address, FreeSpace(0, self.pack_size // CHUNK), area)
        self.packs.append(pack)
        pack.chunks.take(size // CHUNK)
        return Image(area.address, size, pack=pack)

    def _pack_at_boot(self, profile: KernelProfile) -> Pack:
        """Return the pack of the program that was loaded at boot, at the end of the range."""
        start, size = profile.modules_start, profile.modules_size
        if profile.code_range == "vmalloc":
            start, size = profile.vmalloc_start, profile.vmalloc_size
        pack = Pack(start + size - self.pack_size, FreeSpace(0, self.pack_size // CHUNK))
        pack.chunks.take(BOOT_CHUNKS)
        return pack


def program_images(context: KernelContext) -> Images | None:
    """Return where a kernel puts the code of programs; None where they are interpreted."""
    where = context.profile.bpf_images
    if where == "interpreted":
        return None
    pages = OwnCodePages(context, WAYS[where], undo=("rw",))
    packed = where in ("pack", "pack_rox")
    return PackedImages(context, pages) if packed else OwnImages(context, pages)


def _round_up(size: Bytes, unit: Bytes) -> Bytes:
    return -(-size // unit) * unit
