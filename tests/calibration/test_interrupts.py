"""What ``/proc/interrupts`` counts, on every architecture, and where it does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from pmsim.calibration.interrupts import Counts, read_counts

X86 = """\
           CPU0       CPU1       CPU3
 24:          1          0          0  IO-APIC   5-edge      ACPI:Ged
NMI:          0          0          0   Non-maskable interrupts
RES:       5585       9051          4   Rescheduling interrupts
CAL:      30393      22590          7   Function call interrupts
TLB:       1956       1458          2   TLB shootdowns
ERR:          0
MIS:          0
"""
ARM64 = """\
           CPU0       CPU1
 11:       1234       5678     GICv3  27 Level     arch_timer
IPI0:        81         90       Rescheduling interrupts
IPI1:      1200       1300       Function call interrupts
IPI2:         0          0       CPU stop interrupts
Err:          0
"""
RISCV = """\
           CPU0       CPU1
  5:       7000       7100  RISC-V INTC   5 Edge      riscv-timer
IPI0:       300        310  Rescheduling interrupts
IPI1:        40         50  Function call interrupts
IPI2:         0          0  CPU stop interrupts
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return tmp_path / "interrupts"


def counts_of(proc: Path, text: str) -> Counts | None:
    proc.write_text(text, encoding="ascii")
    return read_counts(proc)


def test_x86_counts_flushes_and_calls_by_cpus_that_are_online(proc: Path) -> None:
    found = counts_of(proc, X86)
    assert found is not None
    assert found.rows == {"CAL": {0: 30393, 1: 22590, 3: 7}, "TLB": {0: 1956, 1: 1458, 3: 2}}


def test_arm_and_riscv_have_a_row_for_calls_of_functions(proc: Path) -> None:
    for text, row in ((ARM64, {0: 1200, 1: 1300}), (RISCV, {0: 40, 1: 50})):
        found = counts_of(proc, text)
        assert found is not None
        assert found.rows == {"IPI1": row}


def test_a_flush_counts_once_whichever_row_has_it() -> None:
    before = Counts({"TLB": {0: 10, 1: 10}, "CAL": {0: 50, 1: 50}})
    # On CPU 0 both rows rise, as they do since 4.13; on CPU 1 only that of flushes.
    after = Counts({"TLB": {0: 13, 1: 13}, "CAL": {0: 53, 1: 50}})
    assert after.since(before) == {0: 3, 1: 3}


def test_what_hides_the_rows_counts_nothing(proc: Path, tmp_path: Path) -> None:
    for text in ("", "           CPU0\n", "\0\0\0", X86.replace("CAL", "XYZ").replace("TLB", "ABC")
                 .replace("Function", "Some")):  # fmt: skip
        assert counts_of(proc, text) is None
    assert read_counts(tmp_path / "elsewhere") is None


def test_a_row_with_fewer_numbers_than_cpus_is_not_read(proc: Path) -> None:
    assert counts_of(proc, "  CPU0 CPU1\nTLB: 5 shootdowns\n") is None
