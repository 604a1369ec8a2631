"""Lists of CPUs: expectations are those of the kernel's own lib/test_bitmap.c, and of its masks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.cpulist import checked_cpulist, cpus_of, format_cpulist
from pmsim.errors import CpuListError


def mask(text: str, n_cpus: int) -> int:
    return sum(1 << cpu for cpu in cpus_of(text, n_cpus))


# parselist_tests of lib/test_bitmap.c, Linux 6.1: the text, the mask.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0x1),
        ("1", 0x2),
        ("0-15", 0xFFFF),
        ("16-31", 0xFFFF0000),
        ("0-31:1/2", 0x55555555),
        ("1-31:1/2", 0xAAAAAAAA),
        ("0-31:1/4", 0x11111111),
        ("1-31:1/4", 0x22222222),
        ("0-31:4/4", 0xFFFFFFFF),
        ("1-31:4/4", 0xFFFFFFFE),
        ("0-31:1/4,32-63:2/4", 0x3333333311111111),
        ("0-31:3/4,32-63:4/4", 0xFFFFFFFF77777777),
        (" ,,  0-31:3/4  ,, 32-63:4/4  ,,  ", 0xFFFFFFFF77777777),
        ("", 0),
        ("\n", 0),
        (",,  ,,  , ,  ,", 0),
        ("0-0:0/1", 0),
        ("0-0:1/31", 1),
        ("15-15:1/2", 0x8000),
        ("31-31:31/31", 0x80000000),
        ("all", 0xFFFFFFFFFFFFFFFF),
        ("ALL", 0xFFFFFFFFFFFFFFFF),
        ("all:1/2", 0x5555555555555555),
        ("0-N", 0xFFFFFFFFFFFFFFFF),
        ("N", 1 << 63),
        ("N-N:1/1", 1 << 63),
    ],
)
def test_a_list_names_the_cpus_that_the_kernel_takes_it_for(text: str, expected: int) -> None:
    assert mask(text, 64) == expected


@pytest.mark.parametrize(
    "text",
    ["-1", "-0", "10-1", "8-8:9/8", "0-31:", "0-31:0", "0-31:0/", "0-31:0/0", "0-31:1/0",
     "0-31:10/1", "a-31", "0-a1", "a-31:10/1", "0-31:a/1", "0-", "5:1/2", "alle", "n"],
)  # fmt: skip
def test_what_the_kernel_refuses_is_no_list(text: str) -> None:
    with pytest.raises(CpuListError):
        checked_cpulist(text)


def test_a_number_that_overflows_is_refused_and_not_counted_to() -> None:
    with pytest.raises(CpuListError, match="98765432123456789 is no number of a CPU"):
        checked_cpulist("0-98765432123456789:10/1")
    with pytest.raises(CpuListError, match="CPU 4294967295 is not on this machine"):
        cpus_of("0-4294967295", 8)


def test_n_is_the_last_cpu_of_the_machine_and_so_may_come_too_early() -> None:
    checked_cpulist("16-N")
    assert cpus_of("16-N", 18) == (16, 17)
    with pytest.raises(CpuListError, match="ends before it begins"):
        cpus_of("16-N", 4)


def test_several_entries_keep_their_order() -> None:
    assert cpus_of((5, "1-2", 5), 8) == (5, 1, 2, 5)


@given(st.sets(st.integers(0, 300)))
def test_what_is_written_reads_back(cpus: set[int]) -> None:
    text = format_cpulist(cpus)
    assert cpus_of(text, 301) == tuple(sorted(cpus))
    assert text.count(",") == max(0, sum(cpu - 1 not in cpus for cpu in cpus) - 1)
