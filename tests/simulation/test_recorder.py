from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from pmsim.hardware.fabric import CROSSCALL_COLUMNS, SlowestReason
from pmsim.hardware.shootdown.calls import Protocol
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.tlbflush import Cause
from pmsim.simulation.files import TableFiles
from pmsim.simulation.recorder import Recorder
from pmsim.simulation.store import TableStore
from pmsim.simulation.tables import CROSSCALLS


def call(**values: int) -> np.ndarray:
    """A call whose other columns tell their places."""
    places = {name: 100 + place for place, name in enumerate(CROSSCALL_COLUMNS)}
    codes = {"kind": CallKind.FULL, "cause": Cause.PURGE, "slowest_reason": SlowestReason.RIDE}
    times = {"start_ps": 5, "end_ps": 9}
    row = places | codes | times | {"protocol": Protocol.SBI} | values
    return np.array([[row[name] for name in CROSSCALL_COLUMNS]], dtype=np.int64)


def recorded(tmp_path: Path, *calls: np.ndarray) -> TableFiles:
    with TableStore(tmp_path) as store:
        recorder = Recorder(store, 3, None)
        for one in calls:
            recorder.crosscalls(one)
        assert recorder.crosscalls_seen == len(calls)
    return TableFiles(tmp_path)


def test_codes_become_lower_case_words(tmp_path: Path) -> None:
    (row,) = recorded(tmp_path, call()).frame("crosscalls").itertuples()
    assert (row.kind, row.cause, row.slowest_reason) == ("full", "purge", "ride")
    assert (row.protocol, row.replication) == ("sbi", 3)


@pytest.mark.parametrize(
    ("column", "codes"),
    [
        ("kind", CallKind),
        ("cause", Cause),
        ("slowest_reason", SlowestReason),
        ("protocol", Protocol),
    ],
)
def test_every_code_has_its_own_word(column: str, codes: type[IntEnum], tmp_path: Path) -> None:
    frame = recorded(tmp_path, *[call(**{column: code}) for code in codes]).frame("crosscalls")
    assert frame[column].tolist() == [code.name.lower() for code in codes]


def test_minus_one_becomes_none_where_none_is_meant(tmp_path: Path) -> None:
    row = recorded(tmp_path, call(operation=-1, pages=-1, slowest_cpu=-1)).frame("crosscalls")
    assert row[["operation", "pages", "slowest_cpu"]].isna().all(axis=None)


def test_zero_stays_zero(tmp_path: Path) -> None:
    row = recorded(tmp_path, call(operation=0, pages=0, slowest_cpu=0)).frame("crosscalls")
    assert row[["operation", "pages", "slowest_cpu"]].to_numpy().tolist() == [[0, 0, 0]]


def test_numbers_go_to_the_columns_of_their_names(tmp_path: Path) -> None:
    (row,) = recorded(tmp_path, call()).frame("crosscalls").itertuples()
    for column in CROSSCALLS.columns:
        if column.name in CROSSCALL_COLUMNS and column.dtype == "int":
            expected = {"start_ps": 5, "end_ps": 9}.get(
                column.name, 100 + CROSSCALL_COLUMNS.index(column.name)
            )
            assert getattr(row, column.name) == expected


def test_an_operation_without_a_caller_has_no_parent(tmp_path: Path) -> None:
    columns = "id parent cpu task start_ps end_ps pages crosscalls run_ps lock_wait_ps"
    rows = dict.fromkeys((columns + " crosscall_ps delay_ps").split(), (1, 2))
    rows |= {"parent": (-1, 1), "workload": ("w", "w"), "kind": ("vfree", "purge")}
    with TableStore(tmp_path) as store:
        Recorder(store, 0, None).operations(rows)
    frame = TableFiles(tmp_path).frame("operations")
    assert frame["parent"].isna().tolist() == [True, False]
    assert frame["kind"].tolist() == ["vfree", "purge"]
