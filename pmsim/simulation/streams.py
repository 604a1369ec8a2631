"""Streams of random numbers, each keyed by what it is for.

A stream depends on the scenario's seed, the number of the replication, the name of the workload
and the purpose, and on nothing else: not on how many streams there are, nor on the order in which
they are asked for. So two runs that share a workload share its draws (common random numbers), and
a workload that is added changes no other's.
"""

from __future__ import annotations

import hashlib

import numpy as np

MACHINE = ""
"""The name under which the machine itself draws; every workload has a longer one."""


def spawn_key(replication: int, workload: str, purpose: str) -> tuple[int, ...]:
    """Return 256 bits that stand for a replication, a workload's name and a purpose.

    They come from SHA-256, which unlike Python's ``hash`` is the same in every process, over the
    three parts with their lengths, so that no two triples read alike.
    """
    parts = (str(replication), workload, purpose)
    text = "".join(f"{len(part)}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4))


def stream(seed: int, replication: int, workload: str, purpose: str) -> np.random.Generator:
    """Return the generator for one purpose of one workload in one replication.

    Parameters
    ----------
    seed
        The scenario's seed, at least 0.
    replication
        Its number, from 0.
    workload
        The name of the workload, or `MACHINE`.
    purpose
        What the draws are for, such as ``"arrival"``.
    """
    key = spawn_key(replication, workload, purpose)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
