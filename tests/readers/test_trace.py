from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from pmsim.errors import ScenarioError
from pmsim.imports.trace.calls import MOST_FUNCTIONS
from pmsim.imports.trace.seen import read_trace
from pmsim.readers.formats import MOST_CPUS
from pmsim.readers.stream import BLOCK, TextStream
from pmsim.readers.trace import MOST_EVENTS, Reading, TraceReader
from pmsim.units import NS, US

Heard = list[tuple[int, int, bytes, bytes, bytes]]

FTRACE = """\
# tracer: nop
#
          <idle>-0       [001] d.h1.  3658.146092: tlb_flush: pages:0 reason:x (0)
 kworker/1:2-mm-77      [000] .....  3658.146093: tlb_flush: pages:1 reason:y (4)
            bash-123     (    99) [130] ...1.  3658.146094: tlb_flush: pages:2 reason:z (3)
"""
TRACE_CMD = """\
cpus=2
          <idle>-0     [001] d.h1.  3658.146092123: tlb_flush:            pages:0 reason:x (0)
     my prog 7-77    [000]  3658.146093123: tlb_flush:            pages:1 reason:y (4)
"""
PERF = """\
         swapper     0 [001]  3658.146092:                tlb:tlb_flush: pages:0 reason:x (0)
         my prog  77/78 [000]  3658.146093:          1     tlb:tlb_flush: pages:1 reason:y (4)
\tffffffff81078f50 flush_tlb_func+0x0 ([kernel.kallsyms])

"""


def read(path: Path, tick: int = US) -> tuple[Heard, list[int], Reading]:
    heard: Heard = []
    lost: list[int] = []
    reader = TraceReader({b"tlb_flush": lambda *event: heard.append(event)}, lost.append, tick)
    return heard, lost, reader.read(TextStream(path))


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "trace"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_line_of_ftrace_gives_time_cpu_name_flags_and_rest(tmp_path: Path) -> None:
    heard, _, reading = read(written(tmp_path, FTRACE))
    assert heard == [
        (3658146092 * US, 1, b"<idle>", b"d.h1.", b"pages:0 reason:x (0)"),
        (3658146093 * US, 0, b"kworker/1:2-mm", b".....", b"pages:1 reason:y (4)"),
        (3658146094 * US, 130, b"bash", b"...1.", b"pages:2 reason:z (3)"),
    ]
    assert (reading.lines, reading.events, reading.comments, reading.foreign) == (5, 3, 2, 0)
    assert reading.span_ps == 2 * US


def test_trace_cmd_and_perf_give_the_same_events(tmp_path: Path) -> None:
    of_trace_cmd, _, reading = read(written(tmp_path, TRACE_CMD))
    assert [(time, cpu, rest.strip()) for time, cpu, _, _, rest in of_trace_cmd] == [
        (3658146092123 * NS, 1, b"pages:0 reason:x (0)"),
        (3658146093123 * NS, 0, b"pages:1 reason:y (4)"),
    ]
    assert [name for _, _, name, _, _ in of_trace_cmd] == [b"<idle>", b"my prog 7"]
    assert reading.foreign == 0
    of_perf, _, reading = read(written(tmp_path, PERF))
    assert [(cpu, name, rest) for _, cpu, name, _, rest in of_perf] == [
        (1, b"swapper", b"pages:0 reason:x (0)"),
        (0, b"my prog", b"pages:1 reason:y (4)"),
    ]
    assert (reading.events, reading.foreign) == (2, 0)


def test_a_clock_that_counts_has_steps_of_the_length_that_is_asked_for(tmp_path: Path) -> None:
    text = "".join(f"  sh-1  [000] .....   {at}: tlb_flush: x\n" for at in (4, 5, 9))
    heard, _, reading = read(written(tmp_path, text), tick=3 * US)
    assert [event[0] for event in heard] == [12 * US, 15 * US, 27 * US]
    assert reading.counts


def test_events_of_another_clock_are_left_out_and_counted(tmp_path: Path) -> None:
    text = (
        " a-1 [000] .....  5.000001: tlb_flush: x\n"
        " a-1 [000] .....  77: tlb_flush: y\n"
        " a-1 [000] .....  5.000000: tlb_flush: z\n"
    )
    heard, _, reading = read(written(tmp_path, text))
    assert [event[4] for event in heard] == [b"x", b"z"]
    assert (reading.other_clock, reading.backwards) == (1, 1)


def test_lost_events_are_told_in_their_place_and_counted(tmp_path: Path) -> None:
    text = (
        " a-1 [000] ..... 1.000001: tlb_flush: x\n"
        "CPU:1 [LOST 1234 EVENTS]\n"
        " a-1 [001] ..... 1.000002: tlb_flush: y\n"
        "CPU:0 [EVENTS DROPPED]\n"
        "CPU:2 [7 EVENTS DROPPED]\n"
    )
    heard, lost, reading = read(written(tmp_path, text))
    assert (len(heard), lost) == (2, [1, 0, 2])
    assert (reading.lost_marks, reading.lost_events, reading.foreign) == (3, 1241, 0)


def test_a_cut_line_is_counted_and_nothing_else_is_lost(tmp_path: Path) -> None:
    whole = FTRACE.encode()
    for end in range(len(whole) - 80, len(whole)):
        heard, _, reading = read(written(tmp_path, whole[:end]))
        assert len(heard) >= 2
        assert reading.cut is not whole[:end].endswith(b"\n")


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_packed_trace_is_read_as_it_is(tmp_path: Path, codec: str) -> None:
    text = FTRACE.encode() * 400
    packed = (
        gzip.compress(text) if codec == "gzip" else pa.Codec("zstd").compress(text, asbytes=True)
    )
    heard, _, _ = read(written(tmp_path, packed))
    assert len(heard) == 1200


def test_a_packed_trace_without_its_end_is_read_up_to_there(tmp_path: Path) -> None:
    lines = [f" a-{n} [000] ..... 1.{n:06}: tlb_flush: {n * n % 977}\n" for n in range(40_000)]
    packed = gzip.compress("".join(lines).encode())
    heard, _, reading = read(written(tmp_path, packed[: len(packed) // 2]))
    assert reading.cut
    assert 5_000 < len(heard) < 35_000


def test_where_blocks_end_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, FTRACE)
    whole = read(path)
    for size in range(1, 90):
        monkeypatch.setattr("pmsim.readers.stream.BLOCK", size)
        monkeypatch.setattr("pmsim.readers.stream.PIECE", size)
        assert read(path) == whole


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="not text in lines"):
        read(written(tmp_path, b"x" * (BLOCK + 5)))


def test_names_and_cpus_without_end_take_no_memory_without_end(tmp_path: Path) -> None:
    """Broken or hostile text: each line names another event, another function, another CPU."""
    lines = [
        f" work-8 [{number % 9000:03d}] d.h.. 7.{number:06d}: nonsense{number}: cpu=1\n"
        f" work-8 [001] d.h.. 7.{number:06d}: ipi_send_cpumask: cpumask=2 callsite=a"
        f" callback=f{number}\n"
        for number in range(2 * MOST_EVENTS)
    ]
    path = tmp_path / "trace.txt"
    path.write_text("".join(lines))
    seen = read_trace(path)
    assert len(seen.reading.unknown) <= MOST_EVENTS + 1
    assert len(seen.calls.functions) <= MOST_FUNCTIONS + 1
    assert max(seen.calls.targets, default=0) < MOST_CPUS
    assert seen.calls.functions["others"].calls > 0
