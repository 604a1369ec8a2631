from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from pmsim.hardware.fabric import CROSSCALL_COLUMNS, SlowestReason
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.protocols import PROTOCOLS, number_of
from pmsim.hardware.shootdown.sbi import SBI
from pmsim.hardware.tlb import CallKind, flush
from pmsim.hardware.topology import Topology
from pmsim.kernel.operation_rows import OPERATION_COLUMNS, Words
from pmsim.kernel.tlbflush import Cause
from pmsim.simulation.run.recorder import Recorder, anatomy_columns
from pmsim.simulation.tables.columns import CROSSCALLS
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.tables.store import TableStore
from tests.hardware.adapters import kept_of
from tests.hardware.machines import call as call_of
from tests.hardware.machines import compute, costs, irqs_off, on, program


def call(**values: int) -> np.ndarray:
    """A call whose other columns tell their places."""
    places = {name: 100 + place for place, name in enumerate(CROSSCALL_COLUMNS)}
    codes = {"kind": CallKind.FULL, "cause": Cause.PURGE, "slowest_reason": SlowestReason.RIDE}
    times = {"start_ps": 5, "end_ps": 9}
    row = places | codes | times | {"protocol": number_of(SBI)} | values
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
    ],
)
def test_every_code_has_its_own_word(column: str, codes: type[IntEnum], tmp_path: Path) -> None:
    frame = recorded(tmp_path, *[call(**{column: code}) for code in codes]).frame("crosscalls")
    assert frame[column].tolist() == [code.name.lower() for code in codes]


def test_every_protocol_has_its_own_word(tmp_path: Path) -> None:
    rows = [call(protocol=number_of(protocol)) for protocol in PROTOCOLS.values()]
    frame = recorded(tmp_path, *rows).frame("crosscalls")
    assert frame["protocol"].tolist() == list(PROTOCOLS)


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
    rows: dict[str, object] = {name: np.array((1, 2)) for name in OPERATION_COLUMNS}
    rows["parent"] = np.array((-1, 1))
    rows["workload"] = Words(np.array((0, 0)), ["w"])
    rows["kind"] = Words(np.array((1, 0)), ["purge", "vfree"])
    with TableStore(tmp_path) as store:
        Recorder(store, 0, None).operations(rows)
    frame = TableFiles(tmp_path).frame("operations")
    assert frame["parent"].isna().tolist() == [True, False]
    assert frame["kind"].tolist() == ["vfree", "purge"]


def test_the_anatomy_of_a_call_is_kept_in_the_words_of_the_cross_calls(tmp_path: Path) -> None:
    machine = Machine(Topology(cores=3), costs())
    machine.spawn(
        0, lambda task: task.cross_call(flush(machine.costs.tlb, 3, 33), cause=Cause.PURGE)
    )
    machine.spawn(2, lambda task: task.irqs_off(9000))
    machine.run()
    with TableStore(tmp_path) as store:
        Recorder(store, 2, None).anatomy(machine)
    rows = TableFiles(tmp_path).frame("anatomy")
    assert rows["which"].tolist() == ["median"] * 2 + ["p99"] * 2 + ["slowest"] * 2
    slowest = rows[rows["which"] == "slowest"]
    assert slowest["cpu"].tolist() == [1, 2]
    assert slowest["reason"].tolist() == ["distance", "irqs_off"]
    assert slowest["handler_ps"].tolist() == [1200, 9000]
    assert set(zip(rows["replication"], rows["kind"], rows["cause"], strict=True)) == {
        (2, "range", "purge")
    }


def test_only_a_call_that_rode_along_has_no_interrupt_of_its_own(tmp_path: Path) -> None:
    specimen = kept_of(
        program(on(0, call_of(2)), on(1, compute(2000), call_of(2)), on(2, irqs_off(9000)))
    )
    with TableStore(tmp_path) as store:
        for which, one in specimen.items():
            store.add("anatomy", anatomy_columns(which, one), 0)
    rows = TableFiles(tmp_path).frame("anatomy")
    assert set(rows["reason"]) == {"irqs_off", "ride"}
    rides = rows["reason"] == "ride"
    assert (rows["sent_ps"].isna() == rides).all()
    assert (rows["arrives_ps"].isna() == rides).all()
