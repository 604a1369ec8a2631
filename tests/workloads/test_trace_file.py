from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pmsim.errors import Fault, ScenarioError
from pmsim.workloads.program import Op, Programs
from pmsim.workloads.trace_file import MAX_BYTES, MOST_FAULTS, read_programs


def read(tmp_path: Path, text: str | bytes, n_cpus: int = 4) -> Programs:
    path = tmp_path / "program.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_programs(path, n_cpus)


def faults(tmp_path: Path, text: str | bytes, n_cpus: int = 4) -> tuple[Fault, ...]:
    with pytest.raises(ScenarioError) as caught:
        read(tmp_path, text, n_cpus)
    return caught.value.faults


def test_rows_of_a_task_keep_their_order_and_tasks_are_apart(tmp_path: Path) -> None:
    text = "cpu,op,arg,task\n1,compute,5,0\n0,sleep,7,2\n1,flush_kernel,3,0\n0,compute,1,0\n"
    assert read(tmp_path, text) == {
        (0, 0): [(Op.COMPUTE, 1)],
        (0, 2): [(Op.SLEEP, 7)],
        (1, 0): [(Op.COMPUTE, 5), (Op.FLUSH_KERNEL, 3)],
    }


def test_tasks_come_in_ascending_order_whatever_the_order_of_rows(tmp_path: Path) -> None:
    text = "cpu,op,arg,task\n1,compute,1,10\n1,compute,1,9\n0,compute,1,3\n"
    assert list(read(tmp_path, text)) == [(0, 3), (1, 9), (1, 10)]


def test_a_missing_task_column_means_task_0(tmp_path: Path) -> None:
    assert read(tmp_path, "cpu,op,arg\n2,irqs_off,9\n") == {(2, 0): [(Op.IRQS_OFF, 9)]}


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    assert read(tmp_path, "arg,task,op,cpu\n9,1,mutex_lock,2\n") == {(2, 1): [(Op.MUTEX_LOCK, 9)]}


def test_a_spreadsheet_s_byte_order_mark_line_ends_and_blanks_are_no_fault(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfcpu, op, arg\r\n0, compute, 5\r\n\r\n0, spin_unlock, 0\r\n"
    assert read(tmp_path, text) == {(0, 0): [(Op.COMPUTE, 5), (Op.SPIN_UNLOCK, 0)]}


def test_a_task_takes_at_least_what_its_rows_say_in_time(tmp_path: Path) -> None:
    most = 2**63 - 1
    text = "cpu,op,arg\n0,compute,5\n0,sleep,7\n0,flush_kernel,100\n0,irqs_off,1\n1,mutex_lock,9\n"
    text += f"2,compute,{most}\n2,compute,{most}\n"
    assert read(tmp_path, text).least_ps == [13, 0, 2 * most]
    assert read(tmp_path, "cpu,op,arg\n").least_ps == []


def test_every_op_of_the_format_is_known(tmp_path: Path) -> None:
    ops = [
        "compute",
        "user",
        "irqs_off",
        "sleep",
        "flush_kernel",
        "invalidate",
        "mutex_lock",
        "mutex_unlock",
        "spin_lock",
        "spin_unlock",
    ]
    rows = "".join(f"0,{op},1\n" for op in ops)
    assert [op.value for op, _ in read(tmp_path, "cpu,op,arg\n" + rows)[(0, 0)]] == ops


@pytest.mark.parametrize("header", ["cpu,op,arg", "arg,task,op,cpu"])
def test_a_plain_file_and_one_with_blanks_and_quotes_are_read_alike(
    tmp_path: Path, header: str
) -> None:
    draw = random.Random(header)
    plain, other = header + "\n", header.replace(",", " ,") + "\n"
    for _ in range(500):
        cells = {
            "cpu": str(draw.randrange(4)),
            "op": draw.choice(list(Op)).value,
            "arg": str(draw.randrange(10 ** draw.randrange(1, 19))),
            "task": str(draw.randrange(3)),
        }
        row = [cells[name] for name in header.split(",")]
        plain += ",".join(row) + "\n"
        other += ",".join(f'"{cell}"' if draw.random() < 0.5 else f" {cell} " for cell in row)
        other += "\n\n"
    assert read(tmp_path, plain) == read(tmp_path, other)


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        ("4,compute,5", "cpu-out-of-range", "there is no CPU 4"),
        ("-1,compute,5", "negative", "cpu is -1"),
        ("0,compute,-5", "negative", "arg is -5"),
        ("0,compute,1.5", "not-whole", "arg is '1.5'"),
        ("0,compute,1e3", "not-whole", "arg is '1e3'"),
        ("0,compute,1_000", "not-whole", "arg is '1_000'"),
        ("0,compute,", "not-whole", "arg is ''"),
        ("0,compute,٣", "not-whole", "arg is '٣'"),
        (f"0,compute,{2**63}", "absurd", "arg is 9223372036854775808"),
        ("0,compute," + "9" * 5000, "not-whole", "not a whole number"),
        ("0,compte,5", "unknown-op", "there is no op 'compte'"),
        ("0,,5", "unknown-op", "there is no op ''"),
        ("0,compute", "bad-row", "2 values where the header names 3"),
        ("0,compute,5,6", "bad-row", "4 values where the header names 3"),
    ],
)
def test_a_bad_row_is_reported_by_its_line_and_number(
    tmp_path: Path, row: str, code: str, message: str
) -> None:
    (fault,) = faults(tmp_path, f"cpu,op,arg\n0,compute,1\n\n{row}\n")
    assert (fault.line, fault.column, fault.code) == (4, 1, code)
    # Blank lines count, as they do in a spreadsheet.
    assert fault.message.startswith("row 3: ")
    assert message in fault.message


