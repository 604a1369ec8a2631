"""The process of a command: it hears Ctrl-C from its first import on, and goes when all is done."""

from __future__ import annotations

import atexit
import gc
import os
import resource
import sys
from collections.abc import Callable
from typing import NoReturn

from pmsim.cli.interrupts import hear_interrupts

LEAST_MEMORY = 1 << 30
"""Bytes of addresses that a run needs, most of them for its libraries: 0.9 GB was too little on
x86-64 Linux, 1.2 GB enough for a small one."""


def run_and_exit(main: Callable[[], object]) -> NoReturn:
    """Run a program as all that this process does.

    Parameters
    ----------
    main
        The program; it imports what it needs, and ends by itself or by `SystemExit`.
    """
    # Garbage is looked for when something runs: imports make none, and being looked through for
    # some takes a fifth of their time.
    gc.disable()
    hear_interrupts()
    status: object = None
    try:
        main()
    except SystemExit as end:
        status = end.code
    if status is not None and not isinstance(status, int):
        raise SystemExit(status)  # a text, which Python itself says
    sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    # What was imported need not be taken apart: that takes half a second.
    os._exit(status or 0)


def too_little_memory() -> str:
    """Return that a run needs more memory than the process may have; empty where it does not.

    Without memory the compiler of the passes would end the process, and no message of ours appear.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or most >= LEAST_MEMORY:
        return ""
    return (
        f"there is not enough memory: {most >> 20:,} MiB of addresses are allowed (ulimit -v),"
        f" and a run needs {LEAST_MEMORY >> 20:,} MiB at least"
    )


def look_for_garbage() -> None:
    """Enable the garbage collector from now on, but not for what was imported before."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
