"""The C library's calls that are measured, as compiled loops can call them.

Numba calls a function of `ctypes` by its address: no Python runs in between. ``membarrier`` has no
function of its own in any C library, so that it goes through ``syscall``.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from typing import Any, Final

_LIBC: Final = ctypes.CDLL(None, use_errno=False)


def _function(name: str, *arguments: Any) -> Any:
    found = getattr(_LIBC, name)
    found.argtypes = arguments
    found.restype = ctypes.c_ssize_t
    return found


_ADDRESS: Final = ctypes.c_size_t
clock_gettime: Final = _function("clock_gettime", ctypes.c_int, ctypes.c_void_p)
nanosleep: Final = _function("nanosleep", ctypes.c_void_p, _ADDRESS)
mprotect: Final = _function("mprotect", _ADDRESS, ctypes.c_size_t, ctypes.c_int)
madvise: Final = _function("madvise", _ADDRESS, ctypes.c_size_t, ctypes.c_int)
munmap: Final = _function("munmap", _ADDRESS, ctypes.c_size_t)
map_memory: Final = _function(
    "mmap", _ADDRESS, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ssize_t
)
memset: Final = _function("memset", _ADDRESS, ctypes.c_int, ctypes.c_size_t)
syscall: Final = _function("syscall", ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long)

PAGE: Final = mmap.PAGESIZE
CLOCK_MONOTONIC: Final = 1
READ: Final = mmap.PROT_READ
READ_WRITE: Final = mmap.PROT_READ | mmap.PROT_WRITE
MADV_DONTNEED: Final = 4
MADV_NOHUGEPAGE: Final = 15
PRIVATE: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
MAP_FIXED: Final = 0x10
MAP_FIXED_NOREPLACE: Final = 0x100000
"""Fails where something is mapped already (Linux 4.17)."""

_MEMBARRIER: Final = {"x86_64": 324, "i686": 375, "i386": 375, "armv7l": 389}
SYS_MEMBARRIER: Final = _MEMBARRIER.get(platform.machine(), 283)
"""Number of the call: 283 in the table that newer architectures share (asm-generic/unistd.h)."""
PRIVATE_EXPEDITED: Final = 1 << 3
REGISTER_PRIVATE_EXPEDITED: Final = 1 << 4


def register_membarrier() -> bool:
    """Tell the kernel that this process will ask for barriers; return whether it can."""
    return int(syscall(SYS_MEMBARRIER, REGISTER_PRIVATE_EXPEDITED, 0, 0)) == 0
