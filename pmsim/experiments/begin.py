"""How a worker process begins; it imports nothing heavy before that."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from typing import Final

WATCH_S: Final = 1.0
"""How often a worker looks whether the process that it works for is still there."""


def begin(parent: int) -> None:
    """Prepare a worker process: the parent decides when it ends, and nobody else."""
    # Ctrl-C reaches all processes of a terminal; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # What is imported is no garbage, and takes a fifth longer when it is looked through.
    gc.disable()
    import pmsim.experiments.replicate  # noqa: F401

    gc.freeze()
    gc.enable()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, killed perhaps, and cannot end it itself."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