def test_an_unknown_op_gets_the_nearest_one_as_a_hint(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "cpu,op,arg\n0,flush_kernal,5\n")
    assert fault.hint == "did you mean flush_kernel?"


def test_all_faults_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, "cpu,op,arg\n9,foo,-1\n0,compute,1\n0,bar,x\n")
    assert [(fault.line, fault.code) for fault in found] == [
        (2, "negative"),
        (2, "cpu-out-of-range"),
        (2, "unknown-op"),
        (4, "not-whole"),
        (4, "unknown-op"),
    ]


def test_faults_without_number_are_cut_off(tmp_path: Path) -> None:
    found = faults(tmp_path, "cpu,op,arg\n" + "0,compute,x\n" * 10 * MOST_FAULTS)
    assert len(found) == MOST_FAULTS


@pytest.mark.parametrize(
    ("header", "code", "hint"),
    [
        ("cpu,op", "missing-column", "cpu,op,arg"),
        ("cpu,op,arg,tsak", "unknown-column", "did you mean task?"),
        ("cpu,op,arg,cpu", "duplicate-column", ""),
        ("", "missing-column", "cpu,op,arg"),
    ],
)
def test_a_bad_header_is_a_fault_of_line_1(
    tmp_path: Path, header: str, code: str, hint: str
) -> None:
    found = faults(tmp_path, f"{header}\n0,compute,1\n")
    assert {(fault.line, fault.column) for fault in found} == {(1, 1)}
    assert hint in {fault.code: fault.hint for fault in found}[code]


@pytest.mark.parametrize(
    "header", ["", "cpu;op;arg\n0;compute;1\n", "cpu\top\targ\n", "0,compute,1\n"]
)
def test_where_no_column_has_a_name_that_is_one_fault(tmp_path: Path, header: str) -> None:
    (fault,) = faults(tmp_path, header)
    assert (fault.line, fault.code) == (1, "missing-column")
    assert "parted by commas: cpu,op,arg" in fault.hint


def test_a_file_with_a_header_alone_has_no_tasks(tmp_path: Path) -> None:
    assert read(tmp_path, "cpu,op,arg\n") == {}


def test_a_file_that_is_not_there_is_a_fault_without_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_programs(tmp_path / "nowhere.csv")
    (fault,) = caught.value.faults
    assert (fault.line, fault.code) == (0, "unreadable")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/zero"), tmp_path):
        with pytest.raises(ScenarioError) as caught:
            read_programs(path)
        assert [fault.code for fault in caught.value.faults] == ["no-file"]


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ScenarioError) as caught:
        read_programs(path)
    (fault,) = caught.value.faults
    assert fault.code == "too-large"
    assert f"{MAX_BYTES:,} bytes" in fault.hint


def test_a_binary_file_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, b"\x7fELF\x02\x01\x01\x00\xff\xfe")
    assert fault.code == "not-text"


def test_a_null_byte_in_text_is_a_fault(tmp_path: Path) -> None:
    found = faults(tmp_path, b"cpu,op,arg\n0,compute,\x005\n")
    assert found[0].code in ("not-whole", "bad-csv")


def test_an_unclosed_quote_is_a_fault(tmp_path: Path) -> None:
    found = faults(tmp_path, 'cpu,op,arg\n0,"compute,5\n')
    assert found[0].code == "bad-csv"
