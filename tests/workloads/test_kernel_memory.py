"""Workloads on the kernel's own mappings: attributes, huge pages, memory that goes, highmem."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import pmsim
from pmsim.errors import ScenarioError
from tests.machines import scenario

ARM64 = {"machine": "altra-max", "kernel": "linux-6.12-arm64"}


def run(kind: str, **keys: Any) -> pmsim.Result:
    whole = {name: keys.pop(name) for name in ("machine", "kernel") if name in keys}
    return pmsim.run(scenario({"kind": kind, **keys}, **whole))


def causes(result: pmsim.Result) -> dict[str, int]:
    return dict(Counter(result.crosscalls["cause"].tolist()))


@pytest.mark.parametrize(
    ("attribute", "guest", "flushes"),
    [("uc", "sev", 2), ("wc", "sev", 3), ("decrypted", "sev", 4), ("decrypted", "tdx", 3)],
)
def test_a_block_is_changed_and_changed_back(attribute: str, guest: str, flushes: int) -> None:
    keys = {"attribute": attribute, "guest": guest, "blocks": 5, "order": 1, "changes": 2}
    result = run("page_attributes", **keys)
    assert causes(result) == {"attributes": 2 * 5 * flushes}
    assert set(result.crosscalls["pages"]) == {2}


def test_a_pool_is_filled_and_emptied() -> None:
    filled = run("huge_pages", pages=64, fills=1, hold="1ms")
    assert causes(filled) == {"vmemmap": 128, "split": 1}
    # Leaves that are split stay so.
    again = run("huge_pages", pages=64, fills=2, hold="1ms")
    assert causes(again) == {"vmemmap": 256, "split": 1}


def test_blocks_go_for_good() -> None:
    assert causes(run("memory_unplug", sections=3, unplugs=2)) == {"hot_remove": 2 * (3 + 1)}


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("page_attributes", ARM64, "cannot change how memory is cached or encrypted: x86 can"),
        (
            "page_attributes",
            {"kernel": "linux-5.15-x86_64", "attribute": "decrypted", "guest": "tdx"},
            "linux-5.15-x86_64 cannot be an encrypted guest of that kind",
        ),
        ("huge_pages", ARM64, "linux-6.12-arm64 does not trim the descriptors of huge pages"),
        (
            "huge_pages",
            {
                "machine": "altra-max",
                "kernel": {"profile": "linux-6.1-arm64", "page_size": "64KiB"},
                "size": "1GiB",
            },
            "linux-6.1-arm64 with pages of 64KiB has no huge pages of 1GiB",
        ),
        (
            "memory_unplug",
            {"machine": "altra-max", "kernel": "linux-4.16-arm64"},
            "linux-4.16-arm64 cannot remove memory while it runs",
        ),
        ("kmap", {"kernel": "linux-6.1-x86_64"}, "linux-6.1-x86_64 has 64 bits: it has no highmem"),
        (
            "kmap",
            {"kernel": {"profile": "linux-4.16-x86_32", "memory": "512MiB"}},
            "linux-4.16-x86_32 maps all of its memory: it has no highmem",
        ),
    ],
)
def test_kernels_that_cannot_are_named_with_the_reason(
    kind: str, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        run(kind, **keys)
    assert message in str(refused.value)
