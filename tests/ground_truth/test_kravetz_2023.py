"""What a flush for each huge page took, before flushes were batched.

Mike Kravetz, "Batch hugetlb vmemmap modification operations", linux-mm, August 2023: seconds to
allocate huge pages of 2 MiB, without and with trimming their descriptors, which is a flush of a
kernel range of eight pages each (and the split of a large leaf for every 64th), on linux-next of
24 August 2023.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pmsim
from pmsim.units import US

EIGHT_SOCKETS = 500_000, 4.119, 28.973
"""Pages, seconds without and with flushes: Xeon E7-8895, bare metal."""
FREED_BY_A_GUEST = 524_288, 2.931, 149.924
"""The same to free them, on a guest of 252 virtual CPUs on two EPYC 7J13 (Milan)."""


def took(pages: int, without: float, with_flushes: float) -> float:
    """Return what one page's flush, and the remapping around it, took in microseconds."""
    return (with_flushes - without) / pages * 1e6


def flush(machine: dict[str, Any], cpus: int, directory: Path) -> float:
    """Return the predicted latency of one flush of all others, which compute, in microseconds."""
    rows = ["cpu,op,arg", "0,flush_kernel,8", *(f"{c},compute,{10**9}" for c in range(1, cpus))]
    (directory / "flush.csv").write_text("\n".join(rows), encoding="utf-8")
    trace = {"kind": "trace", "file": str(directory / "flush.csv")}
    result = pmsim.run(
        pmsim.Scenario.from_dict(
            {
                "pmsim": 1,
                "machine": machine,
                "kernel": "linux-6.6-x86_64",
                "until": "done",
                "workloads": [trace],
            }
        )
    )
    [call] = result.crosscalls.to_dict("records")
    assert call["targets"] == cpus - 1
    return (call["end_ps"] - call["start_ps"]) / US


def test_a_flush_on_eight_sockets_is_no_longer_than_all_that_a_page_took(tmp_path: Path) -> None:
    bound = took(*EIGHT_SOCKETS)
    predicted = flush({"platform": "skylake-sp-8s", "topology": {"cores": 18}}, 288, tmp_path)
    assert 49 < bound < 50
    assert bound / 2 < predicted < bound  # the flush is most of it, remapping and splits the rest
