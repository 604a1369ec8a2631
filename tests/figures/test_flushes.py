from __future__ import annotations

import pytest

from pmsim.figures import flush_cost
from pmsim.figures.flushes import PARTS, mean_parts
from pmsim.simulation.tables.columns import LATENCY_PARTS
from tests.figures.made_up import InPieces, MadeUp, crosscalls, many_crosscalls

THREE = crosscalls(
    ["full", "full", "range"],
    ["attributes", "attributes", "purge"],
    queue_ps=[100, 100, 100],
    delivery_ps=[600, 800, 700],
    visit_ps=[300, 100, 0],
)


def test_every_part_of_the_table_is_drawn():
    assert sorted(PARTS) == sorted(column.name for column in LATENCY_PARTS)


def test_parts_are_averaged_by_cause_and_kind_the_costliest_first():
    rows = mean_parts(MadeUp(crosscalls=THREE))
    assert rows[["cause", "kind", "count"]].to_numpy().tolist() == [
        ["attributes", "full", 2],
        ["purge", "range", 1],
    ]
    assert rows["delivery_ps"].tolist() == [700, 700]
    assert rows["visit_ps"].tolist() == [200, 0]
    assert rows["latency_ps"].tolist() == [1000, 800]


def test_parts_add_up_to_the_mean_latency():
    table = many_crosscalls(1000, 56)
    rows = mean_parts(MadeUp(crosscalls=table))
    latency = (table["end_ps"] - table["start_ps"]).groupby([table["cause"], table["kind"]]).mean()
    for row in rows.itertuples():
        assert row.latency_ps == pytest.approx(latency[row.cause, row.kind])


def test_a_table_in_pieces_gives_the_same_means():
    pieces = InPieces(crosscalls=THREE, rows=1)
    assert mean_parts(pieces).equals(mean_parts(MadeUp(crosscalls=THREE)))
    assert pieces.pieces == 3


def test_bars_stack_the_parts_and_end_at_the_mean_latency():
    ax = flush_cost(MadeUp(crosscalls=THREE))
    bars = {c.get_label(): [bar.get_width() for bar in c] for c in ax.containers}
    drawn = {part: widths for part, widths in bars.items() if any(widths)}
    assert drawn == {"queue_ps": [100, 100], "delivery_ps": [700, 700], "visit_ps": [200, 0]}
    last = ax.containers[-1]
    assert [bar.get_x() + bar.get_width() for bar in last] == [1000, 800]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"queue_ps": [100], "visit_ps": [300]}, "Waits are those of the CPU that answered last."),
        ({"queue_ps": [100], "send_ps": [80], "local_ps": [360]}, "Nobody waits for answers."),
    ],
)
def test_whose_waits_are_drawn_is_said_where_anybody_waits(
    parts: dict[str, list[int]], said: str
) -> None:
    ax = flush_cost(MadeUp(crosscalls=crosscalls(["full"], ["attributes"], **parts)))
    assert said in str(ax.get_label())


def test_each_row_says_how_many_and_how_long():
    ax = flush_cost(MadeUp(crosscalls=THREE))
    assert [text.get_text() for text in ax.texts[:2]] == ["2 × 1 ns", "1 × 800 ps"]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "attributes · full",
        "purge · range",
    ]


def test_the_message_weighs_each_row_by_its_calls():
    # (2 * 1000 + 800) / 3 = 933; in flight 2100 of 2800
    assert flush_cost(MadeUp(crosscalls=THREE)).get_title(loc="left").replace("\n", " ") == (
        "A shootdown takes 933 ps on average; "
        "75 % of it is the interrupt's flight to the slowest CPU"
    )


BY_HARDWARE = crosscalls(
    ["range", "range", "sync_core"],
    ["attributes", "attributes", "text_poke"],
    ["tlbi", "tlbi", "ipi"],
    queue_ps=[100, 300, 50],
    function_ps=[400, 400, 10],
    delivery_ps=[600, 600, 70],
)


def test_what_the_hardware_tells_has_parts_of_its_own():
    rows = mean_parts(MadeUp(crosscalls=BY_HARDWARE))
    assert rows[
        ["protocol", "server_ps", "service_ps", "round_trip_ps", "queue_ps"]
    ].to_numpy().tolist() == [["tlbi", 200, 400, 600, 0], ["ipi", 0, 0, 0, 50]]
    assert rows["latency_ps"].tolist() == [1200, 130]


def test_a_row_that_was_no_cross_call_says_how_cpus_were_told():
    ax = flush_cost(MadeUp(crosscalls=BY_HARDWARE))
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "attributes · range · tlbi",
        "text_poke · sync_core",
    ]
    assert ax.get_title(loc="left").replace("\n", " ").endswith("the round trip of the barrier")


def test_a_single_call_has_no_average():
    one = MadeUp(crosscalls=crosscalls(["full"], ["trace"], visit_ps=[50]))
    title = flush_cost(one).get_title(loc="left").replace("\n", " ")
    assert title.startswith("The only shootdown took 50 ps; 100 % of it")


def test_calls_without_time_are_said_to_take_none():
    free = MadeUp(crosscalls=crosscalls(["empty"], ["trace"]))
    assert flush_cost(free).get_title(loc="left") == "Shootdowns took no time"


@pytest.mark.parametrize("result", [MadeUp(), InPieces()])
def test_no_call_is_a_note_and_no_crash(result):
    assert flush_cost(result).get_title(loc="left") == "There was no shootdown"
