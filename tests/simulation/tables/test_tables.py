from __future__ import annotations

import pytest

from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.kernel.operation_rows import OPERATION_COLUMNS
from pmsim.simulation.tables.columns import (
    CROSSCALLS,
    LATENCY_PARTS,
    OPERATIONS,
    TABLES,
    described,
)

CONTRACT = {
    "operations": "replication id parent workload kind cpu start_ps end_ps pages crosscalls"
    " run_ps lock_wait_ps crosscall_ps",
    "crosscalls": "replication cpu task start_ps end_ps protocol kind cause operation targets"
    " pages slowest_cpu slowest_reason",
    "cpus": "replication cpu busy_ps spin_ps irqs_off_ps stolen_ps idle_ps refill_ps handlers"
    " crosscalls_sent",
}


@pytest.mark.parametrize("table", CONTRACT)
def test_a_table_has_the_columns_that_users_rely_on(table: str) -> None:
    assert set(CONTRACT[table].split()) <= set(TABLES[table].names)


def test_every_column_is_declared_once_with_a_sentence() -> None:
    for table in TABLES.values():
        assert len(set(table.names)) == len(table.names)
        assert table.sentence.endswith(".")
        for column in table.columns:
            assert column.sentence.endswith("."), column.name


def test_every_time_is_in_picoseconds_and_says_so() -> None:
    for row in described():
        assert row["column"].endswith("_ps") == (row["unit"] == "ps"), row


def test_what_the_fabric_and_the_kernel_tell_is_kept_whole() -> None:
    assert set(CROSSCALL_COLUMNS) < set(CROSSCALLS.names)
    assert set(OPERATION_COLUMNS) < set(OPERATIONS.names)


def test_the_parts_of_a_latency_are_the_fabric_s() -> None:
    first, last = map(CROSSCALL_COLUMNS.index, ("queue_ps", "resume_ps"))
    assert tuple(part.name for part in LATENCY_PARTS) == CROSSCALL_COLUMNS[first : last + 1]


def test_the_description_has_a_row_for_each_column() -> None:
    rows = described()
    assert len(rows) == sum(len(table.columns) for table in TABLES.values())
    assert {row["type"] for row in rows} <= {
        "int", "int or none", "float", "text", "text or none", "bool",
    }  # fmt: skip
